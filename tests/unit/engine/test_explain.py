"""Findings are decided from facts alone."""

from __future__ import annotations

import re

import pytest

from lbctl.driver import Finding, Health, Level
from lbctl.engine.claim import OWN_FINALIZER, SHARED_FINALIZER, Claim, ClaimRules, Standing, claim
from lbctl.engine.explain import Facts, Told, explain
from lbctl.engine.plans import Result
from lbctl.engine.publish import READY_CONDITION
from lbctl.engine.summary import State, summarise
from lbctl.engine.tracked import Tracked
from lbctl.errors import LbctlError, NotAuthenticated
from lbctl.model.intent import identity_of
from lbctl.model.objects import Condition, ServiceStatus
from lbctl.model.problem import Problem
from lbctl.model.resource import Key, Scope
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb, Wait
from tests.world import change, service

OURS = Claim(Standing.WANTED, "main", SHARED_FINALIZER, 2, "it has no class")
SCOPE = Scope("balancer", "web")
ACTION = Action(
    "a", "replace", (Step(Verb.REPLACE, Key("balancer", "web"), why="flavor differs", hazard=Hazard.MOVES_ADDRESS),)
)


def conditioned(status, reason, message=""):
    condition = Condition(type=READY_CONDITION, status=status, reason=reason, message=message)
    return change(service(), status=ServiceStatus(conditions=(condition,)))


def facts(**given):
    return Facts(**{"service": service(), "claim": OURS, "leader": "pod-1", "eligible_nodes": 3, **given})


def failed(**given):
    return {one.subject: one for one in explain(facts(**given)) if one.level is Level.FAILED}


def test_nothing_is_wrong_with_what_is_in_order():
    """A ready Service with an empty plan has only good findings."""
    ready = conditioned("True", "Ready")
    found = explain(facts(service=ready, plans=[Result("main", SCOPE, ("shop/web",), Plan(SCOPE))]))
    assert {one.level for one in found} == {Level.OK}


def test_a_missing_leader_is_a_finding():
    """Nobody leads: start a controller, or see why the one that should does not; and nothing is told of a next try."""
    given = conditioned("False", "QuotaExceeded", "10 of 10 balancers")
    assert failed(leader="")["controller"].hint.startswith("start one: lbctl run")
    assert "next try" not in [one.subject for one in explain(facts(service=given, leader=""))]


def test_every_problem_of_the_wish_is_a_finding_of_its_own():
    """Two problems, two findings at their fields, and the plan does not repeat them."""
    problems = (Problem("spec.a", "is wrong", "do b"), Problem("spec.c", "is wrong too"))
    tracked = Tracked(identity_of(service()), service(), Standing.WANTED, problems=problems)
    text = "shop/web: spec.a: is wrong (do b); spec.c: is wrong too"
    found = failed(tracked=tracked, plans=[Result("main", SCOPE, ("shop/web",), Plan(SCOPE), problem=text)])
    assert found["spec.a"].hint == "do b"
    assert found.keys() == {"spec.a", "spec.c"}


def test_a_held_plan_says_how_to_let_it_run():
    """The digest to approve is part of what to do."""
    plan = Plan(SCOPE, held=(ACTION,))
    finding = failed(plans=[Result("main", SCOPE, ("shop/web",), plan)])["plan balancer/web"]
    assert "THE ADDRESS CHANGES" in finding.message
    assert finding.hint.endswith(f"--approve {plan.held_digest}")


def all_errors(kind=LbctlError):
    return [kind, *(one for derived in kind.__subclasses__() for one in all_errors(derived))]


@pytest.mark.parametrize("reason", sorted({one.reason for one in all_errors() if one.__module__ == "lbctl.errors"}))
def test_every_error_has_its_advice_and_its_next_try(reason):
    """The last error, what to do about it, when it is tried again, and how to have it tried earlier."""
    given = conditioned("False", reason, "this came back")
    found = {one.subject: one for one in explain(facts(service=given))}
    assert "this came back" in found["last error"].message
    assert "has to act" not in found["last error"].hint
    assert "{" not in found["last error"].hint
    assert found["next try"].hint
    assert re.match(
        r"within \d+ (seconds|minutes): |as soon as the Service |when the controller", found["next try"].message
    )


