"""Logging of a backend service, as the L4LBConfig object says that the Service names."""

from __future__ import annotations

from typing import Any

import pytest

from lbctl.model.objects import CustomObject, ObjectMeta
from lbctl.model.reference import Reference
from tests.clouds.gce.world import Google
from tests.gce.conftest import Build
from tests.gce.test_crash import crash_everywhere
from tests.world import NAMESPACE, change, service

KEY = "networking.gke.io/l4lb-config"
CONFIGS = "l4lbconfigs.v1.networking.gke.io"
CLASS = "networking.gke.io/l4-regional-"
WHOLE = {"enable": True, "sampleRate": 1.0, "optionalMode": "EXCLUDE_ALL_OPTIONAL"}


def config(logging: Any, name: str = "logs") -> CustomObject:
    """An L4LBConfig as its author writes it."""
    spec = {} if logging is None else {"logging": logging}
    return CustomObject(metadata=ObjectMeta(name=name, namespace=NAMESPACE), spec=spec)


def say(world: Google, logging: Any) -> None:
    """Create or change the object."""
    reference, new = Reference(CONFIGS, NAMESPACE, "logs"), config(logging)
    old = world.kube.customs.get(reference)
    world.kube.customs[reference] = new
    world.controller.see_referred(CONFIGS, old, new)
    world.settle()


def wanted(kind: str = "external", **spec: Any):
    return service(load_balancer_class=f"{CLASS}{kind}", annotations={KEY: "logs"}, **spec)


def logged(world: Google) -> Any:
    """The backend service's settings of logging."""
    (backend,) = world.objects("backendServices").values()
    return backend.get("logConfig")


def verdict(world: Google) -> tuple[str, str] | None:
    """Status and reason of upstream's condition."""
    found = (c for c in world.live().status.conditions if c.type == "LoggingConfigManaged")
    return next(((c.status, c.reason) for c in found), None)


@pytest.mark.parametrize("kind", ["external", "internal"])
def test_the_object_is_followed_when_it_is_made_and_changed(world: Google, kind: str) -> None:
    """All of its settings, without the forwarding rule being touched; the condition says that it is managed."""
    world.apply(wanted(kind))
    (rule,) = world.objects("forwardingRules").values()
    assert logged(world) is None
    for said, there in (
        ({"enabled": True}, WHOLE),
        (
            {"enabled": True, "sampleRate": 500000, "optionalMode": "INCLUDE_ALL_OPTIONAL"},
            {"enable": True, "sampleRate": 0.5, "optionalMode": "INCLUDE_ALL_OPTIONAL"},
        ),
        (
            {"enabled": True, "sampleRate": 123457, "optionalMode": "CUSTOM", "optionalFields": ["b", "a"]},
            {"enable": True, "sampleRate": 0.123457, "optionalMode": "CUSTOM", "optionalFields": ["a", "b"]},
        ),
        ({"enabled": True, "sampleRate": 0}, {**WHOLE, "sampleRate": 0.0}),
        ({"enabled": False, "sampleRate": 7}, {"enable": False}),
    ):
        say(world, said)
        assert logged(world) == there
        assert verdict(world) == ("True", "Reconciled")
        assert world.condition().status == "True"
        assert world.plans() == []
    assert list(world.objects("forwardingRules").values()) == [rule]


def test_a_new_balancer_is_made_with_its_logging(world: Google) -> None:
    """Without a call more than any other: three writes."""
    world.apply(service("first", ports=(81,)))
    world.kube.customs[Reference(CONFIGS, NAMESPACE, "logs")] = config({"enabled": True})
    world.crash()
    world.settle()
    world.compute.journal.clear()
    world.apply(wanted())
    assert world.compute.journal.writes == 3
    assert [b["logConfig"] for b in world.objects("backendServices").values() if "logConfig" in b] == [WHOLE]


def test_a_change_costs_one_read_and_one_write(world: Google) -> None:
    """The backend service alone."""
    world.apply(wanted())
    world.compute.journal.clear()
    say(world, {"enabled": True})
    assert (world.compute.journal.reads, world.compute.journal.writes) == (1, 1)


@pytest.mark.parametrize(
    ("said", "reason", "event", "told"),
    [
        (None, ("False", "Unmanaged"), None, ""),
        (
            {"enabled": True, "optionalMode": "CUSTOM"},
            ("False", "Error"),
            "L4LBConfigInvalidMode",
            "needs optionalFields",
        ),
        (
            {"enabled": True, "optionalFields": ["a"]},
            ("False", "Error"),
            "L4LBConfigInvalidMode",
            "needs the mode CUSTOM",
        ),
        ({"enabled": True, "optionalMode": "SOME"}, ("False", "Error"), "L4LBConfigInvalidMode", "is none of"),
        (
            {"enabled": True, "sampleRate": 1000001},
            ("False", "Error"),
            "L4LBConfigInvalidMode",
            "not within 0 to 1000000",
        ),
        (
            {"enabled": True, "sampleRate": "all"},
            ("False", "Error"),
            "L4LBConfigInvalidMode",
            "not within 0 to 1000000",
        ),
        ({"enabled": "yes"}, ("False", "Error"), "L4LBConfigInvalidMode", "neither true nor false"),
        ({"enabled": True, "optionalFields": "a"}, ("False", "Error"), "L4LBConfigInvalidMode", "no list of names"),
        (["enabled"], ("False", "Error"), "L4LBConfigInvalidMode", "is no object"),
    ],
)
def test_what_cannot_be_followed_leaves_logging_as_it_was_and_other_work_goes_on(
    world: Google, said: Any, reason: tuple, event: str | None, told: str
) -> None:
    """An Event says what is wrong, once; other changes of the Service are made."""
    world.apply(wanted())
    say(world, {"enabled": True})
    before = len(world.kube.events)
    say(world, said)
    assert (logged(world), verdict(world)) == (WHOLE, reason)
    new = [notice for _, notice in world.kube.events[before:] if notice.reason.startswith("L4LB")]
    assert [notice.reason for notice in new] == ([event] if event else [])
    assert all(told in notice.message for notice in new)
    world.edit("web", session_affinity="ClientIP")
    (backend,) = world.objects("backendServices").values()
    assert (backend["sessionAffinity"], logged(world)) == ("CLIENT_IP", WHOLE)
    assert world.condition().status == "True"


