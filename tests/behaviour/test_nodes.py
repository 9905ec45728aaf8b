"""Nodes come, go, flap and lie; targets follow with as few calls as possible."""

from __future__ import annotations

import sys
import threading

import pytest

from lbctl.errors import KubeUnreachable
from lbctl.model.objects import Node, NodeAddress, NodeCondition, NodeStatus, Service, Taint
from tests.clouds.memory import PREFIX, info
from tests.world import MemoryKube, change, endpoint_slice, node, service


class FarKube(MemoryKube):
    """An API server whose watches work and whose live lists may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.lists = 0
        self.meanwhile = lambda: None

    def list_services(self) -> list[Service]:
        """All Services, read live."""
        self._reach()
        return super().list_services()

    def list_nodes(self) -> list[Node]:
        """All Nodes, read live, with what happens while the answer is on its way."""
        self._reach()
        listed = super().list_nodes()
        self.meanwhile()
        return listed

    def _reach(self) -> None:
        self.lists += 1
        if self.is_away:
            raise KubeUnreachable("cannot list", after_seconds=0.0)


def targets(cloud, name=None):
    """Names of the nodes behind every balancer, or behind one."""
    return {t.name: set(t.fields["targets"]) for t in cloud.things.values() if t.kind == "balancer"}


def only_targets(cloud):
    """The targets of the only balancer."""
    return next(iter(targets(cloud).values()))


def with_condition(wanted, kind, status):
    """The Node with one condition set."""
    others = tuple(c for c in wanted.status.conditions if c.type != kind)
    conditions = (*others, NodeCondition(type=kind, status=status))
    return change(wanted, status=NodeStatus(addresses=wanted.status.addresses, conditions=conditions))


EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.mark.spec("SC-046")
@pytest.mark.parametrize(
    ("value", "included"),
    [(None, True), ("false", True), ("0", True), ("F", True), ("true", False), ("", False), ("maybe", False)],
)
def test_the_exclude_label_is_read_as_upstream_reads_it(world, cloud, value, included):
    """Absent or false includes; true, empty and unreadable exclude."""
    world.apply(service())
    world.see_node(node("n3", labels={} if value is None else {EXCLUDE: value}))
    world.settle()
    assert ("n3" in only_targets(cloud)) is included


@pytest.mark.spec("SC-047")
def test_a_condemned_node_leaves_within_two_seconds(world, cloud):
    """The autoscaler's taint is the start of draining."""
    world.apply(service())
    world.see_node(node("n2", taints=(Taint(key="ToBeDeletedByClusterAutoscaler", effect="NoSchedule"),)))
    world.settle(2)
    assert only_targets(cloud) == {"n1"}


@pytest.mark.spec("SC-048")
def test_readiness_flips_of_a_target_cost_nothing(world, cloud):
    """Health checks judge; no cloud call."""
    world.apply(service())
    calls = cloud.calls.total()
    for ready in (False, True, False, True):
        world.see_node(node("n2", ready=ready))
        world.settle(20)
    assert cloud.calls.total() == calls


@pytest.mark.spec("SC-049")
def test_a_node_without_the_id_that_the_cloud_needs_is_left_out_without_failing_anybody(make_world, cloud):
    """It is added as soon as it has one."""
    needs_id = info(cloud)
    needs_id = type(needs_id)(
        **{f: getattr(needs_id, f) for f in needs_id.__dataclass_fields__}
        | {"ready_node": lambda n: bool(n.spec.provider_id)}
    )
    world = make_world(needs_id)
    world.apply(service())
    world.see_node(node("n3", provider_id=""))
    world.settle()
    assert only_targets(cloud) == {"n1", "n2"}
    assert world.condition().status == "True"
    world.see_node(node("n3"))
    world.settle()
    assert only_targets(cloud) == {"n1", "n2", "n3"}


