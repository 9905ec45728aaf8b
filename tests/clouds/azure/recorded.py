"""States as the upstream controller leaves them, one a flavour, each with the Service and settings that it came from.

Names, hashes and tags are written out and not computed: the figures were worked out from cloud-provider-azure (commit
7b31c76) by hand. A driver has to adopt each of them without a write. Written through the rules, into any world.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.clouds.azure.recording import Writer, service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.world import World

NAME: Final = "a0123456789abcdef0123456789abcde"
OTHER_UID: Final = "fedcba98-7654-3210-fedc-ba9876543210"
OTHER_NAME: Final = "afedcba9876543210fedcba987654321"
# md5 of protocol, sources and ports, as the rule's name carries it.
_TCP_80: Final = "k8s-azure-lb_allow_IPv4_d39272f7f57ed937951650d93992ad77"
_TCP_80_V6: Final = "k8s-azure-lb_allow_IPv6_d39272f7f57ed937951650d93992ad77"
_TCP_30080: Final = "k8s-azure-lb_allow_IPv4_bc4e74614871d9c246abe0af3fccced5"
_TCP_80_FROM_RANGE: Final = "k8s-azure-lb_allow_IPv4_e29de69fe711ea8c06c29c7037815127"
_UDP_53: Final = "k8s-azure-lb_allow_IPv4_eacf5e21d4ad7b5345009ad51af9d388"


@dataclass(frozen=True, slots=True)
class Flavour:
    """A recorded state: how it is written, and the Services and azure.json settings that it answers to."""

    name: str
    write: Callable[[World], None]
    services: tuple[Body, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def _write_external(world: World, *, balancer: str = "kubernetes", public_ip: str = "", **pip: Any) -> None:
    """One external Service with one TCP port, the commonest state there is."""
    write, name = Writer(world, balancer), f"{NAME}-TCP-80"
    address = public_ip or write.pip(pip.pop("name", f"kubernetes-{NAME}"), **pip)
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, address)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "probes": [write.probe(name)],
            "loadBalancingRules": [write.rule(name, NAME, probe=name)],
        }
    )
    write.allow(_TCP_80, [world.address(address)])


def _write_dual_stack(world: World) -> None:
    write = Writer(world, "kubernetes")
    v4 = write.pip(f"kubernetes-{NAME}")
    v6 = write.pip(f"kubernetes-{NAME}-IPv6", version="IPv6")
    first, second = f"{NAME}-TCP-80", f"{NAME}-TCP-80-IPv6"
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, v4), write.public(f"{NAME}-IPv6", v6)],
            "backendAddressPools": [{"name": "kubernetes"}, {"name": "kubernetes-IPv6"}],
            "probes": [write.probe(first), write.probe(second)],
            "loadBalancingRules": [
                write.rule(first, NAME, probe=first),
                write.rule(second, f"{NAME}-IPv6", pool="kubernetes-IPv6", probe=second),
            ],
        }
    )
    write.allow(_TCP_80, [world.address(v4)])
    write.allow(_TCP_80_V6, [world.address(v6)])


def _write_single_stack_v6(world: World) -> None:
    """Names without suffix but for the pool, beside a frontend of IPv4, which Azure wants there first."""
    write, name = Writer(world, "kubernetes"), f"{NAME}-TCP-80"
    v6 = write.pip(f"kubernetes-{NAME}", version="IPv6")
    v4 = world.put_public_ip("first-of-v4")
    write.add(
        {
            "frontendIPConfigurations": [write.public("first-of-v4", v4), write.public(NAME, v6)],
            "backendAddressPools": [{"name": "kubernetes-IPv6"}],
            "probes": [write.probe(name)],
            "loadBalancingRules": [write.rule(name, NAME, pool="kubernetes-IPv6", probe=name)],
        }
    )
    write.allow(_TCP_80_V6, [world.address(v6)])


def _write_internal(world: World, *, subnet: str = "", **address: Any) -> None:
    write = Writer(world, "kubernetes-internal")
    frontend = f"{NAME}-{subnet}" if subnet else NAME
    name = f"{frontend}-TCP-80"
    write.add(
        {
            "frontendIPConfigurations": [write.internal(frontend, subnet or "nodes", **address)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "probes": [write.probe(name)],
            "loadBalancingRules": [write.rule(name, frontend, probe=name)],
        }
    )


def _write_all_ports(world: World) -> None:
    write, name = Writer(world, "kubernetes-internal"), f"{NAME}-TCP-80"
    ports: Body = {"protocol": "All", "frontendPort": 0, "backendPort": 0}
    write.add(
        {
            "frontendIPConfigurations": [write.internal(NAME)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "probes": [write.probe(name)],
            "loadBalancingRules": [write.rule(name, NAME, probe=name, **ports)],
        }
    )


def _write_with_probe(world: World, probe: str, *, port: int) -> None:
    """An external Service whose probe is another than its port's own."""
    write = Writer(world, "kubernetes")
    address = write.pip(f"kubernetes-{NAME}")
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, address)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "probes": [write.probe(probe, port=port, path="/healthz")],
            "loadBalancingRules": [write.rule(f"{NAME}-TCP-80", NAME, probe=probe)],
        }
    )
    write.allow(_TCP_80, [world.address(address)])


