"""The demo and the sandbox, as a person would run them."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from lbctl.sandbox.demo.play import count_remains
from tests.cli.console import COMMAND, described, lbctl

SECONDS = 90


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 30)
def test_the_demo_answers_every_request_and_leaves_nothing():
    """Exit code 0 in under 90 s: every request answered, three pods seen a Service, every step ok, 0 leftovers."""
    done = subprocess.run(
        [*COMMAND, "demo", "-o", "json"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    described("demo").validate(report)
    assert report["ok"] is True
    assert report["leftovers"] == 0
    assert {one["name"] for one in report["services"]} == {"shop/web", "shop/orders", "shop/names"}
    for one in report["services"]:
        assert 0 < one["requests"] == one["answered"]
        assert len(set(one["targets_seen"])) >= 3
        assert one["address"].startswith("127.")
    assert len(report["steps"]) == 11
    assert all(step["ok"] and step["seconds"] >= 0 for step in report["steps"])


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 30)
def test_every_change_of_the_demo_shows_its_plan():
    """Below each `lbctl plan says:` there is a plan, or that nothing is to be done."""
    done = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = done.stdout.splitlines()
    plans = [after for line, after in itertools.pairwise(lines) if line.endswith("lbctl plan says:")]
    assert done.returncode == 0, done.stderr
    assert len(plans) > 8
    assert all(plan.startswith("    ") for plan in plans)
    assert "    Nothing to do." in plans


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupted_demo_leaves_nothing(number):
    """A signal in the middle ends it with exit code 130; no Envoy and no directory stay, also after a second signal."""
    with tempfile.TemporaryDirectory(prefix="d") as place:
        process = subprocess.Popen(
            [*COMMAND, "demo"], env={**os.environ, "TMPDIR": place}, stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            while "[3/" not in process.stdout.readline():
                pass
            assert count_remains(Path(place)) > 1
            process.send_signal(number)
            process.send_signal(number)
            process.stdout.read()
        assert process.returncode == 130
        assert list(Path(place).iterdir()) == []
        assert count_remains(Path(place)) == 1


@pytest.fixture
def sandbox(tmp_path):
    """`lbctl sandbox` as a process, and the environment that it prints."""
    kubeconfig = tmp_path / "kubeconfig"
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "--nodes", "2", "--kubeconfig", str(kubeconfig)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = dict(word.split("=", 1) for word in process.stdout.readline().split()[1:])
    yield {**os.environ, **said}, process
    process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait(30) == 0
    assert not kubeconfig.exists()


def test_a_wrong_option_of_the_sandbox_is_invalid_input():
    """A port that is no number: exit code 3 names the option, and nothing is started."""
    said = lbctl("sandbox", "--port", "http")
    assert said.code == 3
    assert "--port" in said.err


def kubectl(env, *arguments, text=None):
    done = subprocess.run(
        ["kubectl", *arguments], env=env, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{name: http, port: 8080}]}
"""


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="no kubectl here: the sandbox is tried without it elsewhere"
)
def test_kubectl_works_on_the_sandbox(sandbox):
    """apply, wait, get, describe, annotate, patch and delete do what they do on a cluster."""
    env, _ = sandbox
    kubectl(env, "create", "namespace", "shop")
    kubectl(env, "apply", "-f", "-", text=MANIFEST)
    ready = "--for=jsonpath={.status.conditions[0].status}=True"
    kubectl(env, "wait", "-n", "shop", "service/web", ready, "--timeout=20s")
    assert re.search(r"web +LoadBalancer +\S+ +127\.\d+\.\d+\.\d+ +8080:", kubectl(env, "get", "svc", "-n", "shop"))
    assert "EnsuredLoadBalancer" in kubectl(env, "describe", "svc", "web", "-n", "shop")
    kubectl(env, "annotate", "svc", "web", "-n", "shop", "lbctl.io/algorithm=random")
    kubectl(env, "patch", "svc", "web", "-n", "shop", "-p", '{"spec":{"externalTrafficPolicy":"Local"}}')
    kubectl(env, "wait", "-n", "shop", "service/web", ready, "--timeout=20s")
    given = {name: env[name] for name in ("KUBECONFIG", "LBCTL_CONFIG")}
    assert lbctl("status", given=given).code == 0
    kubectl(env, "delete", "svc", "web", "-n", "shop", "--timeout=20s")
    kubectl(env, "delete", "namespace", "shop", "--timeout=20s")
