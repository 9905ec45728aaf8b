"""Readiness gates of Pods, as the commands at the desk treat them."""

from __future__ import annotations

from tests.cli.test_doctor import BASIC, ROLE

GATE = "gate.memory.example.com/web"
WRITER = {"kind": "ClusterRole", "rules": [{"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]}]}
SECRET = {"kind": "ClusterRole", "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}


def with_pod(office):
    """A gated Service and a Pod that waits for it."""
    office.create("web", labels={"gated": "yes"})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {"containers": [{"name": "web", "image": "web"}], "readinessGates": [{"conditionType": GATE}]},
        "status": {"conditions": [{"type": "ContainersReady", "status": "True"}]},
    }
    office.api.store.seed([pod])


def gate(office):
    """Status of the Pod's gate, None before there is one."""
    (pod,) = office.api.store.objects("v1", "Pod", "shop")
    return next((one["status"] for one in pod["status"]["conditions"] if one["type"] == GATE), None)


def test_one_round_opens_the_gates_of_pods_whose_targets_are_healthy(office):
    """`once` serves the Service and tells the Pod; looking on changes neither."""
    with_pod(office)
    assert office.lbctl("plan").code == 2
    assert gate(office) is None
    assert office.lbctl("once").code == 0
    assert gate(office) == "True"


def test_applying_what_was_approved_tells_no_pod(office):
    """`apply` carries out the plans that were chosen, and nothing besides."""
    with_pod(office)
    (plan,) = [
        one for one in office.lbctl("plan", "-o", "json").document["plans"] if one["scope"]["kind"] == "balancer"
    ]
    office.lbctl("apply", "--approve", plan["digest"])
    assert gate(office) is None


def test_who_may_not_see_pods_is_served_with_a_warning(office):
    """A round without that right serves Services, and says which right is missing."""
    with_pod(office)
    roles = [BASIC, ROLE, WRITER, SECRET]
    office.kubeconfig.write_text(office.api.kubeconfig(office.api.users.add("limited", roles=roles)))
    said = office.lbctl("once")
    assert said.code == 0
    assert "readiness gates are not looked at" in said.err
    assert "Grant the verb list on pods in namespace shop" in said.err
    assert gate(office) is None
