"""What a Service can ask for, and what reaches the router."""

from __future__ import annotations

import pytest

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.objects import Firewall
from tests.clouds.cloudstack.topology import (
    BYSTANDING_REASONS,
    ISOLATED,
    add_guarded_tier,
    add_network,
    add_tier,
    picture,
    served,
)
from tests.cloudstack.stage import Stage
from tests.world import change, service

UPSTREAM = "service.beta.kubernetes.io/cloudstack-load-balancer-"
PROXY, HOSTNAME, SOURCES = f"{UPSTREAM}proxy-protocol", f"{UPSTREAM}hostname", f"{UPSTREAM}source-cidrs"
STICKINESS = "lbctl.io/cloudstack-stickiness"
HEALTH = "lbctl.io/cloudstack-health-check-path"
TIMEOUT = "lbctl.io/cloudstack-timeout"
METHOD, PARAMETERS = f"{UPSTREAM}stickiness-method-name", f"{UPSTREAM}stickiness-method-param"
BOTH = ("TCP", "UDP")


def with_udp(port: int = 80):
    """A Service with one UDP port."""
    wanted = service(ports=(port,))
    ports = tuple(change(p, protocol="UDP") for p in wanted.spec.ports)
    return change(wanted, spec=change(wanted.spec, ports=ports))


def annotate(stage: Stage, **changes: str | None) -> None:
    """Change annotations, keeping what the controller wrote."""
    names = {"proxy": PROXY, "hostname": HOSTNAME, "sources": SOURCES, "stickiness": STICKINESS, "timeout": TIMEOUT}
    names |= {"method": METHOD, "parameters": PARAMETERS}
    merged = stage.live().metadata.annotations | {names[name]: value for name, value in changes.items()}
    stage.annotate("web", {key: value for key, value in merged.items() if value is not None})
    stage.settle(120)


@pytest.mark.spec("CS-006", "CS-017")
def test_affinity_chooses_the_algorithm_in_place(stage: Stage):
    """ClientIP means `source`, by one update of the living rule; an affinity that is unknown is refused."""
    stage.apply(service())
    stage.cloud.faults.clear()
    stage.edit("web", session_affinity="ClientIP")
    assert stage.served()[80]["algorithm"] == "source"
    assert stage.cloud.faults.counts() == {"updateLoadBalancerRule": 1}
    stage.edit("web", session_affinity="None")
    assert stage.served()[80]["algorithm"] == "roundrobin"
    stage.edit("web", session_affinity="Cookie")
    assert "sessionAffinity" in stage.condition().message
    assert stage.served()[80]["algorithm"] == "roundrobin"


@pytest.mark.spec("CS-007", "CS-008", "CS-009", "CS-002")
def test_the_proxy_protocol_is_toggled_without_wedging(serve):
    """Again and again the new protocol is served under upstream's name, by at most 4 writes and without a conflict."""
    codes: list[str] = []
    stage = Stage(serve(), record=lambda _command, code, _seconds: codes.append(code))
    stage.apply(service())
    for value, protocol in (("true", "tcp-proxy"), ("false", "tcp"), ("true", "tcp-proxy")):
        stage.settle(1300)
        stage.cloud.faults.clear()
        annotate(stage, proxy=value)
        assert stage.served()[80]["protocol"] == protocol
        assert stage.served()[80]["admits"] == ["0.0.0.0/0"]
        assert stage.cloud.faults.writes <= 4, stage.cloud.faults.counts()
        (rule,) = (r for r in stage.cloud.rules.values() if r.name.startswith("a00000001"))
        assert rule.name == f"a0000000100004000800000000000000-{protocol}-80"
        assert stage.plans() == []
    assert set(codes) == {"ok"}
    assert not stage.bugs


