"""Several processes, clusters and controllers on one account."""

from __future__ import annotations

import pytest

from lbctl.driver import Cluster
from lbctl_cloudstack.names import own_scope
from tests.behaviour.test_leaders import go_on, work_until
from tests.clouds.cloudstack.cloud import Cloud
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


def begin(server: CloudStackServer, scenario: str) -> Stage:
    """A process that is about to do something."""
    stage = Stage(server)
    if scenario == "create":
        stage.kube.put(service(ports=(80,)))
        return stage
    stage.apply(service(ports=(80,)))
    stage.kube.delete("shop/web")
    return stage


@pytest.mark.spec("CS-073")
@pytest.mark.parametrize("scenario", ["create", "delete"])
def test_an_old_leader_that_wakes_up_leaves_no_double(scenario):
    """At every point of a pass the lease moves on: the new leader finishes, the old one goes on and changes nothing."""
    with CloudStackServer(Cloud()) as server:
        undisturbed = begin(server, scenario)
        undisturbed.settle(120)
        wanted = picture(undisturbed.cloud)
    step = 0
    while True:
        step += 1
        with CloudStackServer(Cloud()) as server:
            old = begin(server, scenario)
            running = work_until(old, step)
            if running is None:
                break
            new = successor(old)
            new.settle(120)
            writes = server.cloud.faults.writes
            go_on(running)
            assert server.cloud.faults.writes == writes
            new.settle(700)
            assert picture(server.cloud) == wanted, f"at step {step}"
            assert not new.plans()
            new.driver.close()
            old.driver.close()
    assert step > 3


@pytest.mark.spec("CS-072")
def test_what_belongs_to_no_service_is_reported_and_left(stage: Stage):
    """The balancer of a Service that vanished while nobody watched serves on, and is known by its owner's name."""
    stage.apply(service())
    (ip,) = stage.addresses()
    stage.settle(60)
    del stage.kube.services["shop/web"]
    stage.crash()
    stage.settle(1300)
    assert served(stage.cloud, ip).keys() == {80}
    unknown = stage.account.observed[own_scope("00000001-0000-4000-8000-000000000000")].owners()
    assert {identity.key for identity in unknown} == {"shop/web"}


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
@pytest.mark.parametrize("seconds", range(0, 24, 2))
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
