"""Which Services are ours, and whose finalizers we may touch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER, ClaimRules
from lbctl.engine.controller import Task
from lbctl.errors import Unreachable
from tests.clouds.memory import MemoryCloud, info
from tests.world import change, service

OTHER_CLASS = "example.com/other"


@pytest.mark.spec("SC-002")
@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "ExternalName"])
def test_services_of_other_types_cost_nothing(world, cloud, kind):
    """No cloud call and no write."""
    lists = cloud.calls["list"]
    world.apply(service(type=kind))
    assert cloud.calls["list"] == lists
    assert cloud.writes == 0
    assert world.kube.writes == 0


@pytest.mark.spec("SC-005")
def test_the_shared_finalizer_of_a_foreign_service_is_not_ours(world, cloud):
    """Another class, the shared finalizer, being deleted: it is its own controller's to clean up."""
    foreign = service(load_balancer_class="other.example/lb")
    foreign = change(foreign, metadata=change(foreign.metadata, finalizers=(SHARED_FINALIZER,)))
    world.apply(foreign)
    world.kube.delete("shop/web")
    world.settle()
    assert world.live().metadata.finalizers == (SHARED_FINALIZER,)
    assert cloud.writes == 0


@pytest.mark.spec("SC-006", "SC-038")
@pytest.mark.parametrize("end", ["foreign class", "cluster ip"])
def test_what_changed_while_nobody_watched_is_cleaned_up_at_the_start(world, cloud, end):
    """Type or class changed while lbctl was down: our balancer goes, and our finalizer."""
    world.apply(service())
    world.kube.listeners = []
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))
    if end == "foreign class":  # the class of a Service cannot change while it is a LoadBalancer
        live = world.live()
        foreign = change(live.spec, type="LoadBalancer", load_balancer_class="other.example/lb")
        world.kube.put(change(live, spec=foreign))
    world.crash()
    world.settle()
    assert [t for t in cloud.things.values() if t.kind == "balancer"] == []
    assert world.live().metadata.finalizers == ()


@pytest.mark.spec("SC-039")
def test_a_service_with_a_bad_annotation_can_be_deleted(world, cloud):
    """Deletion needs nothing that can be invalid."""
    world.apply(service())
    world.annotate("web", {"memory.example.com/timeout": "soon"})
    world.delete("web")
    assert not world.exists()
    assert [t for t in cloud.things.values() if t.kind == "balancer"] == []


def test_a_service_that_was_never_valid_can_be_deleted(world, cloud):
    """There is nothing to remove, and nothing in the way."""
    world.apply(service(annotations={"memory.example.com/timeout": "soon"}))
    world.delete("web")
    assert not world.exists()


@pytest.mark.spec("SC-042")
def test_a_type_flipped_away_and_back_ends_with_one_balancer(world, cloud):
    """Within a second or not."""
    world.apply(service())
    for pause in (0.0, 0.3, 5.0):
        live = world.live()
        world.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))
        world.settle(pause)
        live = world.live()
        world.kube.put(change(live, spec=change(live.spec, type="LoadBalancer")))
        world.settle(60)
        assert len([t for t in cloud.things.values() if t.kind == "balancer"]) == 1
        assert world.condition().status == "True"
        assert world.addresses()


@pytest.mark.spec("SC-040")
def test_a_deletion_that_is_not_ready_comes_back_when_told(world, cloud):
    """NotReady(1 s) on delete: the next try is a second later, and no Warning."""
    from lbctl.errors import NotReady

    world.apply(service())
    tries = []

    def busy(name, number):
        if name == "delete":
            tries.append(world.clock.monotonic())
            if len(tries) == 1:
                raise NotReady("still draining", after_seconds=1.0)

    cloud.before = busy
    world.delete("web")
    assert not world.exists()
    assert tries[1] - tries[0] == pytest.approx(1.0, abs=0.2)
    assert "DeleteLoadBalancerFailed" not in world.reasons()


@pytest.mark.spec("SC-008")
def test_other_finalizers_keep_their_places(world, cloud):
    """Ours is added behind them and removed from among them."""
    wanted = service()
    world.apply(change(wanted, metadata=change(wanted.metadata, finalizers=("a.example/x", "b.example/y"))))
    assert world.live().metadata.finalizers == ("a.example/x", "b.example/y", SHARED_FINALIZER)
    world.delete("web")
    assert world.live().metadata.finalizers == ("a.example/x", "b.example/y")


@pytest.mark.spec("SC-007")
def test_without_the_finalizer_nothing_is_made(world, cloud):
    """The write fails with a server error: no cloud write, and it is tried again."""
    from lbctl.errors import KubeUnreachable

    spent = []

    def fail(what, number):
        if what == "add-finalizers" and len(spent) < 2:
            spent.append(number)
            raise KubeUnreachable("500")

    world.kube.before = fail
    world.kube.put(service())
    world.settle(4)
    assert cloud.writes == 0
    world.settle(60)
    assert world.condition().status == "True"


@pytest.mark.spec("SC-045")
def test_fifty_services_deleted_at_once_all_go(world, cloud):
    """As a namespace that goes away does it."""
    for index in range(50):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle()
    for index in range(50):
        world.kube.delete(f"shop/s{index}")
    world.settle(120)
    assert world.kube.services == {}
    assert [t for t in cloud.things.values() if t.kind == "balancer"] == []


