"""What is shipped: the wheel's content, the drivers' entry points, and what importing costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA = {"lbctl/py.typed", "lbctl/sandbox/api/schemas.json", "lbctl/sandbox/demo/manifests.yaml"}
SDKS = (
    "kubernetes",
    "boto3",
    "botocore",
    "azure",
    "google.cloud",
    "openstack",
    "cs",
    "envoy",
    "rich",
    "prometheus_client",
)


def drivers() -> list[str]:
    """Folders of drivers that are whole enough to be published."""
    folders = (ROOT / "providers").glob("lbctl_*/__init__.py")
    return sorted(path.parent.name for path in folders if "DRIVER" in path.read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in the wheel that this checkout builds, and its entry points."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        return names, archive.read(entry_points).decode()


@pytest.mark.slow
def test_the_wheel_holds_the_program_and_no_tests(wheel):
    """Every module and data file of lbctl is in it; tests and fakes are not."""
    names, _ = wheel
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "lbctl").rglob("*.py")}
    assert modules | DATA <= names
    assert not [name for name in names if name.startswith(("tests/", "moto_fixtures/", "providers/"))]


@pytest.mark.slow
def test_the_wheel_brings_both_commands(wheel):
    """`lbctl` and `kubectl-lb` are installed."""
    _, entry_points = wheel
    assert "lbctl = lbctl.cli.main:main" in entry_points
    assert "kubectl-lb = lbctl.cli.main:main" in entry_points


def test_every_driver_is_published_and_shipped():
    """Each driver folder has an entry point of its name and is a package of the wheel, and there are no others."""
    published = PROJECT["project"]["entry-points"]["lbctl.providers"]
    shipped = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {value.partition(":")[0] for value in published.values()} == set(drivers())
    assert {f"lbctl_{name}" for name in published} == set(drivers())
    assert {Path(package).name for package in shipped if package.startswith("providers/")} == set(drivers())


def test_every_driver_has_an_extra_that_all_includes():
    """`pip install 'lbctl[NAME]'` exists for each driver, and `[all]` has them all."""
    extras = PROJECT["project"]["optional-dependencies"]
    for name in PROJECT["project"]["entry-points"]["lbctl.providers"]:
        assert name in extras
        assert name in extras["all"][0]


def loaded_by(code: str) -> set[str]:
    listing = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("package", ["lbctl", "lbctl.cli.main", *drivers()])
def test_importing_loads_no_sdk(package):
    """The command line and each driver's package are imported without any SDK."""
    assert not loaded_by(f"import {package}").intersection(SDKS)


def test_listing_drivers_loads_no_sdk():
    """`lbctl providers` knows every driver's abilities without its SDK."""
    code = "import contextlib, io\nfrom lbctl.cli.main import run\n"
    code += "with contextlib.redirect_stdout(io.StringIO()): run(['providers', '-o', 'json'])"
    assert not loaded_by(code).intersection(SDKS)