@pytest.mark.spec("SC-050")
def test_a_node_joins_once_it_was_ready_and_then_stays(world, cloud):
    """Never ready: held. Ready: added. Not ready later: kept."""
    world.apply(service())
    world.see_node(node("n3", ready=False))
    world.settle(60)
    assert "n3" not in only_targets(cloud)
    world.see_node(node("n3", ready=True))
    world.settle(20)
    assert "n3" in only_targets(cloud)
    world.see_node(node("n3", ready=False))
    world.settle(60)
    assert "n3" in only_targets(cloud)


def test_a_node_that_is_never_ready_joins_after_ten_minutes(world, cloud):
    """Its kubelet may be lying; health checks decide then."""
    world.apply(service())
    world.see_node(node("n3", ready=False))
    world.settle(599)
    assert "n3" not in only_targets(cloud)
    world.settle(30)
    assert "n3" in only_targets(cloud)


def test_a_node_without_network_waits_until_it_has_one(world, cloud):
    """NetworkUnavailable keeps a newcomer out."""
    world.apply(service())
    world.see_node(with_condition(node("n3"), "NetworkUnavailable", "True"))
    world.settle(30)
    assert "n3" not in only_targets(cloud)
    world.see_node(with_condition(node("n3"), "NetworkUnavailable", "False"))
    world.settle(30)
    assert "n3" in only_targets(cloud)


@pytest.mark.spec("SC-051")
@pytest.mark.parametrize(("seconds", "most"), [(0.9, 10), (5.0, 20)])
def test_twenty_nodes_joining_cost_few_updates(world, cloud, seconds, most):
    """Ten Services: ten updates when all join within a second, at most twenty within five."""
    for index in range(10):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle()
    cloud.calls.clear()
    for index in range(20):
        world.see_node(node(f"m{index}"))
        world.settle(seconds / 20)
    world.settle(60)
    assert all(len(names) == 22 for names in targets(cloud).values())
    assert cloud.calls["update"] <= most


@pytest.mark.spec("SC-053")
def test_a_balancer_is_made_without_any_node_and_says_so(make_world, cloud):
    """One Warning, a condition, and an address."""
    world = make_world(info(cloud), nodes=())
    world.apply(service())
    assert world.addresses()
    assert world.reasons().count("UnAvailableLoadBalancer") == 1
    assert world.condition().reason == "NoEligibleNodes"


@pytest.mark.spec("SC-054")
def test_a_node_set_that_vanishes_is_not_believed_at_once(world, cloud):
    """It is held for a minute and read again; only then are targets removed."""
    world.apply(service())
    for name in ("n1", "n2"):
        world.see_node(None, name)
    world.settle(55)
    assert only_targets(cloud) == {"n1", "n2"}
    world.settle(30)
    assert only_targets(cloud) == set()


def test_a_node_set_that_only_seemed_to_vanish_stays(world, cloud):
    """The live list contradicts the watch: nothing happens."""
    world.apply(service())
    nodes = dict(world.kube.nodes)
    for name in ("n1", "n2"):
        world.see_node(None, name)
    world.kube.nodes = nodes
    calls = cloud.calls.total()
    world.settle(90)
    assert only_targets(cloud) == {"n1", "n2"}
    assert cloud.calls.total() == calls


def test_a_node_that_joins_before_the_first_snapshot_starts_no_work(make_world, cloud):
    """What the account holds could not be read yet: nothing is written; the first plan has the node in it."""
    kube = FarKube()
    kube.put(service())
    world = make_world(info(cloud), kube=kube)
    kube.is_away = True
    world.settle(2)
    world.see_node(node("n3"))
    world.settle(20)
    assert (cloud.writes, kube.writes) == (0, 0)
    kube.is_away = False
    world.settle(60)
    assert only_targets(cloud) == {"n1", "n2", "n3"}


