"""What Compute Engine refuses beyond types: required, exclusive and immutable fields, references, conflicts.

Written from the field descriptions of the published document and from answers that users report; each function takes
the store and the body as it would be, and raises a `Refusal`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from tests.clouds.gce.errors import Refusal, invalid, not_found
from tests.clouds.gce.store import Body, Store, path_of

MOST_PORTS = 5
MOST_FIREWALL_ENTRIES = 100
MOST_IN_POOL_INSERT = 200
REQUIRED = {
    "forwardingRules": ("IPProtocol", "loadBalancingScheme"),
    "backendServices": ("protocol", "loadBalancingScheme", "healthChecks"),
    "healthChecks": ("type",),
    "firewalls": ("network",),
    "networkEndpointGroups": ("networkEndpointType", "network"),
}
IMMUTABLE = {
    "backendServices": ("loadBalancingScheme", "network"),
    "healthChecks": ("type",),
    "firewalls": ("network", "direction"),
}
REFERENCES = {
    "forwardingRules": ("backendService", "target", "network", "subnetwork"),
    "firewalls": ("network",),
    "instanceGroups": ("network", "subnetwork"),
    "networkEndpointGroups": ("network", "subnetwork"),
    "addresses": ("subnetwork", "network"),
    "backendServices": ("network",),
}

Rule = Callable[[Store, str, Body], None]


def check(store: Store, path: str, body: Body, *, old: Body | None = None) -> None:
    """All rules of the object's collection."""
    collection = path.split("/")[-2]
    missing = [name for name in REQUIRED.get(collection, ()) if not body.get(name)]
    if missing:
        raise Refusal(400, "required", f"Required field 'resource.{missing[0]}' not specified")
    if old is not None:
        changed = [n for n in IMMUTABLE.get(collection, ()) if path_of(body.get(n, "")) != path_of(old.get(n, ""))]
        if changed:
            raise invalid(f"Invalid value for field 'resource.{changed[0]}': it cannot be changed")
    for name in REFERENCES.get(collection, ()):
        if body.get(name) and path_of(body[name]) not in store.objects:
            raise not_found(path_of(body[name]))
    rule = RULES.get(collection)
    if rule is not None:
        rule(store, path, body)


def check_forwarding_rule(store: Store, path: str, body: Body) -> None:
    if bool(body.get("target")) == bool(body.get("backendService")):
        raise invalid("Exactly one of 'resource.target' and 'resource.backendService' must be specified")
    chosen = [name for name in ("ports", "portRange", "allPorts") if body.get(name)]
    if len(chosen) != 1:
        raise invalid(f"Exactly one of ports, portRange and allPorts must be specified, not {chosen}")
    if len(body.get("ports", ())) > MOST_PORTS:
        raise invalid("Invalid value for field 'resource.ports': at most 5 ports")
    if body["IPProtocol"] == "L3_DEFAULT" and not body.get("allPorts"):
        raise invalid("IPProtocol L3_DEFAULT requires allPorts")
    _check_backend(store, body)
    _check_scheme(body)
    _check_overlap(store, path, body)
    _check_address(store, path, body)


def _check_backend(store: Store, body: Body) -> None:
    scheme = body["loadBalancingScheme"]
    if body.get("backendService"):
        backend = store.objects[path_of(body["backendService"])]
        if backend["loadBalancingScheme"] != scheme:
            raise invalid("The load balancing scheme of the backend service must match the forwarding rule's")
        protocols = {"UNSPECIFIED": {"TCP", "UDP", "L3_DEFAULT"}}.get(backend["protocol"], {backend["protocol"]})
        if body["IPProtocol"] not in protocols:
            raise invalid(f"Protocol {body['IPProtocol']} is not supported by backend service {backend['protocol']}")


