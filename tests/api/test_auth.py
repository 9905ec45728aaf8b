"""Users that hold the rules of Roles can do just that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kube_servers import Kube

SERVICES = "/api/v1/namespaces/default/services"
MERGE = "application/merge-patch+json"
READER = {"kind": "ClusterRole", "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list"]}]}
WRITER = {"kind": "ClusterRole", "rules": [{"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]}]}


def as_user(server: Kube, *roles: dict) -> Kube:
    """The server as a user sees it who holds these roles."""
    assert server.embedded is not None
    return replace(server, token=server.embedded.users.add("ctl", roles))


def test_a_missing_right_is_refused_in_the_words_of_rbac(server: Kube) -> None:
    """The refusal names object, user, verb, resource, group and namespace."""
    ctl = as_user(server, READER)
    answer = ctl.send("PATCH", f"{SERVICES}/kubernetes", {}, Content_Type=MERGE)
    assert (answer.code, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == (
        'services "kubernetes" is forbidden: User "ctl" cannot patch resource "services" in API group "" '
        'in the namespace "default"'
    )


def test_a_right_to_the_status_is_no_right_to_the_object(server: Kube) -> None:
    """Finalizers can be written through the status by who may patch nothing else."""
    ctl = as_user(server, READER, WRITER)
    body = {"metadata": {"finalizers": ["a.io/x"]}}
    assert ctl.send("PATCH", f"{SERVICES}/kubernetes", body, Content_Type=MERGE).code == 403
    answer = ctl.send("PATCH", f"{SERVICES}/kubernetes/status", body, Content_Type=MERGE)
    assert (answer.code, answer.body["metadata"]["finalizers"]) == (200, ["a.io/x"])


def test_a_role_counts_in_its_namespace_only(server: Kube) -> None:
    """A Role of one namespace does not let its holder look into another, nor at all of them."""
    role = READER | {"kind": "Role", "metadata": {"namespace": "default"}}
    ctl = as_user(server, role)
    assert ctl.send("GET", SERVICES).code == 200
    assert ctl.send("GET", "/api/v1/namespaces/kube-system/services").code == 403
    assert "at the cluster scope" in ctl.send("GET", "/api/v1/services").body["message"]


def test_a_name_in_a_rule_limits_it(server: Kube) -> None:
    """A rule with resource names is for those objects."""
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["get"], "resourceNames": ["kubernetes"]}
    ctl = as_user(server, {"kind": "ClusterRole", "rules": [rule]})
    assert ctl.send("GET", f"{SERVICES}/kubernetes").code == 200
    assert ctl.send("GET", f"{SERVICES}/other").code == 403


def test_a_user_can_ask_what_it_may_do(server: Kube) -> None:
    """A review says yes and no as the rules do."""
    ctl = as_user(server, READER)
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    ctl = replace(ctl, token=_with_reviews(server))
    verdicts = [
        ctl.send("POST", path, {"spec": {"resourceAttributes": {"verb": verb, "resource": "services"}}}).body["status"]
        for verb in ("list", "delete")
    ]
    assert [verdict["allowed"] for verdict in verdicts] == [True, False]


def _with_reviews(server: Kube) -> str:
    reviews = {"apiGroups": ["authorization.k8s.io"], "resources": ["*"], "verbs": ["create"]}
    assert server.embedded is not None
    return server.embedded.users.add("ctl", [READER, {"kind": "ClusterRole", "rules": [reviews]}])
