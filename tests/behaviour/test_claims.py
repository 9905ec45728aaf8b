"""Which Services are ours, and whose finalizers we may touch."""

from __future__ import annotations

import pytest

from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER
from tests.world import change, service


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
