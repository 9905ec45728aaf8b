"""From wish to calls, without a cloud."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from lbctl.cli.documents import actions_of
from lbctl.driver import Refs
from lbctl.engine.collecting import Living, find_orphans
from lbctl.errors import OwnedByOther
from lbctl.model.objects import NodeAddress
from lbctl.model.resource import Desired, Key, Observed, State
from lbctl.plan.actions import Hazard
from lbctl.plan.policy import Policy, allow
from lbctl.plan.render import plan_lines
from lbctl_openstack import DRIVER, bodies, names
from lbctl_openstack.apply import _in_flight
from lbctl_openstack.groups import GroupReading
from lbctl_openstack.observe import Reading, observe_all
from lbctl_openstack.parse import parse_service
from lbctl_openstack.plan import Manner, build_actions
from tests.openstack.stage import NOW, Stage, balancer_body
from tests.world import change, node

INTERNAL = {"service.beta.kubernetes.io/openstack-internal-load-balancer": "true"}
LOCAL = {"external_traffic_policy": "Local", "health_check_node_port": 32000}


def creation(stage: Stage):
    """The document that makes the balancer."""
    (action,) = [a for a in stage.plan().actions if a.call == "loadbalancers.create"]
    return bodies.balancer_creation(action.steps, cluster="c")["loadbalancer"]


@pytest.mark.spec("OS-011")
def test_any_number_of_ports_and_nodes_is_one_creation():
    """Ten ports on fifty nodes with monitors are one POST and one floating IP."""
    stage = Stage({"enable-health-monitor": "true"}, ports=range(80, 90), nodes=[node(f"n{i}") for i in range(50)])
    assert stage.calls() == ["loadbalancers.create", "floatingips.attach"]
    listeners = creation(stage)["listeners"]
    assert len(listeners) == 10
    assert all(body["default_pool"]["healthmonitor"]["type"] == "TCP" for body in listeners)
    assert all(len(body["default_pool"]["members"]) > 1 for body in listeners)


def test_what_is_as_wanted_is_left_alone():
    """A scope that holds exactly what is wanted has no calls, also after the ports were listed in another order."""
    for chosen in ({}, INTERNAL, {"proxy-protocol": "v2"}, {"x-forwarded-for": "true"}):
        stage = Stage(chosen, ports=(80, 443), **LOCAL)
        assert stage.calls(stage.seen()) == []
        shuffled = Stage(chosen, ports=(443, 80), **LOCAL)
        assert shuffled.calls(stage.seen()) == []


@pytest.mark.spec("OS-031")
def test_a_listener_makes_room_before_its_successor_comes():
    """TCP to HTTP: the new pool and its members first, then the old listener goes, the new comes, the old pool goes."""
    before = Stage().seen()
    assert Stage({"x-forwarded-for": "true"}).calls(before) == [
        "pools.create",
        "members.put",
        "listeners.delete",
        "listeners.create",
        "pools.delete",
    ]


@pytest.mark.spec("OS-018")
def test_octavias_calls_form_one_chain():
    """Each write on a balancer waits for the one before; the first waits for nothing."""
    plan = Stage({"proxy-protocol": "v2"}, ports=(80, 443)).plan(Stage(ports=(80,)).seen())
    chain = [action for action in plan.actions if action.call.partition(".")[0] in {"pools", "members", "listeners"}]
    assert len(chain) > 4
    for before, action in itertools.pairwise(chain):
        assert before.id in action.after


@pytest.mark.spec("OS-046")
@pytest.mark.parametrize("name", ["subnet-id", "network-id", "flavor-id", "availability-zone", "port-id"])
def test_what_octavia_fixes_at_creation_is_held_until_approved(name):
    """A changed subnet, network, flavor, zone or port needs a new balancer, which waits for approval."""
    observed = Stage().seen()
    plan = Stage({name: "another"}).plan(observed)
    (action,) = [a for a in plan.actions if a.call == "loadbalancers.replace"]
    assert action.hazard is Hazard.MOVES_ADDRESS
    held = allow(plan, Policy())
    assert [a.call for a in held.held] == ["loadbalancers.replace"]
    assert "loadbalancers.replace" not in [a.call for a in held.actions]


@pytest.mark.spec("OS-047")
def test_a_vip_port_is_sent_alone():
    """With port-id no other field of the VIP goes into the request."""
    body = creation(Stage({"port-id": "p", "subnet-id": "s", "network-id": "n"}))
    assert {key: value for key, value in body.items() if key.startswith("vip_")} == {"vip_port_id": "p"}


@pytest.mark.spec("OS-045")
def test_ovn_is_sent_nothing_that_it_lacks():
    """No time-outs, ranges, flavor, zone or HTTP in the request to ovn."""
    wished = {"x-forwarded-for": "true", "flavor-id": "f", "availability-zone": "z", "timeout-client-data": "1"}
    body = creation(Stage(wished, conf="lb-provider=ovn\n", load_balancer_source_ranges=("10.0.0.0/8",)))
    assert not {"flavor_id", "availability_zone"} & set(body)
    (listener,) = body["listeners"]
    assert listener["protocol"] == "TCP"
    assert not {"allowed_cidrs", "insert_headers", "timeout_client_data"} & set(listener)


@pytest.mark.spec("OS-043")
def test_ovn_checks_local_traffic_by_tcp():
    """Ovn has no HTTP monitors: type TCP, no monitor port, and nothing to do once it is so."""
    stage = Stage(conf="lb-provider=ovn\n", **LOCAL)
    (listener,) = creation(stage)["listeners"]
    assert listener["default_pool"]["healthmonitor"]["type"] == "TCP"
    assert all("monitor_port" not in member for member in listener["default_pool"]["members"])
    assert stage.calls(stage.seen()) == []


@pytest.mark.spec("OS-044")
def test_udp_is_checked_by_udp_connect():
    """A UDP port has a UDP-CONNECT monitor and no headers; HTTP checks of UDP need API 2.16."""
    udp = tuple(change(port, protocol="UDP") for port in Stage(ports=(53,)).service.spec.ports)

    def monitor(version, **spec):
        stage = Stage({"enable-health-monitor": "true", "x-forwarded-for": "true"}, version=version, **spec)
        plain = change(stage.service, spec=change(stage.service.spec, ports=udp))
        stage.intent = parse_service(plain, conf=stage.conf)
        (listener,) = creation(stage)["listeners"]
        assert "insert_headers" not in listener
        return listener["default_pool"]["healthmonitor"]["type"]

    assert monitor((2, 30)) == "UDP-CONNECT"
    assert monitor((2, 15), **LOCAL) == "UDP-CONNECT"
    assert monitor((2, 16), **LOCAL) == "HTTP"


@pytest.mark.spec("OS-037")
def test_ranges_of_a_family_that_is_not_served_are_left_out_and_told():
    """An IPv6 range on an IPv4 balancer is not sent and becomes an Event; with nothing left the Service is refused."""
    stage = Stage(load_balancer_source_ranges=("10.0.0.0/8", "2001:db8::/64"))
    assert creation(stage)["listeners"][0]["allowed_cidrs"] == ["10.0.0.0/8"]
    assert [n.reason for n in stage.desired().notices[stage.identity]] == ["LoadBalancerSourceRangesIgnored"]
    refused = Stage(load_balancer_source_ranges=("2001:db8::/64",)).desired()
    assert refused.rejected


def addressed(name, *addresses):
    """A node with these addresses of these kinds."""
    listed = tuple(NodeAddress(type=kind, address=address) for kind, address in addresses)
    plain = node(name)
    return change(plain, status=change(plain.status, addresses=listed))


@pytest.mark.spec("OS-051")
def test_a_node_is_reached_at_its_internal_address_of_the_first_family():
    """InternalIP before ExternalIP, only the Service's first family, and nodes without one are left out."""
    nodes = [
        addressed("both", ("ExternalIP", "198.51.100.1"), ("InternalIP", "10.0.0.1")),
        addressed("outside", ("ExternalIP", "198.51.100.2")),
        addressed("six", ("InternalIP", "fd00::1")),
    ]
    (listener,) = creation(Stage(nodes=nodes))["listeners"]
    assert [m["address"] for m in listener["default_pool"]["members"]] == ["10.0.0.1", "198.51.100.2"]


