"""The life of a Service on Azure, over real HTTP: what Azure holds after each thing that its author does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lbctl.model.objects import ServicePort
from tests.azure.cluster import ADDRESSES, BALANCERS, GROUPS, Cluster, cluster
from tests.world import service

PREFIX = "service.beta.kubernetes.io/"
INTERNAL = {PREFIX + "azure-load-balancer-internal": "true"}
NAME = "a0000000100004000800000000000000"
BOTH = {"ip_families": ("IPv4", "IPv6"), "ip_family_policy": "RequireDualStack"}


def azure(**annotations: str) -> dict[str, str]:
    """Annotations by their name without the common prefix, underscores for dashes."""
    return {f"{PREFIX}azure-{name.replace('_', '-')}": value for name, value in annotations.items()}


@pytest.fixture
def world() -> Iterator[Cluster]:
    """A cluster with two nodes and pools of addresses."""
    with cluster() as world:
        world.add_nodes("n1", "n2")
        yield world


@pytest.mark.spec("AZ-001", "AZ-003", "AZ-005", "AZ-008", "AZ-066")
def test_an_external_service_gets_an_address_a_rule_a_probe_and_a_way_in(world: Cluster) -> None:
    """The balancer, its parts, the address and the security rule carry upstream's names."""
    world.apply(service())
    assert set(world.parts("frontendIPConfigurations")) == {NAME}
    assert set(world.lb_rules()) == set(world.probes()) == {f"{NAME}-TCP-80"}
    (address,) = world.public_ips().values()
    assert address["name"] == f"kubernetes-{NAME}"
    assert world.addresses() == [address["properties"]["ipAddress"]]
    (rule,) = world.security_rules().values()
    assert (rule["sourceAddressPrefix"], rule["destinationAddressPrefix"]) == ("Internet", *world.addresses())


@pytest.mark.spec("AZ-057", "AZ-065")
def test_a_new_rule_is_as_upstream_writes_it(world: Cluster) -> None:
    """Floating IP, idle time-out, TCP reset and the probe's threshold have upstream's values."""
    udp = ServicePort(port=53, protocol="UDP", node_port=30053, name="dns")
    tcp = ServicePort(port=80, node_port=30080, name="web")
    live = service(ports=())
    world.apply(type(live)(metadata=live.metadata, spec=_spec(ports=(tcp, udp))))
    rules = world.lb_rules()
    assert rules[f"{NAME}-TCP-80"]["enableTcpReset"] is True
    assert rules[f"{NAME}-UDP-53"]["enableTcpReset"] is False
    assert rules[f"{NAME}-TCP-80"]["enableFloatingIP"] is True
    assert rules[f"{NAME}-TCP-80"]["backendPort"] == 80
    assert "probe" not in rules[f"{NAME}-UDP-53"]
    (probe,) = world.probes().values()
    assert (probe["probeThreshold"], probe["intervalInSeconds"], probe["port"]) == (2, 5, 30080)


def _spec(**fields: object) -> object:
    return type(service().spec)(type="LoadBalancer", ip_families=("IPv4",), **fields)


@pytest.mark.spec("AZ-006", "AZ-007", "AZ-077")
def test_two_families_have_two_of_everything(world: Cluster) -> None:
    """Only the IPv6 half of a dual-stack Service carries the suffix, and rules never mix families."""
    world.apply(service(**BOTH))
    assert set(world.parts("frontendIPConfigurations")) == {NAME, f"{NAME}-IPv6"}
    assert set(world.parts("backendAddressPools")) == {"kubernetes", "kubernetes-IPv6"}
    assert set(world.lb_rules()) == {f"{NAME}-TCP-80", f"{NAME}-TCP-80-IPv6"}
    assert len(world.addresses()) == 2
    families = {":" in rule["destinationAddressPrefix"] for rule in world.security_rules().values()}
    assert families == {True, False}
    world.edit("web", ip_families=("IPv4",), ip_family_policy="SingleStack")
    world.settle(60)
    assert len(world.addresses()) == len(world.public_ips()) == len(world.security_rules()) == 1
    assert world.plans() == []


