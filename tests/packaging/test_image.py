"""The container image, as far as it can be held without a container engine: its file system, its locks, its recipe."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lbctl import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLOUDS = sorted(PROJECT["entry-points"]["lbctl.providers"])
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;]+)", re.MULTILINE)
PROGRAM = """
import ctypes, hashlib, json, lzma, os, sqlite3, ssl, zlib
ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
open("/tmp/written", "w").close()
import hello
print(os.getuid(), hello.WORD, hello.__cached__)
"""
LOADED = """
import sys
import lbctl.engine.process, lbctl.cli.main
print(*{name.partition(".")[0] for name in sys.modules})
"""


def pins(path):
    """Name and version of everything that a lock installs."""
    return dict(PIN.findall((ROOT / path).read_text()))


def names(requirements):
    return {re.split(r"[\[>=<;]", one)[0].lower() for one in requirements}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_an_image_installs_what_was_tested_and_all_that_its_cloud_needs(cloud):
    """Its lock has the versions of the common one, every dependency, its own SDK, and nothing for tests."""
    lock, image = pins("requirements/lock.txt"), pins(f"requirements/image/{cloud}.txt")
    assert image.items() <= lock.items()
    assert names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"][cloud]) <= image.keys()
    assert not {"pytest", "moto", "mypy"} & image.keys()
    text = (ROOT / f"requirements/image/{cloud}.txt").read_text()
    assert text.count("--hash=") >= len(image)


def test_a_controller_loads_no_package_for_tests():
    """Memory and start that are measured in this environment are those of the image."""
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    loaded = {name.replace("_", "-") for name in done.stdout.split()}
    assert "kubernetes" in loaded
    assert not loaded & (names(PROJECT["optional-dependencies"]["dev"]) - {"lbctl"})


@pytest.mark.slow
def test_the_bill_of_materials_names_exactly_what_the_image_installs():
    """`make sbom` lists each package of the image's lock with its version, and says that it is lbctl's."""
    subprocess.run(["make", "sbom", "CLOUD=cloudstack"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / "dist" / "lbctl-cloudstack.cdx.json").read_text())
    assert {one["name"]: one["version"] for one in bill["components"]} == pins("requirements/image/cloudstack.txt")
    assert bill["metadata"]["component"]["name"] == "lbctl"
    assert bill["metadata"]["component"]["version"] == __version__


def test_the_recipe_ends_with_an_unprivileged_user_on_an_empty_base():
    """The last stage starts from nothing and runs as 65532."""
    last = (ROOT / "image" / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert last.startswith("scratch\n")
    assert "USER 65532:65532" in last
    assert "RUN" not in last


def recipe():
    """The instructions of the recipe with their words, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "image" / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split()[1:]) for line in text.splitlines() if line.strip()]


def test_every_way_to_build_gives_what_the_recipe_asks_for():
    """Makefile, README and the recipe's own first line name each argument without a default, and no other one."""
    arguments = [words[0].partition("=") for instruction, words in recipe() if instruction == "ARG"]
    defaults = {name for name, given, _ in arguments if given}
    asked = {name for name, _, _ in arguments} - defaults
    assert asked == {"CLOUD"}
    for place in ("Makefile", "image/README.md", "image/Dockerfile"):
        ways = re.findall(r"[^\n]*build -f image/Dockerfile(?:[^\n]*\\\n)*[^\n]*", (ROOT / place).read_text())
        assert ways, place
        for way in ways:
            given = set(re.findall(r"--build-arg (\w+)=", way))
            assert asked <= given <= asked | defaults, (place, way)
            assert way.rstrip().endswith("."), (place, way)


def test_the_recipe_takes_only_what_is_there():
    """Every stage that it copies from is its own, every file is in the context, and its instructions are known."""
    stages = {words[2] for instruction, words in recipe() if instruction == "FROM" and "AS" in words}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    known = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert {instruction for instruction, _ in recipe()} <= known
    for instruction, words in recipe():
        if instruction == "COPY" and words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
        elif instruction == "COPY":
            assert set(words[:-1]) <= let_through
            assert all((ROOT / source).exists() for source in words[:-1])


def test_an_image_can_be_built_for_each_driver():
    """The Makefile locks an image for every cloud that has a driver."""
    makefile = (ROOT / "Makefile").read_text()
    listed = re.search(r"^CLOUDS := (.+)$", makefile, re.MULTILINE)
    assert listed is not None
    assert sorted(listed[1].split()) == CLOUDS


@pytest.mark.slow
def test_the_file_system_runs_python_for_an_unprivileged_user_and_has_no_shell(tmp_path):
    """Standard library and certificates work, byte code is used from the image, and no way to a shell is left."""
    if os.geteuid() or shutil.which("chroot") is None or not Path("/etc/ssl/certs/ca-certificates.crt").exists():
        pytest.skip("chroot needs root, and the image this machine's certificates")
    packages, out = Path("/opt/lbctl-of-a-test"), tmp_path / "root"
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir(parents=True)
    try:
        (packages / "hello.py").write_text("WORD = 'hello'\n")
        command = [sys.executable, str(ROOT / "image" / "rootfs.py"), str(packages), str(out)]
        subprocess.run(command, check=True, capture_output=True)
    finally:
        shutil.rmtree(packages)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    jailed = ["chroot", "--userspec=65532:65532", str(out), "/usr/bin/python3", "-c", PROGRAM]
    done = subprocess.run(jailed, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    uid, word, cached = done.stdout.split()
    assert (uid, word) == ("65532", "hello")
    assert (out / cached.lstrip("/")).exists()
    found = {path.name for path in out.rglob("*")}
    assert not found & {"sh", "bash", "dash", "busybox", "pip", "apt", "ensurepip"}