RANGED = "lbctl.io/node-address-cidr"


def test_a_range_picks_among_the_addresses_of_a_node():
    """With node-address-cidr members are at the first address in a range, and nodes without one are left out."""
    nodes = [
        addressed("two", ("InternalIP", "10.0.0.1"), ("InternalIP", "192.168.7.1"), ("InternalIP", "192.168.7.2")),
        addressed("one", ("InternalIP", "10.0.0.2")),
    ]
    (listener,) = creation(Stage({RANGED: "192.168.7.0/24, fd00::/8"}, nodes=nodes))["listeners"]
    assert [m["address"] for m in listener["default_pool"]["members"]] == ["192.168.7.1"]
    (listener,) = creation(Stage({RANGED: "fd00::/8"}, nodes=nodes))["listeners"]
    assert [m["address"] for m in listener["default_pool"]["members"]] == ["10.0.0.2", "10.0.0.1"]


def test_a_range_that_would_leave_no_member_is_refused():
    """Where no node has an address in node-address-cidr the Service stays as it is, and is told what nodes have."""
    stage = Stage({RANGED: "172.16.0.0/12"}, nodes=[addressed("one", ("InternalIP", "10.0.0.2"))])
    ((problem,),) = stage.desired().rejected.values()
    assert RANGED in problem.path
    assert "no node has an address of family IPv4 in 172.16.0.0/12" in problem.message
    assert "10.0.0.2" in problem.hint


