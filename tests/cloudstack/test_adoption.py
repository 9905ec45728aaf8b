"""What upstream left is taken over as it is."""

from __future__ import annotations

import pytest

from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.faults import How
from tests.clouds.cloudstack.objects import Rule
from tests.clouds.cloudstack.topology import (
    BYSTANDING_REASONS,
    BYSTANDING_RULES,
    add_network,
    add_tier,
    picture,
    served,
)
from tests.clouds.cloudstack.upstream import Wish, mutations, provision
from tests.cloudstack.stage import Stage
from tests.cloudstack.test_addresses import ASSOCIATED, ID
from tests.cloudstack.test_wishes import PROXY, SOURCES
from tests.world import change, service

UID = "00000001-0000-4000-8000-000000000000"
NETWORKS = {
    "isolated": add_network,
    "vpc": add_tier,
    "vpc-default": lambda cloud: add_tier(cloud, acl="default_allow"),
}


def adopt(serve, release="4.22", make=add_network, wanted=None, **options):
    """A cloud in which upstream has served `web`, and an lbctl that starts on it."""
    cloud = Cloud(release)
    server = serve(cloud)
    stage = Stage(server, make(cloud))
    provision(cloud, stage.network, UID, ports=[(80, 30080), (443, 30443)], **options)
    stage.crash()
    stage.kube.put(wanted or service(ports=(80, 443)))
    cloud.faults.clear()
    before = picture(cloud)
    stage.settle()
    return stage, before


@pytest.mark.spec("CS-003", "CS-074", "CS-013", "CS-058")
@pytest.mark.parametrize("release", ["4.18", "4.22"])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("cidrs", ["", "0.0.0.0/0"], ids=["made-by-1.1", "made-by-1.2"])
def test_upstreams_balancer_is_adopted_without_a_write(serve, release, make, cidrs):
    """Rules, firewall rules and ACL entries of upstream 1.1 and 1.2 serve on, with no write and an empty plan."""
    stage, before = adopt(serve, release, make, cidrs=cidrs)
    assert stage.cloud.faults.writes == 0
    assert picture(stage.cloud) == before
    assert stage.addresses() == ["203.0.113.50"]
    assert stage.condition().reason == "Ready"
    assert stage.plans() == []


@pytest.mark.spec("CS-005")
def test_names_without_a_protocol_are_adopted(serve):
    """Rules named `<balancer>-<port>` are ours, and are not renamed."""
    stage, before = adopt(serve, name="{balancer}-{port}")
    assert picture(stage.cloud) == before
    assert stage.condition().reason == "Ready"


@pytest.mark.spec("CS-004")
def test_a_rule_that_only_mentions_the_balancer_is_not_taken(serve):
    """A foreign rule with the balancer's name in its description or as a part of its name survives the Service."""
    stage, _ = adopt(serve)
    address = next(a for a in stage.cloud.addresses.values() if a.ip == "203.0.113.3")
    balancer = "a" + UID.replace("-", "")[:31]
    for number, name in enumerate((f"copy-of-{balancer}-tcp-80", "mentions")):
        rule = Rule(stage.cloud.new_id(), name, address.id, stage.network.id, 9100 + number, 1, "roundrobin", "tcp")
        rule.description = f"like {balancer}-tcp-80"
        stage.cloud.rules[rule.id] = rule
    stage.settle(700)
    stage.delete("web")
    assert not stage.exists()
    assert {r.name for r in stage.cloud.rules.values()} == BYSTANDING_RULES | {f"copy-of-{balancer}-tcp-80", "mentions"}


@pytest.mark.spec("CS-041")
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_an_adopted_balancer_leaves_nothing(serve, make):
    """After the deletion of an adopted Service its rules, filters and address are gone, and all bystanders stay."""
    stage, _ = adopt(serve, make=make)
    stage.delete("web")
    assert not stage.exists()
    assert {r.name for r in stage.cloud.rules.values()} == BYSTANDING_RULES
    assert [a.state for a in stage.cloud.addresses.values() if a.ip == "203.0.113.50"] == ["Free"]
    assert {i.reason for i in stage.cloud.acl_items.values()} <= BYSTANDING_REASONS