@pytest.mark.spec("AZ-051")
def test_a_first_service_of_ipv6_alone_is_refused_without_a_write_of_the_balancer(world: Cluster) -> None:
    """A balancer without an IPv4 frontend cannot take one of IPv6: an Event says so."""
    world.apply(service(ip_families=("IPv6",)))
    assert world.balancer() is None
    assert "IPv4 frontend" in str(world.kube.events)


def test_ports_come_go_and_change_protocol(world: Cluster) -> None:
    """Every change of ports ends in exactly the rules, probes and openings of the new ports."""
    world.apply(service(ports=(80,)))
    address = world.addresses()
    world.edit("web", ports=service(ports=(80, 443)).spec.ports)
    assert set(world.lb_rules()) == {f"{NAME}-TCP-80", f"{NAME}-TCP-443"}
    (rule,) = world.security_rules().values()
    assert rule["destinationPortRanges"] == ["443", "80"]
    world.edit("web", ports=(ServicePort(port=443, protocol="UDP", node_port=30443, name="q"),))
    assert set(world.lb_rules()) == {f"{NAME}-UDP-443"}
    assert world.probes() == {}
    assert world.addresses() == address
    assert world.plans() == []


@pytest.mark.spec("AZ-047")
def test_external_to_internal_and_back_leaves_no_trace(world: Cluster) -> None:
    """After a change of scheme the old balancer, its address and its opening are gone."""
    world.apply(service())
    world.server.journal.clear()
    world.annotate("web", INTERNAL)
    world.settle(60)
    written = [f"{call.method} {call.path.rpartition('/')[2]}" for call in world.server.journal.calls]
    assert written.index("PUT kubernetes-internal") < written.index("DELETE kubernetes")
    assert world.balancer() is None
    assert world.public_ips() == world.security_rules() == {}
    assert set(world.lb_rules("kubernetes-internal")) == {f"{NAME}-TCP-80"}
    assert world.addresses()[0].startswith("10.1.")
    world.annotate("web", {})
    world.settle(60)
    assert world.balancer("kubernetes-internal") is None
    assert len(world.public_ips()) == 1
    assert world.plans() == []


def approve(world: Cluster, annotations: dict[str, str]) -> None:
    """Let what is held for the Service happen."""
    (plan,) = world.plans()
    world.annotate("web", annotations | {"lbctl.io/approve": plan.held_digest})
    world.settle(60)


@pytest.mark.spec("AZ-048", "AZ-004", "AZ-049")
def test_an_internal_address_outlives_its_frontend_where_it_can(world: Cluster) -> None:
    """Naming the subnet that one is in keeps the address under another name; another one moves it, once approved."""
    world.apply(service(annotations=INTERNAL))
    address = world.addresses()
    world.annotate("web", INTERNAL | azure(load_balancer_internal_subnet="nodes"))
    world.settle(60)
    assert set(world.parts("frontendIPConfigurations", "kubernetes-internal")) == {f"{NAME}-nodes"}
    assert world.addresses() == address
    world.annotate("web", INTERNAL | azure(load_balancer_internal_subnet="internal"))
    approve(world, INTERNAL | azure(load_balancer_internal_subnet="internal"))
    assert world.addresses()[0].startswith("10.2.0.")
    world.annotate("web", INTERNAL | azure(load_balancer_internal_subnet=" "))
    approve(world, INTERNAL | azure(load_balancer_internal_subnet=" "))
    assert set(world.parts("frontendIPConfigurations", "kubernetes-internal")) == {NAME}
    assert world.plans() == []


def test_a_missing_subnet_is_named(world: Cluster) -> None:
    """A subnet that does not exist is told to the author, and nothing is written."""
    world.apply(service(annotations=INTERNAL | azure(load_balancer_internal_subnet="nowhere")))
    assert world.balancer("kubernetes-internal") is None
    assert "nowhere" in str(world.kube.events)