def test_a_live_list_of_nodes_that_fails_is_asked_for_again_with_pauses(make_world, cloud):
    """The targets stay meanwhile, and are removed when the list is there."""
    kube = FarKube()
    world = make_world(info(cloud), kube=kube)
    world.apply(service())
    for name in ("n1", "n2"):
        world.see_node(None, name)
    world.settle(55)
    kube.is_away, lists = True, kube.lists
    world.settle(65)
    assert 5 <= kube.lists - lists <= 7
    assert only_targets(cloud) == {"n1", "n2"}
    kube.is_away = False
    world.settle(15)
    assert only_targets(cloud) == set()


def test_nodes_are_heard_of_while_they_are_listed_and_that_is_newer(make_world, cloud):
    """The list keeps nobody waiting: a node that joins, and one that goes, while it is on its way are seen."""
    kube = FarKube()
    world = make_world(info(cloud), kube=kube, nodes=("n1", "n2", "n3"))
    world.apply(service())
    stored = dict(kube.nodes)
    for name in stored:
        world.see_node(None, name)
    kube.nodes = stored

    def move() -> None:
        world.see_node(node("n4"))
        world.see_node(None, "n3")

    def meanwhile() -> None:
        kube.meanwhile = lambda: None
        watch = threading.Thread(target=move, daemon=True)
        watch.start()
        watch.join(10.0)
        assert not watch.is_alive(), "the watch waits for the list"

    kube.meanwhile = meanwhile
    world.settle(90)
    assert only_targets(cloud) == {"n1", "n2", "n4"}


@pytest.mark.spec("SC-056")
def test_a_failed_target_change_is_tried_again_and_nothing_else_is_written(world, cloud):
    """With back-off, until it succeeds."""
    from lbctl.errors import Unreachable

    world.apply(service())
    failures = []

    def fail(name, number):
        if len(failures) < 2:
            failures.append(world.clock.monotonic())
            raise Unreachable("no answer")

    cloud.before = fail
    cloud.calls.clear()
    world.see_node(node("n3"))
    world.settle(60)
    assert only_targets(cloud) == {"n1", "n2", "n3"}
    assert cloud.calls["update"] == 3
    assert set(cloud.calls) <= {"update", "list"}
    assert "UpdateLoadBalancerFailed" in world.reasons()
    assert world.reasons()[-1] == "UpdatedLoadBalancer"


@pytest.mark.spec("SC-060")
def test_a_node_recreated_under_its_name_is_another_node(make_world, cloud):
    """A new id is a new target."""
    by_id = info(cloud)
    by_id = type(by_id)(
        **{f: getattr(by_id, f) for f in by_id.__dataclass_fields__} | {"node_identity": lambda n: n.spec.provider_id}
    )
    world = make_world(by_id)
    world.apply(service())
    before = world.account.nodes.current.generation
    fresh = node("n2", provider_id="memory:///other")
    world.see_node(change(fresh, metadata=change(fresh.metadata, uid="uid-new")))
    world.settle()
    assert world.account.nodes.current.generation == before + 1


@pytest.mark.spec("SC-057")
def test_target_updates_work_on_the_newest_service(world, cloud):
    """A driver that looks at the Service on a node change sees the published address."""
    world.apply(service())
    seen = []
    model = world.driver.model

    class Watching(type(world.driver)):
        def model(self, scope, world_view, facts):
            seen.extend(s.status.load_balancer.ingress for s in world_view.services.values())
            return model(scope, world_view, facts)

    world.account.driver.__class__ = Watching
    world.see_node(node("n3"))
    world.settle()
    assert seen
    assert all(ingress for ingress in seen)


def test_one_joining_node_is_one_update_a_service_and_the_event_says_so(world, cloud):
    """UpdatedLoadBalancer, not Ensured."""
    world.apply(service())
    cloud.calls.clear()
    world.see_node(node("n3"))
    world.settle()
    assert cloud.calls == {"update": 1}
    assert world.reasons()[-1] == "UpdatedLoadBalancer"


