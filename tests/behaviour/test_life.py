"""The life of a Service: made, changed, removed."""

from __future__ import annotations

import pytest

from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER
from tests.clouds.memory import PREFIX
from tests.world import endpoint_slice, node, service


@pytest.mark.spec("SC-001", "SC-015")
def test_a_service_gets_its_finalizer_before_its_balancer_and_its_address_after(world, cloud):
    """The order of writes is finalizer, cloud, status."""
    order = []
    world.kube.after = lambda what, _n: order.append(what)
    cloud.after = lambda what, _n: order.append(what)
    world.apply(service())
    assert order[0] == "add-finalizers"
    assert order[1] == "create-balancer"
    assert order[-1] == "write-status"
    assert SHARED_FINALIZER in world.live().metadata.finalizers
    assert world.addresses() == ["198.51.100.1"]
    assert world.condition().status == "True"
    assert world.reasons() == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]


@pytest.mark.spec("SC-016")
def test_an_unchanged_service_costs_nothing(world, cloud):
    """A pass over what is in order makes no cloud call, no write and no event."""
    world.apply(service())
    calls, writes, events = cloud.calls.total(), world.kube.writes, len(world.kube.events)
    for scope in world.account.all_scopes():
        world.controller.resync(world.account, scope)
    world.settle()
    assert (cloud.calls.total(), world.kube.writes, len(world.kube.events)) == (calls, writes, events)


@pytest.mark.spec("SC-034", "SC-036")
def test_a_deleted_service_takes_everything_with_it(world, cloud):
    """Balancer first, then the finalizer, and with it the object."""
    world.apply(service(ports=(80, 443)))
    order = []
    world.kube.after = lambda what, _n: order.append(what)
    cloud.after = lambda what, _n: order.append(what)
    world.delete("web")
    assert not world.exists()
    assert [t for t in cloud.things.values() if t.kind != "firewall"] == []
    assert order.index("delete") < order.index("remove-finalizers") == len(order) - 1
    assert world.reasons()[-2:] == ["DeletingLoadBalancer", "DeletedLoadBalancer"]


@pytest.mark.spec("SC-027", "SC-028")
def test_a_bad_annotation_is_told_and_leaves_the_balancer_alone(world, cloud):
    """Invalid input is one Warning and a condition; what is served stays, and a fix works at once."""
    world.apply(service())
    before = cloud.state()
    world.annotate("web", {PREFIX + "timeout": "soon"})
    assert cloud.state() == before
    assert world.addresses() == ["198.51.100.1"]
    assert world.condition().reason == "InvalidService"
    assert "soon" in world.condition().message
    assert world.reasons().count("InvalidService") == 1
    world.kube.put(service(annotations={PREFIX + "timeout": "90"}))
    world.settle(1.0)
    assert world.condition().status == "True"
    assert any(t.fields.get("timeout") == 90 for t in cloud.things.values())


@pytest.mark.spec("SC-037")
def test_a_service_that_changes_its_type_loses_its_balancer(world, cloud):
    """Type ClusterIP removes balancer and finalizer."""
    world.apply(service())
    world.edit("web", type="ClusterIP")
    assert world.live().metadata.finalizers == ()
    assert [t for t in cloud.things.values() if t.kind != "firewall"] == []
    assert world.addresses() == []


@pytest.mark.spec("SC-004")
def test_a_classed_service_gets_our_own_finalizer(world, cloud):
    """The shared finalizer is left to the default controller."""
    world.apply(service(load_balancer_class="example.com/memory"))
    assert world.live().metadata.finalizers == (OWN_FINALIZER,)
    assert world.addresses()


@pytest.mark.spec("SC-003", "SC-014")
@pytest.mark.parametrize(
    "foreign",
    [service(load_balancer_class="other.example/lb"), service(annotations={PREFIX + "elsewhere": "true"})],
)
def test_a_foreign_service_is_left_alone(world, cloud, foreign):
    """No finalizer, no status, no event, no cloud write."""
    world.apply(foreign)
    assert world.live().metadata.finalizers == ()
    assert cloud.writes == 0
    assert world.kube.events == []
    assert world.kube.writes == 0


def protect(cloud, *, on):
    """Let the cloud refuse every change, or none."""

    def refuse(_name, _number):
        raise RuntimeError("protected")

    cloud.before = refuse if on else lambda _name, _number: None


def test_a_service_that_comes_back_before_its_balancer_went_is_not_told_deleted(world, cloud):
    """Whoever reads its Events learns that it is served."""
    world.apply(service())
    protect(cloud, on=True)
    world.edit("web", type="ClusterIP")
    protect(cloud, on=False)
    world.edit("web", type="LoadBalancer")
    world.settle(600)
    assert world.addresses()
    assert "DeletedLoadBalancer" not in world.reasons()


def test_a_service_that_comes_back_when_half_is_gone_is_told_ensured(world, cloud):
    """What was removed is made again, and its Events say so."""
    world.apply(service())
    next(t for t in cloud.things.values() if t.kind == "balancer").fields["protected"] = True
    world.edit("web", type="ClusterIP")
    told = len(world.reasons())
    world.edit("web", type="LoadBalancer")
    world.settle(600)
    assert world.reasons()[told:] == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]


def test_a_wish_made_while_an_update_of_hosts_fails_is_told_as_a_wish(world, cloud):
    """Its author is waiting to hear of it."""
    world.apply(service())
    protect(cloud, on=True)
    world.see_node(node("n3"))
    world.settle(20)
    protect(cloud, on=False)
    told = len(world.reasons())
    world.annotate("web", {PREFIX + "timeout": "99"})
    world.settle(700)
    assert world.reasons()[told:] == ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]


def remembered(world):
    """How much of each kind a process keeps in memory, but for objects that exist and may be referred to."""
    holders = (world.account, world.account.references, world.controller.intake)
    kept = ((type(holder).__name__, name, value) for holder in holders for name, value in vars(holder).items())
    sizes = {(holder, name): len(value) for holder, name, value in kept if isinstance(value, (dict, set))}
    del sizes["References", "_objects"]
    return sizes


def test_a_service_that_is_gone_leaves_nothing_behind_in_memory(world):
    """Deleted or no balancer any more, in a cluster with a thousand a day: the process does not grow."""

    def live_and_go(number):
        for port, name in enumerate((f"gone{number}", f"inner{number}"), start=80):
            annotations = {PREFIX + "pods": "true", PREFIX + "also": f"canary{number}"}
            world.apply(service(name, ports=(port,), annotations=annotations))
            world.see_slice(endpoint_slice("10.2.0.1", name=name))
        world.see_node(node(f"extra{number}"))
        world.settle()
        world.see_node(None, f"extra{number}")
        world.edit(f"inner{number}", type="ClusterIP")
        world.delete(f"gone{number}")
        for name in (f"gone{number}", f"inner{number}"):
            world.controller.see_slice(world.slices.pop(f"shop/{name}-1"), None)
        world.settle(1500)

    live_and_go(0)
    before = remembered(world)
    for number in range(1, 4):
        live_and_go(number)
    assert remembered(world) == before