@pytest.mark.spec("AZ-050")
def test_an_internal_ipv6_rule_goes_to_the_node_port(world: Cluster) -> None:
    """Internal IPv6 frontends cannot float: their rules lead to the node port."""
    world.apply(service(annotations=INTERNAL, **BOTH))
    rules = world.lb_rules("kubernetes-internal")
    assert rules[f"{NAME}-TCP-80"]["enableFloatingIP"] is True
    assert rules[f"{NAME}-TCP-80-IPv6"]["enableFloatingIP"] is False
    assert rules[f"{NAME}-TCP-80-IPv6"]["backendPort"] == 30080


@pytest.mark.spec("AZ-052")
def test_without_floating_ip_traffic_and_openings_go_to_node_ports(world: Cluster) -> None:
    """Rules lead to node ports, the security group opens the nodes' addresses, and follows them."""
    world.apply(service(annotations=azure(disable_load_balancer_floating_ip="true")))
    (rule,) = world.lb_rules().values()
    assert (rule["enableFloatingIP"], rule["backendPort"]) == (False, 30080)
    (opening,) = world.security_rules().values()
    assert opening["destinationPortRanges"] == ["30080"]
    assert len(opening["destinationAddressPrefixes"]) == 2
    world.see_node(None, "n2")
    world.settle(60)
    (opening,) = world.security_rules().values()
    assert opening["destinationAddressPrefix"].startswith("10.0.0.")


@pytest.mark.spec("AZ-054")
def test_high_availability_ports_are_one_rule(world: Cluster) -> None:
    """An internal Service may have one rule for all ports; on a public one the wish is ignored with a warning."""
    all_ports = azure(load_balancer_enable_high_availability_ports="true")
    world.apply(service(ports=(80, 443), annotations=INTERNAL | all_ports))
    (rule,) = world.lb_rules("kubernetes-internal").values()
    assert (rule["protocol"], rule["frontendPort"], rule["backendPort"]) == ("All", 0, 0)
    world.apply(service("public", annotations=all_ports))
    (rule,) = world.lb_rules().values()
    assert rule["protocol"] == "Tcp"
    assert "high availability" in str(world.kube.events)


@pytest.mark.spec("AZ-058", "AZ-056")
def test_affinity_and_idle_time_out_reach_the_rule(world: Cluster) -> None:
    """ClientIP affinity becomes SourceIP, and the idle time-out is taken in its bounds only."""
    world.apply(service(session_affinity="ClientIP", annotations=azure(load_balancer_tcp_idle_timeout="100")))
    (rule,) = world.lb_rules().values()
    assert (rule["loadDistribution"], rule["idleTimeoutInMinutes"]) == ("SourceIP", 100)
    for bad in ("3", "101", "x"):
        world.annotate("web", azure(load_balancer_tcp_idle_timeout=bad))
        (rule,) = world.lb_rules().values()
        assert rule["idleTimeoutInMinutes"] == 100
        assert world.condition().status == "False"


@pytest.mark.spec("AZ-059", "AZ-064")
def test_the_probe_follows_the_traffic_policy(world: Cluster) -> None:
    """A Local Service has one HTTP probe on its health-check node port, and gets its own back."""
    world.apply(service(ports=(80, 443), external_traffic_policy="Local", health_check_node_port=31000))
    (name,) = world.probes()
    assert name == f"{NAME}-TCP-31000"
    assert world.probes()[name]["requestPath"] == "/healthz"
    world.edit("web", external_traffic_policy="Cluster", health_check_node_port=0)
    assert set(world.probes()) == {f"{NAME}-TCP-80", f"{NAME}-TCP-443"}
    assert world.plans() == []


