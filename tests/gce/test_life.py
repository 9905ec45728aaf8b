"""The life of a Service in each kind of balancer: made, changed in every way, removed without a trace."""

from __future__ import annotations

import pytest

from lbctl.model.objects import ServicePort
from lbctl_gce import DRIVER
from tests.clouds.gce.world import PROJECT, Google
from tests.gce.conftest import Build
from tests.world import change, service

INTERNAL = {"networking.gke.io/load-balancer-type": "Internal"}
RBS = {"cloud.google.com/l4-rbs": "enabled"}
MODES = {
    "netlb-rbs": ({}, {"backend_service_default": True}),
    "netlb-tp": ({}, {"backend_service_default": False}),
    "ilb-ig": (INTERNAL, {}),
    "ilb-neg": (INTERNAL, {"subsetting": True}),
    "netlb-neg": ({}, {}),
}
FINALIZERS = {
    "netlb-rbs": "gke.networking.io/l4-netlb-v2",
    "netlb-tp": "gke.networking.io/l4-netlb-v1",
    "netlb-neg": "gke.networking.io/l4-netlb-v3",
    "ilb-ig": "gke.networking.io/l4-ilb-v1",
    "ilb-neg": "gke.networking.io/l4-ilb-v2",
}


@pytest.fixture(params=MODES)
def made(request: pytest.FixtureRequest, build: Build):
    """A world with one Service of each kind, and the state of the cloud before it; the role is that of the kind."""
    annotations, settings = MODES[request.param]
    world = build(**settings)
    before = world.state()
    wanted = marked(request.param, service(annotations=annotations))
    included = DRIVER.permissions(world.settings, [wanted])["includedPermissions"]
    world.compute.granted = {PROJECT: set(included)}
    world.apply(wanted)
    return request.param, world, before


def marked(mode: str, wanted):
    """The Service; endpoint groups behind an external balancer are upstream's choice, told by its finalizer."""
    marks = (FINALIZERS[mode],) if mode == "netlb-neg" else ()
    return change(wanted, metadata=change(wanted.metadata, finalizers=marks))


def only(world: Google, collection: str):
    """The one object of a collection that is not somebody else's."""
    (found,) = world.objects(collection).values()
    return found


def put(world: Google, **spec) -> None:
    """Change the Service's spec."""
    world.edit("web", **spec)
    assert world.condition().status == "True", world.condition()
    assert world.plans() == []


def test_a_service_is_served_and_leaves_nothing_behind(made):
    """The address of its forwarding rule is published; after its deletion the cloud is as it was before."""
    mode, world, before = made
    assert world.condition().status == "True", world.condition()
    assert world.addresses() == [only(world, "forwardingRules")["IPAddress"]]
    assert FINALIZERS[mode] in world.live().metadata.finalizers
    assert world.plans() == []
    world.delete("web")
    assert not world.exists()
    assert world.state() == before


def test_every_change_is_carried_out_and_keeps_the_address(made):
    """Ports, source ranges, affinity, node ports, traffic policy both ways: done, and the plan is empty after each."""
    _, world, before = made
    address = world.addresses()
    two = service(ports=(80, 443)).spec.ports
    put(world, ports=two)
    put(world, load_balancer_source_ranges=("10.0.0.0/8", "192.168.0.0/16"))
    put(world, session_affinity="ClientIP")
    put(world, external_traffic_policy="Local", health_check_node_port=32100)
    put(world, external_traffic_policy="Cluster", health_check_node_port=0)
    put(world, ports=service(ports=(8080,)).spec.ports, load_balancer_source_ranges=())
    assert world.addresses() == address
    assert world.objects("addresses") == {}
    world.delete("web")
    assert world.state() == before


def test_a_protocol_change_recreates_the_forwarding_rule_with_its_address(made):
    """From TCP to UDP and back."""
    _, world, _ = made
    address = world.addresses()
    udp = (ServicePort(port=53, protocol="UDP", node_port=30053),)
    tcp = world.live().spec.ports
    put(world, ports=udp)
    assert only(world, "forwardingRules")["IPProtocol"] == "UDP"
    put(world, ports=tcp)
    assert only(world, "forwardingRules")["IPProtocol"] == "TCP"
    assert world.addresses() == address
    assert world.objects("addresses") == {}


def test_nodes_come_and_go_in_new_zones(made):
    """A node in a new zone serves, one that leaves does not, and the other zone stays as it is."""
    _, world, _ = made
    world.join("n3", "c")
    world.settle(60)
    assert serving(world) == {"n1", "n2", "n3"}
    assert world.plans() == []
    world.see_node(None, "n1")
    world.settle(60)
    assert serving(world) == {"n2", "n3"}
    assert world.plans() == []


def serving(world: Google) -> set[str]:
    """Names of all instances behind the balancers."""
    store = world.compute.store
    paths = [m for path, members in store.members.items() for m in members if "somebody-elses" not in path]
    return {path.split(" ")[0].rpartition("/")[2] for path in paths}


def test_two_services_share_what_is_the_clusters(made):
    """Deleting one leaves the other as it was; deleting the last removes everything."""
    mode, world, before = made
    alone = world.state()
    annotations = world.live().metadata.annotations
    world.apply(marked(mode, service("other", ports=(81,), annotations=annotations)))
    assert world.condition("other").status == "True"
    world.delete("other")
    assert world.state() == alone
    world.delete("web")
    assert world.state() == before


def test_a_change_of_type_while_nobody_looks_is_cleaned_up(made):
    """The process is down when the Service becomes a ClusterIP one; the next one removes everything."""
    _, world, before = made
    live = world.live()
    world.kube.listeners = []
    world.kube.put(change(live, spec=change(live.spec, type="ClusterIP")))
    world.crash()
    world.settle(60)
    assert world.live().metadata.finalizers == ()
    assert world.state() == before


@pytest.mark.spec("GCE-020")
def test_a_restart_writes_nothing(made):
    """A new process reads and is content."""
    _, world, _ = made
    world.compute.journal.clear()
    writes, events = world.kube.writes, len(world.kube.events)
    world.crash()
    world.settle(60)
    assert world.compute.journal.writes == 0
    assert (world.kube.writes, len(world.kube.events)) == (writes, events)


@pytest.mark.spec("GCE-019")
def test_an_unchanged_service_costs_no_call(made):
    """A pass over what is in order."""
    _, world, _ = made
    world.compute.journal.clear()
    for scope in world.account.all_scopes():
        world.controller.resync(world.account, scope)
    world.settle()
    assert world.compute.journal.calls == []
