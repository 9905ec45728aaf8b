"""The admission policies on a real kube-apiserver, with the cases of `test_admission`."""

from __future__ import annotations

import pytest

from lbctl.clock import SystemClock
from lbctl.deploy.admission import GROUP, admission_policy
from lbctl.registry import find_provider
from tests.deploy.cel import refusals
from tests.deploy.test_admission import CASES, PROVIDERS, policy_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]
CLOCK = SystemClock()
SECONDS = 30


def install(kube, provider, namespace):
    """The policy, bound to one namespace only."""
    policy, binding = admission_policy(find_provider(provider))
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {**binding, "spec": {**binding["spec"], "matchResources": {"namespaceSelector": selector}}}
    root = f"/apis/{GROUP}/v1"
    made = kube.send("POST", f"{root}/validatingadmissionpolicies?fieldValidation=Strict", policy)
    assert made.code == 201, made.body
    made = kube.send("POST", f"{root}/validatingadmissionpolicybindings?fieldValidation=Strict", binding)
    assert made.code == 201, made.body


def uninstall(kube, provider):
    """Take it away again: Services of other tests are none of its business."""
    for resource in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        kube.send("DELETE", f"/apis/{GROUP}/v1/{resource}/lbctl-{provider}")


def try_to_make(kube, namespace, body):
    """The server's answer to a dry run."""
    body = {**body, "metadata": {**body["metadata"], "namespace": namespace}}
    return kube.send("POST", f"/api/v1/namespaces/{namespace}/services?dryRun=All", body)


def wait_until_it_refuses(kube, namespace, body):
    """A policy takes some moments to come into force."""
    end = CLOCK.monotonic() + SECONDS
    while try_to_make(kube, namespace, body).code == 201:
        assert CLOCK.monotonic() < end, "the policy does not come into force"
        CLOCK.wait(0.2)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_server_answers_as_the_policy_is_read_here(provider, real_server):
    """Type checking finds nothing, and each case is refused with the same words or let through."""
    namespace = f"admission-{provider}"
    real_server.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    bad = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "bad", "annotations": {"lbctl.io/deletion-policy": "keep"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }
    install(real_server, provider, namespace)
    try:
        wait_until_it_refuses(real_server, namespace, bad)
        seen = real_server.send("GET", f"/apis/{GROUP}/v1/validatingadmissionpolicies/lbctl-{provider}").body
        assert not seen.get("status", {}).get("typeChecking", {}).get("expressionWarnings")
        for body in [body for name, body in CASES if name == provider]:
            refused = refusals(policy_of(provider), body)
            answer = try_to_make(real_server, namespace, body)
            if refused:
                assert answer.code == 422, (body, answer.body)
                assert any(said in answer.body["message"] for said in refused)
            else:
                assert answer.code == 201 or "ValidatingAdmissionPolicy" not in answer.body["message"], answer.body
    finally:
        uninstall(real_server, provider)