def _check_scheme(body: Body) -> None:
    if body["loadBalancingScheme"] == "INTERNAL":
        if not body.get("subnetwork"):
            raise invalid("Subnetwork must be specified for internal forwarding rules")
        if body.get("portRange") or body.get("target"):
            raise invalid("portRange and target are not supported for internal forwarding rules")
        if body.get("networkTier", "PREMIUM") != "PREMIUM":
            raise invalid("Internal forwarding rules are of tier PREMIUM")
    elif body.get("allowGlobalAccess"):
        raise invalid("allowGlobalAccess is for internal forwarding rules")


def _check_overlap(store: Store, path: str, body: Body) -> None:
    for other, rule in store.of("forwardingRules", path.split("/")[1]):
        if other == path or not body.get("IPAddress") or not same_ip(rule["IPAddress"], body["IPAddress"]):
            continue
        protocols = {rule["IPProtocol"], body["IPProtocol"]}
        if (len(protocols) == 1 or "L3_DEFAULT" in protocols) and _overlap(rule, body):
            message = f"Invalid value for field 'resource.IPAddress': '{body['IPAddress']}'."
            raise invalid(f"{message} Specified IP address is in-use and would result in a conflict.")


def _check_address(store: Store, path: str, body: Body) -> None:
    wanted = body.get("IPAddress")
    if not wanted:
        return
    project = path.split("/")[1]
    reserved = next((a for _, a in store.of("addresses", project) if same_ip(a["address"], wanted)), None)
    external = body["loadBalancingScheme"] == "EXTERNAL"
    if reserved is None:
        used = any(
            same_ip(r["IPAddress"], wanted) for other, r in store.of("forwardingRules", project) if other != path
        )
        if external and not used:
            raise invalid(f"Invalid value for field 'resource.IPAddress': '{wanted}'. The IP address is not reserved")
        if not external and not _in_subnet(store, body, wanted):
            raise invalid(f"Invalid value for field 'resource.IPAddress': '{wanted}' is outside the subnet range")
        return
    if reserved.get("addressType", "EXTERNAL") != body["loadBalancingScheme"]:
        raise invalid(f"The address {wanted} is of another type than the forwarding rule")
    if external and reserved.get("networkTier", "PREMIUM") != body.get("networkTier", "PREMIUM"):
        raise invalid(f"The network tier of the address {wanted} differs from the forwarding rule's")


def same_ip(one: str, other: str) -> bool:
    return ipaddress.ip_interface(one).ip == ipaddress.ip_interface(other).ip


def _in_subnet(store: Store, body: Body, address: str) -> bool:
    subnet = store.objects[path_of(body["subnetwork"])]
    ranges = [subnet.get("ipCidrRange"), subnet.get("internalIpv6Prefix"), subnet.get("ipv6CidrRange")]
    ip = ipaddress.ip_interface(address).ip
    return any(ip in ipaddress.ip_network(cidr) for cidr in ranges if cidr)


def _overlap(one: Body, other: Body) -> bool:
    return any(a <= d and c <= b for a, b in _spans(one) for c, d in _spans(other))


def _spans(rule: Body) -> Iterator[tuple[int, int]]:
    if rule.get("allPorts"):
        yield 1, 65535
    for text in (*rule.get("ports", ()), *([rule["portRange"]] if rule.get("portRange") else ())):
        low, _, high = text.partition("-")
        yield int(low), int(high or low)


def check_backend_service(store: Store, path: str, body: Body) -> None:
    checks = body["healthChecks"]
    if len(checks) != 1:
        raise invalid("Invalid value for field 'resource.healthChecks': exactly one health check is required")
    for link in checks:
        if path_of(link) not in store.objects or "/healthChecks/" not in link:
            raise not_found(path_of(link))
    _check_groups(store, body)
    _check_users(store, path, body)
    _check_logging(body.get("logConfig", {}))
    tracking = body.get("connectionTrackingPolicy", {})
    if tracking.get("enableStrongAffinity") and body.get("sessionAffinity", "NONE") == "NONE":
        raise invalid("enableStrongAffinity needs session affinity")