def test_every_address_of_a_node_makes_a_difference():
    """A node that gets a second address is another node to this driver: a range may pick it."""
    before = addressed("n", ("InternalIP", "10.0.0.1"))
    after = addressed("n", ("InternalIP", "10.0.0.1"), ("InternalIP", "192.168.7.1"))
    assert DRIVER.node_identity(before) != DRIVER.node_identity(after)


def test_a_plan_reads_well():
    """Members and time-outs are words for people, and named fields for programs."""
    plan = Stage(nodes=[addressed("n1", ("InternalIP", "10.0.0.1"))], **LOCAL).plan()
    text = "\n".join(plan_lines(plan))
    assert "members {n1 at 10.0.0.1:30080 in subnet sub checked at port 32000}" in text
    assert "timeouts client data 50000 ms, member connect 5000 ms" in text
    steps = [step for action in actions_of(plan) for step in action.steps]
    (members,) = [step.changes[0].new for step in steps if step.kind == "members"]
    assert members == [
        {"name": "n1", "address": "10.0.0.1", "port": 30080, "monitor_port": 32000, "subnet": "sub", "weight": 1}
    ]


@pytest.mark.spec("OS-050")
def test_the_node_selector_chooses_members():
    """Only nodes with all labels are members."""
    nodes = [node("yes", labels={"a": "b", "c": "any"}), node("no", labels={"a": "x", "c": ""}), node("half")]
    (listener,) = creation(Stage({"node-selector": "a=b, c"}, nodes=nodes))["listeners"]
    assert [m["name"] for m in listener["default_pool"]["members"]] == ["yes"]


@pytest.mark.spec("OS-028", "OS-029")
def test_members_are_written_only_when_one_of_them_differs():
    """The same set costs nothing; another subnet is one batch PUT."""
    before = Stage(ports=(80,)).seen()
    assert Stage(ports=(80,)).calls(before) == []
    assert Stage({"member-subnet-id": "other"}, ports=(80,)).calls(before) == ["members.put"]


@pytest.mark.spec("OS-017")
def test_a_busy_balancer_is_waited_for():
    """While a balancer is pending no write is planned, and after ten minutes it is looked at once a minute."""
    stage = Stage(ports=(80, 443))
    busy = Stage(ports=(80,)).seen(state=State.PENDING, status="PENDING_UPDATE")
    assert stage.calls(busy) == []
    assert [wait.poll_after for wait in stage.plan(busy).waits] == [2.0]
    stuck = Stage(ports=(80,)).seen(state=State.PENDING, status="PENDING_UPDATE", since="2026-01-01T11:00:00")
    assert [wait.poll_after for wait in stage.plan(stuck).waits] == [60.0]
    assert "BalancerStuck" in [notice.reason for notice in stage.status(stuck).notices]


@pytest.mark.spec("OS-021", "OS-022")
def test_only_a_balancer_that_never_was_active_is_made_anew():
    """ERROR while it is made: deleted, three times at most. ERROR later: reported, nothing is written."""
    stage = Stage()
    new = stage.seen(state=State.FAILED, never_active="yes")
    assert stage.calls(new) == ["loadbalancers.replace"]
    assert stage.calls(new, may_recreate=False) == []
    old = stage.seen(state=State.FAILED)
    assert stage.calls(old) == []
    (wait,) = stage.plan(old).waits
    assert "is in ERROR, which only the operator of OpenStack can mend" in wait.condition
    assert "is in ERROR" in "\n".join(plan_lines(stage.plan(old)))
    assert stage.plan(new).waits == ()
    assert "BalancerFailed" in [notice.reason for notice in stage.status(old).notices]