@pytest.mark.spec("CS-008")
@pytest.mark.parametrize("ranges", [("10.0.0.0/8",), ()], ids=["narrow", "narrow-and-wide-again"])
def test_a_toggle_leaves_a_firewall_rule_alone_that_stands_by_itself(serve, ranges):
    """Where the sources were changed since, the firewall rule outlives the toggle: 4 writes, and no conflict."""
    codes: list[str] = []
    stage = Stage(serve(), record=lambda _command, code, _seconds: codes.append(code))
    stage.apply(service())
    stage.settle(1300)
    stage.edit("web", load_balancer_source_ranges=("10.0.0.0/8",))
    stage.edit("web", load_balancer_source_ranges=ranges)
    stage.settle(1300)
    kept = {f.id for f in stage.cloud.firewalls.values() if f.start == 80}
    stage.crash()
    stage.settle()
    stage.cloud.faults.clear()
    annotate(stage, proxy="true")
    assert stage.served()[80]["protocol"] == "tcp-proxy"
    assert stage.served()[80]["admits"] == list(ranges or ("0.0.0.0/0",))
    assert {f.id for f in stage.cloud.firewalls.values() if f.start == 80} == kept
    assert stage.cloud.faults.writes <= 4, stage.cloud.faults.counts()
    assert stage.plans() == []
    assert set(codes) == {"ok"}


@pytest.mark.spec("CS-007")
def test_an_unknown_proxy_value_is_false_with_a_warning(stage: Stage):
    """`enabled` is taken as false, as upstream does, and said so."""
    stage.apply(service(annotations={PROXY: "enabled"}))
    assert stage.served()[80]["protocol"] == "tcp"
    assert "AnnotationIgnored" in stage.reasons()


@pytest.mark.spec("CS-010")
def test_a_hostname_is_published_instead_of_the_address(stage: Stage):
    """The status holds the host name only, also after a restart; a text that is none is warned about."""
    stage.apply(service(annotations={HOSTNAME: "lb.example.com"}))
    assert stage.addresses() == ["lb.example.com"]
    stage.crash()
    stage.settle()
    assert stage.addresses() == ["lb.example.com"]
    annotate(stage, hostname="Not A Name")
    assert stage.addresses()[0].startswith("203.0.113.")
    assert "AnnotationIgnored" in stage.reasons()


@pytest.mark.spec("CS-011", "CS-012")
@pytest.mark.parametrize("text", ["10.0.0.0/8, nonsense", "", "2001:db8::/32"])
def test_sources_that_are_none_are_refused_before_any_write(stage: Stage, text):
    """A wrong, IPv6 or empty list changes nothing in the cloud: an empty one would admit everybody."""
    stage.cloud.faults.clear()
    stage.apply(service(annotations={SOURCES: text}))
    assert stage.condition().reason == "InvalidService"
    assert stage.cloud.faults.writes == 0


@pytest.mark.spec("CS-015", "CS-014")
@pytest.mark.parametrize(
    ("release", "changed"), [("4.22", "updateLoadBalancerRule"), ("4.18", "createLoadBalancerRule")]
)
def test_the_rules_own_sources_change_as_the_server_can(serve, release, changed):
    """One CIDR is updated in place by 4.22 and takes a new rule before; a second pass changes nothing."""
    stage = Stage(serve(Cloud(release)))
    stage.apply(service())
    stage.cloud.faults.clear()
    annotate(stage, sources="10.0.0.0/8")
    assert stage.served()[80]["sources"] == "10.0.0.0/8"
    assert stage.cloud.faults.counts()[changed] == 1
    annotate(stage, sources="10.0.0.0/8,192.0.2.0/24")
    assert stage.served()[80]["sources"] == "10.0.0.0/8 192.0.2.0/24"
    assert stage.plans() == []
    (rule,) = (r for r in stage.cloud.rules.values() if r.name.startswith("a00000001"))
    rule.cidrs = "192.0.2.0/24,10.0.0.0/8"
    assert stage.plans() == []
    assert not stage.bugs


@pytest.mark.spec("CS-016")
@pytest.mark.parametrize(("release", "sent"), [("4.17", None), ("4.18", "0.0.0.0/0")])
def test_everybody_is_written_down_only_where_rules_have_sources(serve, release, sent):
    """Before 4.18, whose rules have none, no sources are sent; from then on the explicit list that upstream wants."""
    stage = Stage(serve(Cloud(release)))
    stage.apply(service())
    (made,) = (parameters for name, parameters in stage.cloud.faults.calls if name == "createLoadBalancerRule")
    assert made.get("cidrlist") == sent
    assert stage.served()[80]["admits"] == ["0.0.0.0/0"]
    assert stage.plans() == []
    assert not stage.bugs