@pytest.mark.parametrize(
    ("reason", "when", "how"),
    [
        ("QuotaExceeded", "within 5 minutes: it is tried that often", "rollout restart"),
        ("MissingFact", "within 60 seconds: it is tried that often", "rollout restart"),
        ("Unreachable", "within 6 minutes: the pauses grow to that, from 5 seconds on", "rollout restart"),
        ("InvalidService", "as soon as the Service changes", "kubectl -n shop edit service web"),
        ("InvalidSettings", "when the controller starts again", "rollout restart"),
    ],
)
def test_the_next_try_is_told_by_the_rule_of_the_error(reason, when, how):
    """A fixed time, growing pauses, a change of the Service, a new start: each with how to have it sooner."""
    (found,) = [one for one in explain(facts(service=conditioned("False", reason))) if one.subject == "next try"]
    assert found.message == when
    assert how in found.hint


@pytest.mark.parametrize(("status", "reason"), [("True", "Ready"), ("False", "PlanHeld"), ("False", "Updating")])
def test_what_did_not_fail_has_no_last_error_and_no_next_try(status, reason):
    """What is ready, held or worked on is not tried again."""
    subjects = {one.subject for one in explain(facts(service=conditioned(status, reason)))}
    assert not subjects & {"last error", "next try"}


