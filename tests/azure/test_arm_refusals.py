"""Whatever Azure refuses, the endpoint refuses with the same status and code, and nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.bodies import (
    PUBLIC_IP,
    added,
    first,
    internal_balancer,
    public_balancer,
    security_group,
    security_rule,
)
from tests.clouds.azure.client import send
from tests.clouds.azure.world import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.world import World


def refused(client: Any, world: World, kind: str, name: str, body: Body) -> tuple[int, str]:
    """The status and the innermost code of a refused write, having checked that nothing changed."""
    before = world.state()
    response = send(client, "PUT", f"{world.id(kind, name)}?api-version=2025-05-01", body=body)
    assert world.state() == before
    error = response.json()["error"]
    inner = error.get("details") or [error]
    return response.status_code, inner[0]["code"]


def _rule(**more: Any) -> Callable[[Body, World], object]:
    return lambda body, _world: first(body, "loadBalancingRules").update(more)


def _second_rule(**more: Any) -> Callable[[Body, World], object]:
    return lambda body, _world: added(body, "loadBalancingRules", "second", **more)


def _probe(**more: Any) -> Callable[[Body, World], object]:
    return lambda body, _world: first(body, "probes").update(more)


def _frontend(**more: Any) -> Callable[[Body, World], object]:
    return lambda body, _world: first(body, "frontendIPConfigurations").update(more)


def _second_frontend_of_same_ip(body: Body, _world: World) -> None:
    added(body, "frontendIPConfigurations", "second")


def _basic_ip(body: Body, world: World) -> None:
    basic = {"sku": {"name": "Basic"}, "properties": {"publicIPAllocationMethod": "Static"}}
    first(body, "frontendIPConfigurations")["publicIPAddress"]["id"] = world.put("publicIPAddresses", "basic", basic)


def _ip_of_another(body: Body, world: World) -> None:
    other = public_balancer(world, name="other", public_ip="theirs")
    world.put("loadBalancers", "other", other)
    first(body, "frontendIPConfigurations")["publicIPAddress"] = first(other, "frontendIPConfigurations")[
        "publicIPAddress"
    ]


def _only_ipv6(body: Body, world: World) -> None:
    first(body, "frontendIPConfigurations")["publicIPAddress"]["id"] = world.put_public_ip("six", version="IPv6")


def _mixed_schemes(body: Body, world: World) -> None:
    part = added(body, "frontendIPConfigurations", "inside", subnet={"id": world.subnet})
    del part["properties"]["publicIPAddress"]


def _outbound_rule_with_snat(body: Body, _world: World) -> None:
    rule = first(body, "loadBalancingRules")
    body["properties"]["outboundRules"] = [
        {
            "name": "out",
            "properties": {
                "protocol": "All",
                "frontendIPConfigurations": [rule["frontendIPConfiguration"]],
                "backendAddressPool": rule["backendAddressPool"],
            },
        }
    ]


def _nat_rule_on_the_same_port(body: Body, _world: World) -> None:
    frontend = first(body, "loadBalancingRules")["frontendIPConfiguration"]
    properties = {"protocol": "Tcp", "frontendPort": 80, "backendPort": 22, "frontendIPConfiguration": frontend}
    body["properties"]["inboundNatRules"] = [{"name": "ssh", "properties": properties}]


def _member(*members: Body, **pool: Any) -> Callable[[Body, World], object]:
    def break_it(body: Body, world: World) -> None:
        properties = {"virtualNetwork": {"id": world.network}, "loadBalancerBackendAddresses": list(members), **pool}
        body["properties"]["backendAddressPools"][0]["properties"] = properties

    return break_it


def _at(address: str, name: str = "node-1") -> Body:
    return {"name": name, "properties": {"ipAddress": address}}


PUBLIC_BALANCERS: list[tuple[str, Callable[[Body, World], object]]] = [
    ("InvalidRequestContent", lambda body, _: body.update(colour="red")),
    ("InvalidJson", _rule(protocol="Bogus")),
    ("InvalidJson", _rule(protocol="Quic")),
    ("InvalidJson", _rule(frontendPort="eighty")),
    ("InvalidJson", _rule(enableFloatingIp=True)),
    ("InvalidJson", _probe(port=None)),
    ("LocationRequired", lambda body, _: body.pop("location")),
    ("InvalidResourceName", lambda body, _: added(body, "probes", "ends-in-dash-")),
    ("DuplicateResourceName", lambda body, _: added(body, "probes", "WEB")),
    ("InvalidResourceReference", _rule(probe={"id": "/nowhere"})),
    ("InvalidResourceReference", lambda body, _: body["properties"]["probes"].clear()),
    ("InvalidResourceReference", lambda body, _: body["properties"]["backendAddressPools"].clear()),
    ("LoadBalancerFrontendIPConfigurationRequired", lambda body, _: body["properties"].clear()),
    ("FrontendIPConfigurationMustHaveOneSource", lambda body, _: first(body, "frontendIPConfigurations").clear()),
    ("InvalidResourceReference", _frontend(publicIPAddress={"id": "/nowhere"})),
    ("PublicIPReferencedByMultipleIPConfigs", _second_frontend_of_same_ip),
    ("PublicIPAndLBSkuDoNotMatch", _basic_ip),
    ("PublicIPAddressInUse", _ip_of_another),
    ("AtleastOneIpV4RequiredForIpV6LbFrontendIpConfiguration", _only_ipv6),
    ("FrontendIPConfigurationAndPublicIPVersionMismatch", _frontend(privateIPAddressVersion="IPv6")),
    ("LoadBalancerCannotMixPublicAndPrivateFrontends", _mixed_schemes),
    (
        "ZonesNotAllowedOnPublicFrontendIPConfiguration",
        lambda body, _: body["properties"]["frontendIPConfigurations"][0].update(zones=["1"]),
    ),
    ("RulesUseSameFrontendPortProtocolAndIPConfig", _second_rule(backendPort=81)),
    ("RulesUseSameFrontendPortProtocolAndIPConfig", _nat_rule_on_the_same_port),
    ("LoadBalancerPortOutOfRange", _rule(frontendPort=0)),
    ("LoadBalancerPortOutOfRange", _rule(frontendPort=65535)),
    ("LoadBalancerPortOutOfRange", _rule(backendPort=0)),
    ("IdleTimeoutOutOfRange", _rule(idleTimeoutInMinutes=3)),
    ("IdleTimeoutOutOfRange", _rule(idleTimeoutInMinutes=101)),
    ("HAPortsRuleNotSupportedOnPublicLoadBalancer", _rule(protocol="All", frontendPort=0, backendPort=0)),
    ("ProbeInvalid", _probe(intervalInSeconds=4)),
    ("ProbeInvalid", _probe(probeThreshold=0)),
    ("ProbeInvalid", _probe(requestPath="/")),
    ("ProbeInvalid", _probe(protocol="Http", requestPath="healthz")),
    ("ProbeInvalid", _probe(protocol="Https")),
    (
        "LoadBalancingRuleMustDisableSNATSinceSameFrontendIPConfigurationIsReferencedByOutboundRule",
        _outbound_rule_with_snat,
    ),
    ("BackendAddressNotInVirtualNetwork", _member(_at("192.0.2.1"))),
    ("InvalidIPAddress", _member(_at("10.1.0"))),
    ("DuplicateBackendAddress", _member(_at("10.1.0.4"), _at("10.1.0.4", "node-2"))),
    ("DuplicateBackendAddress", _member(_at("10.1.0.4"), _at("10.1.0.5"))),
    ("BackendAddressPoolCannotContainDifferentAddressFamilies", _member(_at("10.1.0.4"), _at("fd00:10::4", "six"))),
    ("BackendAddressRequiresVirtualNetwork", _member(_at("10.1.0.4"), virtualNetwork=None)),
    ("InvalidTagValueLength", lambda body, _: body.update(tags={"k": "v" * 257})),
]


@pytest.mark.parametrize(("code", "break_it"), PUBLIC_BALANCERS)
def test_a_public_balancer_that_breaks_a_rule_is_refused(
    network: Any, world: World, code: str, break_it: Callable[[Body, World], object]
) -> None:
    """One wrong part fails the whole object with the code of its rule."""
    body = public_balancer(world)
    break_it(body, world)
    assert refused(network, world, "loadBalancers", "kubernetes", body) == (400, code)


def _same_backend_port(body: Body, _world: World) -> None:
    first(body, "loadBalancingRules")["enableFloatingIP"] = False
    added(body, "loadBalancingRules", "second", frontendPort=81)


INTERNAL_BALANCERS: list[tuple[str, Callable[[Body, World], object]]] = [
    ("PrivateIPAddressNotInSubnet", _frontend(privateIPAllocationMethod="Static", privateIPAddress="10.9.0.9")),
    ("PrivateIPAddressInReservedRange", _frontend(privateIPAllocationMethod="Static", privateIPAddress="10.1.0.3")),
    ("PrivateIPAddressIsAllocated", _frontend(privateIPAllocationMethod="Static", privateIPAddress="10.1.0.4")),
    ("PrivateIPAddressIsRequiredForStaticAllocation", _frontend(privateIPAllocationMethod="Static")),
    ("LoadBalancingRuleProtocolAllRequiresPortZero", _rule(protocol="All")),
    ("RulesUseSameBackendPortProtocolAndPool", _same_backend_port),
]


@pytest.mark.parametrize(("code", "break_it"), INTERNAL_BALANCERS)
def test_an_internal_balancer_that_breaks_a_rule_is_refused(
    network: Any, world: World, code: str, break_it: Callable[[Body, World], object]
) -> None:
    """Private addresses and ports of internal balancers are judged before anything is stored."""
    world.machine("node-1")
    body = internal_balancer(world)
    break_it(body, world)
    assert refused(network, world, "loadBalancers", "kubernetes-internal", body) == (400, code)


def test_all_ports_shut_out_every_other_rule_of_the_frontend(network: Any, world: World) -> None:
    """A rule of protocol All and one of a port cannot share a frontend."""
    body = internal_balancer(world)
    added(body, "loadBalancingRules", "all", protocol="All", frontendPort=0, backendPort=0)
    code = "RulesUseSameFrontendPortProtocolAndIPConfig"
    assert refused(network, world, "loadBalancers", "kubernetes-internal", body) == (400, code)


SECURITY_RULES: list[tuple[str, Body]] = [
    ("InvalidJson", {"protocol": "Sctp"}),
    ("InvalidJson", {"priority": None}),
    ("SecurityRuleInvalidPriority", {"priority": 99}),
    ("SecurityRuleInvalidPriority", {"priority": 4097}),
    ("SecurityRuleInvalidAddressPrefix", {"sourceAddressPrefix": "NoSuchTag"}),
    ("SecurityRuleInvalidAddressPrefix", {"sourceAddressPrefix": "20.20.20.20/16"}),
    ("SecurityRuleInvalidPortRange", {"destinationPortRange": "http"}),
    ("SecurityRuleInvalidPortRange", {"destinationPortRange": "90-80"}),
    ("SecurityRuleInvalidPortRange", {"destinationPortRange": "65536"}),
    ("SecurityRuleInvalidAddressSpecification", {"sourceAddressPrefixes": ["192.0.2.0/24"]}),
    ("SecurityRuleInvalidAddressSpecification", {"sourceAddressPrefix": None}),
    ("SecurityRuleInvalidPortSpecification", {"destinationPortRanges": ["81"]}),
    (
        "SecurityRuleParameterContainsUnsupportedValue",
        {"sourceAddressPrefix": None, "sourceAddressPrefixes": ["Internet", "192.0.2.0/24"]},
    ),
    (
        "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
        {"destinationAddressPrefix": None, "destinationAddressPrefixes": ["192.0.2.1", "2001:db8::1"]},
    ),
    (
        "InvalidResourceReference",
        {"destinationAddressPrefix": None, "destinationApplicationSecurityGroups": [{"id": "/nowhere"}]},
    ),
]


@pytest.mark.parametrize(("code", "wrong"), SECURITY_RULES)
def test_a_security_rule_that_breaks_a_rule_is_refused(network: Any, world: World, code: str, wrong: Body) -> None:
    """One wrong security rule fails the whole group with the code of its rule."""
    body = security_group(**wrong)
    assert refused(network, world, "networkSecurityGroups", "nodes-nsg", body) == (400, code)


def test_two_security_rules_of_one_priority_and_direction_are_refused(network: Any, world: World) -> None:
    """A priority may serve one rule in each direction."""
    body = security_group()
    body["properties"]["securityRules"].append(security_rule("out", direction="Outbound"))
    world.put("networkSecurityGroups", "nodes-nsg", body)
    body["properties"]["securityRules"].append(security_rule("second"))
    assert refused(network, world, "networkSecurityGroups", "nodes-nsg", body) == (400, "SecurityRuleConflict")


def test_one_rule_more_than_the_limit_is_refused(network: Any, world: World) -> None:
    """A group takes 1,000 rules and not one more."""
    rules = [security_rule(f"rule-{number}", priority=100 + number) for number in range(1001)]
    body = {"location": "westeurope", "properties": {"securityRules": rules}}
    code = "SecurityRulesCountLimitReached"
    assert refused(network, world, "networkSecurityGroups", "nodes-nsg", body) == (400, code)
    rules.pop()
    world.put("networkSecurityGroups", "nodes-nsg", body)


def test_one_source_more_than_the_limit_is_refused(network: Any, world: World) -> None:
    """A group takes 4,000 source prefixes and not one more."""
    many = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(4001)]
    body = security_group(sourceAddressPrefix=None, sourceAddressPrefixes=many)
    code = "SecurityRuleAddressPrefixesCountLimitReached"
    assert refused(network, world, "networkSecurityGroups", "nodes-nsg", body) == (400, code)


def _ip(**properties: Any) -> Body:
    return {**PUBLIC_IP, "properties": {**PUBLIC_IP["properties"], **properties}}


PUBLIC_IPS: list[tuple[str, Body]] = [
    ("StandardSkuPublicIPAddressMustUseStaticAllocation", _ip(publicIPAllocationMethod="Dynamic")),
    ("DomainNameLabelInvalid", _ip(dnsSettings={"domainNameLabel": "Not_A_Label"})),
    ("DnsRecordInUse", _ip(dnsSettings={"domainNameLabel": "taken"})),
    ("PublicIPAddressPropertyCannotBeChanged", _ip(publicIPAddressVersion="IPv6")),
    ("PublicIPAddressIpTagsCannotBeChanged", _ip(ipTags=[{"ipTagType": "RoutingPreference", "tag": "Internet"}])),
    ("ResourceAvailabilityZonesCannotBeModified", {**PUBLIC_IP, "zones": ["1", "2", "3"]}),
    ("SkuPropertyCannotBeChanged", {**PUBLIC_IP, "sku": {"name": "Basic"}}),
    ("InvalidJson", _ip(upgradedToV2=True)),
]


@pytest.mark.parametrize(("code", "body"), PUBLIC_IPS)
def test_a_public_ip_that_breaks_a_rule_is_refused(network: Any, world: World, code: str, body: Body) -> None:
    """What is fixed at creation stays, and what another has is not given out twice."""
    world.put_public_ip("other", properties={"dnsSettings": {"domainNameLabel": "taken"}})
    world.put_public_ip("web")
    assert refused(network, world, "publicIPAddresses", "web", body) == (400, code)


def test_one_address_more_than_the_quota_is_refused(network: Any, world: World) -> None:
    """The quota's refusal names the limit."""
    world.cloud.quotas.public_ips = 1
    world.put_public_ip("first")
    assert refused(network, world, "publicIPAddresses", "second", PUBLIC_IP) == (400, "PublicIPCountLimitReached")