@pytest.mark.spec("AZ-060", "AZ-064")
def test_the_shared_probe_lives_as_long_as_somebody_needs_it() -> None:
    """In shared mode all Cluster Services use one probe, which outlives a neighbour's switch to Local."""
    with cluster(config={"clusterServiceLoadBalancerHealthProbeMode": "shared"}) as world:
        world.apply(service("a"))
        world.apply(service("b", ports=(81,)))
        assert set(world.probes()) == {"cluster-service-shared-health-probe"}
        world.edit("b", external_traffic_policy="Local", health_check_node_port=31000)
        assert "cluster-service-shared-health-probe" in world.probes()
        world.delete("a")
        world.settle(60)
        assert len(world.probes()) == 1
        assert "cluster-service-shared-health-probe" not in world.probes()
        assert world.plans() == []


@pytest.mark.spec("AZ-068", "AZ-010")
def test_services_that_open_the_same_share_one_rule(world: Cluster) -> None:
    """Two Services with the same ports and sources are two destinations of one rule; one leaves, one stays."""
    world.apply(service("a"))
    world.apply(service("b"))
    (rule,) = world.security_rules().values()
    assert set(rule["destinationAddressPrefixes"]) == {*world.addresses("a"), *world.addresses("b")}
    world.delete("a")
    world.settle(60)
    (rule,) = world.security_rules().values()
    assert rule["destinationAddressPrefix"] == world.addresses("b")[0]


@pytest.mark.spec("AZ-070", "AZ-071", "AZ-072", "AZ-073")
def test_source_ranges_open_to_nobody_else(world: Cluster) -> None:
    """Ranges replace the Internet; an unreadable one closes the rest; both ways at once are refused."""
    world.apply(service(annotations=azure(allowed_ip_ranges=" 198.51.100.0/24 ,junk")))
    rules = world.security_rules()
    assert {rule["sourceAddressPrefix"] for rule in rules.values()} == {"198.51.100.0/24", "*"}
    (deny,) = (rule for rule in rules.values() if rule["access"] == "Deny")
    assert deny["priority"] == 4095
    assert "InvalidSourceRanges" in world.reasons()
    world.edit("web", load_balancer_source_ranges=("203.0.113.0/24",))
    assert "together with" in str(world.kube.events)
    world.apply(service("inner", annotations=INTERNAL, load_balancer_source_ranges=("0.0.0.0/0",)))
    assert "0.0.0.0/0" in {rule["sourceAddressPrefix"] for rule in world.security_rules().values()}


@pytest.mark.spec("AZ-069", "AZ-074")
def test_priorities_go_around_what_is_there(world: Cluster) -> None:
    """New rules take the first free numbers from 500 up; foreign rules keep theirs and their bytes."""
    foreign = {
        "name": "by-hand",
        "properties": {
            "access": "Allow",
            "direction": "Inbound",
            "priority": 500,
            "protocol": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "22",
            "sourceAddressPrefix": "*",
            "destinationAddressPrefix": "*",
        },
    }
    world.azure.put("networkSecurityGroups", "nodes-nsg", {"properties": {"securityRules": [foreign]}})
    world.crash()
    world.apply(service("a", ports=(80,)))
    world.apply(service("b", ports=(81,)))
    before = world.security_rules()["by-hand"]
    assert sorted(rule["priority"] for rule in world.security_rules().values()) == [500, 501, 502]
    world.delete("a")
    world.settle(60)
    assert world.security_rules()["by-hand"] == before


@pytest.mark.spec("AZ-075")
def test_destinations_of_another_cluster_survive(world: Cluster) -> None:
    """A rule that two clusters share loses our destination and keeps theirs."""
    world.apply(service())
    (name,) = world.security_rules()
    group = world.azure.cloud.find(world.azure.security_group)
    assert group is not None
    rule = {"name": name, "properties": dict(group.properties["securityRules"][0]["properties"])}
    rule["properties"].pop("destinationAddressPrefix")
    rule["properties"]["destinationAddressPrefixes"] = [*world.addresses(), "20.9.9.9"]
    world.azure.put("networkSecurityGroups", "nodes-nsg", {"properties": {"securityRules": [rule]}})
    world.crash()
    world.settle()
    world.delete("web")
    world.settle(60)
    assert not world.exists()
    assert world.security_rules()[name]["destinationAddressPrefix"] == "20.9.9.9"


