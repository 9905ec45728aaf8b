"""The man page, completion of words, and lbctl as a plugin of kubectl."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lbctl.cli.main import COMMANDS
from lbctl.cli.manual import manual
from lbctl.registry import known_providers
from lbctl.sandbox.api import ApiServer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "man" / "lbctl.1"
SCRIPTS = Path(sys.executable).parent


def test_the_man_page_is_fresh():
    """docs/man/lbctl.1 is what `python -m lbctl.cli.manual` prints now."""
    assert PAGE.read_text(encoding="utf-8") == manual(), "write it anew: python -m lbctl.cli.manual > docs/man/lbctl.1"


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here: the page is compared, not rendered")
def test_the_man_page_renders_without_a_warning():
    """Groff finds nothing to complain of, and every command has its paragraph."""
    command = ["groff", "-man", "-Tutf8", "-ww", str(PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for name in COMMANDS:
        assert f"lbctl {name}" in done.stdout


def words(*typed: str, **given: str) -> list[str]:
    """What bash is offered for the last word."""
    env = {"_LBCTL_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("lbctl", *typed)), "COMP_CWORD": str(len(typed))}
    command = [sys.executable, "-W", "ignore", "-m", "lbctl"]
    done = subprocess.run(command, env={**env, **given}, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.split()]


@pytest.fixture
def cluster(tmp_path):
    """A kubeconfig of a cluster with two balancers and another Service."""
    service = {"apiVersion": "v1", "kind": "Service"}
    kubeconfig = tmp_path / "kubeconfig"
    with ApiServer() as api:
        kubeconfig.write_text(api.kubeconfig())
        for name, kind in (("web", "LoadBalancer"), ("api", "LoadBalancer"), ("inner", "ClusterIP")):
            ports = [{"port": 80, "protocol": "TCP"}]
            meta = {"name": name, "namespace": "default"}
            api.store.seed([{**service, "metadata": meta, "spec": {"type": kind, "ports": ports}}])
        yield str(kubeconfig)


def test_providers_are_completed():
    """`--provider` offers the installed drivers."""
    assert words("plan", "--provider", "") == sorted(known_providers())
    assert words("annotations", "--provider", "lo") == ["local"]
    assert words("manifests", "--provider", "lo") == ["local"]
    assert words("plan", "--clus") == ["--cluster-name", "--cluster-id"]


def test_services_are_completed(cluster):
    """Names of Services with a balancer are offered, each once; without an API server nothing is, and nothing fails."""
    assert words("explain", "default/", KUBECONFIG=cluster) == ["default/api", "default/web"]
    assert words("plan", "default/api", "default/", KUBECONFIG=cluster) == ["default/web"]
    assert words("adopt", "--kubeconfig", cluster, "default/w") == ["default/web"]
    assert words("release", "default/", KUBECONFIG="/nowhere") == []


def test_kubectl_asks_for_words(cluster):
    """`kubectl_complete-lb` answers in kubectl's form: a word a line, then the directive that files are not wanted."""
    env = {**os.environ, "KUBECONFIG": cluster}
    command = [str(SCRIPTS / "kubectl_complete-lb"), "explain", "default/w"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "default/web\n:4\n"
    done = subprocess.run([command[0], "expl"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("explain\tSay why")


def test_kubectl_lb_is_lbctl():
    """The plugin answers as lbctl does, with the same exit codes, and its help calls itself `kubectl lb`."""
    plugin = str(SCRIPTS / "kubectl-lb")
    done = subprocess.run([plugin, "plan", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: kubectl lb plan")
    done = subprocess.run([plugin, "providers", "-o", "name"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == sorted(known_providers())
    assert subprocess.run([plugin, "staus"], capture_output=True, check=False).returncode == 3
