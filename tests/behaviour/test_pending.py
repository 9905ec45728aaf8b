"""Operations that the cloud accepts and then takes its time for: nobody waits in a worker, nothing is done twice."""

from __future__ import annotations

import pytest

from lbctl.errors import QuotaExceeded
from tests.clouds.memory import PREFIX
from tests.world import node, service


@pytest.fixture
def slow(cloud):
    """The cloud, taking its time for balancers."""
    cloud.slow = True
    return cloud


def test_what_needs_a_thing_in_the_making_waits_for_it(world, slow):
    """The address is published at once, the listener made when the balancer is ready, and the cloud never refuses."""
    world.kube.put(service())
    world.settle(10)
    assert slow.calls["create-balancer"] == 1
    assert slow.calls["create-listener"] == 0
    assert world.addresses() == ["198.51.100.1"]
    assert world.condition().reason in ("Updating", "Provisioning")
    slow.finish()
    world.settle(10)
    assert slow.calls["create-listener"] == 1
    assert world.condition().status == "True"
    assert slow.refused_busy == 0


def test_changes_meanwhile_do_not_touch_what_is_in_flight(world, slow):
    """A new timeout and a new node wait; then one update brings both."""
    world.kube.put(service())
    world.settle(10)
    world.kube.put(service(annotations={PREFIX + "timeout": "90"}))
    world.see_node(node("n3"))
    world.settle(10)
    assert slow.calls["update"] == 0
    slow.finish()
    world.settle(30)
    balancer = next(t for t in slow.things.values() if t.kind == "balancer")
    assert balancer.fields["timeout"] == 90
    assert set(balancer.fields["targets"]) == {"n1", "n2", "n3"}
    assert slow.calls["create-balancer"] == 1


def test_a_crash_while_something_is_in_flight_finds_it_again(world, slow):
    """The new process reads that it is being made, waits, and goes on."""
    world.kube.put(service())
    world.settle(10)
    world.crash()
    world.settle(10)
    assert slow.calls["create-balancer"] == 1
    assert slow.calls["create-listener"] == 0
    slow.finish()
    world.settle(10)
    assert slow.calls["create-balancer"] == 1
    assert world.condition().status == "True"


def test_many_are_in_flight_at_once(world, slow):
    """Ten Services: ten creates before any is ready."""
    for index in range(10):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle(10)
    assert slow.calls["create-balancer"] == 10
    slow.finish()
    world.settle(20)
    assert all(world.condition(f"s{i}").status == "True" for i in range(10))


def test_an_operation_that_fails_later_is_told_and_tried_again(world, slow):
    """As if the call itself had failed."""
    world.kube.put(service())
    world.settle(1)
    balancer = next(t for t in slow.things.values() if t.kind == "balancer")
    del slow.things[balancer.id]
    slow.failing[balancer.id] = QuotaExceeded("20 of 20 balancers are in use")
    world.settle(20)
    assert world.condition().reason == "QuotaExceeded"
    slow.slow = False
    world.settle(320)
    assert world.condition().status == "True"


def test_deletion_waits_for_what_is_being_made(world, slow):
    """A Service that goes while its balancer is being made leaves nothing."""
    world.kube.put(service())
    world.settle(5)
    world.kube.delete("shop/web")
    world.settle(5)
    assert world.exists()
    slow.finish()
    world.settle(30)
    assert not world.exists()
    assert [t for t in slow.things.values() if t.kind == "balancer"] == []


def test_an_operation_of_which_the_cloud_tells_nothing_is_given_up(world, slow):
    """The balancer was removed by hand while it was made: within the hour the cloud is read anew and all is made."""
    world.kube.put(service())
    world.settle(10)
    slow.things.clear()
    slow.slow = False
    world.settle(3600)
    assert slow.calls["create-balancer"] == 2
    assert world.condition().status == "True"


def test_an_operation_that_takes_very_long_is_not_done_twice(world, slow):
    """It is read anew, seen to be under way still, and waited for."""
    world.kube.put(service())
    world.settle(7200)
    assert slow.calls["create-balancer"] == 1
    slow.finish()
    world.settle(700)
    assert slow.calls["create-balancer"] == 1
    assert world.condition().status == "True"