def test_serial_ways_need_no_cascade_and_no_nested_creation():
    """Without cascade everything goes one by one; a serial provider gets an empty balancer first."""
    observed = Stage().seen()
    leaving = Stage()
    world = leaving.world(observed)

    def ending(**manner):
        plan = build_actions(Desired(leaving.scope), observed, world, Manner(**manner))
        return [a.call for a in plan.actions]

    assert ending() == ["loadbalancers.delete", "floatingips.give-up"]
    assert ending(cascade=False)[:3] == ["pools.delete", "listeners.delete", "loadbalancers.delete"]
    assert Stage().calls(serial=True) == [
        "loadbalancers.create",
        "pools.create",
        "members.create",
        "members.create",
        "listeners.create",
        "floatingips.attach",
    ]


@pytest.mark.spec("OS-007")
def test_two_balancers_of_our_name_are_told_apart_or_refused():
    """Without a mark, two live balancers of one name are refused by both ids; one that is going does not count."""
    stage = Stage(INTERNAL)
    two = stage.observe(balancer_body(), balancer_body(id="lb-2"))
    with pytest.raises(OwnedByOther, match=r"lb-1 and lb-2"):
        stage.plan(two)
    going = stage.observe(balancer_body(), balancer_body(id="lb-2", provisioning_status="PENDING_DELETE"))
    assert going[names.BALANCER_KEY].outputs["id"] == "lb-1"
    assert going[names.BALANCER_KEY].ours


@pytest.mark.spec("OS-013")
def test_a_double_of_ours_goes_and_the_annotated_one_stays():
    """Of two balancers with our uid tag the one that the Service names stays."""
    marked = ["kube_service_c_shop_web", "lbctl_uid=uid-web"]
    stage = Stage({**INTERNAL, "load-balancer-id": "lb-2", "load-balancer-address": "10.0.0.5"})
    observed = stage.observe(balancer_body(tags=marked), balancer_body(id="lb-2", tags=marked))
    assert observed[names.BALANCER_KEY].outputs["id"] == "lb-2"
    assert observed[Key("balancer", "lb-1")].ours
    assert "loadbalancers.delete lb-1" in [action.id for action in allow(stage.plan(observed), Policy()).actions]


@pytest.mark.spec("OS-008")
def test_the_legacy_name_is_adopted():
    """A balancer named after the Service's uid is ours."""
    stage = Stage(INTERNAL)
    observed = stage.observe(balancer_body(name="auidweb", description="", tags=[]))
    assert observed[names.BALANCER_KEY].ours


@pytest.mark.spec("OS-009")
def test_a_foreign_uid_is_refused():
    """Our name with another cluster's uid tag is never ours, unless the Service names it."""
    body = balancer_body(tags=["kube_service_c_shop_web", "lbctl_uid=foreign"])
    assert not Stage(INTERNAL).observe(body)[names.BALANCER_KEY].ours
    named = Stage({**INTERNAL, "load-balancer-id": "lb-1"})
    assert named.observe(body)[names.BALANCER_KEY].ours


@pytest.mark.spec("OS-066")
def test_the_status_takes_the_form_that_is_asked_for():
    """Host name by annotation, host name for proxy protocol by cloud.conf, else the address with its mode."""

    def ingress(annotations, conf=""):
        stage = Stage(annotations, conf=conf)
        (entry,) = stage.status(stage.seen()).ingress
        return entry.ip, entry.hostname, entry.ip_mode

    assert ingress({}) == ("203.0.113.9", None, "VIP")
    assert ingress({"hostname": "web.example.com"}) == (None, "web.example.com", None)
    assert ingress({"proxy-protocol": "true"}) == ("203.0.113.9", None, "Proxy")
    named = ingress({"proxy-protocol": "true"}, "enable-ingress-hostname=true\n")
    assert named == (None, "203.0.113.9.nip.io", None)


@pytest.mark.spec("OS-063", "OS-065")
def test_without_a_floating_ip_the_vip_is_published():
    """IPv6 gets none by nature, no external network means internal; both are told."""
    six = Stage(ip_families=("IPv6",))
    assert "floatingips.attach" not in six.calls()
    assert [n.reason for n in six.desired().notices[six.identity]] == ["LoadBalancerFloatingIPSkipped"]
    forced = Stage(external="")
    assert "floatingips.attach" not in forced.calls()
    assert [n.reason for n in forced.desired().notices[forced.identity]] == ["LoadBalancerForcedInternal"]


