"""The one matcher and differ."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbctl.cli.documents import actions_of
from lbctl.errors import OwnedByOther
from lbctl.model.resource import Desired, Identity, Key, Observed, Ref, Resource, Scope, Seen, State
from lbctl.plan.actions import Action, Hazard, Verb, Wait, digest
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl.plan.policy import Mode, Policy, allow
from lbctl.plan.render import plan_lines
from lbctl.plan.rules import FieldRule, KindRule, Rules, same_any_case

SCOPE = Scope("balancer", "a1")
WEB = frozenset({Identity("shop", "web", "u1")})
RULES = Rules(
    {
        "balancer": KindRule(
            "balancer",
            {
                "scheme": FieldRule(hazard=Hazard.MOVES_ADDRESS, replaces=True, asked=True),
                "subnet": FieldRule(hazard=Hazard.MOVES_ADDRESS, replaces=True),
                "name": FieldRule(equal=same_any_case),
                "tags": FieldRule(ignore_unset=True),
            },
            on_delete=Hazard.LOSES_ADDRESS,
        )
    }
)
BALANCER = Key("balancer", "")


def resource(key=BALANCER, needs=(), **fields):
    """A wanted resource of the web Service."""
    return Resource(key, "a1", fields, WEB, frozenset(needs))


def observed(*resources, **options):
    """What was seen, all of it ours unless said otherwise."""
    return Observed(SCOPE, {r.key: Seen(r, {"id": f"id-{r.key.id}"}, **options) for r in resources})


def steps(wanted, seen):
    """The steps from seen to wanted."""
    return diff(Desired.of(SCOPE, wanted), seen, rules=RULES)


def test_nothing_differs_nothing_to_do():
    """Equal values, another case where case means nothing, unset where unset means leave it."""
    seen = observed(resource(scheme="public", name="A1", tags="x"))
    assert steps([resource(scheme="public", name="a1", tags=None)], seen) == ()


def test_a_field_that_only_the_cloud_has_is_no_difference():
    """Reads return more than we ask for."""
    assert steps([resource(scheme="public")], observed(resource(scheme="public", extra=1))) == ()


def test_missing_is_created_superfluous_deleted_changed_updated():
    """With the reason and the hazard of each."""
    listener = Key("listener", "80")
    found = steps([resource(color="red")], observed(resource(color="blue"), resource(listener)))
    assert [(s.verb, s.key) for s in found] == [(Verb.UPDATE, BALANCER), (Verb.DELETE, listener)]
    assert [(c.field, c.old, c.new) for c in found[0].changes] == [("color", "blue", "red")]
    created = steps([resource()], Observed(SCOPE))
    assert [(s.verb, s.owners) for s in created] == [(Verb.CREATE, WEB)]
    gone = steps([], observed(resource()))
    assert [(s.verb, s.hazard) for s in gone] == [(Verb.DELETE, Hazard.LOSES_ADDRESS)]


def test_what_the_service_itself_asks_for_needs_no_approval():
    """A change of scheme is shown as a move but is not an unasked one; a change of subnet is."""
    (asked,) = steps([resource(scheme="internal")], observed(resource(scheme="public")))
    assert (asked.verb, asked.hazard, asked.unasked) == (Verb.REPLACE, Hazard.MOVES_ADDRESS, Hazard.NONE)
    (unasked,) = steps([resource(subnet="b")], observed(resource(subnet="a")))
    assert unasked.unasked is Hazard.MOVES_ADDRESS


def test_somebody_elses_object_is_never_touched():
    """In the way of a wanted one it is an error that names the owner; otherwise it is not seen."""
    theirs = observed(resource(color="blue"), ours=False, owner_hint="cluster b")
    assert steps([], theirs) == ()
    with pytest.raises(OwnedByOther, match="cluster b"):
        steps([resource(color="red")], theirs)


def test_a_reference_is_compared_by_what_it_points_to():
    """Known: compared. Not there yet: a difference."""
    listener, group = Key("listener", "80"), Key("group", "g")
    pointing = resource(listener, target=Ref(group))
    there = observed(resource(listener, target="id-g"), resource(group))
    assert steps([pointing, resource(group)], there) == ()
    elsewhere = observed(resource(listener, target="id-old"), resource(group))
    assert [s.verb for s in steps([pointing, resource(group)], elsewhere)] == [Verb.UPDATE]


def test_a_set_may_have_references_beside_plain_values():
    """Whichever of them comes first."""
    group = resource(Key("group", "g"))
    for number in range(20):
        mixed = frozenset({f"sg-{number}", Ref(group.key)})
        there = frozenset({f"sg-{number}", "id-g"})
        seen = observed(group, resource(groups=there))
        assert steps([group, resource(groups=mixed)], seen) == ()


def test_what_is_going_away_is_not_deleted_again():
    """A delete is on its way."""
    seen = Observed(SCOPE, {BALANCER: Seen(resource(), state=State.DELETING)})
    assert steps([], seen) == ()


def test_a_frozen_owner_keeps_what_it_has():
    """Whatever is desired of it."""
    seen = observed(resource(color="blue"))
    wanted = Desired.of(SCOPE, []).frozen_for(WEB, seen)
    assert diff(wanted, seen, rules=RULES) == ()


def one_each(found):
    """Each step as an action of its own."""
    return [Action(f"{s.verb}-{s.key}", s.verb.value, (s,)) for s in found]


def test_pointers_come_after_what_they_point_to_and_go_before():
    """A new group first, then the listener that moves to it, then the old group."""
    listener, old, new = Key("listener", "80"), Key("group", "old"), Key("group", "new")
    wanted = [resource(listener, needs=[new], target=Ref(new)), resource(new)]
    seen = observed(resource(listener, needs=[old], target="id-old"), resource(old))
    plan = build_plan(SCOPE, one_each(steps(wanted, seen)))
    assert [a.steps[0].key for a in plan.actions] == [new, listener, old]


def test_shuffled_input_gives_the_same_plan_text():
    """Byte for byte, and the same digest."""
    keys = [Key("rule", str(i)) for i in range(20)]
    texts, digests = set(), set()
    for seed in range(10):
        source = random.Random(seed)
        wanted, seen = [resource(k, color="red") for k in keys[5:]], [resource(k, color="blue") for k in keys[:12]]
        source.shuffle(wanted)
        source.shuffle(seen)
        plan = build_plan(SCOPE, one_each(steps(wanted, observed(*seen))))
        texts.add("\n".join(plan_lines(plan)))
        digests.add(plan.digest)
    assert len(texts) == len(digests) == 1


def test_a_plan_without_a_step_has_a_text_too():
    """Nothing to do, and nothing but waiting, are said in words."""
    assert list(plan_lines(build_plan(SCOPE, []))) == ["Nothing to do."]
    waiting = build_plan(SCOPE, [], waits=[Wait("the balancer is being made", 2.0)])
    assert any("the balancer is being made" in line for line in plan_lines(waiting))


def test_the_digest_names_what_is_done():
    """Another value is another digest."""
    red = one_each(steps([resource(color="red")], observed(resource(color="blue"))))
    green = one_each(steps([resource(color="green")], observed(resource(color="blue"))))
    assert digest(tuple(red)) != digest(tuple(green))
    assert len(digest(tuple(red))) == 12


def test_a_circle_of_actions_is_a_bug_that_is_told():
    """Folding two resources that need each other's change makes one."""
    a, b = Key("a", ""), Key("b", "")
    found = steps([resource(a, needs=[b]), resource(b, needs=[a])], Observed(SCOPE))
    with pytest.raises(AssertionError, match="circle"):
        build_plan(SCOPE, one_each(found))