def test_an_object_that_is_not_there_is_told_and_found_as_soon_as_it_is(world: Google) -> None:
    """The balancer serves meanwhile."""
    world.apply(wanted())
    assert (world.condition().status, verdict(world)) == ("True", ("False", "Missing"))
    messages = [notice.message for _, notice in world.kube.events if notice.reason == "L4LBConfigNotFound"]
    assert messages == ["there is no L4LBConfig logs in shop; logging stays as it is"]
    say(world, {"enabled": True})
    assert (logged(world), verdict(world)) == (WHOLE, ("True", "Reconciled"))
    reference = Reference(CONFIGS, NAMESPACE, "logs")
    world.controller.see_referred(CONFIGS, world.kube.customs.pop(reference), None)
    world.settle()
    assert (logged(world), verdict(world)) == (WHOLE, ("False", "Missing"))


def test_without_the_annotation_logging_stays_as_it_was(world: Google) -> None:
    """As upstream leaves it: an audit that depends on it does not end by a slip; the condition says that it is left."""
    world.apply(wanted())
    say(world, {"enabled": True})
    world.annotate("web", {})
    assert (logged(world), verdict(world)) == (WHOLE, ("False", "Unmanaged"))
    say(world, {"enabled": False})
    assert logged(world) == WHOLE
    assert world.plans() == []


def test_logging_that_somebody_has_set_by_hand_is_left_alone(world: Google) -> None:
    """Where no object is named there is nothing to keep, and no condition."""
    world.apply(service())
    (path,) = [p for p, b in world.compute.store.of("backendServices") if "shop-web" in b["name"]]
    world.compute.store.objects[path]["logConfig"] = WHOLE
    world.crash()
    world.settle(60)
    world.edit("web", session_affinity="ClientIP")
    assert (logged(world), verdict(world)) == (WHOLE, None)


def test_drift_is_repaired(world: Google) -> None:
    """Somebody has switched logging off by hand."""
    world.apply(wanted())
    say(world, {"enabled": True})
    (path,) = [p for p, b in world.compute.store.of("backendServices") if "shop-web" in b["name"]]
    world.compute.store.objects[path]["logConfig"] = {"enable": False}
    world.settle(1300)
    assert logged(world) == WHOLE


@pytest.mark.parametrize("kind", ["external-legacy", "internal-legacy"])
def test_kinds_that_upstream_gives_no_logging_are_told_so(build: Build, kind: str) -> None:
    """The object is not followed, and there is no condition."""
    world = build()
    world.apply(wanted(kind))
    say(world, {"enabled": True})
    assert verdict(world) is None
    assert all("logConfig" not in body for body in world.objects("backendServices").values())
    assert any(f"{KEY} has no effect" in notice.message for _, notice in world.kube.events)


def test_foreign_backends_survive_a_change_of_logging(world: Google) -> None:
    """The backend service is written whole, from a read of a moment before."""
    world.apply(wanted())
    (path,) = [p for p, b in world.compute.store.of("backendServices") if "shop-web" in b["name"]]
    body = world.compute.store.objects[path]
    foreign = body["backends"][0]["group"].rpartition("/")[0] + "/somebody-elses"
    body["backends"].append({"group": foreign, "balancingMode": "CONNECTION"})
    say(world, {"enabled": True})
    assert foreign in {entry["group"] for entry in world.compute.store.objects[path]["backends"]}


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_crash_at_every_write_converges_to_the_same_end(build: Build, before: bool) -> None:
    """The new process reads the object again before it plans."""

    def put(world: Google) -> None:
        world.kube.put(wanted())

    def turn(world: Google) -> None:
        live = world.live()
        world.kube.put(change(live, spec=change(live.spec, session_affinity="ClientIP")))
        say_quietly(world, {"enabled": True, "sampleRate": 5})

    crash_everywhere("logging", build, [put, turn], before=before)


def say_quietly(world: Google, logging: Any) -> None:
    """Create or change the object, and let nobody work yet."""
    reference, new = Reference(CONFIGS, NAMESPACE, "logs"), config(logging)
    old = world.kube.customs.get(reference)
    world.kube.customs[reference] = new
    world.controller.see_referred(CONFIGS, old, new)