def test_a_prefix_gives_out_its_addresses_and_no_more(network: Any, world: World) -> None:
    """A /31 has two addresses; the third request is refused, and the prefix cannot go while they are out."""
    prefix = world.put("publicIPPrefixes", "small", {"sku": {"name": "Standard"}, "properties": {"prefixLength": 31}})
    reference = {"publicIPPrefix": {"id": prefix}}
    given = {world.address(world.put_public_ip(name, properties=reference)) for name in ("one", "two")}
    assert given == {"20.60.0.0", "20.60.0.1"}
    code = "PublicIPPrefixHasNoAvailableAddress"
    assert refused(network, world, "publicIPAddresses", "three", _ip(**reference)) == (400, code)
    response = send(network, "DELETE", f"{prefix}?api-version=2025-05-01")
    assert response.json()["error"]["code"] == "InUsePublicIpPrefixCannotBeDeleted"


def test_an_attached_address_cannot_be_deleted(network: Any, world: World) -> None:
    """The refusal names the frontend that holds the address, and detaching it lets the address go."""
    body = public_balancer(world)
    balancer = world.put("loadBalancers", "kubernetes", body)
    address = world.id("publicIPAddresses", "web")
    response = send(network, "DELETE", f"{address}?api-version=2025-05-01")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "PublicIPAddressCannotBeDeleted"
    assert f"allocated to resource {balancer}/frontendIPConfigurations/web." in response.json()["error"]["message"]
    network.load_balancers.begin_delete(GROUP, "kubernetes").result()
    network.public_ip_addresses.begin_delete(GROUP, "web").result()
    assert address not in world.state()