@pytest.mark.spec("CS-036", "CS-039")
def test_source_ranges_are_firewall_rules_and_widen_without_a_gap(stage: Stage):
    """Ranges go into the firewall; adding one opens before anything closes, so those who may come always can."""
    stage.apply(service(load_balancer_source_ranges=("10.0.0.0/8",)))
    assert stage.served()[80]["admits"] == ["10.0.0.0/8"]
    stage.cloud.faults.clear()
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, load_balancer_source_ranges=("10.0.0.0/8", "192.0.2.0/24"))))
    for _ in range(20):
        stage.settle(1)
        assert "10.0.0.0/8" in stage.served()[80]["admits"]
    assert stage.served()[80]["admits"] == ["10.0.0.0/8", "192.0.2.0/24"]
    assert stage.cloud.faults.counts() == {"createFirewallRule": 1}
    stage.edit("web", load_balancer_source_ranges=("192.0.2.0/24",))
    assert stage.served()[80]["admits"] == ["192.0.2.0/24"]
    stage.edit("web", load_balancer_source_ranges=())
    stage.settle(60)
    assert stage.served()[80]["admits"] == ["0.0.0.0/0"]
    assert stage.plans() == []


@pytest.mark.spec("CS-040")
def test_a_firewall_rule_of_somebody_else_on_our_port_survives(stage: Stage):
    """A tagged rule on the port of ours is no part of our filter."""
    stage.apply(service(load_balancer_source_ranges=("10.0.0.0/8",)))
    (ip,) = stage.addresses()
    address = next(a for a in stage.cloud.addresses.values() if a.ip == ip)
    tags = {"purpose": "audit"}
    foreign = Firewall(stage.cloud.new_id(), address.id, "tcp", 80, 80, ("198.51.100.0/24",), tags=tags)
    stage.cloud.firewalls[foreign.id] = foreign
    stage.settle(700)
    stage.edit("web", load_balancer_source_ranges=("192.0.2.0/24",))
    stage.settle(60)
    assert stage.served()[80]["admits"] == ["192.0.2.0/24", "198.51.100.0/24"]


@pytest.mark.spec("CS-036", "CS-037")
def test_a_tier_gets_narrow_acl_entries(serve):
    """In a VPC each port has an ACL entry for TCP with the Service's ranges, and foreign entries stay."""
    cloud = Cloud()
    stage = Stage(serve(cloud), add_tier(cloud))
    stage.apply(service(annotations={PROXY: "true"}, load_balancer_source_ranges=("10.0.0.0/8",)))
    assert stage.served()[80]["admits"] == ["10.0.0.0/8"]
    stage.edit("web", load_balancer_source_ranges=("10.0.0.0/8", "192.0.2.0/24"))
    stage.settle(60)
    assert stage.served()[80]["admits"] == ["10.0.0.0/8", "192.0.2.0/24"]
    assert stage.plans() == []
    stage.delete("web")
    assert {i.reason for i in cloud.acl_items.values()} == BYSTANDING_REASONS
    assert not stage.bugs


@pytest.mark.spec("CS-038", "CS-036")
def test_a_tier_with_default_allow_filters_in_the_rule(serve):
    """Where the ACL is built in and lets all in, the Service's ranges go into the rule, and no ACL call is made."""
    cloud = Cloud()
    stage = Stage(serve(cloud), add_tier(cloud, acl="default_allow"))
    stage.apply(service(load_balancer_source_ranges=("10.0.0.0/8",), annotations={SOURCES: "10.1.0.0/16"}))
    assert stage.served()[80]["sources"] == "10.1.0.0/16"
    assert not [name for name, _ in cloud.faults.calls if "ACL" in name]


@pytest.mark.spec("CS-038", "CS-070")
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda cloud: add_tier(cloud, acl="default_deny"), "default_deny"),
        (lambda cloud: add_network(cloud, services={"Dhcp": "VirtualRouter"}, kind="Shared"), "service Lb"),
        (lambda cloud: add_network(cloud, routed=True), "routed"),
    ],
    ids=["default-deny", "no-lb", "routed"],
)
def test_a_network_that_cannot_balance_is_named(serve, make, word):
    """Without a balancer, routed, or behind default_deny: a sentence that names the network, and no write."""
    cloud = Cloud()
    network = make(cloud)
    stage = Stage(serve(cloud), network)
    stage.apply(service())
    assert stage.condition().reason == "InvalidService"
    assert word in stage.condition().message
    assert network.name in stage.condition().message
    assert cloud.faults.writes == 0