@pytest.mark.spec("AZ-013", "AZ-081")
def test_a_users_address_is_used_and_never_written(world: Cluster) -> None:
    """An address that a user made serves the Service and stays as it was, in whichever group it is."""
    identity = world.azure.put_public_ip("mine", group="user-rg", tags={"team": "web"})
    before = _untouched(world, identity)
    where = azure(pip_name="mine", load_balancer_resource_group="user-rg")
    world.apply(service(annotations=where))
    assert world.addresses() == [world.azure.address(identity)]
    world.delete("web")
    world.settle(60)
    assert not world.exists()
    assert _untouched(world, identity) == before
    assert not any("user-rg" in call.path for call in world.server.journal.calls if call.method != "GET")


def _untouched(world: Cluster, identity: str) -> dict:
    return world.azure.state()[identity]


def test_a_missing_address_is_named_and_found_later(world: Cluster) -> None:
    """A Service that pins an address nobody made is told so, and served once it is there."""
    world.apply(service(annotations=azure(pip_name="later")))
    assert "later" in str(world.kube.events)
    world.azure.put_public_ip("later")
    world.settle(900)
    assert world.addresses() == [world.azure.address(world.azure.id("publicIPAddresses", "later"))]


@pytest.mark.spec("AZ-043", "AZ-045")
def test_two_services_on_one_address_live_and_die_apart(world: Cluster) -> None:
    """The guest keeps frontend and address when the owner goes; the last one takes both along."""
    world.apply(service("owner"))
    (name,) = world.public_ips()
    world.apply(service("guest", ports=(443,), annotations=azure(pip_name=name)))
    assert world.addresses("guest") == world.addresses("owner")
    (address,) = world.public_ips().values()
    assert address["tags"]["k8s-azure-service"] == "shop/owner,shop/guest"
    published = world.addresses("guest")
    world.delete("owner")
    world.settle(60)
    assert not world.exists("owner"), world.plans()
    (address,) = world.public_ips().values()
    assert address["tags"]["k8s-azure-service"] == "shop/guest"
    assert world.addresses("guest") == published
    assert len(world.lb_rules()) == 1
    world.delete("guest")
    world.settle(60)
    assert world.public_ips() == {}
    assert world.balancer() is None


@pytest.mark.spec("AZ-044")
def test_the_second_on_one_port_is_told_and_the_first_untouched(world: Cluster) -> None:
    """Two Services cannot have one port of one address."""
    world.apply(service("owner"))
    rules = world.lb_rules()
    (name,) = world.public_ips()
    world.apply(service("late", annotations=azure(pip_name=name)))
    assert world.lb_rules() == rules
    assert world.addresses("late") == []
    assert "already serves" in str(world.kube.events)


@pytest.mark.spec("AZ-078")
def test_a_dns_label_is_set_changed_kept_and_removed(world: Cluster) -> None:
    """The label follows the annotation, stays without one, and goes with an empty one."""
    world.apply(service(annotations=azure(dns_label_name="web-one")))
    assert _label(world) == "web-one"
    world.annotate("web", azure(dns_label_name="web-two"))
    assert _label(world) == "web-two"
    world.annotate("web", {})
    assert _label(world) == "web-two"
    world.annotate("web", azure(dns_label_name=""))
    assert _label(world) is None
    assert world.plans() == []


def _label(world: Cluster) -> str | None:
    (address,) = world.public_ips().values()
    return address["properties"].get("dnsSettings", {}).get("domainNameLabel")


@pytest.mark.spec("AZ-079")
def test_new_ip_tags_wait_for_approval(world: Cluster) -> None:
    """IP tags cannot be changed on a living address: the plan says so, and nothing is written until approved."""
    world.apply(service())
    address = world.addresses()
    world.server.journal.clear()
    world.annotate("web", azure(pip_ip_tags="RoutingPreference=Internet"))
    assert world.writes() == {}
    assert world.addresses() == address
    held = world.plans()[0].held_digest
    assert world.plans()[0].held
    world.annotate("web", azure(pip_ip_tags="RoutingPreference=Internet") | {"lbctl.io/approve": held})
    world.settle(120)
    (found,) = world.public_ips().values()
    assert found["properties"]["ipTags"] == [{"ipTagType": "RoutingPreference", "tag": "Internet"}]
    assert world.addresses() == [found["properties"]["ipAddress"]]
    assert len(world.lb_rules()) == 1


