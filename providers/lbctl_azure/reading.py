"""ARM documents, read into what the planner compares. Pure.

`observe` fetches and calls here; `apply` calls here with the documents that replies confirmed, so that a write's
outcome and a read of it give the same resources.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from lbctl.model.resource import Identity, Key, Resource, Seen, State
from lbctl_azure.account import PUBLIC_IP, Account, element_key, public_ip_key
from lbctl_azure.elements import BALANCER, COLLECTIONS, FRONTEND, POOL, PROBE, RULE, read_fields
from lbctl_azure.names import SHARED_PROBE
from lbctl_azure.owners import NOBODY, Owners
from lbctl_azure.tags import cluster_of, is_managed, is_of_cluster

Document = Mapping[str, Any]
SUCCEEDED = "Succeeded"
STATES = {"Updating": State.PENDING, "Deleting": State.DELETING, "Failed": State.FAILED}


def state_of(document: Document) -> State:
    """What ARM says about the object's life."""
    return STATES.get((document.get("properties") or {}).get("provisioningState", SUCCEEDED), State.ACTIVE)


def settled(document: Document) -> str:
    """`Failed` for an object that has to be written again, `Succeeded` for every other."""
    return "Failed" if state_of(document) is State.FAILED else SUCCEEDED


def tag_set(document: Document) -> frozenset[tuple[str, str]]:
    """The object's tags as one comparable value."""
    return frozenset((document.get("tags") or {}).items())


def read_balancer(document: Document, owners: Owners, account: Account) -> list[Seen]:
    """The balancer and all its parts, foreign ones marked as not ours."""
    rules = [_part(RULE, element, owners) for element in _elements(document, RULE)]
    users = _users(rules)
    parts = [
        _shared_part(kind, element, owners, users)
        for kind in (FRONTEND, PROBE)
        for element in _elements(document, kind)
    ]
    pools = [_pool(element, owners, account) for element in _elements(document, POOL)]
    return [_shell(document), *pools, *parts, *rules]


def _elements(document: Document, kind: str) -> list[Document]:
    return (document.get("properties") or {}).get(COLLECTIONS[kind]) or []


def _shell(document: Document) -> Seen:
    fields: dict[str, Hashable] = {"tags": tag_set(document), "provisioning": settled(document)}
    resource = Resource(Key(BALANCER, ""), document["name"], fields)
    return Seen(resource, {"id": document["id"], "etag": document.get("etag", "")}, state_of(document))


def _pool(element: Document, owners: Owners, account: Account) -> Seen:
    name = element["name"]
    of_cluster = name.lower() in {pool.lower() for pool in account.pools}
    local = owners.by_pool.get(name.lower()) if account.config.balancers and not of_cluster else None
    owned = frozenset({local} if local else ())
    resource = Resource(element_key(POOL, name), name, read_fields(POOL, element), owned)
    outputs = {"id": element.get("id", ""), "members": _members(element)}
    return Seen(resource, outputs, ours=of_cluster or local is not None)


def _members(element: Document) -> str:
    configurations = (element.get("properties") or {}).get("backendIPConfigurations") or []
    return "\n".join(sorted(entry["id"].lower() for entry in configurations))


def _part(kind: str, element: Document, owners: Owners) -> Seen:
    owner = owners.of_name(element["name"])
    fields = read_fields(kind, element)
    needs = frozenset(
        element_key(other, str(fields[other])) for other in (FRONTEND, PROBE, POOL) if fields.get(other) is not None
    )
    resource = Resource(
        element_key(kind, element["name"]), element["name"], fields, frozenset({owner} if owner else ()), needs
    )
    return Seen(resource, {"id": element.get("id", "")}, ours=owner is not None)


def _users(rules: Iterable[Seen]) -> Mapping[Key, set[Identity]]:
    users: dict[Key, set[Identity]] = defaultdict(set)
    for rule in rules:
        for need in rule.resource.needs:
            users[need] |= rule.resource.owners
    return users


def _shared_part(kind: str, element: Document, owners: Owners, users: Mapping[Key, set[Identity]]) -> Seen:
    """A frontend or probe: its owners are those whose rules use it, else who it is named after.

    A frontend may outlive the Service that it is named after: as long as others use it, it is theirs alone.
    """
    key = element_key(kind, element["name"])
    named = owners.of_name(element["name"])
    using = users.get(key, set())
    found = using or ({named} if named is not None else set())
    fields = read_fields(kind, element)
    public_ip = fields.get("public_ip")
    needs = frozenset({public_ip_key(str(public_ip))} if public_ip else ())
    ours = named is not None or (kind == PROBE and element["name"] == SHARED_PROBE)
    resource = Resource(key, element["name"], fields, frozenset(found), needs)
    address = (element.get("properties") or {}).get("privateIPAddress") or ""
    return Seen(resource, {"id": element.get("id", ""), "address": address}, ours=ours)


def read_public_ip(document: Document, owners: Owners, account: Account) -> Seen:
    """A public address; a user's own, or another cluster's, is not ours."""
    tags = document.get("tags") or {}
    properties = document.get("properties") or {}
    ours = is_of_cluster(tags, account.cluster)
    resource = Resource(
        public_ip_key(document["id"]),
        document["name"],
        _public_ip_fields(document),
        owners.of_tags(tags) if ours else NOBODY,
    )
    outputs = {
        "id": document["id"],
        "address": properties.get("ipAddress") or "",
        "etag": document.get("etag", ""),
        "attached": (properties.get("ipConfiguration") or {}).get("id") or "",
        "document": json.dumps(document),
    }
    hint = f"cluster {cluster_of(tags)}" if is_managed(tags) and not ours else ""
    return Seen(resource, outputs, state_of(document), ours=ours, owner_hint=hint)


def _public_ip_fields(document: Document) -> dict[str, Hashable]:
    properties = document.get("properties") or {}
    ip_tags = frozenset((tag["ipTagType"], tag["tag"]) for tag in properties.get("ipTags") or [])
    return {
        "version": properties.get("publicIPAddressVersion") or "IPv4",
        "dns_label": (properties.get("dnsSettings") or {}).get("domainNameLabel") or "",
        "ip_tags": ip_tags,
        "prefix": (properties.get("publicIPPrefix") or {}).get("id"),
        "tags": tag_set(document),
        "zones": tuple(sorted(document.get("zones") or ())),
        "provisioning": settled(document),
    }


def is_public_ip(key: Key) -> bool:
    """True for the key of a public address."""
    return key.kind == PUBLIC_IP
