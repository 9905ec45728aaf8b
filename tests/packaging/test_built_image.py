"""The images as an engine builds them: `make image` from the recipe, and lbctl run from what comes out.

Needs an engine that works and the base image that the recipe names, and says so where one of them is missing.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lbctl import __version__
from lbctl.clock import SystemClock
from lbctl.sandbox.api import ApiServer
from tests.packaging.test_image import CLOUDS, pins

ROOT = Path(__file__).parents[2]
CLOCK = SystemClock()
BUILD_SECONDS, LEAD_SECONDS = 1500, 60
pytestmark = [
    pytest.mark.slow,
    # The first of each cloud builds.
    pytest.mark.timeout(BUILD_SECONDS + 300),
    pytest.mark.xdist_group("container engine"),
]
PYTHON = ("/usr/bin/python3",)
LBCTL = (*PYTHON, "-m", "lbctl")
LOOK = """
import json, os, pathlib
found = {"uid": os.getuid(), "writable": [], "programs": [], "sources": 0, "without byte code": []}
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/dev", "/tmp")]
    for path in [folder, *(os.path.join(folder, name) for name in names)]:
        if not os.path.islink(path) and os.access(path, os.W_OK):
            found["writable"].append(path)
    found["programs"] += [name for name in names if folder.endswith("bin")]
    beside = os.listdir(folder + "/__pycache__") if "__pycache__" in folders else []
    cached = {name.partition(".")[0] for name in beside}
    for name in names:
        if name.endswith(".py") and folder.startswith("/opt/lbctl/lbctl"):
            found["sources"] += 1
            if name[:-3] not in cached:
                found["without byte code"].append(folder + "/" + name)
print(json.dumps(found))
"""
INSTALLED = """
import importlib.metadata, json, re
found = importlib.metadata.distributions(path=["/opt/lbctl"])
print(json.dumps({re.sub("[-_.]+", "-", one.name).lower(): one.version for one in found}))
"""
SDKS = {
    "aws": "boto3",
    "azure": "azure.mgmt.network",
    "cloudstack": "cs",
    "gce": "google.cloud.compute_v1",
    "local": "envoy",
    "openstack": "openstack",
}
LOADED = """
import importlib, json, pkgutil, sys
driver, sdk = importlib.import_module("lbctl_" + sys.argv[1]), importlib.import_module(sys.argv[2])
modules = [one.name for one in pkgutil.iter_modules(driver.__path__, driver.__name__ + ".")]
print(json.dumps([importlib.import_module(name).__name__ for name in modules]))
"""
ENVOY = "from lbctl_local.client import envoy_version, find_envoy; print(envoy_version(find_envoy()))"
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
}
SETTINGS = {"accounts": {"aws": {"provider": "aws", "settings": {"region": "eu-west-1", "vpc_id": "vpc-1"}}}}
NOBODY = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


@dataclass(frozen=True)
class Image:
    """An image and the engine that has it; `container` is buildah's, which runs in what it is about to build."""

    engine: str
    cloud: str
    name: str
    container: str = ""

    def command(self, *arguments: str, given: dict[str, str] | None = None, folder: Path | None = None) -> list[str]:
        """How to run a program of the image as its own user, with nothing writable but /tmp where the engine can."""
        settings = [argument for name, value in (given or {}).items() for argument in ("--env", f"{name}={value}")]
        volumes = ["--volume", f"{folder}:/given:ro"] if folder else []
        if self.container:
            return [self.engine, "run", *settings, *volumes, self.container, "--", *arguments]
        protected = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--network", "host"]
        entry = ["--entrypoint", arguments[0]]
        return [self.engine, "run", "--rm", *protected, *settings, *volumes, *entry, self.name, *arguments[1:]]

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """What a program of the image says."""
        command = self.command(*arguments, folder=folder)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def said(*command: str) -> str | None:
    """The output of a command that went well."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout if done.returncode == 0 else None


def base_image() -> str:
    """The image that the recipe begins with."""
    recipe = (ROOT / "image" / "Dockerfile").read_text()
    version = re.search(r"^ARG PYTHON=(\S+)", recipe, re.MULTILINE)
    assert version is not None
    return f"python:{version[1]}-slim"


@pytest.fixture(scope="module", params=CLOUDS)
def image(request) -> Iterator[Image]:
    """The image of a cloud, built by the engine that `make image` finds."""
    build = (said("make", "--no-print-directory", "--dry-run", "image") or "").splitlines()[-1]
    engine = build.split()[0]
    if engine == "build":
        pytest.skip("no container engine works here: start docker, or install podman or buildah")
    look = ("inspect", "--type", "image") if engine.endswith("buildah") else ("image", "inspect")
    base = base_image()
    if said(engine, *look, base) is None:
        # Not pulled here: without a way to the registry, an engine tries for minutes.
        pytest.skip(f"{engine} has no image {base}: pull it first")
    make = ["make", "image", f"CLOUD={request.param}"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stderr[-4000:]
    name = f"lbctl:{__version__}-{request.param}"
    container = (said(engine, "from", name) or "").strip() if engine.endswith("buildah") else ""
    yield Image(engine, request.param, name, container)
    if container:
        said(engine, "rm", container)


def test_the_built_image_runs_lbctl(image):
    """`version`, `--help` and `providers` answer."""
    assert image.run(*LBCTL, "version").stdout.startswith(f"lbctl {__version__} ")
    assert "Usage: lbctl" in image.run(*LBCTL, "--help").stdout
    assert image.run(*LBCTL, "providers", "-o", "name").stdout.split() == CLOUDS


def test_the_built_image_checks_a_service(image, tmp_path):
    """`check` has a Service of a file judged by the cloud's driver."""
    tmp_path.chmod(0o755)
    (tmp_path / "service.json").write_text(json.dumps(SERVICE))
    (tmp_path / "service.json").chmod(0o644)
    file = ("-f", "/given/service.json")
    said = image.run(*LBCTL, "check", *file, "--provider", image.cloud, folder=tmp_path)
    assert (said.returncode, said.stdout.split()[4:]) == (0, ["shop/web", image.cloud, "valid", "-"]), said.stderr