def test_a_shared_network_with_a_balancer_filters_in_the_rule(serve):
    """A shared network without firewall service serves, with the Service's ranges in the rule."""
    cloud = Cloud()
    network = add_network(cloud, services={"Lb": "Netscaler", "Dhcp": "VirtualRouter"}, kind="Shared")
    stage = Stage(serve(cloud), network)
    stage.apply(service(load_balancer_source_ranges=("10.0.0.0/8",)))
    assert stage.served()[80]["sources"] == "10.0.0.0/8"
    assert not [name for name, _ in cloud.faults.calls if name == "createFirewallRule"]


@pytest.mark.spec("CS-021")
def test_udp_is_refused_where_the_router_refuses_it(stage: Stage):
    """UDP on a virtual router is refused in planning, without a write."""
    stage.apply(with_udp())
    assert "UDP" in stage.condition().message
    assert stage.cloud.faults.writes == 0


def test_udp_is_served_where_the_provider_can(serve):
    """Another provider than the router takes UDP, with a firewall rule of its own for it."""
    cloud = Cloud()
    stage = Stage(serve(cloud), add_network(cloud, services=ISOLATED | {"Lb": "Netscaler"}))
    stage.apply(with_udp(5000))
    assert stage.served()[5000]["protocol"] == "udp"
    assert [f.protocol for f in cloud.firewalls.values() if f.start == 5000] == ["udp"]
    assert stage.plans() == []


def with_both(*numbers: int, name: str = "web", **spec):
    """A Service with TCP and UDP on each of these ports."""
    wanted = service(name, ports=numbers, **spec)
    both = [change(p, protocol=protocol, name=f"{p.name}-{protocol}") for p in wanted.spec.ports for protocol in BOTH]
    return change(wanted, spec=change(wanted.spec, ports=tuple(both)))


@pytest.mark.spec("CS-020")
def test_tcp_and_udp_on_one_port_are_refused(stage: Stage):
    """One port carries one rule: two protocols on it are refused with both named, without a call."""
    stage.apply(with_both(53))
    assert "53/TCP and 53/UDP" in stage.condition().message
    assert stage.cloud.faults.writes == 0


@pytest.mark.spec("CS-020")
def test_with_split_ips_the_udp_ports_get_a_second_address(serve):
    """Two addresses are published, each serves its half, both survive a restart, and both are free in the end."""
    cloud = Cloud()
    network = add_network(cloud, services=ISOLATED | {"Lb": "Netscaler"})
    stage = Stage(serve(cloud), network, options={"split_ips": True})
    before = picture(cloud)
    stage.apply(with_both(53, 5000))
    stage.settle(60)
    addresses = stage.addresses()
    halves = [{port: s["protocol"] for port, s in served(cloud, ip).items()} for ip in addresses]
    assert sorted(halves, key=str) == [{53: "tcp", 5000: "tcp"}, {53: "udp", 5000: "udp"}]
    cloud.faults.clear()
    stage.crash()
    stage.settle(60)
    assert stage.addresses() == addresses
    assert stage.plans() == []
    assert cloud.faults.writes == 0
    stage.delete("web")
    stage.settle(60)
    assert not stage.exists()
    assert picture(cloud) == before
    assert not stage.bugs


def test_a_second_address_goes_when_it_is_not_needed_any_more(serve):
    """Without the TCP port the UDP port moves to the one address: the old one serves until then, and is free after."""
    cloud = Cloud()
    network = add_network(cloud, services=ISOLATED | {"Lb": "Netscaler"})
    stage = Stage(serve(cloud), network, options={"split_ips": True})
    stage.apply(with_both(53))
    stage.settle(60)
    tcp, udp = sorted(stage.addresses(), key=lambda ip: served(cloud, ip)[53]["protocol"])
    stage.edit("web", ports=with_udp(53).spec.ports)
    stage.settle(120)
    assert stage.addresses() == [tcp]
    assert served(cloud, tcp)[53]["protocol"] == "udp"
    assert [a.state for a in cloud.addresses.values() if a.ip == udp] == ["Free"]
    assert stage.plans() == []
    assert not stage.bugs


def test_split_ips_do_not_help_where_the_router_refuses_udp(serve):
    """On a virtual router neither half is made."""
    stage = Stage(serve(), options={"split_ips": True})
    stage.apply(with_both(53))
    assert "balances no UDP" in stage.condition().message
    assert stage.cloud.faults.writes == 0