def _write_without_floating_ip(world: World) -> None:
    """Rules go to node ports, and the security group opens the nodes' own addresses."""
    nodes = world.availability_set("direct", count=2)
    write, name = Writer(world, "kubernetes"), f"{NAME}-TCP-80"
    address = write.pip(f"kubernetes-{NAME}")
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, address)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "probes": [write.probe(name)],
            "loadBalancingRules": [write.rule(name, NAME, probe=name, enableFloatingIP=False, backendPort=30080)],
        }
    )
    write.allow(_TCP_30080, [node.addresses[0] for node in nodes], destinationPortRanges=["30080"])


def _write_udp(world: World) -> None:
    """No probe and no TCP reset, with client affinity."""
    write = Writer(world, "kubernetes")
    address = write.pip(f"kubernetes-{NAME}")
    udp: Body = {"protocol": "Udp", "frontendPort": 53, "backendPort": 53, "enableTcpReset": False}
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, address)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "loadBalancingRules": [write.rule(f"{NAME}-UDP-53", NAME, loadDistribution="SourceIP", **udp)],
        }
    )
    write.allow(_UDP_53, [world.address(address)], protocol="Udp", destinationPortRanges=["53"])


def _write_restricted(world: World) -> None:
    """Source ranges, and everything else to the address denied."""
    write, name = Writer(world, "kubernetes"), f"{NAME}-TCP-80"
    address = write.pip(f"kubernetes-{NAME}")
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, address)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "probes": [write.probe(name)],
            "loadBalancingRules": [write.rule(name, NAME, probe=name)],
        }
    )
    destinations = [world.address(address)]
    write.allow(_TCP_80_FROM_RANGE, destinations, sourceAddressPrefix="203.0.113.0/24")
    write.allow(
        "k8s-azure-lb_deny-all_IPv4",
        destinations,
        priority=4095,
        protocol="*",
        access="Deny",
        sourceAddressPrefix="*",
        destinationPortRanges=None,
        destinationPortRange="*",
    )


def _write_shared_address(world: World) -> None:
    """Two Services on one address: the first names the frontend, the tag lists both."""
    write = Writer(world, "kubernetes")
    address = write.pip(f"kubernetes-{NAME}", services="default/web,default/dns")
    name, other = f"{NAME}-TCP-80", f"{OTHER_NAME}-UDP-53"
    udp: Body = {"protocol": "Udp", "frontendPort": 53, "backendPort": 53, "enableTcpReset": False}
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, address)],
            "backendAddressPools": [{"name": "kubernetes"}],
            "probes": [write.probe(name)],
            "loadBalancingRules": [write.rule(name, NAME, probe=name), write.rule(other, NAME, **udp)],
        }
    )
    write.allow(_TCP_80, [world.address(address)])
    write.allow(_UDP_53, [world.address(address)], protocol="Udp", destinationPortRanges=["53"])


def _write_prefix_address(world: World) -> None:
    prefix = world.put(
        "publicIPPrefixes", "web-prefix", {"sku": {"name": "Standard"}, "properties": {"prefixLength": 30}}
    )
    _write_external(world, name=f"kubernetes-{NAME}-web-prefix", properties={"publicIPPrefix": {"id": prefix}})


def _write_pool_by_address(world: World) -> None:
    """Members by node address, as nodeIP settings leave them."""
    nodes = world.availability_set("by-address", count=2)
    members = [{"name": node.name, "properties": {"ipAddress": node.addresses[0]}} for node in nodes]
    _write_external(world)
    pool = {"virtualNetwork": {"id": world.network}, "loadBalancerBackendAddresses": members}
    Writer(world, "kubernetes").add({"backendAddressPools": [{"name": "kubernetes", "properties": pool}]})


def _write_private_link(world: World) -> None:
    """An internal Service with a private link service on its frontend."""
    network = world.cloud.find(world.network)
    assert network is not None
    subnets = [
        {**item, "properties": {**item["properties"], "privateLinkServiceNetworkPolicies": "Disabled"}}
        if item["name"] == "links"
        else item
        for item in network.properties["subnets"]
    ]
    world.put("virtualNetworks", "cluster-vnet", {"properties": {**network.properties, "subnets": subnets}})
    _write_internal(world)
    frontend = f"{world.id('loadBalancers', 'kubernetes-internal')}/frontendIPConfigurations/{NAME}"
    configuration = {
        "primary": True,
        "privateIPAllocationMethod": "Dynamic",
        "subnet": {"id": f"{world.network}/subnets/links"},
    }
    properties = {
        "loadBalancerFrontendIpConfigurations": [{"id": frontend}],
        "ipConfigurations": [{"name": f"links-pls-{NAME}-ipconfig-0", "properties": configuration}],
        "enableProxyProtocol": False,
    }
    tags = {"k8s-azure-owner-service": "default/web", "k8s-azure-cluster-name": "kubernetes"}
    world.put("privateLinkServices", f"pls-{NAME}", {"tags": tags, "properties": properties})


