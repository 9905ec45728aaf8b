"""The server as a process of its own, and its data files against their sources."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.api import published_fields, published_schemas
from tests.kube_servers import Kube


def kubectl_with_descriptors() -> Path | None:
    """The kubectl of this machine if message descriptors are found in it: up to 1.33 they are."""
    path = shutil.which("kubectl")
    found = Path(path).resolve() if path else None
    return found if found and any(True for _ in published_fields.descriptors(found.read_bytes())) else None


KUBECTL = kubectl_with_descriptors()


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """It prints its URL, writes a private kubeconfig that works, and ends with 0 on SIGTERM."""
    config = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "lbctl.sandbox.api", "--port", "0", "--kubeconfig", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        token = yaml.safe_load(config.read_text())["users"][0]["user"]["token"]
        assert config.stat().st_mode & 0o077 == 0
        assert Kube("process", url, token).send("GET", "/api/v1/nodes").code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_schemas_are_those_that_were_published() -> None:
    """The file that the server reads is what its source makes today."""
    assert published_schemas.TARGET.read_text() == published_schemas.rendered()


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl of a release that carries message descriptors")
def test_the_field_numbers_are_those_that_kubectl_uses() -> None:
    """Every field number that both know means the same to both."""
    assert KUBECTL is not None
    carried = json.loads(published_fields.rendered(KUBECTL.read_bytes()))
    kept = json.loads(published_fields.TARGET.read_text())
    shared = [(name, number) for name in kept for number in kept[name] if number in carried.get(name, {})]
    assert len(shared) > 1000
    assert [at for at in shared if kept[at[0]][at[1]] != carried[at[0]][at[1]]] == []


def test_thousands_of_objects_are_listed_whole_and_in_pages(server: Kube) -> None:
    """2,000 seeded Services come back in one list, and the same ones in pages."""
    assert server.embedded is not None
    wanted = [f"svc-{number:04}" for number in range(2000)]
    spec = {"ports": [{"port": 80}]}
    made = ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": dict(spec)} for name in wanted)
    assert server.embedded.store.seed(made) == 2000
    path, pages, token = "/api/v1/namespaces/default/services", [], ""
    while True:
        page = server.send("GET", f"{path}?limit=300&continue={token}").body
        pages += [item["metadata"]["name"] for item in page["items"]]
        if not (token := page["metadata"].get("continue", "")):
            break
    whole = [item["metadata"]["name"] for item in server.send("GET", path).body["items"]]
    assert pages == whole == sorted([*wanted, "kubernetes"])
    addresses = {json.dumps(it["spec"]["clusterIP"]) for it in server.embedded.store.objects("v1", "Service")}
    assert len(addresses) == 2001