def test_the_built_image_has_the_sdk_of_its_cloud(image):
    """Every module of the driver loads, and what it drives the cloud with; Envoy starts."""
    shown = image.run(*PYTHON, "-c", LOADED, image.cloud, SDKS[image.cloud])
    assert f"lbctl_{image.cloud}.client" in shown.stdout, shown.stderr
    if image.cloud == "local":
        started = image.run(*PYTHON, "-c", ENVOY)
        assert re.match(r"\d+\.\d+", started.stdout), started.stderr


def test_the_built_image_has_nothing_to_break_out_with(image):
    """An unprivileged user, nothing that it may write, no program but Python and Envoy, byte code for every module."""
    done = image.run(*PYTHON, "-c", LOOK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["uid"] == 65532
    assert found["writable"] == []
    known = {"envoy", "__init__.py"} if image.cloud == "local" else set()
    assert [name for name in found["programs"] if not name.startswith("python3") and name not in known] == []
    assert found["sources"] > 100
    assert found["without byte code"] == []


def test_the_built_image_holds_what_its_lock_names(image):
    """The installed packages are those of the lock that the bill of materials is made from, and lbctl."""
    done = image.run(*PYTHON, "-c", INSTALLED)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pins(f"requirements/image/{image.cloud}.txt") | {"lbctl": __version__}


@pytest.mark.parametrize("image", ["aws"], indirect=True)
def test_the_built_image_leads_a_cluster(image, tmp_path):
    """`lbctl run` in it holds the Lease of the API server that its kubeconfig names, and ends when told."""
    tmp_path.chmod(0o755)
    with ApiServer() as api:
        for name, text in (("kubeconfig", api.kubeconfig()), ("settings.json", json.dumps(SETTINGS))):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o644)
        files = ("--config", "/given/settings.json", "--kubeconfig", "/given/kubeconfig")
        command = image.command(*LBCTL, "run", *files, given=NOBODY, folder=tmp_path)
        with (tmp_path / "log").open("w") as log:
            running = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = CLOCK.monotonic() + LEAD_SECONDS
        try:
            while not [one for one in api.store.objects("coordination.k8s.io/v1", "Lease") if holder(one)]:
                assert running.poll() is None, (tmp_path / "log").read_text()
                assert CLOCK.monotonic() < end, (tmp_path / "log").read_text()
                CLOCK.wait(0.2)
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(30)


def holder(lease):
    return lease["spec"].get("holderIdentity")