def test_a_deletion_that_fails_tells_its_error():
    """A Service that cannot go away says why, not only that it is being deleted."""
    meta = change(service().metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    leaving = change(conditioned("False", "PermissionDenied", "may not delete"), metadata=meta)
    found = failed(service=leaving, claim=Claim(Standing.LEAVING, "main", SHARED_FINALIZER, 4, "it is being deleted"))
    assert "may not delete" in found["last error"].message
    assert "lbctl permissions" in found["last error"].hint


@pytest.mark.parametrize(("reason", "levels"), [("QuotaExceeded", {"warning", "failed"}), ("Unreachable", {"failed"})])
def test_quotas_and_rights_are_told_as_the_driver_finds_them(reason, levels):
    """What failed is always told; what is nearly full only where a quota was what failed."""
    checks = (
        Finding(Level.OK, "quota addresses", "1 of 9"),
        Finding(Level.WARNING, "quota balancers", "9 of 10", "raise it in time"),
        Finding(Level.FAILED, "quota rules", "5 of 5", "raise it"),
    )
    found = explain(facts(service=conditioned("False", reason), checks=checks))
    assert {one.level for one in found if one.subject.startswith("quota")} == levels


def test_a_plan_that_cannot_be_made_says_what_to_do():
    """By the kind of the error; for other Services of the scope that they are to be corrected."""
    denied = Result("main", SCOPE, ("shop/web",), problem="may not read", reason="PermissionDenied")
    other = Result("main", SCOPE, ("shop/web", "shop/other"), problem="shop/other: spec.a: is wrong")
    assert "lbctl permissions" in failed(plans=[denied])["plan balancer/web"].hint
    assert "correct the Services" in failed(plans=[other])["plan balancer/web"].hint


def test_a_cloud_that_cannot_be_read_and_missing_nodes_are_findings():
    """Refused credentials and zero nodes both fail, each with what to do."""
    error = NotAuthenticated("the token has run out", hint="log in again")
    found = failed(cloud_error=error, eligible_nodes=0)
    assert found["cloud"].hint == "log in again"
    assert "kubectl get nodes" in found["nodes"].hint


def test_a_foreign_class_names_the_classes_that_are_served():
    """What is not ours is said at once, with the classes that would be."""
    foreign = service(load_balancer_class="example.com/other")
    rules = ClaimRules("main", {"lbctl.io/local": "main"})
    found = explain(facts(service=foreign, claim=claim(foreign, rules), classes=("lbctl.io/local",)))
    assert len(found) == 1
    assert "lbctl.io/local" in found[0].hint


def test_a_deletion_that_waits_for_somebody_else_names_the_finalizer():
    """Our own finalizer is no finding, another controller's is."""
    meta = change(
        service().metadata, deletion_timestamp="2026-01-01T00:00:00Z", finalizers=(SHARED_FINALIZER, "example.com/hold")
    )
    leaving = change(service(), metadata=meta)
    decision = Claim(Standing.LEAVING, "main", SHARED_FINALIZER, 4, "it is being deleted")
    found = failed(service=leaving, claim=decision, finalizers=frozenset({SHARED_FINALIZER, OWN_FINALIZER}))
    assert "example.com/hold" in found["deletion"].message
    assert SHARED_FINALIZER not in found["deletion"].message


def test_warnings_are_shown_while_it_is_not_ready():
    """The last Events show unless they say what another finding says already."""
    service_ = conditioned("False", "Unreachable", "no answer")
    told = (Told("SyncLoadBalancerFailed", "no answer"), Told("StatusConflict", "somebody else writes", 3))
    subjects = [one.subject for one in explain(facts(service=service_, warnings=told))]
    assert "event StatusConflict" in subjects
    assert "event SyncLoadBalancerFailed" not in subjects


@pytest.mark.parametrize(
    ("health", "policy", "level", "words"),
    [
        (Health(6, 6), "Cluster", Level.OK, "6/6 are healthy"),
        (Health(4, 6), "Cluster", Level.WARNING, "4/6 are healthy"),
        (Health(2, 6), "Local", Level.OK, "the nodes with a ready Pod"),
        (Health(0, 6), "Local", Level.FAILED, "nobody is served"),
        (Health(0, 6), "Cluster", Level.FAILED, "nobody is served"),
        (Health(0, 0), "Cluster", Level.FAILED, "has none"),
    ],
)
def test_the_health_of_targets_is_judged(health, policy, level, words):
    """All healthy is fine, some are not a warning unless meant so, none a failure that names what to look at."""
    given = change(service(), spec=change(service().spec, external_traffic_policy=policy))
    (found,) = [one for one in explain(facts(service=given, health=health)) if one.subject == "targets"]
    assert (found.level, words in found.message) == (level, True)
    assert (found.level is Level.OK) or ("see" in found.hint)


def test_a_check_that_finds_nobody_healthy_names_the_ports_to_open():
    """The health check node port for Local, the node ports else."""
    spec = service().spec
    local = change(spec, external_traffic_policy="Local", health_check_node_port=31234)
    for one, port in ((local, 31234), (spec, spec.ports[0].node_port)):
        finding = failed(service=change(service(), spec=one), health=Health(0, 3))["targets"]
        assert str(port) in finding.hint


def test_what_is_not_told_is_no_finding():
    """A cloud that does not tell the health of targets is not said to have none."""
    assert not [one for one in explain(facts()) if one.subject == "targets"]


def test_every_finding_that_is_not_fine_says_what_to_do():
    """Whatever is wrong, each line has its next step."""
    error = NotAuthenticated("the token has run out")
    problems = (Problem("spec.a", "is wrong"),)
    tracked = Tracked(identity_of(service()), service(), Standing.WANTED, problems=problems)
    plan = Plan(SCOPE, (ACTION,), held=(ACTION,), waits=(Wait("it is built", 1.0, 60.0),))
    found = explain(
        facts(
            service=conditioned("False", "Unreachable", "no answer"),
            leader="",
            eligible_nodes=0,
            tracked=tracked,
            plans=[Result("main", SCOPE, ("shop/web",), plan)],
            health=Health(0, 2),
            warnings=[Told("StatusConflict", "somebody else writes")],
            cloud_error=error,
        )
    )
    assert len(found) > 8
    assert all(one.hint for one in found if one.level is not Level.OK)


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (service(), State.PENDING),
        (conditioned("True", "Ready"), State.READY),
        (conditioned("False", "Provisioning"), State.PENDING),
        (conditioned("False", "PlanHeld"), State.HELD),
        (conditioned("False", "QuotaExceeded"), State.FAILED),
    ],
    ids=["new", "ready", "working", "held", "failed"],
)
def test_a_service_is_as_its_condition_says(given, state):
    """The state follows from the condition alone."""
    assert summarise(given).state is state
