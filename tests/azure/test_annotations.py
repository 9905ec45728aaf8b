"""Each annotation, and what Azure holds because of it: set, then taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lbctl_azure.annotations import ANNOTATIONS, PREFIX
from tests.azure.cluster import Cluster, cluster
from tests.world import service

NAME = "a0000000100004000800000000000000"
RULE = f"{NAME}-TCP-80"
INTERNAL = {"azure-load-balancer-internal": "true"}
See = Callable[[Cluster], Any]


def rule(field: str) -> See:
    """A field of the first rule."""
    return lambda world: world.lb_rules()[RULE].get(field)


def probe(field: str) -> See:
    """A field of the first probe."""
    return lambda world: next(iter(world.probes().values())).get(field)


def address(*path: str) -> See:
    """A value inside the public address."""

    def see(world: Cluster) -> Any:
        value: Any = next(iter(world.public_ips().values()))
        for step in path:
            value = value.get(step, {}) if isinstance(value, dict) else value
        return value

    return see


def sources(world: Cluster) -> set[str]:
    """All sources that are let in."""
    return {
        source
        for found in world.security_rules().values()
        if found["access"] == "Allow"
        for source in (found.get("sourceAddressPrefix"), *found.get("sourceAddressPrefixes", ()))
        if source
    }


def denies(world: Cluster) -> bool:
    """True when everybody else is denied."""
    return any(found["access"] == "Deny" for found in world.security_rules().values())


def ports(world: Cluster) -> list[str]:
    """Ports that are let in."""
    return [port for found in world.security_rules().values() for port in found["destinationPortRanges"]]


HTTP = {"azure-load-balancer-health-probe-protocol": "http"}
TABLE: list[tuple[dict[str, str], See, Any, Any]] = [
    ({"azure-load-balancer-tcp-idle-timeout": "30"}, rule("idleTimeoutInMinutes"), 4, 30),
    ({"azure-load-balancer-disable-tcp-reset": "true"}, rule("enableTcpReset"), True, False),
    ({"azure-disable-load-balancer-floating-ip": "TRUE"}, rule("enableFloatingIP"), True, False),
    ({"azure-disable-load-balancer-floating-ip": "TRUE"}, rule("backendPort"), 80, 30080),
    (HTTP, probe("protocol"), "Tcp", "Http"),
    (HTTP | {"azure-load-balancer-health-probe-request-path": "/up"}, probe("requestPath"), None, "/up"),
    ({"azure-load-balancer-health-probe-interval": "20"}, probe("intervalInSeconds"), 5, 20),
    ({"azure-load-balancer-health-probe-num-of-probe": "4"}, probe("probeThreshold"), 2, 4),
    ({"port_80_health-probe_protocol": "https"}, probe("protocol"), "Tcp", "Https"),
    ({"port_80_health-probe_port": "9000"}, probe("port"), 30080, 9000),
    ({"port_80_health-probe_interval": "7"}, probe("intervalInSeconds"), 5, 7),
    ({"port_80_health-probe_num-of-probe": "3"}, probe("probeThreshold"), 2, 3),
    ({"port_80_no_probe_rule": "true"}, lambda world: len(world.probes()), 1, 0),
    ({"azure-disable-load-balancer-nsg-rule": "true"}, lambda world: len(world.security_rules()), 1, 0),
    ({"azure-allowed-service-tags": "AzureCloud"}, sources, {"Internet"}, {"AzureCloud"}),
    ({"azure-allowed-ip-ranges": "198.51.100.0/24"}, sources, {"Internet"}, {"198.51.100.0/24"}),
    ({"load-balancer-source-ranges": "198.51.100.0/24"}, sources, {"Internet"}, {"198.51.100.0/24"}),
    (
        {
            "azure-allowed-ip-ranges": "198.51.100.0/24",
            "azure-deny-all-except-load-balancer-source-ranges": "true",
        },
        denies,
        False,
        True,
    ),
    ({"azure-pip-tags": "team=web"}, address("tags", "team"), {}, "web"),
    ({"azure-dns-label-name": "web-label"}, address("properties", "dnsSettings", "domainNameLabel"), {}, "web-label"),
]


@pytest.mark.parametrize(("annotations", "see", "without", "with_it"), TABLE, ids=[" ".join(row[0]) for row in TABLE])
def test_an_annotation_has_its_effect(annotations: dict[str, str], see: See, without: Any, with_it: Any) -> None:
    """Absent it leaves the default; present it changes exactly what it says, in place."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service())
        published = world.addresses()
        assert see(world) == without
        world.annotate("web", {PREFIX + key: value for key, value in annotations.items()})
        world.settle(30)
        assert see(world) == with_it
        assert world.addresses() == published
        assert world.plans() == []


def test_a_port_without_rule_is_not_opened_either() -> None:
    """A port that the balancer does not serve is not let in."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service(ports=(80, 443), annotations={PREFIX + "port_443_no_lb_rule": "true"}))
        assert set(world.lb_rules()) == {RULE}
        assert ports(world) == ["80"]


@pytest.mark.spec("AZ-008")
def test_an_address_can_come_from_a_prefix() -> None:
    """A new address is taken from the prefix and carries its name."""
    with cluster() as world:
        world.add_nodes("n1")
        prefix = world.azure.put(
            "publicIPPrefixes", "edge", {"sku": {"name": "Standard"}, "properties": {"prefixLength": 30}}
        )
        world.apply(service(annotations={PREFIX + "azure-pip-prefix-id": prefix}))
        assert set(world.public_ips()) == {f"kubernetes-{NAME}-edge"}
        (found,) = world.public_ips().values()
        assert found["properties"]["publicIPPrefix"]["id"] == prefix
        assert world.plans() == []


@pytest.mark.spec("AZ-081")
def test_our_own_address_is_made_in_the_group_that_the_service_names() -> None:
    """With a resource group and no pinned address, the address is made, and removed, there."""
    with cluster() as world:
        world.add_nodes("n1")
        world.apply(service(annotations={PREFIX + "azure-load-balancer-resource-group": "user-rg"}))
        identity = world.azure.id("publicIPAddresses", f"kubernetes-{NAME}", group="user-rg")
        assert world.addresses() == [world.azure.address(identity)]
        world.crash()
        world.settle()
        assert world.plans() == []
        world.delete("web")
        world.settle(60)
        assert not world.exists()
        assert identity not in world.azure.state()


def test_a_static_internal_address_is_taken() -> None:
    """An internal Service gets exactly the address that it names."""
    with cluster() as world:
        world.add_nodes("n1")
        static = {PREFIX + key: value for key, value in (INTERNAL | {"azure-load-balancer-ipv4": "10.1.77.7"}).items()}
        world.apply(service(annotations=static))
        assert world.addresses() == ["10.1.77.7"]
        assert world.plans() == []


def test_every_declared_annotation_says_what_it_is() -> None:
    """The reference page is made of the table: each row has a grammar, a sentence and its source."""
    for annotation in ANNOTATIONS:
        assert annotation.kind.grammar
        assert annotation.doc.endswith(".")
        assert annotation.source
