"""Verdicts over adoption are drawn from plans alone."""

from __future__ import annotations

import pytest

from lbctl.engine.account import Account
from lbctl.engine.adopting import Adoption, Verdict
from lbctl.engine.claim import Standing
from lbctl.engine.plans import Result
from lbctl.engine.tracked import Tracked
from lbctl.model.intent import identity_of
from lbctl.model.resource import Key, Scope
from lbctl.plan.actions import Action, Change, Hazard, Plan, Step, Verb
from tests.clouds.memory import MemoryCloud, info
from tests.world import change, service

SCOPE, BALANCER = Scope("balancer", "a1"), Key("balancer", "a1")
WEB = service()
WEB = change(WEB, metadata=change(WEB.metadata, uid="1"))
OWNERS = frozenset({identity_of(WEB)})


def adoption(*steps, held=False, touched=((SCOPE, BALANCER),)):
    actions = tuple(Action(str(number), "call", (step,)) for number, step in enumerate(steps))
    plan = Plan(SCOPE, held=actions) if held else Plan(SCOPE, actions)
    account = Account("main", info(MemoryCloud()), driver=None)
    tracked = Tracked(identity_of(WEB), WEB, Standing.WANTED)
    return Adoption(account, tracked, (Result("main", SCOPE, ("shop/web",), plan),), frozenset(touched))


def step(field="tags", verb=Verb.UPDATE, hazard=Hazard.NONE, owners=OWNERS):
    return Step(verb, BALANCER, "a1", (Change(field, frozenset(), frozenset({"ours"})),), hazard, owners=owners)


def test_a_mark_on_what_a_deletion_removes_already_may_be_written():
    """Only marks, only on the Service's own objects: `tags only`, and it can be written."""
    found = adoption(step())
    assert found.verdict is Verdict.TAGS
    assert found.can_be_marked


def test_a_mark_that_would_widen_a_deletion_is_never_written():
    """An object that the Service's deletion would not remove gets no mark, though only a tag would change."""
    found = adoption(step(), touched=())
    assert found.verdict is Verdict.TAGS
    assert not found.can_be_marked


@pytest.mark.parametrize(
    "other",
    [
        step("flavor"),
        step(verb=Verb.REPLACE),
        step(verb=Verb.DELETE),
        step(hazard=Hazard.DRAINS),
        step("flavor", owners=frozenset()),
    ],
    ids=["field", "replace", "delete", "hazard", "the cluster's own"],
)
def test_anything_but_marks_is_a_change(other):
    """One step that is more than a mark makes a change of it, and nothing is written."""
    found = adoption(step(), other)
    assert found.verdict is Verdict.CHANGE
    assert not found.can_be_marked


def test_what_another_service_of_the_scope_changes_is_not_this_ones_verdict():
    """A neighbour's change leaves the verdict alone, but then the scope's plan is more than marks and is not run."""
    neighbour = step("flavor", owners=frozenset({identity_of(service("api"))}))
    assert adoption(neighbour).verdict is Verdict.NOTHING
    assert not adoption(step(), neighbour).can_be_marked


def test_what_the_policy_holds_is_not_written():
    """Held marks count for the verdict and are not written."""
    found = adoption(step(), held=True)
    assert found.verdict is Verdict.TAGS
    assert not found.can_be_marked
