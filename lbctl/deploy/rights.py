"""The roles that grant the rights of `lbctl.kube.rights`, with their bindings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lbctl.kube.rights import CLUSTER_WIDE, WATCHED, Right, own_lease

NAME = "lbctl"
LABELS = {"app.kubernetes.io/name": NAME}

Object = dict[str, Any]


def base_rights(*, namespace: str, lease_namespace: str, lease_name: str) -> list[Object]:
    """The rights that every cloud needs."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": namespace, "labels": LABELS},
        },
        *_cluster_wide(NAME, namespace, CLUSTER_WIDE),
        *_within(NAME, namespace, own_lease(lease_namespace, lease_name)),
    ]


def watch_rights(namespace: str, watched: str) -> list[Object]:
    """What a driver needs for one of its `watches`."""
    return _cluster_wide(f"lbctl-{watched}", namespace, WATCHED[watched])


def custom_kind_rights(namespace: str, kinds: Iterable[Right]) -> list[Object]:
    """What a driver reads of custom kinds that Services refer to, a ClusterRole for each."""
    return [one for right in kinds for one in _cluster_wide(f"lbctl-{right.target.resource}", namespace, [right])]


def lease_rights(namespace: str, leases: Iterable[Right]) -> list[Object]:
    """What a driver reads or takes of the Leases of others, a Role for each."""
    return [one for lease in leases for one in _within(f"lbctl-lease-{lease.target.name}", namespace, [lease])]


def document_rights(namespace: str, documents: Iterable[Right]) -> list[Object]:
    """What a driver reads of its upstream's ConfigMaps and Secrets, a Role for each."""
    return [
        one
        for right in documents
        for one in _within(f"lbctl-{right.target.resource}-{right.target.name}", namespace, [right])
    ]


def _rule(right: Right) -> Object:
    target = right.target
    resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    names = {"resourceNames": [target.name]} if target.name else {}
    return {"apiGroups": [target.group], "resources": [resource], **names, "verbs": list(right.verbs)}


def _cluster_wide(name: str, account_namespace: str, rights: Iterable[Right]) -> list[Object]:
    return _role_and_binding("ClusterRole", {"name": name, "labels": LABELS}, account_namespace, rights)


def _within(name: str, account_namespace: str, rights: Iterable[Right]) -> list[Object]:
    """All of these rights are in the namespace of the first."""
    rights = tuple(rights)
    metadata = {"name": name, "namespace": rights[0].target.namespace, "labels": LABELS}
    return _role_and_binding("Role", metadata, account_namespace, rights)


def _role_and_binding(kind: str, metadata: Object, account_namespace: str, rights: Iterable[Right]) -> list[Object]:
    group = "rbac.authorization.k8s.io"
    version = f"{group}/v1"
    role = {"apiGroup": group, "kind": kind, "name": metadata["name"]}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": account_namespace}
    return [
        {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": [_rule(right) for right in rights]},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
    ]