def _write_several_balancers(world: World) -> None:
    """Two balancers and a Service of Local policy: it has a pool of its own with the nodes that serve it."""
    nodes = world.availability_set("several", count=2)
    members = [{"name": node.name, "properties": {"ipAddress": node.addresses[0]}} for node in nodes]
    write, probe = Writer(world, "second"), f"{NAME}-TCP-31000"
    address = write.pip(f"kubernetes-{NAME}")
    network = {"virtualNetwork": {"id": world.network}}
    write.add(
        {
            "frontendIPConfigurations": [write.public(NAME, address)],
            "backendAddressPools": [
                {"name": "kubernetes", "properties": {**network, "loadBalancerBackendAddresses": members}},
                {"name": "default-web", "properties": {**network, "loadBalancerBackendAddresses": members[:1]}},
            ],
            "probes": [write.probe(probe, port=31000, path="/healthz")],
            "loadBalancingRules": [write.rule(f"{NAME}-TCP-80", NAME, pool="default-web", probe=probe)],
        }
    )
    write.allow(_TCP_80, [world.address(address)])


_UDP_PORT: Final = {"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053}
_INTERNAL: Final = {"load-balancer-internal": "true"}
_LEGACY_TAGS: Final = {"service": "default/web", "kubernetes-cluster-name": "kubernetes"}
_PREFIX_ID: Final = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/cluster-rg/providers/Microsoft.Network/"
    "publicIPPrefixes/web-prefix"
)

RECORDED: Final = (
    Flavour("external", _write_external, (service(),)),
    Flavour(
        "dual-stack",
        _write_dual_stack,
        (service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack"),),
    ),
    Flavour("single-stack-ipv6", _write_single_stack_v6, (service(ipFamilies=["IPv6"]),)),
    Flavour("internal", _write_internal, (service(annotations=_INTERNAL),)),
    Flavour(
        "internal-subnet",
        lambda world: _write_internal(world, subnet="internal"),
        (service(annotations={**_INTERNAL, "load-balancer-internal-subnet": "internal"}),),
    ),
    Flavour(
        "internal-static",
        lambda world: _write_internal(world, privateIPAllocationMethod="Static", privateIPAddress="10.1.200.10"),
        (service(annotations={**_INTERNAL, "load-balancer-ipv4": "10.1.200.10"}),),
    ),
    Flavour(
        "all-ports",
        _write_all_ports,
        (service(annotations={**_INTERNAL, "load-balancer-enable-high-availability-ports": "true"}),),
    ),
    Flavour(
        "local-policy",
        lambda world: _write_with_probe(world, f"{NAME}-TCP-31000", port=31000),
        (service(externalTrafficPolicy="Local", healthCheckNodePort=31000),),
    ),
    Flavour(
        "shared-probe",
        lambda world: _write_with_probe(world, "cluster-service-shared-health-probe", port=10256),
        (service(),),
        {"clusterServiceLoadBalancerHealthProbeMode": "shared"},
    ),
    Flavour(
        "no-floating-ip",
        _write_without_floating_ip,
        (service(annotations={"disable-load-balancer-floating-ip": "true"}),),
    ),
    Flavour("udp-affinity", _write_udp, (service(port=_UDP_PORT, sessionAffinity="ClientIP"),)),
    Flavour(
        "restricted",
        _write_restricted,
        (
            service(
                annotations={"deny-all-except-load-balancer-source-ranges": "true"},
                loadBalancerSourceRanges=["203.0.113.0/24"],
            ),
        ),
    ),
    Flavour(
        "shared-address",
        _write_shared_address,
        (
            service(),
            service(name="dns", uid=OTHER_UID, port=_UDP_PORT, annotations={"pip-name": f"kubernetes-{NAME}"}),
        ),
    ),
    Flavour("legacy-tags", lambda world: _write_external(world, tags=_LEGACY_TAGS), (service(),)),
    Flavour(
        "user-address",
        lambda world: _write_external(world, public_ip=world.put_public_ip("users-web")),
        (service(annotations={"pip-name": "users-web"}),),
    ),
    Flavour("prefix-address", _write_prefix_address, (service(annotations={"pip-prefix-id": _PREFIX_ID}),)),
    Flavour(
        "named-balancer",
        lambda world: _write_external(world, balancer="shared-lb"),
        (service(),),
        {"loadBalancerName": "shared-lb"},
    ),
    Flavour(
        "pool-by-address",
        _write_pool_by_address,
        (service(),),
        {"loadBalancerBackendPoolConfigurationType": "nodeIP"},
    ),
    Flavour(
        "several-balancers",
        _write_several_balancers,
        (service(externalTrafficPolicy="Local", healthCheckNodePort=31000),),
        {
            "loadBalancerBackendPoolConfigurationType": "nodeIP",
            "multipleStandardLoadBalancerConfigurations": [{"name": "kubernetes"}, {"name": "second"}],
        },
    ),
    Flavour(
        "private-link",
        _write_private_link,
        (service(annotations={**_INTERNAL, "pls-create": "true", "pls-ip-configuration-subnet": "links"}),),
    ),
)
