"""Whatever Azure refuses of anything but balancers is refused with the same status and code, and nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.asking import VERSION, refused
from tests.azure.bodies import PUBLIC_IP, internal_balancer, public_balancer, security_group, security_rule
from tests.clouds.azure.client import send
from tests.clouds.azure.world import GROUP

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.world import World


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
    response = send(network, "DELETE", f"{prefix}{VERSION}")
    assert response.json()["error"]["code"] == "InUsePublicIpPrefixCannotBeDeleted"


def test_an_attached_address_cannot_be_deleted(network: Any, world: World) -> None:
    """The refusal names the frontend that holds the address, and detaching it lets the address go."""
    body = public_balancer(world)
    balancer = world.put("loadBalancers", "kubernetes", body)
    address = world.id("publicIPAddresses", "web")
    response = send(network, "DELETE", f"{address}{VERSION}")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "PublicIPAddressCannotBeDeleted"
    assert f"allocated to resource {balancer}/frontendIPConfigurations/web." in response.json()["error"]["message"]
    network.load_balancers.begin_delete(GROUP, "kubernetes").result()
    network.public_ip_addresses.begin_delete(GROUP, "web").result()
    assert address not in world.state()


def test_a_resource_cannot_move_to_another_region(network: Any, world: World) -> None:
    """The location of an existing resource is fixed."""
    world.put_public_ip("web")
    moved = {**PUBLIC_IP, "location": "northeurope"}
    assert refused(network, world, "publicIPAddresses", "web", moved) == (409, "InvalidResourceLocation")


# Networks and interfaces


def _interface(*configurations: Body) -> Body:
    named = [{"name": f"ip-{number}", "properties": item} for number, item in enumerate(configurations)]
    return {"location": "westeurope", "properties": {"ipConfigurations": named}}


def test_a_subnet_outside_its_network_is_refused(network: Any, world: World) -> None:
    """Subnets lie inside the address space."""
    subnet = {"name": "far", "properties": {"addressPrefix": "192.168.0.0/24"}}
    space = {"addressPrefixes": ["10.0.0.0/8"]}
    body = {"location": "westeurope", "properties": {"addressSpace": space, "subnets": [subnet]}}
    assert refused(network, world, "virtualNetworks", "other", body) == (400, "NetcfgSubnetRangeOutsideVnet")


def test_a_full_subnet_is_refused(network: Any, world: World) -> None:
    """A /29 has three addresses to give, since Azure keeps five."""
    subnet = {"name": "small", "properties": {"addressPrefix": "10.5.0.0/29"}}
    space = {"addressPrefixes": ["10.0.0.0/8"]}
    identity = world.put("virtualNetworks", "small", {"properties": {"addressSpace": space, "subnets": [subnet]}})
    configuration = {"subnet": {"id": f"{identity}/subnets/small"}}
    three = [{**configuration, "primary": number == 0} for number in range(3)]
    world.put("networkInterfaces", "three", _interface(*three))
    assert refused(network, world, "networkInterfaces", "fourth", _interface(configuration)) == (400, "SubnetIsFull")


@pytest.mark.parametrize(
    ("code", "configurations"),
    [
        ("NetworkInterfaceMustHaveIpConfiguration", []),
        ("SubnetIsRequired", [{"primary": True}]),
        ("NetworkInterfaceMustHaveOnePrimaryIPConfiguration", [{"primary": True}, {"primary": True}]),
        ("NetworkInterfaceMustHaveOnePrimaryIPConfiguration", [{}, {}]),
        ("InvalidResourceReference", [{"loadBalancerBackendAddressPools": [{"id": "/nowhere"}]}]),
    ],
)
def test_an_interface_that_breaks_a_rule_is_refused(
    network: Any, world: World, code: str, configurations: list[Body]
) -> None:
    """An interface has configurations, one of them primary, each in a subnet and in pools that exist."""
    subnet = {} if code == "SubnetIsRequired" else {"subnet": {"id": world.subnet}}
    body = _interface(*({**subnet, **configuration} for configuration in configurations))
    assert refused(network, world, "networkInterfaces", "nic", body) == (400, code)


def test_a_security_group_in_use_cannot_be_deleted(network: Any, world: World) -> None:
    """The subnets keep their group."""
    response = send(network, "DELETE", f"{world.security_group}{VERSION}")
    assert response.json()["error"]["code"] == "InUseNetworkSecurityGroupCannotBeDeleted"


# Private links


def _link(world: World, balancer: str, *configurations: Body) -> Body:
    world.put("virtualNetworks", "open", _OPEN_NETWORK)
    subnet = {"id": f"{world.id('virtualNetworks', 'open')}/subnets/open"}
    named = [
        {"name": f"ip-{number}", "properties": {"subnet": subnet, **item}} for number, item in enumerate(configurations)
    ]
    frontend = {"id": f"{world.id('loadBalancers', balancer)}/frontendIPConfigurations/web"}
    properties = {"loadBalancerFrontendIpConfigurations": [frontend], "ipConfigurations": named}
    return {"location": "westeurope", "properties": properties}


_OPEN_NETWORK: Body = {
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.6.0.0/16", "fd00:6::/48"]},
        "subnets": [
            {
                "name": "open",
                "properties": {
                    "addressPrefixes": ["10.6.0.0/24", "fd00:6::/64"],
                    "privateLinkServiceNetworkPolicies": "Disabled",
                },
            }
        ],
    }
}
_PRIMARY: Body = {"primary": True}
_FAR: Body = {"privateIPAllocationMethod": "Static", "privateIPAddress": "10.1.0.9"}


@pytest.mark.parametrize(
    ("code", "configurations"),
    [
        ("PrivateLinkServiceIpConfigurationsInvalid", []),
        ("PrivateLinkServiceIpConfigurationsInvalid", [{}]),
        ("PrivateLinkServiceIpConfigurationsInvalid", [_PRIMARY] + [{}] * 8),
        ("PrivateLinkServiceIPv6NotSupported", [{**_PRIMARY, "privateIPAddressVersion": "IPv6"}]),
        ("PrivateIPAddressNotInSubnet", [_PRIMARY | _FAR]),
    ],
)
def test_a_private_link_with_wrong_addresses_is_refused(
    network: Any, world: World, code: str, configurations: list[Body]
) -> None:
    """One to eight addresses of IPv4, one of them primary."""
    world.put("loadBalancers", "inside", internal_balancer(world, name="inside"))
    body = _link(world, "inside", *configurations)
    assert refused(network, world, "privateLinkServices", "link", body) == (400, code)


def test_a_private_link_needs_a_frontend_that_it_can_use(network: Any, world: World) -> None:
    """No frontend, one that is not there, one before members by address, and one too many are refused."""
    balancer = internal_balancer(world, name="inside")
    world.put("loadBalancers", "inside", balancer)
    body = _link(world, "inside", _PRIMARY)
    frontend = body["properties"].pop("loadBalancerFrontendIpConfigurations")
    code = "PrivateLinkServiceMustHaveFrontend"
    assert refused(network, world, "privateLinkServices", "link", body) == (400, code)
    lost = _link(world, "nowhere", _PRIMARY)
    assert refused(network, world, "privateLinkServices", "link", lost) == (400, "InvalidResourceReference")
    body["properties"]["loadBalancerFrontendIpConfigurations"] = frontend
    world.cloud.quotas.private_links_per_balancer = 1
    world.put("privateLinkServices", "first", body)
    code = "PrivateLinkServicesPerLoadBalancerCountLimitReached"
    assert refused(network, world, "privateLinkServices", "link", body) == (400, code)
    member = {"name": "node-1", "properties": {"ipAddress": "10.1.0.9"}}
    pool = {"virtualNetwork": {"id": world.network}, "loadBalancerBackendAddresses": [member]}
    balancer["properties"]["backendAddressPools"][0]["properties"] = pool
    world.put("loadBalancers", "inside", balancer)
    code = "PrivateLinkServiceNotSupportedWithIpBasedBackendPool"
    assert refused(network, world, "privateLinkServices", "link", body) == (400, code)
