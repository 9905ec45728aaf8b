"""What Services that are gone left behind: found by this cluster's marks, removed on request, others' left alone."""

from __future__ import annotations

import pytest

from lbctl.annotations import DELETION_POLICY
from lbctl.driver import Pending, Refs, World
from lbctl.engine.planning import build_world
from lbctl.errors import OwnedByOther
from lbctl.model.resource import Desired, Identity, Observed, Scope
from tests.clouds.cloudstack.objects import Firewall, Forwarding, Rule
from tests.clouds.cloudstack.topology import add_address, add_network, add_tier, picture, served
from tests.clouds.cloudstack.upstream import provision
from tests.cloudstack.stage import Stage
from tests.world import service

STRANGER = "0000000e-0000-4000-8000-000000000001"


def look(stage: Stage) -> tuple[World, dict[Scope, Observed]]:
    """A fresh look at everything of this cluster."""
    services = list(stage.account.services.values())
    world = build_world(stage.account, services, cluster=stage.cluster, now=stage.clock.now())
    return world, dict(stage.driver.snapshot(world))


def orphans(stage: Stage) -> set[Identity]:
    """Owners of what is proven this cluster's, that are no Service."""
    world, seen = look(stage)
    return {owner for observed in seen.values() for owner in observed.owners() if owner not in world.services}


def collect(stage: Stage, doomed: set[Identity]) -> None:
    """Remove what only the doomed own, as `lbctl gc` does: the plan of a wish without it, carried out."""
    world, seen = look(stage)
    for scope, first in sorted(seen.items()):
        observed = first
        for _ in range(10):
            staying = [s.resource for s in observed.resources.values() if s.ours and not s.resource.owners & doomed]
            plan = stage.driver.plan(Desired.of(scope, staying), observed, world)
            if not doomed & observed.owners() or not plan.actions:
                break
            for action in plan.actions:
                outputs = stage.driver.apply(action, Refs(observed, world))
                while isinstance(outputs, Pending):
                    stage.clock.advance(5)
                    outputs = stage.driver.poll([outputs]).get(outputs.operation, outputs)
                observed = observed.with_outputs(outputs)


def lose(stage: Stage, name: str = "web") -> None:
    """The Service vanishes while nobody watches."""
    stage.settle(60)
    del stage.kube.services[f"shop/{name}"]
    stage.crash()
    stage.settle(1300)


@pytest.mark.spec("CS-072")
@pytest.mark.parametrize("make", [add_network, add_tier])
def test_only_what_this_cluster_marked_is_collected(serve, make):
    """A lost Service's balancer serves until it is collected whole, its age is told, and what we did not mark stays."""
    server = serve()
    stage = Stage(server, make(server.cloud))
    provision(stage.cloud, stage.network, STRANGER, ports=[(80, 30080)], ip="203.0.113.50")
    before = picture(stage.cloud)
    stage.apply(service(ports=(80, 443), load_balancer_source_ranges=("10.0.0.0/8",)))
    (ip,) = stage.addresses()
    lose(stage)
    assert served(stage.cloud, ip).keys() == {80, 443}
    assert {owner.key for owner in orphans(stage)} == {"shop/web"}
    _, seen = look(stage)
    created = [s.outputs["created"] for o in seen.values() for s in o.resources.values() if "created" in s.outputs]
    assert created
    assert all(text.startswith("2026-01-01T00:0") for text in created)
    collect(stage, orphans(stage))
    assert picture(stage.cloud) == before
    assert orphans(stage) == set()
    (told,) = (f for f in stage.driver.check() if f.subject == "unmarked rules")
    assert "a0000000e0000400080000000000000" in told.message


@pytest.mark.spec("CS-072")
def test_an_orphans_address_with_a_guests_rule_is_let_go_and_not_released(stage: Stage):
    """The release would take the guest's rule along: the orphan's rules go one by one, the address stays, unmarked."""
    stage.apply(service(ports=(80, 443)))
    (ip,) = stage.addresses()
    (address,) = (a for a in stage.cloud.addresses.values() if a.ip == ip)
    guest = Rule(stage.cloud.new_id(), "guest", address.id, stage.network.id, 9000, 9000, "source", "tcp")
    stage.cloud.rules[guest.id] = guest
    lose(stage)
    collect(stage, orphans(stage))
    assert [r.name for r in stage.cloud.rules_of(address.id)] == ["guest"]
    assert (address.state, address.tags) == ("Allocated", {})
    assert orphans(stage) == set()


@pytest.mark.spec("CS-072", "CS-028")
@pytest.mark.parametrize("kind", ["forwarding", "firewall"])
def test_a_release_that_would_take_others_along_is_refused(stage: Stage, kind):
    """What no snapshot shows is looked for right before the release."""
    stage.apply(service())
    (ip,) = stage.addresses()
    (address,) = (a for a in stage.cloud.addresses.values() if a.ip == ip)
    lose(stage)
    if kind == "forwarding":
        stage.cloud.forwardings["f"] = Forwarding("f", address.id, 2200)
    else:
        stage.cloud.firewalls["f"] = Firewall("f", address.id, "udp", 500, 500, ("0.0.0.0/0",))
    before = picture(stage.cloud)
    with pytest.raises(OwnedByOther, match="would take along"):
        collect(stage, orphans(stage))
    assert picture(stage.cloud) == before


@pytest.mark.spec("CS-072")
@pytest.mark.parametrize("make", [add_network, add_tier])
def test_what_its_author_wanted_to_keep_is_no_orphan(serve, make):
    """A deleted Service with the policy retain leaves its balancer serving without a mark, and nothing collects it."""
    server = serve()
    stage = Stage(server, make(server.cloud))
    ranges = ("10.0.0.0/8", "192.0.2.0/24")
    stage.apply(service(ports=(80, 443), load_balancer_source_ranges=ranges[:1]))
    stage.edit("web", load_balancer_source_ranges=ranges)
    stage.annotate("web", stage.live().metadata.annotations | {DELETION_POLICY: "retain"})
    (ip,) = stage.addresses()
    stage.delete("web")
    stage.settle(120)
    assert not stage.exists()
    assert orphans(stage) == set()
    collect(stage, orphans(stage))
    assert {port: s["admits"] for port, s in served(stage.cloud, ip).items()} == {80: [*ranges], 443: [*ranges]}
    things = [*stage.cloud.addresses.values(), *stage.cloud.rules.values(), *stage.cloud.acl_items.values()]
    assert not [thing for thing in things if stage.cluster.id in thing.tags.values()]


def test_a_shared_address_that_was_named_stays_when_an_orphan_goes(stage: Stage):
    """Of two Services on a user's address the one that is lost is collected, and the other serves on."""
    add_address(stage.cloud, "203.0.113.60", state="Allocated", network_id=stage.network.id)
    stage.apply(service("one", ports=(80,), load_balancer_ip="203.0.113.60"))
    stage.apply(service("two", ports=(443,), load_balancer_ip="203.0.113.60"))
    lose(stage, "one")
    collect(stage, orphans(stage))
    assert served(stage.cloud, "203.0.113.60").keys() == {443}
    stage.settle(1300)
    assert served(stage.cloud, "203.0.113.60").keys() == {443}
    assert orphans(stage) == set()
