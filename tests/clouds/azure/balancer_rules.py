"""Load-balancing rules, probes, NAT rules and outbound rules of one balancer, judged together.

Called by the balancer's rules with frontends and pools already admitted. Everything here is a question to one object;
nothing looks at other resources but the scale sets that use a probe.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.errors import ArmError, bad_request, missing_reference
from tests.clouds.azure.frontends import is_internal
from tests.clouds.azure.ids import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.clouds.azure.cloud import Body, Change

_IDLE_MINUTES: Final = range(4, 101)
_FRONTEND_PORTS: Final = range(1, 65535)
_BACKEND_PORTS: Final = range(1, 65536)
_SHORTEST_INTERVAL: Final = 5
_OUTBOUND_PORT_STEP: Final = 8
_MOST_OUTBOUND_PORTS: Final = 64000

RULE_DEFAULTS: Final[Body] = {
    "loadDistribution": "Default",
    "idleTimeoutInMinutes": 4,
    "enableFloatingIP": False,
    "enableTcpReset": False,
    "disableOutboundSnat": False,
    "backendPort": 0,
    "allowBackendPortConflict": False,
    "enableDestinationServiceEndpoint": False,
}
PROBE_DEFAULTS: Final[Body] = {
    "intervalInSeconds": 15,
    "numberOfProbes": 1,
    "probeThreshold": 1,
    "noHealthyBackendsBehavior": "AllProbedDown",
}
NAT_DEFAULTS: Final[Body] = {
    "protocol": "Tcp",
    "idleTimeoutInMinutes": 4,
    "enableFloatingIP": False,
    "enableTcpReset": False,
    "allowBackendPortConflict": False,
}
NAT_POOL_DEFAULTS: Final[Body] = {"idleTimeoutInMinutes": 4, "enableFloatingIP": False, "enableTcpReset": False}
OUTBOUND_DEFAULTS: Final[Body] = {"allocatedOutboundPorts": 0, "idleTimeoutInMinutes": 4, "enableTcpReset": False}


def check_rules(change: Change, parts: Mapping[str, list[Body]]) -> None:
    """Refuses a set of parts that contradict each other or refer to what is not among them."""
    limit = change.cloud.quotas.rules_per_balancer
    if len(parts["loadBalancingRules"]) + len(parts["inboundNatRules"]) > limit:
        raise bad_request(
            "LoadBalancingRulesCountLimitReached",
            f"Cannot create more than {limit} load balancing and inbound NAT rules for load balancer {change.id}.",
        )
    _check_references(change, parts)
    internal = is_internal(parts["frontendIPConfigurations"][0])
    for rule in parts["loadBalancingRules"]:
        _check_rule(change, rule, internal=internal)
    for probe in parts["probes"]:
        _check_probe(change, probe)
    for nat_rule in parts["inboundNatRules"]:
        _check_nat_rule(change, nat_rule)
    _check_outbound_rules(change, parts)
    _check_frontend_ports(change, parts)
    _check_backend_ports(parts["loadBalancingRules"])
    _check_probes_of_scale_sets(change, parts["loadBalancingRules"])


_REFERRING: Final = (
    ("loadBalancingRules", ("frontendIPConfiguration", "backendAddressPool", "backendAddressPools", "probe")),
    ("inboundNatRules", ("frontendIPConfiguration", "backendAddressPool")),
    ("inboundNatPools", ("frontendIPConfiguration",)),
    ("outboundRules", ("frontendIPConfigurations", "backendAddressPool")),
)


def _check_references(change: Change, parts: Mapping[str, list[Body]]) -> None:
    """Every id inside the object must name a part of the same object."""
    known = {
        key_of(change.child(collection, part["name"]))
        for collection in ("frontendIPConfigurations", "backendAddressPools", "probes")
        for part in parts[collection]
    }
    for collection, members in _REFERRING:
        for part in parts[collection]:
            for reference in _references(part["properties"], members):
                if key_of(reference) not in known:
                    raise missing_reference(reference, change.child(collection, part["name"]))


def _references(properties: Body, members: Iterable[str]) -> Iterable[str]:
    for member in members:
        value = properties.get(member)
        for reference in value if isinstance(value, list) else [value] if value is not None else ():
            yield reference.get("id", "")


def _check_rule(change: Change, rule: Body, *, internal: bool) -> None:
    properties, identity = rule["properties"], change.child("loadBalancingRules", rule["name"])
    for member in ("frontendIPConfiguration", "backendAddressPools"):
        if not properties.get(member):
            raise bad_request(
                "LoadBalancingRuleReferenceMissing", f"Load balancing rule {identity} must reference a {member}."
            )
    if properties["protocol"] == "All":
        _check_all_ports(identity, properties, internal=internal)
    else:
        _check_port(identity, "frontendPort", properties["frontendPort"], _FRONTEND_PORTS)
        _check_port(identity, "backendPort", properties["backendPort"], _BACKEND_PORTS)
    _check_idle_timeout(identity, properties)


def _check_all_ports(identity: str, properties: Body, *, internal: bool) -> None:
    if properties["frontendPort"] or properties["backendPort"]:
        raise bad_request(
            "LoadBalancingRuleProtocolAllRequiresPortZero",
            f"Load balancing rule {identity} with protocol All must have frontend port and backend port 0.",
        )
    if not internal:
        raise bad_request(
            "HAPortsRuleNotSupportedOnPublicLoadBalancer",
            f"Load balancing rule {identity} with protocol All is supported on internal Standard load balancers only.",
        )


def _check_port(identity: str, member: str, port: int, allowed: range) -> None:
    if port not in allowed:
        raise bad_request(
            "LoadBalancerPortOutOfRange",
            f"{member} {port} of {identity} is not valid. Valid range is {allowed.start}-{allowed.stop - 1}.",
        )


def _check_idle_timeout(identity: str, properties: Body) -> None:
    minutes = properties["idleTimeoutInMinutes"]
    if minutes not in _IDLE_MINUTES:
        raise bad_request(
            "IdleTimeoutOutOfRange",
            f"idleTimeoutInMinutes {minutes} of {identity} is not valid. Valid range is 4-100.",
        )


def _check_probe(change: Change, probe: Body) -> None:
    properties, identity = probe["properties"], change.child("probes", probe["name"])
    _check_port(identity, "port", properties["port"], _BACKEND_PORTS)
    if properties["intervalInSeconds"] < _SHORTEST_INTERVAL:
        raise _bad_probe(identity, f"intervalInSeconds must be at least {_SHORTEST_INTERVAL}")
    if min(properties["numberOfProbes"], properties["probeThreshold"]) < 1:
        raise _bad_probe(identity, "numberOfProbes and probeThreshold must be at least 1")
    path = properties.get("requestPath")
    if properties["protocol"] == "Tcp" and path:
        raise _bad_probe(identity, "requestPath is not allowed with protocol Tcp")
    if properties["protocol"] != "Tcp" and not (path or "").startswith("/"):
        raise _bad_probe(identity, "requestPath must be given and start with '/'")


def _bad_probe(identity: str, reason: str) -> ArmError:
    return bad_request("ProbeInvalid", f"Probe {identity} is not valid: {reason}.")


def _check_nat_rule(change: Change, rule: Body) -> None:
    properties, identity = rule["properties"], change.child("inboundNatRules", rule["name"])
    if not properties.get("frontendIPConfiguration"):
        raise bad_request("InboundNatRuleReferenceMissing", f"Inbound NAT rule {identity} must reference a frontend.")
    for port in (_nat_ports(properties)[0], _nat_ports(properties)[-1]):
        _check_port(identity, "frontendPort", port, _FRONTEND_PORTS)
    _check_port(identity, "backendPort", properties.get("backendPort", 0), _BACKEND_PORTS)
    _check_idle_timeout(identity, properties)


def _nat_ports(properties: Body) -> range:
    if "frontendPortRangeStart" in properties:
        return range(properties["frontendPortRangeStart"], properties["frontendPortRangeEnd"] + 1)
    port = properties.get("frontendPort", 0)
    return range(port, port + 1)


def _check_outbound_rules(change: Change, parts: Mapping[str, list[Body]]) -> None:
    outbound = set()
    for rule in parts["outboundRules"]:
        properties, identity = rule["properties"], change.child("outboundRules", rule["name"])
        ports = properties["allocatedOutboundPorts"]
        if ports % _OUTBOUND_PORT_STEP or not 0 <= ports <= _MOST_OUTBOUND_PORTS:
            raise bad_request(
                "OutboundRuleAllocatedPortsInvalid",
                f"allocatedOutboundPorts {ports} of {identity} must be a multiple of 8 up to {_MOST_OUTBOUND_PORTS}.",
            )
        _check_idle_timeout(identity, properties)
        outbound |= {key_of(reference["id"]) for reference in properties["frontendIPConfigurations"]}
    for rule in parts["loadBalancingRules"]:
        frontend = rule["properties"]["frontendIPConfiguration"]["id"]
        if key_of(frontend) in outbound and not rule["properties"]["disableOutboundSnat"]:
            raise bad_request(
                "LoadBalancingRuleMustDisableSNATSinceSameFrontendIPConfigurationIsReferencedByOutboundRule",
                f"Load balancing rule {change.child('loadBalancingRules', rule['name'])} must disable SNAT since same "
                f"frontend IP configuration {frontend} is referenced by an outbound rule.",
            )


def _check_frontend_ports(change: Change, parts: Mapping[str, list[Body]]) -> None:
    """One (frontend, protocol, port) may serve one rule; protocol All takes every port of both protocols."""
    holders: defaultdict[str, list[tuple[str, range, str]]] = defaultdict(list)
    for collection in ("loadBalancingRules", "inboundNatRules", "inboundNatPools"):
        for part in parts[collection]:
            properties = part["properties"]
            frontend = key_of(properties["frontendIPConfiguration"]["id"])
            holders[frontend].append((properties["protocol"], _nat_ports(properties), part["name"]))
    for held in holders.values():
        _check_no_overlap(change, held)


def _check_no_overlap(change: Change, held: list[tuple[str, range, str]]) -> None:
    taken: dict[tuple[str, int], str] = {}
    everything = next((name for protocol, _, name in held if protocol == "All"), None)
    for protocol, ports, name in held:
        if everything is not None and name != everything:
            raise _same_frontend_port(change, everything, name, "All", 0)
        for port in ports:
            if (other := taken.setdefault((protocol, port), name)) != name:
                raise _same_frontend_port(change, other, name, protocol, port)


def _same_frontend_port(change: Change, first: str, second: str, protocol: str, port: int) -> ArmError:
    return bad_request(
        "RulesUseSameFrontendPortProtocolAndIPConfig",
        f"Load balancing rules {first} and {second} of load balancer {change.id} use the same frontend IP "
        f"configuration, protocol and frontend port ({protocol} {port}).",
    )


def _check_backend_ports(rules: list[Body]) -> None:
    """Without floating IP one (pool, protocol, backend port) may serve one rule."""
    taken: dict[tuple[str, str, int], str] = {}
    for rule in rules:
        properties = rule["properties"]
        if properties["enableFloatingIP"]:
            continue
        for pool in properties["backendAddressPools"]:
            place = key_of(pool["id"]), properties["protocol"], properties["backendPort"]
            if (other := taken.setdefault(place, rule["name"])) != rule["name"]:
                raise bad_request(
                    "RulesUseSameBackendPortProtocolAndPool",
                    f"Load balancing rules {other} and {rule['name']} with floating IP disabled use the same protocol "
                    f"{place[1]} and backend port {place[2]}, and must not be used with the same backend address pool "
                    f"{pool['id'].rpartition('/')[2]}.",
                )


def _check_probes_of_scale_sets(change: Change, rules: list[Body]) -> None:
    """A scale set that takes a probe for its own health keeps the rules of that probe from going."""
    kept = {rule["name"].lower() for rule in rules}
    for rule in change.earlier.get("loadBalancingRules", ()):
        probe = rule["properties"].get("probe", {}).get("id")
        if rule["name"].lower() in kept or probe is None:
            continue
        for user in change.cloud.users(probe):
            raise bad_request(
                "CannotRemoveRuleUsedByProbeUsedByVMSS",
                f"Load balancer rule {change.child('loadBalancingRules', rule['name'])} cannot be removed because the "
                f"rule references the load balancer probe {probe} that is used as health probe by VM scale set {user}. "
                "To remove this rule, please update VM scale set to remove the reference to the probe.",
            )