@pytest.mark.spec("CS-019")
def test_ports_come_and_go_without_touching_the_others(stage: Stage):
    """A port that joins gets its own calls; one that leaves takes its rule and filter along, the other stays."""
    stage.apply(service(ports=(80,)))
    kept = {r.id for r in stage.cloud.rules.values() if r.public_port == 80}
    stage.edit("web", ports=service(ports=(80, 443)).spec.ports)
    assert stage.served().keys() == {80, 443}
    stage.edit("web", ports=service(ports=(80,)).spec.ports)
    assert stage.served().keys() == {80}
    assert kept <= set(stage.cloud.rules)
    assert not [f for f in stage.cloud.firewalls.values() if f.start == 443]


def test_stickiness_comes_changes_and_goes(stage: Stage):
    """The policy is attached, replaced and taken off again on a living rule."""
    stage.apply(service(annotations={STICKINESS: "SourceBased"}))
    stage.settle(60)
    assert stage.served()[80]["stickiness"] == "SourceBased"
    assert stage.plans() == []
    annotate(stage, stickiness="LbCookie")
    assert stage.served()[80]["stickiness"] == "LbCookie"
    annotate(stage, stickiness=None)
    assert stage.served()[80]["stickiness"] is None
    assert stage.plans() == []


def test_upstreams_stickiness_keys_mean_what_they_mean_there(stage: Stage):
    """A cookie goes on ports of HTTP alone, whatever the case of its name; sources on every TCP port."""
    wanted = service(ports=(80, 443))
    http = tuple(change(p, app_protocol="http" if p.port == 80 else "https") for p in wanted.spec.ports)
    given = {METHOD: "lbcookie", PARAMETERS: "cookie-name=SERVERID,nocache=true"}
    stage.apply(change(service(ports=(80, 443), annotations=given), spec=change(wanted.spec, ports=http)))
    assert {port: s["stickiness"] for port, s in stage.served().items()} == {80: "LbCookie", 443: None}
    policies = [rule.stickiness["params"] for rule in stage.cloud.rules.values() if rule.stickiness]
    assert policies == [{"cookie-name": "SERVERID", "nocache": "true"}]
    annotate(stage, method="SourceBased", parameters="tablesize=200k,expire=30m")
    assert {port: s["stickiness"] for port, s in stage.served().items()} == {80: "SourceBased", 443: "SourceBased"}
    annotate(stage, method="LbCookie", parameters=None)
    stage.edit("web", ports=wanted.spec.ports)
    assert "appProtocol" in stage.condition().message
    assert stage.served().keys() == {80, 443}
    assert stage.plans() == []


def test_idle_timeouts_where_the_servers_rules_have_them(serve):
    """Seconds come, change in place and go with a new rule; without such a parameter the wish is refused."""
    stage = Stage(serve(Cloud("next")))
    stage.apply(service(annotations={TIMEOUT: "90"}))
    assert stage.served()[80]["timeout"] == 90_000
    stage.cloud.faults.clear()
    annotate(stage, timeout="120")
    assert stage.served()[80]["timeout"] == 120_000
    assert stage.cloud.faults.counts() == {"updateLoadBalancerRule": 1}
    annotate(stage, timeout=None)
    assert stage.served()[80]["timeout"] == 0
    assert stage.plans() == []
    old = Stage(serve(Cloud("4.22")))
    old.apply(service(annotations={TIMEOUT: "90"}))
    assert "idle timeout" in old.condition().message
    assert old.cloud.faults.writes == 0


def test_health_check_paths_where_the_provider_has_them(serve):
    """The policy comes, changes and goes on a living rule; on a virtual router it is refused with a sentence."""
    cloud = Cloud()
    services, able = ISOLATED | {"Lb": "Netscaler"}, {"Lb": {"HealthCheckPolicy": "true"}}
    stage = Stage(serve(cloud), add_network(cloud, services=services, capabilities=able))
    stage.apply(service(annotations={HEALTH: "/ready"}, external_traffic_policy="Local", health_check_node_port=31111))
    stage.settle(700)
    assert stage.served()[80]["health"] == "/ready"
    assert stage.plans() == []
    given = stage.live().metadata.annotations
    stage.annotate("web", given | {HEALTH: "/live"})
    stage.settle(60)
    assert stage.served()[80]["health"] == "/live"
    stage.annotate("web", {key: value for key, value in given.items() if key != HEALTH})
    assert stage.served()[80]["health"] is None
    assert stage.plans() == []
    router = Stage(serve())
    router.apply(service(annotations={HEALTH: "/ready"}))
    assert "health check" in router.condition().message
    assert router.cloud.faults.writes == 0


