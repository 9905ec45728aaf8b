"""The admission policies on a real kube-apiserver, with the cases of `test_admission`."""

from __future__ import annotations

import pytest

from lbctl.annotations import UNKNOWN
from lbctl.clock import SystemClock
from lbctl.deploy.admission import GROUP, admission_policies
from lbctl.registry import find_provider
from tests.deploy.cel import refusals
from tests.deploy.test_admission import CASES, PROVIDERS, STRANGERS, policy_of, service, strangers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]
CLOCK = SystemClock()
SECONDS = 30


RESOURCES = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def install(kube, provider, namespace):
    """The policies, bound to one namespace only."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    for one in admission_policies(find_provider(provider)):
        if one["kind"].endswith("Binding"):
            one["spec"]["matchResources"] = {"namespaceSelector": selector}
        made = kube.send("POST", f"/apis/{GROUP}/v1/{RESOURCES[one['kind']]}?fieldValidation=Strict", one)
        assert made.code == 201, made.body


def uninstall(kube, provider):
    """Take them away again: Services of other tests are none of their business."""
    for one in reversed(admission_policies(find_provider(provider))):
        kube.send("DELETE", f"/apis/{GROUP}/v1/{RESOURCES[one['kind']]}/{one['metadata']['name']}")


def try_to_make(kube, namespace, body):
    """The server's answer to a dry run."""
    body = {**body, "metadata": {**body["metadata"], "namespace": namespace}}
    return kube.send("POST", f"/api/v1/namespaces/{namespace}/services?dryRun=All", body)


def wait_for(holds, what):
    """A policy takes some moments to come into force."""
    end = CLOCK.monotonic() + SECONDS
    while not holds():
        assert CLOCK.monotonic() < end, f"after {SECONDS} s, {what}"
        CLOCK.wait(0.2)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_server_answers_as_the_policy_is_read_here(provider, real_server):
    """Type checking finds nothing, each case is refused with the same words or let through, strangers are told."""
    namespace = f"admission-{provider}"
    real_server.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    bad, odd = service({"lbctl.io/deletion-policy": "keep"}), service({"lbctl.io/deletion": "retain"})
    install(real_server, provider, namespace)
    try:
        wait_for(lambda: try_to_make(real_server, namespace, bad).code == 422, "nothing is refused")
        wait_for(lambda: "Warning" in try_to_make(real_server, namespace, odd).headers, "nothing is warned of")
        for name in (f"lbctl-{provider}", f"lbctl-{provider}-unknown"):
            seen = real_server.send("GET", f"/apis/{GROUP}/v1/validatingadmissionpolicies/{name}").body
            assert not seen.get("status", {}).get("typeChecking", {}).get("expressionWarnings")
        for body in [body for name, body in CASES if name == provider]:
            refused = refusals(policy_of(provider), body)
            answer = try_to_make(real_server, namespace, body)
            if refused:
                assert answer.code == 422, (body, answer.body)
                assert any(said in answer.body["message"] for said in refused)
            else:
                assert answer.code == 201 or "ValidatingAdmissionPolicy" not in answer.body["message"], answer.body
        for body in [service(annotations) for name, annotations, _ in STRANGERS if name == provider]:
            answer = try_to_make(real_server, namespace, body)
            assert answer.code == 201, answer.body
            said = answer.headers.get("Warning", "")
            assert [key for key in body["metadata"]["annotations"] if f"{key} {UNKNOWN}" in said] == [
                key for key in body["metadata"]["annotations"] if key in strangers(provider, body)
            ]
    finally:
        uninstall(real_server, provider)
