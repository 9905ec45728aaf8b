"""Planning what would be, without doing it."""

from __future__ import annotations

import pytest

from lbctl.engine.assembly import Assembly
from lbctl.engine.plans import plans_of
from lbctl.engine.whatif import imagine
from lbctl.model.objects import CustomObject, ObjectMeta
from lbctl.model.reference import Reference
from lbctl.settings import Settings
from tests.clouds.memory import PREFIX, TIERS
from tests.world import NAMESPACE, change, node, service


@pytest.fixture
def assembly(world):
    """The parts of the world's process, as commands have them."""
    return Assembly(Settings(), world.clock, world.kube, world.controller, world.cluster, frozenset())


def planned(assembly, services, nodes):
    imagined = imagine(assembly, services=services, nodes=nodes)
    return [r for r in plans_of(imagined, (), everything=True) if not r.is_empty]


def test_an_imagined_change_is_planned_and_nothing_happens(world, cloud, assembly):
    """A new port shows as a plan of its Service; cloud, Service and what the process knows stay as they are."""
    world.apply(service())
    before = (dict(cloud.things), cloud.writes, world.live(), dict(world.account.observed))
    wider = change(world.live(), spec=change(world.live().spec, ports=service(ports=[80, 443]).spec.ports))
    found = planned(assembly, [wider], world.kube.list_nodes())
    assert [result.services for result in found if "shop/web" in result.services]
    assert (dict(cloud.things), cloud.writes, world.live(), dict(world.account.observed)) == before


def test_what_is_imagined_as_it_is_plans_nothing(world, assembly):
    """The world as it is gives empty plans."""
    world.apply(service())
    assert planned(assembly, world.kube.list_services(), world.kube.list_nodes()) == []


def test_an_imagined_node_is_a_target_in_the_plan(world, assembly):
    """One more node changes targets, and nothing else."""
    world.apply(service())
    found = planned(assembly, world.kube.list_services(), [*world.kube.list_nodes(), node("n3")])
    fields = {c.field for r in found for a in r.plan.actions for s in a.steps for c in s.changes}
    assert fields == {"targets"}


def test_an_object_that_only_an_imagined_service_names_counts(world, assembly):
    """It is read for the plan, and nothing of the running process knows it."""
    world.apply(service())
    gold = CustomObject(metadata=ObjectMeta(name="gold", namespace=NAMESPACE), spec={"bandwidth": 10})
    world.kube.customs[Reference(TIERS, NAMESPACE, "gold")] = gold
    live = world.live()
    named = change(live, metadata=change(live.metadata, annotations={PREFIX + "tier": "gold"}))
    found = planned(assembly, [named], world.kube.list_nodes())
    assert [c.new for r in found for a in r.plan.actions for s in a.steps for c in s.changes] == [10]
    assert planned(assembly, [live], world.kube.list_nodes()) == []


def test_an_imagined_end_plans_deletions(world, assembly):
    """Without the Service, and with its object going away, everything that it has would be deleted."""
    world.apply(service())
    meta = change(world.live().metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    found = planned(assembly, [change(world.live(), metadata=meta)], world.kube.list_nodes())
    verbs = {s.verb.value for r in found for a in r.plan.actions for s in a.steps}
    assert "delete" in verbs
