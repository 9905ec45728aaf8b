"""What Google's health checks find: an instance is healthy when it is well and a firewall rule lets the checks in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from tests.clouds.gce.errors import invalid, not_found
from tests.clouds.gce.store import ROOT, Body, Store, path_of

PROBES = ("35.191.0.0/16", "130.211.0.0/22")


def backend_health(store: Store, path: str, body: Body, sick: set[str]) -> dict[str, Any]:
    """The members of one group of a backend service, once for each forwarding rule that points at it."""
    service = _existing(store, path)
    group = path_of(body["group"])
    if group not in {path_of(backend["group"]) for backend in service.get("backends", ())}:
        raise invalid(f"Invalid value for field 'resource.group': '{body['group']}' is not a backend of '{path}'.")
    members = [str(member).split(" ")[0] for member in store.members.get(group, ())]
    entries = [
        {**entry, "forwardingRuleIp": rule["IPAddress"], "forwardingRule": rule["selfLink"]}
        for rule in _rules_of(store, path)
        for entry in _entries(store, members, service["healthChecks"], sick)
    ]
    return {"kind": "compute#backendServiceGroupHealth", **({"healthStatus": entries} if entries else {})}


def pool_health(store: Store, path: str, body: Body, sick: set[str]) -> dict[str, Any]:
    """One instance of a target pool."""
    pool = _existing(store, path)
    instance = path_of(body["instance"])
    if instance not in store.members[path]:
        raise invalid(f"Invalid value for field 'resource.instance': '{instance}' is not in '{path}'.")
    entries = list(_entries(store, [instance], pool.get("healthChecks", ()), sick)) if _rules_of(store, path) else []
    return {"kind": "compute#targetPoolInstanceHealth", **({"healthStatus": entries} if entries else {})}


def _existing(store: Store, path: str) -> Body:
    if path not in store.objects:
        raise not_found(path)
    return store.objects[path]


def _rules_of(store: Store, path: str) -> list[Body]:
    users = (store.objects[user] for user in store.users_of(path) if "/forwardingRules/" in user)
    return [rule for rule in users if path_of(rule.get("backendService") or rule["target"]) == path]


def _entries(store: Store, members: list[str], checks: Any, sick: set[str]) -> Iterator[dict[str, Any]]:
    for member in members:
        well = member.rpartition("/")[2] not in sick
        passing = well and all(_is_let_in(store, member, store.objects[path_of(check)]) for check in checks)
        yield {"instance": ROOT + member, "healthState": "HEALTHY" if passing else "UNHEALTHY"}


def _is_let_in(store: Store, instance: str, check: Body) -> bool:
    port = check.get("httpHealthCheck", check).get("port", 80)
    tags = set(store.objects[instance].get("tags", {}).get("items", ()))
    rules = [rule for _, rule in store.of("firewalls") if not rule.get("destinationRanges")]
    meant = [rule for rule in rules if not rule.get("targetTags") or tags & set(rule["targetTags"])]
    return all(any(_covers(rule, probe) and _passes(rule, port) for rule in meant) for probe in PROBES)


def _covers(rule: Body, probe: str) -> bool:
    ranges = (ipaddress.ip_network(cidr) for cidr in rule.get("sourceRanges", ()))
    wanted = ipaddress.ip_network(probe)
    return any(cidr.version == wanted.version and wanted.subnet_of(cidr) for cidr in ranges)  # type: ignore[arg-type]


def _passes(rule: Body, port: int) -> bool:
    for entry in rule.get("allowed", ()):
        if entry["IPProtocol"].lower() in ("tcp", "all"):
            spans = [text.partition("-") for text in entry.get("ports", ("0-65535",))]
            if any(int(low) <= port <= int(high or low) for low, _, high in spans):
                return True
    return False