def test_traffic_policy_local_keeps_all_nodes_and_says_what_clients_addresses_need(stage: Stage):
    """The router's own check finds nodes without endpoints; the notice names the PROXY protocol."""
    stage.apply(service(external_traffic_policy="Local", health_check_node_port=31111))
    assert stage.served()[80]["members"] == stage.machine_ids("n1", "n2")
    assert "LimitedByDriver" in stage.reasons()


@pytest.mark.spec("CS-071")
def test_ipv6_is_refused_and_dual_stack_served_on_ipv4(stage: Stage):
    """Rules are IPv4: IPv6 alone and required dual stack are refused, preferred dual stack is served."""
    stage.apply(service("six", ip_families=("IPv6",)))
    stage.apply(service("both", ip_families=("IPv4", "IPv6"), ip_family_policy="RequireDualStack"))
    stage.apply(service("any", ip_families=("IPv4", "IPv6"), ip_family_policy="PreferDualStack"))
    assert stage.condition("six").reason == "InvalidService"
    assert stage.condition("both").reason == "InvalidService"
    assert stage.condition("any").reason == "Ready"
    assert "LimitedByDriver" in stage.reasons("any")


@pytest.mark.spec("CS-078")
def test_without_tags_everything_works(serve):
    """With tags = false no tag is written, and creation, restart and deletion leave nothing."""
    stage = Stage(serve(), options={"tags": False})
    before = picture(stage.cloud)
    stage.apply(service(ports=(80, 443)))
    stage.crash()
    stage.settle()
    assert stage.plans() == []
    stage.delete("web")
    assert not stage.exists()
    assert picture(stage.cloud) == before
    assert "createTags" not in stage.cloud.faults.counts()


@pytest.mark.spec("CS-069")
def test_a_project_is_all_that_is_seen(serve):
    """With project-id all lists carry it, the balancer belongs to the project, and nothing outside is touched."""
    cloud = Cloud()
    project = "0000000c-0000-4000-8000-000000000001"
    stage = Stage(serve(cloud), add_network(cloud, project_id=project), options={"project_id": project})
    for machine in cloud.machines.values():
        machine.project_id = project
    stage.crash()
    stage.apply(service())
    (ip,) = stage.addresses()
    assert served(cloud, ip).keys() == {80}
    assert {a.project_id for a in cloud.addresses.values() if a.ip == ip} == {project}
    lists = [p for name, p in cloud.faults.calls if name.startswith("list") and "listall" in p and "Async" not in name]
    assert all(p.get("projectid") == project for p in lists)
    stage.delete("web")
    assert not stage.exists()


def test_a_released_service_leaves_its_balancer_without_our_marks(stage: Stage):
    """With deletion policy retain the rules serve on, the address has no tag of ours, and nothing is planned for it."""
    stage.apply(service(annotations={"lbctl.io/deletion-policy": "retain"}))
    (ip,) = stage.addresses()
    stage.delete("web")
    stage.settle(700)
    assert not stage.exists()
    assert served(stage.cloud, ip).keys() == {80}
    assert next(a for a in stage.cloud.addresses.values() if a.ip == ip).tags == {}
    assert stage.plans() == []


def test_a_tier_whose_addresses_have_a_firewall_gets_both_filters(serve):
    """Where the server lets a VPC's addresses have firewall rules, port, sources and deletion keep both in step."""
    cloud = Cloud("next")
    stage = Stage(serve(cloud), add_guarded_tier(cloud))
    before = picture(cloud)
    stage.apply(service(ports=(80, 443)))
    assert {port: s["admits"] for port, s in stage.served().items()} == {80: ["0.0.0.0/0"], 443: ["0.0.0.0/0"]}
    assert stage.plans() == []
    stage.crash()
    stage.settle()
    assert stage.plans() == []
    stage.edit("web", load_balancer_source_ranges=("10.0.0.0/8",))
    stage.settle(120)
    assert {port: s["admits"] for port, s in stage.served().items()} == {80: ["10.0.0.0/8"], 443: ["10.0.0.0/8"]}
    stage.delete("web")
    assert not stage.exists()
    assert picture(cloud) == before