def test_a_classed_services_own_finalizer_goes_with_it(world, cloud):
    """Nothing stays behind that would keep the object."""
    world.apply(service(load_balancer_class="example.com/memory"))
    assert world.live().metadata.finalizers == (OWN_FINALIZER,)
    world.delete("web")
    assert not world.exists()


@pytest.mark.parametrize("whole", [False, True], ids=["one object", "all"])
def test_a_list_that_lags_before_a_deletion_leaks_nothing(world, cloud, whole):
    """What only a list says to be gone is looked for before the finalizer goes."""
    world.apply(service())
    snapshot = world.driver.snapshot

    def lag(seen_world):
        if whole:
            return {}
        seen = snapshot(seen_world)
        return {scope: replace(found, resources=_but_balancers(found)) for scope, found in seen.items()}

    world.driver.snapshot = lag
    world.clock.advance(700)
    while (work := world.controller.next_work()) is not None:
        world.do(work)
        if work.task is Task.SNAPSHOT:
            break
    world.driver.snapshot = snapshot
    world.delete("web")
    world.settle(60)
    assert not world.exists()
    assert [thing.kind for thing in cloud.things.values()] == ["firewall"]
    assert next(iter(cloud.things.values())).fields["rules"] == {}


def _but_balancers(observed):
    return {key: seen for key, seen in observed.resources.items() if key.kind != "balancer"}


def test_a_deletion_after_a_restart_with_a_list_that_lags_leaks_nothing(world, cloud):
    """Every scope that the Service could have something in is looked at."""
    world.apply(service())
    world.kube.listeners = []
    world.kube.delete("shop/web")
    world.crash()
    snapshot, world.driver.snapshot = world.driver.snapshot, lambda _world: {}
    world.settle(1)
    world.driver.snapshot = snapshot
    world.settle(60)
    assert not world.exists()
    assert balancers(cloud) == 0


@pytest.fixture
def other_cloud():
    """The cloud of a second account, which serves a class of its own."""
    return MemoryCloud()


@pytest.fixture
def both(make_world, cloud, other_cloud):
    """A started lbctl with two accounts."""
    rules = ClaimRules("main", {OTHER_CLASS: "other"})
    world = make_world(info(cloud), rules=rules, beside={"other": info(other_cloud)})
    world.settle()
    return world


def balancers(cloud):
    """How many balancers are in a cloud."""
    return len([thing for thing in cloud.things.values() if thing.kind == "balancer"])


def move(world, *, pause=0.0):
    """Give a Service without a class the other account's, which a Service can only do as another type."""
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))
    world.settle(pause)
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, type="LoadBalancer", load_balancer_class=OTHER_CLASS)))


@pytest.mark.parametrize("pause", [0.0, 5.0])
def test_a_service_that_moves_to_another_account_leaves_nothing_behind(both, cloud, other_cloud, pause):
    """What it had goes first, then it is served where it belongs, and its deletion empties that account too."""
    both.apply(service())
    move(both, pause=pause)
    both.settle(60)
    assert (balancers(cloud), balancers(other_cloud)) == (0, 1)
    assert both.live().metadata.finalizers == (OWN_FINALIZER,)
    assert both.condition().status == "True"
    both.delete("web")
    assert not both.exists()
    assert (balancers(cloud), balancers(other_cloud)) == (0, 0)


@pytest.mark.parametrize("end", ["moved", "deleted"])
def test_a_service_that_moved_while_nobody_watched_leaves_nothing_behind(both, cloud, other_cloud, end):
    """Neither where it was nor where it should have come to be, in whatever order the accounts are read."""
    both.apply(service())
    both.kube.listeners = []
    move(both)
    if end == "deleted":
        both.kube.delete("shop/web")
    both.crash()
    both.settle(60)
    assert (balancers(cloud), balancers(other_cloud)) == (0, 1) if end == "moved" else (0, 0)


@pytest.mark.parametrize("stripped", [False, True])
def test_a_service_with_objects_in_two_accounts_is_emptied_in_both(both, cloud, other_cloud, stripped):
    """The finalizer stays until the last of them is empty, and without it nothing stays either."""
    both.apply(service())
    one = next(thing for thing in cloud.things.values() if thing.kind == "balancer")
    other_cloud.things[one.id] = replace(one, uses=set())
    both.settle(1500)
    if stripped:
        both.kube.overwrite(change(both.live(), metadata=change(both.live().metadata, finalizers=())))
        both.kube.delete("shop/web")
        both.settle(60)
    else:
        both.delete("web")
    assert not both.exists()
    assert (balancers(cloud), balancers(other_cloud)) == (0, 0)


def test_a_service_is_not_let_go_of_before_every_account_was_read(both, other_cloud):
    """Its type changed while nobody watched, so nothing says any more where its balancer is."""
    both.apply(service(load_balancer_class=OTHER_CLASS))
    both.kube.listeners = []
    both.kube.put(change(both.live(), spec=change(both.live().spec, type="ClusterIP")))
    both.crash()
    driver = both.controller.accounts["other"].driver
    snapshot, driver.snapshot = driver.snapshot, refuse
    both.settle(20)
    assert both.live().metadata.finalizers == (OWN_FINALIZER,)
    driver.snapshot = snapshot
    both.settle(60)
    assert both.live().metadata.finalizers == ()
    assert balancers(other_cloud) == 0


def refuse(_world):
    """A cloud that cannot be read."""
    raise Unreachable("the cloud is away")
