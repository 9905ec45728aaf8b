"""The rights that the controller needs, and no others: what it reads, and the three things that it writes. Pure.

The list is that of `lbctl.kube`: Services and Nodes are watched, only `services/status` is patched (it takes finalizers
too), Events are made and counted up, one Lease is held. A driver adds EndpointSlices, Pods with readiness gates, and
single Leases, ConfigMaps and Secrets of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lbctl.deploy.variants import DocumentRight, LeaseRight

NAME = "lbctl"
LABELS = {"app.kubernetes.io/name": NAME}
SLICES_NAME = "lbctl-endpointslices"
PODS_NAME = "lbctl-readiness-gates"
LEASE_GROUP = "coordination.k8s.io"
READ = ["get", "list", "watch"]

Object = dict[str, Any]


def base_rights(*, namespace: Any, lease_namespace: Any, lease_name: Any) -> list[Object]:  # noqa: ANN401 - see `chart`
    """The rights that every cloud needs, with their bindings."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": namespace, "labels": LABELS},
        },
        *_cluster_wide(NAME, namespace, CLUSTER_RULES),
        *_within(NAME, namespace, lease_namespace, own_lease_rules(lease_name)),
    ]


CLUSTER_RULES: list[Object] = [
    {"apiGroups": [""], "resources": ["services"], "verbs": READ},
    {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": READ},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    # The uid of this namespace is the cluster's id.
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
]


def slice_rights(namespace: Any) -> list[Object]:  # noqa: ANN401 - see `chart`
    """What a driver that targets Pods, or only nodes with Pods, reads beside."""
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ}
    return _cluster_wide(SLICES_NAME, namespace, [rule])


def gate_rights(namespace: Any) -> list[Object]:  # noqa: ANN401 - see `chart`
    """What a driver whose targets Pods may wait for needs: it sees them, and says in their status what it found."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": READ},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
    ]
    return _cluster_wide(PODS_NAME, namespace, rules)


def lease_rights(namespace: Any, leases: Sequence[LeaseRight]) -> list[Object]:  # noqa: ANN401 - see `chart`
    """What a driver reads or takes of the Leases of others, a Role for each."""
    return [
        one
        for lease in leases
        for one in _within(
            f"lbctl-lease-{lease.name}", namespace, lease.namespace, [_on_lease(lease.name, lease.verbs)]
        )
    ]


def document_rights(namespace: Any, documents: Sequence[DocumentRight]) -> list[Object]:  # noqa: ANN401
    """What a driver reads of its upstream's ConfigMaps and Secrets, a Role for each."""
    return [
        one
        for document in documents
        for one in _within(
            f"lbctl-{document.resource}-{document.name}", namespace, document.namespace, [_on_document(document)]
        )
    ]


def _on_document(document: DocumentRight) -> Object:
    return {
        "apiGroups": [""],
        "resources": [document.resource],
        "resourceNames": [document.name],
        "verbs": ["get"],
    }


def own_lease_rules(name: Any) -> list[Object]:  # noqa: ANN401 - see `chart`
    """Making a Lease cannot be bound to a name; everything else is."""
    create = {"apiGroups": [LEASE_GROUP], "resources": ["leases"], "verbs": ["create"]}
    return [create, _on_lease(name, ["get", "update"])]


def _on_lease(name: Any, verbs: Any) -> Object:  # noqa: ANN401 - see `chart`
    return {"apiGroups": [LEASE_GROUP], "resources": ["leases"], "resourceNames": [name], "verbs": _listed(verbs)}


def _listed(verbs: Any) -> Any:  # noqa: ANN401 - see `chart`
    return list(verbs) if isinstance(verbs, tuple) else verbs


def _cluster_wide(name: str, account_namespace: Any, rules: list[Object]) -> list[Object]:  # noqa: ANN401 - see `chart`
    return _role_and_binding("ClusterRole", {"name": name, "labels": LABELS}, account_namespace, rules)


def _within(name: Any, account_namespace: Any, namespace: Any, rules: list[Object]) -> list[Object]:  # noqa: ANN401
    metadata = {"name": name, "namespace": namespace, "labels": LABELS}
    return _role_and_binding("Role", metadata, account_namespace, rules)


def _role_and_binding(kind: str, metadata: Object, account_namespace: Any, rules: list[Object]) -> list[Object]:  # noqa: ANN401
    group = "rbac.authorization.k8s.io"
    version = f"{group}/v1"
    role = {"apiGroup": group, "kind": kind, "name": metadata["name"]}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": account_namespace}
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
    ]
