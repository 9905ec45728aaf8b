"""The removal of orphans, on a clock that only tests move."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import replace

import pytest

from lbctl.cli.sweep import Findings
from lbctl.engine.sweeping import Search
from lbctl.errors import PermissionDenied, Unreachable
from tests.clouds.memory import Crash
from tests.world import MemoryKube, change, service

ANY_AGE = 0.0  # the cloud in memory tells none


def lose(world, name):
    """Delete a Service that nobody cleans up after."""
    live = world.live(name)
    world.kube.listeners = []
    world.kube.overwrite(change(live, metadata=change(live.metadata, finalizers=())))
    world.kube.delete(live.key)
    world.crash()
    world.settle()


@pytest.fixture
def make_kube():
    """Services in memory: what an API server does with them is not at stake here."""
    return MemoryKube


@pytest.fixture
def search(world):
    """A world with a Service that lives and one that is lost, and the search for orphans in it."""
    world.apply(service("web"))
    world.apply(service("lost", ports=[81]))
    lose(world, "lost")
    return Search(world.controller.accounts, world.cluster, world.clock, world.policy, world.kube.list_services)


def gone(search, older_than=ANY_AGE):
    findings = Findings.of(search, older_than=older_than)
    findings.remove(apart=600.0, yes=True, timeout=600.0)
    return {orphan.owner.name: findings._state(orphan) for orphan in findings.orphans}


@pytest.mark.spec("SC-092")
def test_an_orphan_is_removed_after_two_looks_ten_minutes_apart(search, world, cloud):
    """Nothing is deleted before the second look; then all of the orphan's objects go and the others stay."""
    deleted_at = []
    cloud.before = lambda _name, _number: deleted_at.append(world.clock.monotonic())
    start = world.clock.monotonic()
    assert gone(search) == {"lost": "deleted"}
    assert min(deleted_at) >= start + 600
    assert {t.tags["owner"].split("/")[1] for t in cloud.things.values() if t.tags["owner"]} == {"web"}
    world.settle()
    assert world.plans() == []


def test_a_service_that_comes_between_the_looks_is_alive(search, world, cloud):
    """A Service whose uid an orphan's objects carry appears late: its objects are left alone."""
    before = cloud.state()
    owner = next(t.tags["owner"].split("/")[2] for t in cloud.things.values() if "lost" in t.tags["owner"])

    findings = Findings.of(search, older_than=ANY_AGE)
    wanted = service("lost", ports=[81])
    world.kube.overwrite(change(wanted, metadata=change(wanted.metadata, uid=owner)))
    findings.remove(apart=600.0, yes=True, timeout=600.0)
    assert findings.orphans == []
    assert cloud.state() == before


@pytest.mark.parametrize(("minutes", "state"), [(30, "young"), (90, "deleted")])
def test_what_is_young_is_left_alone(search, world, cloud, minutes, state):
    """Where the cloud tells the age, what is younger than an hour stays."""
    made = world.clock.now() - dt.timedelta(minutes=minutes)
    for thing in cloud.things.values():
        thing.created = made.isoformat()
    assert gone(search, older_than=3600.0) == {"lost": state}
    assert bool([t for t in cloud.things.values() if "lost" in t.tags["owner"]]) is (state == "young")


def test_a_cut_list_proves_nothing(search, cloud):
    """An owner in a scope that was not read whole is unsure, and nothing of it is deleted."""
    before = cloud.state()
    cloud.cuts_lists = True
    assert gone(search) == {"lost": "unsure"}
    assert cloud.state() == before


def test_what_mends_itself_is_waited_for(search, cloud):
    """Lost answers and a busy cloud cost time, and the orphan goes all the same."""
    failures = iter([Unreachable("no answer"), Unreachable("no answer")])

    def lose_answer(_name, _number):
        with suppress(StopIteration):
            raise next(failures)

    cloud.after = lose_answer
    assert gone(search) == {"lost": "deleted"}


def test_what_does_not_mend_is_reported(search, cloud):
    """A missing permission ends the work on its scope with the cloud's sentence."""

    def refuse(name, _number):
        if name == "delete":
            raise PermissionDenied("you may not delete")

    cloud.before = refuse
    findings = Findings.of(search, older_than=ANY_AGE)
    findings.remove(apart=600.0, yes=True, timeout=600.0)
    assert findings.failed
    assert "you may not delete" in findings.table()


@pytest.mark.parametrize("number", range(1, 5))
def test_dying_at_any_call_leaves_work_for_the_next(search, world, cloud, number):
    """Killed at any write, a second run removes the rest; the living Service has all that it had."""
    start = cloud.writes

    def die(_name, count):
        if count == start + number:
            raise Crash

    cloud.after = die
    with suppress(Crash):
        gone(search)
    cloud.after = lambda _name, _number: None
    world.crash()
    world.settle()
    again = replace(search, accounts=world.controller.accounts)
    gone(again)
    assert Findings.of(again, older_than=ANY_AGE).orphans == []
    assert world.plans() == []


def test_a_scope_without_an_owner_is_no_orphan(search):
    """What is the cluster's own belongs to nobody in particular and is never listed while the cluster lives."""
    assert [orphan.owner.name for orphan in search.look()] == ["lost"]
