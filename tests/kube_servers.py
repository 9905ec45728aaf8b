"""The Kubernetes API servers that tests run against: the embedded one, and a real kube-apiserver where there is one.

Both are handed out as `Kube`: where it is, how to log in, and a client that sends one request. The binaries of a real
one are found as controller-runtime's envtest finds them.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lbctl.clock import SystemClock
from lbctl.kube.access import Access
from lbctl.kube.rest import Rest
from lbctl.kube.throttle import Rate
from lbctl.sandbox.api import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbctl.clock import Clock

ASSETS = Path("/usr/local/kubebuilder/bin")
START_SECONDS = float(os.environ.get("KUBEBUILDER_CONTROLPLANE_START_TIMEOUT", "20s").rstrip("s"))
SERVICE_CIDRS = ("10.96.0.0/16", "fd00:10:96::/112")
TOKEN = "token-of-the-tests"
LBCTL_TOKEN = "token-of-lbctl"
LBCTL_USER = "system:serviceaccount:kube-system:lbctl"
UNLIMITED = Rate(per_second=1e6, burst=1e6)


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    code: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kube:
    """One API server."""

    flavour: str
    url: str
    token: str
    ca: str = ""
    embedded: ApiServer | None = None

    def context(self) -> ssl.SSLContext | None:
        """What a client needs to trust the server."""
        if not self.url.startswith("https"):
            return None
        context = ssl.create_default_context(cadata=self.ca or None)
        context.check_hostname = bool(self.ca)
        if not self.ca:
            context.verify_mode = ssl.CERT_NONE  # kube-apiserver makes its own certificate in a folder of ours
        return context

    def connect(self, *, seconds: float = 20.0) -> http.client.HTTPConnection:
        """A connection of its own."""
        where = urlsplit(self.url).netloc
        context = self.context()
        if context is None:
            return http.client.HTTPConnection(where, timeout=seconds)
        return http.client.HTTPSConnection(where, timeout=seconds, context=context)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; a body that is no text is sent as JSON, and header names are written with underscores."""
        connection = self.connect()
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            raw = response.read()
            return Answer(response.status, _parsed(raw), dict(response.getheaders()))
        finally:
            connection.close()

    @contextmanager
    def watching(self, path: str, *, seconds: float = 10.0) -> Iterator[Iterator[dict[str, Any]]]:
        """The events of a watch as they come; the stream ends with the server's or after `seconds` of silence."""
        connection = self.connect(seconds=seconds)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        try:
            yield (json.loads(line) for line in response)
        finally:
            if connection.sock is not None:
                connection.sock.close()
            response.close()
            connection.close()

    def kubeconfig(self, token: str = "") -> str:
        """The YAML of a kubeconfig for a user's token; the administrator's when empty."""
        if self.embedded is not None:
            return self.embedded.kubeconfig(token)
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "real", "cluster": cluster}],
                "users": [{"name": "real", "user": {"token": token or self.token}}],
                "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
                "current-context": "real",
            }
        )


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def connect(kubeconfig: str, folder: Path, *, clock: Clock | None = None) -> Rest:
    """Requests to the server of this kubeconfig, without a rate limit unless the clock is made for it."""
    path = folder / "kubeconfig"
    path.write_text(kubeconfig)
    return Rest(Access(kubeconfig=str(path)), clock or SystemClock(), rate=UNLIMITED)


@contextmanager
def embedded_kube(**settings: Any) -> Iterator[Kube]:
    """An embedded server; `settings` are those of ApiServer."""
    with ApiServer(**settings) as server:
        yield Kube("embedded", server.url, server.token, server.ca, server)


def find_binary(name: str) -> str | None:
    """One binary of the control plane: TEST_ASSET_NAME wins over KUBEBUILDER_ASSETS over the usual folder."""
    single = os.environ.get("TEST_ASSET_" + name.upper().replace("-", "_"))
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", ASSETS))
    return shutil.which(single or folder / name)


def missing_binaries() -> str:
    """What keeps a real server from starting, as one sentence; empty when nothing does."""
    missing = [name for name in ("etcd", "kube-apiserver") if find_binary(name) is None]
    if not missing:
        return ""
    return f"no {' and '.join(missing)} here: set KUBEBUILDER_ASSETS to a folder that has them"


@contextmanager
def real_kube(folder: Path) -> Iterator[Kube]:
    """A real etcd and kube-apiserver, as envtest starts them; `folder` is theirs."""
    etcd_port, peer_port, api_port = (_free_port() for _ in range(3))
    client_url = f"http://127.0.0.1:{etcd_port}"
    with _process([_binary("etcd"), *_etcd_flags(folder, client_url, peer_port)], folder / "etcd.log"):
        _wait_until(lambda: _answers(etcd_port, "/health", tls=False), what="etcd")
        with _process([_binary("kube-apiserver"), *_api_flags(folder, client_url, api_port)], folder / "api.log"):
            _wait_until(lambda: _answers(api_port, "/readyz", tls=True), what="kube-apiserver")
            yield Kube("real", f"https://127.0.0.1:{api_port}", TOKEN)


def _binary(name: str) -> str:
    found = find_binary(name)
    assert found is not None, missing_binaries()
    return found


def _etcd_flags(folder: Path, client_url: str, peer_port: int) -> list[str]:
    peer = f"http://127.0.0.1:{peer_port}"
    urls = {"listen-client-urls": client_url, "advertise-client-urls": client_url, "listen-peer-urls": peer}
    urls |= {"initial-advertise-peer-urls": peer, "initial-cluster": f"default={peer}"}
    flags = [f"--{name}={value}" for name, value in urls.items()]
    return [f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync", *flags]


def _api_flags(folder: Path, etcd: str, port: int) -> list[str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = folder / "sa.key", folder / "sa.pub"
    forms = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *forms))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, spki))
    tokens = folder / "tokens.csv"
    lines = (f'{TOKEN},kubernetes-admin,admin,"system:masters"', f"{LBCTL_TOKEN},{LBCTL_USER},lbctl")
    tokens.write_text("".join(f"{line}\n" for line in lines))
    flags = {
        "etcd-servers": etcd,
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder / "certificates",
        "token-auth-file": tokens,
        "authorization-mode": "RBAC",
        "service-account-issuer": "https://localhost",
        "service-account-key-file": public,
        "service-account-signing-key-file": private,
        "service-cluster-ip-range": ",".join(SERVICE_CIDRS),
        # TaintNodesByCondition would taint each new Node, and no controller would ever lift it.
        "disable-admission-plugins": "ServiceAccount,TaintNodesByCondition",
        "endpoint-reconciler-type": "none",
    }
    return [f"--{name}={value}" for name, value in flags.items()]


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str, *, tls: bool) -> bool:
    kube = Kube("probe", f"{'https' if tls else 'http'}://127.0.0.1:{port}", TOKEN)
    try:
        return kube.send("GET", path).code == 200
    except OSError:
        return False


def _wait_until(ready: Any, *, what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    pause = threading.Event()
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not become ready in {START_SECONDS:.0f} s"
        pause.wait(0.1)