def test_slices_that_come_and_go_disturb_nobody_who_reads_them(world):
    """The watch puts them in and takes them out in a thread of its own; a pass sees those of one moment."""
    world.apply(service(annotations={PREFIX + "pods": "true"}))
    members, moving, stop = list(world.account.services.values()), endpoint_slice("10.2.0.1"), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            world.controller.see_slice(None, moving)
            world.controller.see_slice(moving, None)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        seen = [world.account.slices_of(members) for _ in range(60000)]
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    (identity,) = seen[0]
    assert {tuple(one.key for one in found[identity]) for found in seen} <= {(), (moving.key,)}


def test_a_rollout_of_pods_is_an_update_of_targets_and_no_drift(world, cloud):
    """UpdatedLoadBalancer each time: nobody outside of lbctl changed anything, and a warning would call people."""
    world.see_slice(endpoint_slice("10.1.0.1"))
    world.apply(service(annotations={PREFIX + "pods": "true"}))
    told = len(world.reasons())
    world.see_slice(endpoint_slice("10.1.0.1", "10.1.0.2"))
    assert only_targets(cloud) == {"10.1.0.1", "10.1.0.2"}
    world.see_slice(endpoint_slice("10.1.0.2"))
    assert only_targets(cloud) == {"10.1.0.2"}
    assert set(world.reasons()[told:]) == {"UpdatedLoadBalancer"}


@pytest.mark.spec("SC-059")
def test_more_nodes_than_the_cloud_takes_are_chosen_evenly_and_always_the_same(make_world, cloud):
    """An even spread over the zones that a restart does not change."""
    cloud.most_targets = 6
    world = make_world(info(cloud), nodes=())
    for index in range(30):
        joined = node(f"m{index}", labels={"topology.kubernetes.io/zone": f"z{index % 3}"})
        world.kube.nodes[joined.metadata.name] = joined
    world.start()
    world.apply(service())
    chosen = only_targets(cloud)
    zones = sorted(world.kube.nodes[name].metadata.labels["topology.kubernetes.io/zone"] for name in chosen)
    assert zones == ["z0", "z0", "z1", "z1", "z2", "z2"]
    world.crash()
    world.settle(60)
    assert only_targets(cloud) == chosen


@pytest.mark.spec("SC-055", "SC-078")
def test_a_node_that_joins_during_a_pass_is_served_by_the_next_one(world, cloud):
    """The same scope is not worked on twice at once, and the newest set of nodes wins in the end."""
    world.kube.put(service())
    world.clock.advance(1)
    work = world.controller.next_work()
    running = world.controller.run(work)
    next(running)
    world.see_node(node("n3"))
    world.clock.advance(5)
    world.controller.tick()
    others = []
    while (other := world.controller.next_work()) is not None:
        others.append(other)
    assert work not in others
    for _ in running:
        pass
    world.controller.done(work)
    for other in others:
        world.do(other)
    world.settle(60)
    assert only_targets(cloud) == {"n1", "n2", "n3"}


@pytest.mark.spec("SC-052")
@pytest.mark.parametrize(("by_address", "updates"), [(True, 1), (False, 0)])
def test_a_changed_address_matters_only_where_targets_are_addresses(make_world, cloud, by_address, updates):
    """An update for drivers that target addresses, nothing for those that target instances."""
    kind = info(cloud)
    identity = (lambda n: n.status.addresses) if by_address else (lambda n: n.spec.provider_id)
    fields = {name: getattr(kind, name) for name in kind.__dataclass_fields__} | {"node_identity": identity}
    world = make_world(type(kind)(**fields))
    world.apply(service())
    generation = world.account.nodes.current.generation
    moved = node("n2")
    address = NodeAddress(type="InternalIP", address="10.9.9.9")
    world.see_node(change(moved, status=NodeStatus(addresses=(address,), conditions=moved.status.conditions)))
    world.settle()
    assert world.account.nodes.current.generation == generation + updates