@pytest.mark.spec("OS-040")
def test_headers_of_others_survive():
    """Switching X-Forwarded-For off keeps the headers that somebody else has set."""
    seen = Stage({"x-forwarded-for": "true"}).seen()[names.listener_key("HTTP", 80)]
    both = '{"X-Forwarded-For": "true", "X-SSL": "true", "X-Forwarded-IP": "true"}'
    theirs = replace(seen, outputs={**seen.outputs, "headers": both})
    body = bodies.listener_update({"headers": frozenset()}, theirs)
    assert body == {"insert_headers": {"X-SSL": "true", "X-Forwarded-IP": "true"}}


def test_an_octavia_of_old_is_not_asked_for_a_header_that_it_does_not_know():
    """Before API 2.1 there is no X-Forwarded-Proto; the other headers are asked for all the same."""
    wanted = {"x-forwarded-proto": "true", "x-forwarded-port": "true"}
    (new,) = creation(Stage(wanted))["listeners"]
    assert new["insert_headers"] == {"X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"}
    (old,) = creation(Stage(wanted, version=(2, 0)))["listeners"]
    assert old["insert_headers"] == {"X-Forwarded-Port": "true"}


OLD = "kube_service_old_shop_web"


def made_under_another_name(stage: Stage, *, done: tuple[str, ...] = ()):
    """A balancer with one port that was made when the cluster was called `old`; `done` are renamed already."""
    parent = [{"id": "lb-1"}]
    listener = {
        "id": "l-1",
        "name": f"listener_0_{OLD}",
        "tags": [OLD, "somebody's"],
        "loadbalancers": parent,
        "protocol": "TCP",
        "protocol_port": 80,
        "connection_limit": -1,
        "default_pool_id": "p-1",
        "timeout_client_data": 50000,
        "timeout_member_connect": 5000,
        "timeout_member_data": 50000,
        "timeout_tcp_inspect": 0,
    }
    pool = {
        "id": "p-1",
        "name": f"pool_0_{OLD}",
        "loadbalancers": parent,
        "protocol": "TCP",
        "lb_algorithm": "ROUND_ROBIN",
    }
    monitor = {
        "id": "m-1",
        "name": f"monitor_0_{OLD}",
        "pools": [{"id": "p-1"}],
        "type": "TCP",
        "delay": 5,
        "timeout": 3,
        "max_retries": 1,
        "max_retries_down": 3,
    }
    for kind, child in (("monitor", monitor), ("pool", pool), ("listener", listener)):
        if kind in done:
            child["name"] = f"{kind}_0_kube_service_c_shop_web"
    if "listener" in done:
        listener["tags"] = ["kube_service_c_shop_web", "somebody's"]
    text = "Kubernetes external service shop/web from cluster old"
    body = balancer_body(name=OLD, tags=[OLD, "somebody's"], description=text)
    return stage.observe(body, listeners=(listener,), pools=(pool,), monitors=(monitor,))


@pytest.mark.spec("OS-010")
def test_a_new_cluster_name_renames_from_the_monitors_up_to_the_balancer():
    """Monitor, pool, listener, balancer, in this order; strangers' tags stay, the former name's tag goes."""
    named = {"load-balancer-id": "lb-1", "load-balancer-address": "10.0.0.5", "enable-health-monitor": "true"}
    stage = Stage({**INTERNAL, **named}, nodes=())
    observed = made_under_another_name(stage)
    order = ["healthmonitors.update", "pools.update", "listeners.update", "loadbalancers.update"]
    for count in range(4):
        cut_short = made_under_another_name(stage, done=("monitor", "pool", "listener")[:count])
        assert stage.calls(cut_short) == order[count:]
    listener = stage.plan(observed).actions[2].steps[0]
    body = bodies.listener_update(dict(listener.desired.fields), listener.seen)
    assert body["name"] == "listener_0_kube_service_c_shop_web"
    assert body["tags"] == ["kube_service_c_shop_web", "somebody's"]
    balancer = stage.plan(observed).actions[3].steps[0]
    tags = ["kube_service_c_shop_web", "lbctl_uid=uid-web", "somebody's"]
    assert bodies.balancer_tags(balancer.desired, balancer.seen) == tags
    assert "LoadBalancerRename" in [notice.reason for notice in stage.desired(observed).notices[stage.identity]]