@pytest.mark.parametrize(
    ("mode", "verbs"),
    [
        (Mode.SYNC, {"create", "update", "delete"}),
        (Mode.NO_DELETE, {"create", "update"}),
        (Mode.CREATE_ONLY, {"create"}),
        (Mode.OBSERVE, set()),
    ],
)
def test_a_mode_lets_its_verbs_through(mode, verbs):
    """The rest is held."""
    a, b, c = Key("rule", "a"), Key("rule", "b"), Key("rule", "c")
    found = steps([resource(a), resource(b, color="red")], observed(resource(b, color="blue"), resource(c)))
    plan = allow(build_plan(SCOPE, one_each(found)), Policy(mode, Hazard.LOSES_ADDRESS))
    assert {s.verb.value for action in plan.actions for s in action.steps} == verbs
    assert len(plan.actions) + len(plan.held) == 3


def test_what_needs_a_held_action_is_held_with_it():
    """A listener cannot be made on a balancer that may not be replaced."""
    listener = Key("listener", "80")
    wanted = [resource(subnet="b"), resource(listener, needs=[BALANCER])]
    plan = allow(build_plan(SCOPE, one_each(steps(wanted, observed(resource(subnet="a"))))), Policy())
    assert plan.actions == ()
    assert {s.key for action in plan.held for s in action.steps} == {BALANCER, listener}
    assert plan.held_digest in "\n".join(plan_lines(plan))
    assert all(action.held for action in actions_of(plan))


def test_a_leaving_service_approves_the_loss_of_its_own_address():
    """And of nobody else's."""
    plan = build_plan(SCOPE, one_each(steps([], observed(resource()))))
    assert allow(plan, Policy()).held
    assert not allow(plan, Policy(), leaving=WEB).held


VALUES = st.one_of(st.integers(0, 3), st.sampled_from(["x", "y"]), st.frozensets(st.sampled_from("abc")))
THINGS = st.dictionaries(
    st.sampled_from([Key("rule", str(i)) for i in range(6)]),
    st.dictionaries(st.sampled_from(["p", "q"]), VALUES, max_size=2),
    max_size=6,
)


@given(wanted=THINGS, there=THINGS)
def test_carrying_a_plan_out_leaves_nothing_to_do(wanted, there):
    """plan(apply(plan)) is empty, for any two states."""
    desired = [resource(key, **fields) for key, fields in wanted.items()]
    seen = observed(*[resource(key, **fields) for key, fields in there.items()])
    for step in steps(desired, seen):
        if step.verb is Verb.DELETE:
            seen = Observed(SCOPE, {k: s for k, s in seen.resources.items() if k != step.key})
        else:
            old = dict(step.seen.resource.fields) if step.seen else {}
            merged = resource(step.key, **{**old, **step.desired.fields})
            seen = Observed(SCOPE, {**seen.resources, step.key: Seen(merged)})
    assert steps(desired, seen) == ()