@pytest.mark.spec("AZ-080")
def test_a_new_address_is_in_all_zones(world: Cluster) -> None:
    """A new public address and a new internal frontend are in every zone of the region."""
    world.apply(service())
    (address,) = world.public_ips().values()
    assert address["zones"] == ["1", "2", "3"]


@pytest.mark.spec("AZ-082")
def test_additional_addresses_are_published_and_opened(world: Cluster) -> None:
    """Additional addresses appear in the status and the security group, and not on the balancer."""
    world.apply(service(annotations=azure(additional_public_ips="20.9.9.9")))
    assert set(world.addresses()) > {"20.9.9.9"}
    (rule,) = world.security_rules().values()
    assert "20.9.9.9" in rule["destinationAddressPrefixes"]
    assert len(world.parts("frontendIPConfigurations")) == 1


@pytest.mark.spec("AZ-002")
def test_the_balancers_own_name_is_its_own(world: Cluster) -> None:
    """`loadBalancerName` names the balancer; pool and address keep the cluster's name."""
    del world
    with cluster(config={"loadBalancerName": "edge"}) as named:
        named.apply(service())
        assert set(named.parts("backendAddressPools", "edge")) == {"kubernetes"}
        assert set(named.public_ips()) == {f"kubernetes-{NAME}"}


@pytest.mark.spec("AZ-025", "AZ-096")
def test_every_write_of_something_that_exists_is_conditional(world: Cluster) -> None:
    """Whatever exists is written on condition of its ETag, at the pinned version."""
    world.apply(service())
    world.server.journal.clear()
    world.annotate("web", azure(pip_tags="a=b", load_balancer_tcp_idle_timeout="10", allowed_ip_ranges="10.0.0.0/8"))
    world.add_nodes("n3")
    puts = [call for call in world.server.journal.calls if call.method == "PUT"]
    assert {call.action for call in puts} >= {f"{ADDRESSES}/write", f"{BALANCERS}/write", f"{GROUPS}/write"}
    assert all(call.if_match for call in puts)
    assert {call.api_version for call in puts} == {"2025-05-01"}


@pytest.mark.spec("AZ-088")
def test_tags_of_azure_json_reach_the_balancer_and_its_address() -> None:
    """Configured tags are added, and those that are there stay, whatever the case of their keys."""
    with cluster(config={"tags": "env=prod"}) as world:
        world.apply(service(annotations=azure(pip_tags="Env=test")))
        (address,) = world.public_ips().values()
        assert address["tags"]["Env"] == "test"
        found = world.azure.state()[world.azure.id("loadBalancers", "kubernetes")]
        assert found["tags"] == {"env": "prod"}
        assert world.plans() == []


@pytest.mark.spec("AZ-088")
def test_system_tags_say_by_their_beginning_what_stays() -> None:
    """With `systemTags` a tag that is neither wanted nor covered by one of them goes; without, everything stays."""
    present = {"aks-managed-x": "1", "team": "web", "ENV": "PROD"}
    for system, left in (("", present), ("aks-managed", {"aks-managed-x": "1", "ENV": "PROD"})):
        with cluster(config={"tags": "env=prod", "systemTags": system}) as world:
            world.apply(service())
            found = world.azure.cloud.find(world.azure.id("loadBalancers", "kubernetes"))
            assert found is not None
            with world.azure.cloud.lock:
                found.body = {**found.body, "tags": present}
                world.azure.cloud.touch(found)
            world.crash()
            world.settle(60)
            assert world.azure.state()[str(found.id)]["tags"] == left
            assert world.plans() == []