@pytest.mark.spec("OS-081")
def test_without_cascade_everything_goes_one_by_one():
    """With cascade-delete off monitors go first, then pools, then listeners, and the balancer at the end."""
    stage = Stage({"enable-health-monitor": "true"} | INTERNAL, ports=(80, 443))
    seen = stage.seen()
    plan = build_actions(Desired(stage.scope), seen, stage.world(seen), Manner(cascade=False))
    assert [action.call for action in plan.actions] == [
        "healthmonitors.delete",
        "healthmonitors.delete",
        "pools.delete",
        "pools.delete",
        "listeners.delete",
        "listeners.delete",
        "loadbalancers.delete",
    ]
    gone = {step.key for action in plan.actions for step in action.steps}
    assert gone == set(seen.resources)


def test_another_balancer_that_is_named_later_moves_nothing():
    """A Service that names another balancer while it has one is refused, and neither of the two is touched."""
    stage = Stage({"load-balancer-id": "lb-2", "load-balancer-address": "10.0.0.5"} | INTERNAL)
    own = balancer_body(tags=["kube_service_c_shop_web", "lbctl_uid=uid-web"])
    other = balancer_body(id="lb-2", name="mine", description="", tags=[])
    observed = stage.observe(own, other)
    assert observed[names.BALANCER_KEY].outputs["id"] == "lb-1"
    (problems,) = stage.desired(observed).rejected.values()
    assert "must not change, and names lb-2 now" in str(problems[0])
    assert "set it back to lb-1" in str(problems[0])
    stale = stage.observe(own)
    assert stage.desired(stale).rejected == {}


@pytest.mark.spec("OS-092")
def test_only_what_is_ours_for_sure_and_old_enough_is_an_orphan():
    """Without its Service a balancer counts with our uid tag, address and group by their texts; all tell their age."""
    stage = Stage()
    nobody = replace(stage.world(), services={}, intents={})
    marked = balancer_body(tags=["kube_service_c_shop_web", "lbctl_uid=uid-web"])
    floating = {"id": "f", "floating_ip_address": "203.0.113.9", "port_id": None, "tags": []}
    floating["description"] = "Floating IP for Kubernetes external service shop/web from cluster c"
    group = {"id": "g", "name": "lb-sg-00000001-0000-4000-8000-000000000000-shop-web"}
    group["description"] = "Security Group for shop/web Service LoadBalancer in cluster c"
    made = {"created_at": "2026-01-01T10:30:00Z"}

    def orphans(balancer, floating=floating, group=group):
        reading = Reading((balancer | made,), floating=(floating | made,), groups=GroupReading((group | made,)))
        return list(find_orphans("main", observe_all(reading, nobody), Living(), everything=False))

    def kinds(*bodies):
        return sorted(seen.key.kind for orphan in orphans(*bodies) for seen in orphan.objects)

    assert kinds(marked) == ["balancer", "floating", "group"]
    assert kinds(balancer_body()) == ["floating", "group"]
    elsewhere = {"description": "Floating IP for Kubernetes external service shop/web from cluster d"}
    renamed = {"name": "lb-sg-mine"}
    assert kinds(marked, floating | elsewhere, group | renamed) == ["balancer"]
    assert kinds(marked, floating | {"tags": ["lbctl_kept"]}, group | renamed) == ["balancer"]
    hour = 3600.0
    assert all(not orphan.is_younger_than(hour, now=NOW) for orphan in orphans(marked))
    assert all(orphan.is_younger_than(2 * hour, now=NOW) for orphan in orphans(marked))


def test_a_change_of_an_old_balancer_is_not_stuck_yet():
    """How long a balancer is busy counts from our write on, not from the last one before it."""
    stage = Stage(INTERNAL)
    old = stage.seen(since="2026-01-01T01:00:00")
    flying = replace(old[names.BALANCER_KEY], state=State.PENDING)
    stuck = Observed(stage.scope, {**old.resources, names.BALANCER_KEY: flying})
    assert [notice.reason for notice in stage.status(stuck).notices] == ["BalancerStuck"]
    fresh = _in_flight(old[names.BALANCER_KEY], Refs(old, stage.world(old)))
    busy = Observed(stage.scope, {**old.resources, names.BALANCER_KEY: fresh})
    assert stage.status(busy).notices == ()