@pytest.mark.spec("CS-041")
def test_an_adopted_tiers_entry_goes_although_the_process_dies_over_its_change(serve):
    """New ranges get an entry of ours; the process dies before upstream's entry goes, and the next one closes it."""
    stage, _ = adopt(serve, make=add_tier)
    last = stage.cloud.faults.plan(How.HTML, command="deleteNetworkACL")
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, load_balancer_source_ranges=("10.0.0.0/8",))))
    while not last.seen:
        stage.settle(1)
    stage.crash()
    stage.settle(200)
    for port in (80, 443):
        assert served(stage.cloud, "203.0.113.50")[port]["admits"] == ["10.0.0.0/8"]
    assert stage.plans() == []
    stage.delete("web")
    assert not stage.exists()
    assert {i.reason for i in stage.cloud.acl_items.values()} == BYSTANDING_REASONS


@pytest.mark.parametrize("associated", [True, False], ids=["the-controllers", "the-users"])
def test_an_address_that_is_named_by_its_id_goes_only_if_a_controller_took_it(serve, associated):
    """Upstream's note of who associated the address decides; without it a named address stays when its Service goes."""
    cloud = Cloud()
    stage = Stage(serve(cloud))
    provision(cloud, stage.network, UID, ports=[(80, 30080)])
    (address,) = (a for a in cloud.addresses.values() if a.ip == "203.0.113.50")
    stage.crash()
    stage.apply(service(annotations={ID: address.id} | ({ASSOCIATED: "true"} if associated else {})))
    assert cloud.faults.writes == 0
    assert stage.condition().reason == "Ready"
    stage.delete("web")
    assert not stage.exists()
    assert address.state == ("Free" if associated else "Allocated")
    assert cloud.rules_of(address.id) == []


@pytest.mark.spec("CS-018")
def test_a_changed_node_port_recreates_only_that_port(serve):
    """Of two adopted rules the one whose node port changed is made again; the other is not touched."""
    stage, _ = adopt(serve)
    kept = {r.id for r in stage.cloud.rules.values() if r.public_port == 443}
    live = stage.live()
    ports = tuple(change(p, node_port=31000) if p.port == 80 else p for p in live.spec.ports)
    stage.edit("web", ports=ports)
    stage.settle(120)
    assert kept <= set(stage.cloud.rules)
    assert served(stage.cloud, "203.0.113.50")[80]["private_port"] == 31000
    assert served(stage.cloud, "203.0.113.50")[80]["admits"] == ["0.0.0.0/0"]
    assert stage.plans() == []


def test_a_rule_that_somebody_took_away_is_made_again_behind_its_opening(serve):
    """The firewall rule that upstream made stands alone when its rule is deleted by hand: the rule comes back."""
    stage, _ = adopt(serve)
    for key in [r.id for r in stage.cloud.rules.values() if r.public_port == 80 and r.name != "shop-frontend"]:
        del stage.cloud.rules[key]
    stage.settle(1400)
    assert served(stage.cloud, "203.0.113.50").keys() == {80, 443}
    assert served(stage.cloud, "203.0.113.50")[80]["admits"] == ["0.0.0.0/0"]
    assert stage.plans() == []


@pytest.mark.spec("CS-008")
def test_an_adopted_rule_changes_its_protocol_and_sources_at_once(serve):
    """With narrow firewall rules of upstream's: the new protocol and only the new sources are served."""
    wanted = service(ports=(80, 443), load_balancer_source_ranges=("10.0.0.0/8",))
    stage, _ = adopt(serve, wanted=wanted, sources=("10.0.0.0/8",))
    assert stage.cloud.faults.writes == 0
    live = stage.live()
    annotations = {"service.beta.kubernetes.io/cloudstack-load-balancer-proxy-protocol": "true"}
    spec = change(live.spec, load_balancer_source_ranges=("192.0.2.0/24",))
    stage.kube.put(change(live, spec=spec, metadata=change(live.metadata, annotations=annotations)))
    stage.settle(200)
    for port in (80, 443):
        assert served(stage.cloud, "203.0.113.50")[port]["protocol"] == "tcp-proxy"
        assert served(stage.cloud, "203.0.113.50")[port]["admits"] == ["192.0.2.0/24"]
    assert stage.plans() == []