def _check_logging(config: Body) -> None:
    rest = [name for name in ("sampleRate", "optionalMode", "optionalFields") if config.get(name)]
    if rest and not config.get("enable"):
        raise invalid(f"Invalid value for field 'resource.logConfig.{rest[0]}': logging is not enabled")
    if not 0 <= config.get("sampleRate", 1.0) <= 1:
        raise invalid("Invalid value for field 'resource.logConfig.sampleRate': it must be in [0, 1]")
    if config.get("optionalFields") and config.get("optionalMode") != "CUSTOM":
        raise invalid("Invalid value for field 'resource.logConfig.optionalFields': the optional mode is not CUSTOM")


def _check_groups(store: Store, body: Body) -> None:
    groups = [path_of(backend["group"]) for backend in body.get("backends", ())]
    for group in groups:
        if group not in store.objects:
            raise not_found(group)
    if len(set(groups)) != len(groups):
        raise invalid("Duplicate backend groups in the backend service")
    if len({group.split("/")[-2] for group in groups}) > 1:
        raise invalid("A backend service cannot mix instance groups and network endpoint groups")


def _check_users(store: Store, path: str, body: Body) -> None:
    for user in store.users_of(path):
        rule = store.objects[user]
        allowed = {rule["IPProtocol"], "UNSPECIFIED"} if rule["IPProtocol"] != "L3_DEFAULT" else {"UNSPECIFIED"}
        if body["protocol"] not in allowed:
            raise invalid(f"Invalid value for field 'resource.protocol': it is used by forwarding rule '{user}'")


def check_health_check(_store: Store, _path: str, body: Body) -> None:
    if body["type"] != "HTTP" or "httpHealthCheck" not in body:
        raise invalid("A health check of type HTTP needs httpHealthCheck")
    check_numbers(_store, _path, body)


def check_numbers(_store: Store, _path: str, body: Body) -> None:
    if body.get("timeoutSec", 5) > body.get("checkIntervalSec", 5):
        raise invalid("Invalid value for field 'resource.timeoutSec': it exceeds checkIntervalSec")


def check_firewall(_store: Store, _path: str, body: Body) -> None:
    if bool(body.get("allowed")) == bool(body.get("denied")):
        raise invalid("Exactly one of allowed and denied must be specified")
    entries = [port for entry in body.get("allowed", []) + body.get("denied", []) for port in entry.get("ports", [""])]
    if len(entries) > MOST_FIREWALL_ENTRIES:
        raise invalid("Invalid value for field 'resource.allowed': at most 100 ports")
    sources, destinations = body.get("sourceRanges", []), body.get("destinationRanges", [])
    try:
        versions = {ipaddress.ip_network(cidr).version for cidr in (*sources, *destinations)}
    except ValueError as error:
        raise invalid(f"Invalid value for field 'resource.sourceRanges': {error}") from None
    if len(versions) > 1:
        raise invalid("A firewall rule cannot mix IPv4 and IPv6 ranges")


def check_target_pool(store: Store, _path: str, body: Body) -> None:
    checks = body.get("healthChecks", [])
    if len(checks) > 1:
        raise invalid("A target pool takes one health check")
    for link in checks:
        if "/httpHealthChecks/" not in link:
            raise invalid("A target pool takes legacy HTTP health checks only")
        if path_of(link) not in store.objects:
            raise not_found(path_of(link))
    instances = body.get("instances", [])
    if len(instances) > MOST_IN_POOL_INSERT:
        raise invalid("A target pool may be made with 200 instances at most")
    for link in instances:
        if path_of(link) not in store.objects:
            raise not_found(path_of(link))


RULES: dict[str, Rule] = {
    "forwardingRules": check_forwarding_rule,
    "backendServices": check_backend_service,
    "healthChecks": check_health_check,
    "httpHealthChecks": check_numbers,
    "firewalls": check_firewall,
    "targetPools": check_target_pool,
}


def entry(body: Body, *names: str) -> list[Any]:
    """The first list among these fields."""
    return next((body[name] for name in names if name in body), [])
