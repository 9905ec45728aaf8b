"""Several processes, clusters and controllers on one account."""

from __future__ import annotations

from functools import cache

import pytest

from lbctl.driver import Cluster
from tests.behaviour.test_leaders import go_on, work_until
from tests.clouds.cloudstack.cloud import Cloud
from tests.clouds.cloudstack.faults import Fault, How, Moment
from tests.clouds.cloudstack.server import CloudStackServer
from tests.clouds.cloudstack.topology import add_network, add_tier, picture, served
from tests.cloudstack.stage import Stage
from tests.world import World, change, service


def successor(first: Stage) -> World:
    """Another process on the same API objects and the same cloud, which leads from now on."""
    first.leading = False
    second = World(first.info, settings=first.settings, nodes=())
    second.kube.nodes, second.kube.services = first.kube.nodes, first.kube.services
    second.kube._numbers = first.kube._numbers
    second.clock.advance(first.clock.monotonic())
    first.cloud.now = second.clock.monotonic
    second.start()
    return second


def begin(stage: Stage, scenario: str) -> Stage:
    """A process that is about to do something."""
    stage.cloud.jobs.seconds = 1.0
    if scenario == "create":
        stage.kube.put(service(ports=(80,)))
        return stage
    stage.apply(service(ports=(80,), load_balancer_source_ranges=("10.0.0.0/8",)))
    stage.cloud.faults.clear()
    if scenario == "delete":
        stage.kube.delete("shop/web")
        return stage
    live = stage.live()
    spec = service(ports=(80, 443), load_balancer_source_ranges=("192.0.2.0/24",), session_affinity="ClientIP").spec
    stage.kube.put(change(live, spec=spec))
    return stage


INTERLEAVED = [*((name, add_network) for name in ("create", "update", "delete")), ("update", add_tier)]
NAMES = [f"{name}-{make.__name__.removeprefix('add_')}" for name, make in INTERLEAVED]


@cache
def end_of(scenario, make):
    """What the cloud holds when nobody disturbs."""
    with CloudStackServer(Cloud()) as server:
        undisturbed = begin(Stage(server, make(server.cloud)), scenario)
        undisturbed.settle(120)
        undisturbed.driver.close()
        return picture(server.cloud), server.cloud.faults.writes


@pytest.mark.spec("CS-073")
@pytest.mark.parametrize(("scenario", "make"), INTERLEAVED, ids=NAMES)
def test_an_old_leader_that_wakes_up_leaves_no_double(scenario, make):
    """At every point of a pass the lease moves on: the new leader finishes, the old one goes on and changes nothing."""
    wanted, _ = end_of(scenario, make)
    step = 0
    while True:
        step += 1
        with CloudStackServer(Cloud()) as server:
            old = begin(Stage(server, make(server.cloud)), scenario)
            running = work_until(old, step)
            if running is None:
                break
            new = successor(old)
            new.settle(120)
            writes = server.cloud.faults.writes
            go_on(running)
            assert server.cloud.faults.writes == writes
            new.settle(120)
            assert picture(server.cloud) == wanted, f"at step {step}"
            assert not new.plans()
            new.driver.close()
            old.driver.close()
    assert step > 3


@pytest.mark.spec("CS-073")
@pytest.mark.parametrize(("scenario", "make"), INTERLEAVED, ids=NAMES)
def test_a_write_of_the_old_leader_that_arrives_late_leaves_no_double(scenario, make):
    """Each write in turn is held up until the new leader has finished: in the end all is as if it had been in time."""
    wanted, writes = end_of(scenario, make)
    for at in range(1, writes + 1):
        with CloudStackServer(Cloud()) as server:
            stage = Stage(server, make(server.cloud))
            old = begin(stage, scenario)
            fault = Fault.of_writes(How.LATE, Moment.BEFORE, at)
            server.cloud.faults.planned.append(fault)
            while fault.seen < at and old.clock.monotonic() < 1000:
                old.settle(1)
            new = successor(old)
            new.settle(120)
            server.let_in()
            new.settle(700)
            assert picture(server.cloud) == wanted, (
                f"when write {at} of {writes} came late: {server.cloud.faults.calls}"
            )
            assert not new.plans()
            new.driver.close()
            old.driver.close()


def test_two_clusters_in_one_account_keep_apart(server: CloudStackServer):
    """The same Service in two clusters has two balancers; what one cluster deletes is only its own."""
    one = Stage(server)
    two = Stage(server, one.network, nodes=("m1",), cluster=Cluster("other", "cluster-2"))
    server.cloud.now = one.clock.monotonic
    one.apply(service())
    server.cloud.now = two.clock.monotonic
    two.clock.advance(500)
    two.kube.put(service("filler", type="ClusterIP"))
    two.apply(service(ports=(81,)))
    assert one.addresses() != two.addresses()
    two.delete("web")
    assert not two.exists()
    assert served(server.cloud, one.addresses()[0]).keys() == {80}
    two.settle(1300)
    assert served(server.cloud, one.addresses()[0]).keys() == {80}
    assert not [*one.bugs, *two.bugs]


@pytest.mark.spec("CS-080")
def test_a_flip_of_the_affinity_keeps_all_ports_listening(stage: Stage):
    """At every second of the change both ports are served."""
    stage.apply(service(ports=(80, 443)))
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, session_affinity="ClientIP")))
    for _ in range(20):
        stage.settle(1)
        assert stage.served().keys() == {80, 443}
    assert {s["algorithm"] for s in stage.served().values()} == {"source"}


def test_a_type_that_changes_while_nobody_watches_is_cleaned_up(stage: Stage):
    """A Service that became ClusterIP while lbctl was down leaves nothing behind, and keeps no finalizer."""
    before = picture(stage.cloud)
    stage.apply(service())
    stage.kube.listeners = []
    live = stage.live()
    stage.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))
    stage.crash()
    stage.settle(60)
    assert picture(stage.cloud) == before
    assert stage.live().metadata.finalizers == ()


@pytest.mark.parametrize("make", [add_network, add_tier])
@pytest.mark.parametrize("seconds", range(0, 24, 3))
def test_a_deletion_in_the_middle_of_creation_leaves_nothing(server: CloudStackServer, make, seconds):
    """Whenever the author changes their mind, everything goes again."""
    stage = Stage(server, make(server.cloud))
    before = picture(stage.cloud)
    stage.kube.put(service(ports=(80, 443), load_balancer_source_ranges=("10.0.0.0/8",)))
    stage.settle(seconds)
    stage.kube.delete("shop/web")
    stage.settle(200)
    assert not stage.exists()
    assert picture(stage.cloud) == before
    assert not stage.bugs
    stage.driver.close()
