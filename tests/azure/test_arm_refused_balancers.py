"""A load balancer is judged as a whole: whatever Azure refuses is refused with the same code, and nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.asking import VERSION, refused
from tests.azure.bodies import added, first, internal_balancer, public_balancer
from tests.clouds.azure.client import send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.world import World


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


def _member_beside_interface(body: Body, world: World) -> None:
    balancer = world.put("loadBalancers", "kubernetes", body)
    world.machine("node-1", pools=[f"{balancer}/backendAddressPools/nodes"])
    _member(_at("10.1.0.9"))(body, world)


def _odd_outbound_ports(body: Body, world: World) -> None:
    _outbound_rule_with_snat(body, world)
    first(body, "loadBalancingRules")["disableOutboundSnat"] = True
    first(body, "outboundRules")["allocatedOutboundPorts"] = 1023


def _nat_rule_without_frontend(body: Body, _world: World) -> None:
    body["properties"]["inboundNatRules"] = [{"name": "ssh", "properties": {"frontendPort": 22, "backendPort": 22}}]


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
    ("BackendAddressPoolCannotMixAddressesAndInterfaces", _member_beside_interface),
    ("OutboundRuleAllocatedPortsInvalid", _odd_outbound_ports),
    ("LoadBalancingRuleReferenceMissing", lambda body, _: first(body, "loadBalancingRules").pop("backendAddressPool")),
    (
        "LoadBalancingRuleReferenceMissing",
        lambda body, _: first(body, "loadBalancingRules").pop("frontendIPConfiguration"),
    ),
    ("InboundNatRuleReferenceMissing", _nat_rule_without_frontend),
    ("MissingNameOnSubResource", lambda body, _: body["properties"]["probes"][0].pop("name")),
    ("TooManyTags", lambda body, _: body.update(tags={str(number): "" for number in range(51)})),
    ("InvalidTagName", lambda body, _: body.update(tags={"k" * 513: ""})),
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
    ("InvalidResourceReference", _frontend(subnet={"id": "/nowhere"})),
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


@pytest.mark.parametrize(
    ("quota", "code"),
    [
        ("frontends_per_balancer", "FrontendIPConfigurationsCountLimitReached"),
        ("members_per_pool", "BackendAddressesCountLimitReached"),
    ],
)
def test_frontends_and_members_have_limits(network: Any, world: World, quota: str, code: str) -> None:
    """One more than the limit is refused."""
    setattr(world.cloud.quotas, quota, 1)
    body = public_balancer(world)
    added(body, "frontendIPConfigurations", "second", publicIPAddress={"id": world.put_public_ip("second")})
    if quota == "members_per_pool":
        body["properties"]["frontendIPConfigurations"].pop()
        _member(_at("10.1.0.4"), _at("10.1.0.5", "node-2"))(body, world)
    assert refused(network, world, "loadBalancers", "kubernetes", body) == (400, code)


def test_a_part_cannot_come_before_its_resource(network: Any, world: World) -> None:
    """A pool of a balancer that is not there has no parent; a probe has no path to be written by."""
    pool = f"{world.id('loadBalancers', 'kubernetes')}/backendAddressPools/nodes{VERSION}"
    response = send(network, "PUT", pool, body={"properties": {}})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "ParentResourceNotFound")
    world.put("loadBalancers", "kubernetes", public_balancer(world))
    probe = f"{world.id('loadBalancers', 'kubernetes')}/probes/web{VERSION}"
    response = send(network, "PUT", probe, body={"properties": {"protocol": "Tcp", "port": 80}})
    assert (response.status_code, response.json()["error"]["code"]) == (405, "MethodNotAllowed")