def upstream_would_do(stage, **wish):
    """The writes of upstream's controller, were it to take over now."""
    hosts = frozenset(stage.machine_ids("n1", "n2"))
    return mutations(stage.cloud, stage.network, Wish(UID, ((80, 30080), (443, 30443)), hosts, **wish))


def test_upstreams_own_balancer_is_left_alone_by_itself(serve):
    """The emulator changes nothing of what it made, and notices each thing that is not as it would make it."""
    stage, _ = adopt(serve)
    assert upstream_would_do(stage) == []
    assert upstream_would_do(stage, algorithm="source") == ["updateLoadBalancerRule"] * 2
    assert upstream_would_do(stage, protocol="tcp-proxy").count("createLoadBalancerRule") == 2
    assert upstream_would_do(stage, ranges=("10.0.0.0/8",)) == ["createFirewallRule", "deleteFirewallRule"] * 2
    assert set(mutations(stage.cloud, stage.network, Wish(UID, ((80, 30080),), frozenset()))) == {
        "deleteLoadBalancerRule",
        "removeFromLoadBalancerRule",
    }


WISHES = {
    "plain": ({}, {}, {}),
    "affinity": ({"session_affinity": "ClientIP"}, {}, {"algorithm": "source"}),
    "proxy": ({}, {PROXY: "true"}, {"protocol": "tcp-proxy"}),
    "one-source": ({}, {SOURCES: "10.0.0.0/8"}, {"cidrs": ("10.0.0.0/8",)}),
    "two-sources": ({}, {SOURCES: "10.0.0.0/8,192.0.2.0/24"}, {"cidrs": ("10.0.0.0/8", "192.0.2.0/24")}),
    "ranges": (
        {"load_balancer_source_ranges": ("10.0.0.0/8", "192.0.2.0/24")},
        {},
        {"ranges": ("10.0.0.0/8", "192.0.2.0/24")},
    ),
    "named": ({"load_balancer_ip": "203.0.113.14"}, {}, {}),
}


@pytest.mark.spec("CS-075")
@pytest.mark.parametrize("name", WISHES)
@pytest.mark.parametrize(
    ("release", "make"),
    [("4.22", add_network), *(("4.18", make) for make in NETWORKS.values())],
    ids=["4.22-isolated", *(f"4.18-{name}" for name in NETWORKS)],
)
def test_going_back_to_upstream_changes_nothing(serve, release, name, make):
    """Upstream's controller finds every balancer of ours as it would have made it, on old servers and new."""
    if name == "ranges" and make is NETWORKS["vpc-default"]:
        make = add_tier  # behind default_allow the ranges are the rule's own, which upstream would drop
    cloud = Cloud(release)
    stage = Stage(serve(cloud), make(cloud))
    spec, annotations, wish = WISHES[name]
    stage.apply(service(ports=(80, 443), annotations=annotations, **spec))
    assert stage.condition().reason == "Ready"
    assert upstream_would_do(stage, **wish) == []


@pytest.mark.spec("CS-075")
def test_going_back_after_changes_costs_only_what_was_widened_without_a_gap(serve):
    """Updates and toggles leave what upstream keeps; of ranges that were added later it makes one firewall rule."""
    stage = Stage(serve())
    stage.apply(service(ports=(80, 443), annotations={SOURCES: "10.0.0.0/8"}))
    stage.annotate("web", stage.live().metadata.annotations | {SOURCES: "10.0.0.0/9", PROXY: "true"})
    stage.edit("web", session_affinity="ClientIP")
    stage.settle(120)
    wish = {"cidrs": ("10.0.0.0/9",), "protocol": "tcp-proxy", "algorithm": "source"}
    assert upstream_would_do(stage, **wish) == []
    stage.edit("web", load_balancer_source_ranges=("10.0.0.0/8",))
    stage.settle(120)
    assert upstream_would_do(stage, **wish, ranges=("10.0.0.0/8",)) == []
    stage.edit("web", load_balancer_source_ranges=("10.0.0.0/8", "192.0.2.0/24"))
    folded = ["createFirewallRule", "deleteFirewallRule", "deleteFirewallRule"]
    assert upstream_would_do(stage, **wish, ranges=("10.0.0.0/8", "192.0.2.0/24")) == folded * 2