def test_an_internal_balancer_cannot_turn_public(network: Any, world: World) -> None:
    """The scheme of a balancer is fixed."""
    world.put("loadBalancers", "kubernetes", internal_balancer(world, name="kubernetes"))
    code = "LoadBalancerCannotMixPublicAndPrivateFrontends"
    assert refused(network, world, "loadBalancers", "kubernetes", public_balancer(world)) == (400, code)


def test_the_zones_of_a_frontend_are_fixed(network: Any, world: World) -> None:
    """Zones of an existing frontend cannot be added."""
    body = internal_balancer(world)
    world.put("loadBalancers", "kubernetes-internal", body)
    body["properties"]["frontendIPConfigurations"][0]["zones"] = ["1", "2", "3"]
    code = "ResourceAvailabilityZonesCannotBeModified"
    assert refused(network, world, "loadBalancers", "kubernetes-internal", body) == (400, code)


def test_a_rule_over_the_limit_of_a_balancer_is_refused(network: Any, world: World) -> None:
    """The limit counts load-balancing and inbound NAT rules together."""
    world.cloud.quotas.rules_per_balancer = 1
    body = public_balancer(world)
    added(body, "loadBalancingRules", "second", frontendPort=81)
    code = "LoadBalancingRulesCountLimitReached"
    assert refused(network, world, "loadBalancers", "kubernetes", body) == (400, code)


def test_a_resource_cannot_move_to_another_region(network: Any, world: World) -> None:
    """The location of an existing resource is fixed."""
    world.put_public_ip("web")
    moved = {**PUBLIC_IP, "location": "northeurope"}
    assert refused(network, world, "publicIPAddresses", "web", moved) == (409, "InvalidResourceLocation")
