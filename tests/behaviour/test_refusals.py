"""What the cloud refuses, forgets or postpones: errors find the right Service and leave the others alone."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from lbctl.engine.advice import longest_pause
from lbctl.engine.claim import SHARED_FINALIZER
from lbctl.engine.controller import Task, Work
from lbctl.errors import (
    CloudBug,
    Conflict,
    MissingFact,
    NotAuthenticated,
    PermissionDenied,
    QuotaExceeded,
    Throttled,
    Unreachable,
)
from lbctl.model.objects import CustomObject, LoadBalancerStatus, ObjectMeta
from lbctl.naming import default_balancer_name
from lbctl.plan.actions import Hazard
from lbctl.plan.policy import Mode, Policy
from tests.clouds.memory import PREFIX, TIERS, MemoryDriver, info
from tests.world import NAMESPACE, change, node, service


class Stumbling(MemoryDriver):
    """A driver with a bug that one Service trips until it is `mended`."""

    mended = False

    def parse(self, service):
        """What the Service asks for."""
        if service.metadata.name == "odd" and not self.mended:
            return {}["a bug"]
        return super().parse(service)


def fail_once(cloud, at_name, error):
    """Fail the next write of this name before it happens."""
    spent = []

    def hook(name, number):
        if name == at_name and not spent:
            spent.append(number)
            raise error

    cloud.before = hook


def test_one_poisoned_service_among_twenty_is_found_and_the_rest_is_served(world, cloud):
    """A rejected batch is halved until the culprit is alone; it is told, and its neighbours' rules are there."""
    for index in range(20):
        annotations = {PREFIX + "poison": "true"} if index == 7 else {}
        world.kube.put(service(f"s{index}", ports=(1000 + index,), annotations=annotations))
    world.settle()
    rules = next(t for t in cloud.things.values() if t.kind == "firewall").fields["rules"]
    assert len(rules) == 19
    assert world.condition("s7").reason == "InvalidService"
    assert all(world.condition(f"s{i}").status == "True" for i in range(20) if i != 7)
    assert cloud.calls["update"] + cloud.calls["create-firewall"] <= 12


def test_the_culprit_of_a_rejection_is_tried_again_when_it_changes(world, cloud):
    """A new wish is a new chance."""
    world.apply(service(annotations={PREFIX + "poison": "true"}))
    world.apply(service("other", ports=(81,)))
    assert world.condition().reason == "InvalidService"
    world.annotate("web", {})
    assert world.condition().status == "True"


def test_a_deletion_that_the_cloud_rejects_is_tried_again_with_growing_pauses(world, cloud):
    """A few calls while it is rejected, and the Service goes once it is not; its neighbours are served meanwhile."""
    world.apply(service())

    def reject(name, _number):
        if name == "delete":
            raise ValueError("not now")

    cloud.before = reject
    world.delete("web")
    world.apply(service("other", ports=(81,)))
    world.settle(300)
    assert 3 <= cloud.calls["delete"] <= 10
    assert world.condition().status == "False"
    assert world.condition("other").status == "True"
    cloud.before = lambda _name, _number: None
    world.settle(400)
    assert not world.exists()


def test_many_deletions_of_which_the_cloud_rejects_one_rest_alone(world, cloud):
    """The culprit is found among those that go in one call, and the others go."""
    for index in range(8):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle()
    kept = default_balancer_name(world.live("s3").metadata.uid)
    check = cloud._check

    def refuse(fields, uses):
        if "rules" in fields and kept not in fields["rules"]:
            raise ValueError("that rule has to stay")
        check(fields, uses)

    cloud._check = refuse
    cloud.calls.clear()
    for index in range(8):
        world.kube.delete(f"shop/s{index}")
    world.settle(60)
    assert [index for index in range(8) if world.exists(f"s{index}")] == [3]
    assert cloud.calls["update"] <= 16
    cloud._check = check
    world.settle(300)
    assert not world.exists("s3")


def test_the_culprit_of_a_rejection_is_tried_again_when_what_it_refers_to_changes(world, cloud):
    """The object with settings was wrong, its author mends that, and nobody touches the Service."""
    check = cloud._check

    def refuse(fields, uses):
        if fields.get("bandwidth") == 666:
            raise ValueError("too much")
        check(fields, uses)

    cloud._check = refuse
    wrong, right = (
        CustomObject(metadata=ObjectMeta(name="gold", namespace=NAMESPACE), spec={"bandwidth": width})
        for width in (666, 10)
    )
    world.controller.see_referred(TIERS, None, wrong)
    world.apply(service(annotations={PREFIX + "tier": "gold"}))
    assert world.condition().reason == "InvalidService"
    world.controller.see_referred(TIERS, wrong, right)
    world.settle(5)
    assert world.condition().status == "True"


def test_the_culprit_of_a_rejection_is_tried_again_when_the_nodes_change(world, cloud):
    """The node that the cloud refused is gone, and the balancer follows the nodes again."""
    check = cloud._check

    def refuse(fields, uses):
        if "n3" in fields.get("targets", ()):
            raise ValueError("n3 is in another zone")
        check(fields, uses)

    cloud._check = refuse
    world.apply(service())
    world.see_node(node("n3"))
    world.settle(60)
    assert world.condition().reason == "InvalidService"
    world.see_node(None, "n3")
    world.see_node(node("n4"))
    world.settle(60)
    (balancer,) = (thing for thing in cloud.things.values() if thing.kind == "balancer")
    assert balancer.fields["targets"] == {"n1", "n2", "n4"}
    assert world.condition().status == "True"


def test_a_service_rejected_by_the_model_is_frozen_alone(world, cloud):
    """What turns out invalid with the facts keeps what it has."""
    world.apply(service())
    before = cloud.state()
    world.annotate("web", {PREFIX + "subnet": "missing", PREFIX + "timeout": "99"})
    assert cloud.state() == before
    assert world.condition().reason == "InvalidService"
    assert "subnet" in world.condition().message


@pytest.mark.spec("SC-076")
def test_throttling_pauses_the_account_and_counts_no_failure(world, cloud):
    """After a throttle of 30 s nothing is written for 30 s, and then everything at once."""
    fail_once(cloud, "create-balancer", Throttled("slow down", after_seconds=30))
    world.kube.put(service())
    world.settle(29)
    assert cloud.writes == 1
    assert "SyncLoadBalancerFailed" not in world.reasons()
    world.settle(5)
    assert world.condition().status == "True"


@pytest.mark.spec("SC-031")
def test_a_create_whose_answer_was_lost_is_found_not_repeated(world, cloud):
    """Unknown is not gone: the next pass looks, and finds what was made."""

    def lose(name, number):
        if name == "create-balancer":
            cloud.after = lambda _name, _number: None
            raise Unreachable("no answer to create")

    cloud.after = lose
    world.kube.put(service())
    world.settle(60)
    assert len([t for t in cloud.things.values() if t.kind == "balancer"]) == 1
    assert world.condition().status == "True"


def test_a_missing_permission_is_named_and_tried_again_every_five_minutes(world, cloud):
    """Both upstream's event and our own tell it."""
    fail_once(cloud, "create-balancer", PermissionDenied("create-balancer needs memory:CreateBalancer"))
    world.kube.put(service())
    world.settle(200)
    assert world.condition().reason == "PermissionDenied"
    assert {"SyncLoadBalancerFailed", "PermissionDenied"} <= set(world.reasons())
    world.settle(120)
    assert world.condition().status == "True"


def test_refused_credentials_park_the_account_with_one_probe_in_thirty_seconds(world, cloud):
    """Ten Services cost one failing call each half minute, and all are served when the credentials are back."""
    refusals = []

    def refuse(name, number):
        if len(refusals) < 3:
            refusals.append(world.clock.monotonic())
            raise NotAuthenticated("the credentials are refused")

    cloud.before = refuse
    for index in range(10):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle(200)
    assert all(world.condition(f"s{i}").status == "True" for i in range(10))
    assert [round(b - a) for a, b in itertools.pairwise(refusals)] == [30, 30]


@pytest.mark.spec("SC-023")
def test_a_change_that_moves_the_address_is_held_until_it_is_approved(world, cloud):
    """The plan's digest, as an annotation of the Service, lets it happen; until then everything stays."""
    world.apply(service())
    before = cloud.state()
    world.annotate("web", {PREFIX + "flavor": "large"})
    assert cloud.state() == before
    assert world.condition().reason == "PlanHeld"
    assert "PlanHeld" in world.reasons()
    digest = world.account.plans[world.account.services[next(iter(world.account.services))].scopes[0]].held_digest
    assert digest in world.condition().message
    world.annotate("web", {PREFIX + "flavor": "large", "lbctl.io/approve": digest})
    assert world.addresses() == ["198.51.100.2"]
    assert world.condition().status == "True"


def test_a_policy_that_allows_moves_does_not_hold_them(make_world, cloud):
    """The operator may set a higher limit."""
    world = make_world(info(cloud), policy=Policy(highest=Hazard.MOVES_ADDRESS))
    world.apply(service())
    world.annotate("web", {PREFIX + "flavor": "large"})
    assert world.addresses() == ["198.51.100.2"]


@pytest.mark.spec("SC-032", "SC-064")
def test_a_published_address_survives_failures(world, cloud):
    """An address is published when it is known and stays while later steps fail."""

    def refuse(name, number):
        if name == "create-listener":
            raise PermissionDenied("no")

    cloud.before = refuse
    world.kube.put(service())
    world.settle(10)
    assert world.addresses() == ["198.51.100.1"]
    assert world.condition().status == "False"
    cloud.before = lambda *_: (_ for _ in ()).throw(Unreachable("gone"))
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, ports=(*live.spec.ports, *service(ports=(81,)).spec.ports))))
    world.settle(100)
    assert world.addresses() == ["198.51.100.1"]


@pytest.mark.spec("SC-043")
def test_a_retained_balancer_stays_without_our_marks(world, cloud):
    """deletion-policy retain lets the Service go and the balancer stay, nobody's."""
    world.apply(service(annotations={"lbctl.io/deletion-policy": "retain"}))
    world.delete("web")
    assert not world.exists()
    balancers = [t for t in cloud.things.values() if t.kind == "balancer"]
    assert len(balancers) == 1
    assert balancers[0].tags["owner"] == ""


@pytest.mark.spec("SC-043")
def test_a_retained_balancer_of_a_cloud_without_marks_stays_as_it_is(world, cloud):
    """Where only names tell whose it is there is nothing to take off: the Service goes all the same."""
    cloud.names_are_marks = True
    world.apply(service(annotations={"lbctl.io/deletion-policy": "retain"}))
    world.delete("web")
    assert not world.exists()
    assert [t.kind for t in cloud.things.values() if t.kind == "balancer"] == ["balancer"]


@pytest.mark.spec("SC-013")
def test_a_service_whose_finalizer_was_stripped_is_cleaned_up_all_the_same(world, cloud):
    """The delete event is enough."""
    world.apply(service())
    live = world.live()
    world.kube.overwrite(change(live, metadata=change(live.metadata, finalizers=())))
    world.kube.delete("shop/web")
    world.settle()
    assert [t for t in cloud.things.values() if t.kind == "balancer"] == []


@pytest.mark.spec("SC-012")
def test_a_stripped_finalizer_is_put_back(world, cloud):
    """Within five seconds."""
    world.apply(service())
    live = world.live()
    world.kube.overwrite(change(live, metadata=change(live.metadata, finalizers=())))
    world.settle(5)
    assert world.live().metadata.finalizers != ()


def late_watch(world, at_write, overwrite):
    """Have somebody write just before a write of ours; the watch tells all of it afterwards, when `settle` returns."""
    told, listeners = [], list(world.kube.listeners)

    def race(what, _number):
        if what == at_write and world.kube.listeners == listeners:
            world.kube.listeners = [lambda old, new: told.append((old, new))]
            overwrite()

    def settle():
        world.settle(1)
        assert told
        world.kube.before, world.kube.listeners = lambda _what, _number: None, listeners
        for old, new in told:
            world.controller.see_service(old, new)
        world.settle(5)

    world.kube.before = race
    return settle


@pytest.mark.spec("SC-012")
def test_a_finalizer_stripped_just_before_a_write_of_ours_is_put_back(world, cloud):
    """Our write went on the state without it, so the watch tells of no difference."""
    world.apply(service())

    def strip():
        live = world.live()
        world.kube.overwrite(change(live, metadata=change(live.metadata, finalizers=())))

    settle = late_watch(world, "write-status", strip)
    live = world.live()
    world.kube.overwrite(change(live, status=change(live.status, load_balancer=LoadBalancerStatus())))
    settle()
    assert world.live().metadata.finalizers == (SHARED_FINALIZER,)
    assert world.addresses() == ["198.51.100.1"]


def test_a_balancer_that_is_to_stay_stays_though_that_was_said_just_before_a_write_of_ours(world, cloud):
    """The annotation came with the answer to a conflict, and the watch had no more to tell."""
    world.apply(service())
    for thing in cloud.things.values():
        thing.fields["protected"] = True

    def retain():
        live = world.live()
        annotations = {"lbctl.io/deletion-policy": "retain"}
        world.kube.overwrite(change(live, metadata=change(live.metadata, annotations=annotations)))

    settle = late_watch(world, "write-status", retain)
    world.kube.delete("shop/web")
    settle()
    assert not world.exists()
    assert [thing.kind for thing in cloud.things.values() if thing.kind == "balancer"] == ["balancer"]


@pytest.mark.spec("SC-041")
def test_a_service_recreated_under_its_name_gets_a_balancer_of_its_own(world, cloud):
    """Old and new are told apart by uid; the old one's balancer goes."""
    world.apply(service())
    live = world.live()
    world.kube.overwrite(change(live, metadata=change(live.metadata, finalizers=())))
    world.kube.delete("shop/web")
    world.kube.put(service())
    world.settle(60)
    balancers = [t for t in cloud.things.values() if t.kind == "balancer"]
    assert len(balancers) == 1
    assert world.live().metadata.uid in balancers[0].tags["owner"]
    assert world.condition().status == "True"


@pytest.mark.spec("SC-090")
def test_drift_is_repaired_within_one_interval(world, cloud):
    """A listener deleted and a timeout changed by hand are back after the next look, and it is told."""
    world.apply(service())
    wanted = cloud.state()
    listener = next(t for t in cloud.things.values() if t.kind == "listener")
    del cloud.things[listener.id]
    next(t for t in cloud.things.values() if t.kind == "balancer").fields["timeout"] = 5
    world.settle(700)
    assert cloud.state() == wanted
    assert "DriftRepaired" in world.reasons()


def test_a_service_that_trips_a_bug_keeps_nobody_else_from_being_served(make_world, cloud):
    """Neither at the start nor later: it is told, and tried again at the next snapshot without being touched."""
    kind = dataclasses.replace(info(cloud), connect=lambda setup: Stumbling(setup, cloud))
    world = make_world(kind)
    world.kube.put(service("odd", ports=(81,)))
    world.kube.put(service())
    world.crash()
    world.settle()
    assert world.addresses()
    assert world.bugs
    world.driver.mended = True
    world.settle(700)
    assert world.addresses("odd")
    assert {str(bug) for bug in world.bugs} == {"'a bug'"}
    world.bugs.clear()


def test_work_that_failed_now_and_then_starts_with_short_pauses_each_time(world):
    """A pass that ends well in between makes the next failure a first one."""
    world.apply(service())
    work = Work("main", Task.RECONCILE, min(world.account.all_scopes()))
    pauses = []
    for _ in range(5):
        world.controller.retry(work)
        pauses.append(world.controller.next_due() - world.clock.monotonic())
        world.settle(30)
    assert max(pauses) <= 6.0


@pytest.mark.spec("SC-091")
def test_a_restart_with_everything_in_order_writes_nothing(world, cloud):
    """A new process reads and is content."""
    for index in range(10):
        world.kube.put(service(f"s{index}", ports=(1000 + index,)))
    world.settle()
    writes, kube_writes, events = cloud.writes, world.kube.writes, len(world.kube.events)
    world.crash()
    world.settle(60)
    assert (cloud.writes, world.kube.writes, len(world.kube.events)) == (writes, kube_writes, events)


@pytest.mark.spec("SC-093")
def test_objects_of_others_survive_everything(world, cloud):
    """Another cluster's balancer, and one without marks, are there in the end as they were."""
    tags = {"cluster": "other", "owner": "shop/web/u", "scope": "x", "key": "x"}
    cloud.create("balancer", "theirs", tags=tags, fields={"timeout": 1}, uses=())
    cloud.create("balancer", "unmarked", tags={}, fields={"timeout": 1}, uses=())
    before = [t for t in cloud.state() if t[1] in ("theirs", "unmarked")]
    world.apply(service())
    world.see_node(node("n3"))
    world.settle()
    world.delete("web")
    world.crash()
    world.settle(700)
    assert [t for t in cloud.state() if t[1] in ("theirs", "unmarked")] == before


def test_an_orphan_is_reported_and_left_alone(world, cloud):
    """A balancer of this cluster without a Service stays until somebody asks for its removal."""
    tags = {"cluster": "cluster-1", "owner": "shop/gone/uid-9", "scope": "auid9", "key": "auid9"}
    cloud.create("balancer", "auid9", tags=tags, fields={"timeout": 60}, uses=())
    world.settle(1300)
    assert any(t.name == "auid9" for t in cloud.things.values())
    assert [identity.name for _, identity in world.account.orphan_watch.confirmed()] == ["gone"]


def test_a_conflict_is_tried_again_at_once_on_a_fresh_view(world, cloud):
    """Our view was old: the scope is read and planned again within the same pass."""
    fail_once(cloud, "create-listener", Conflict("the version does not match"))
    started = world.clock.monotonic()
    world.kube.put(service())
    world.settle(3)
    assert world.condition().status == "True"
    assert world.clock.monotonic() - started <= 3


@pytest.mark.spec("SC-058")
def test_a_cloud_that_does_not_do_all_of_it_is_asked_again_with_pauses(world, cloud):
    """A target that the cloud does not know is left out; the rest is served, and the missing one tried again."""
    cloud.unknown_targets = {"n2"}
    world.kube.put(service())
    world.settle(3)
    balancer = next(t for t in cloud.things.values() if t.kind == "balancer")
    assert set(balancer.fields["targets"]) == {"n1"}
    assert world.addresses()
    cloud.unknown_targets = set()
    world.settle(30)
    assert set(balancer.fields["targets"]) == {"n1", "n2"}
    assert world.condition().status == "True"


@pytest.mark.spec("SC-044")
def test_a_protected_balancer_keeps_its_service(world, cloud):
    """The finalizer stays, and a Warning names what is in the way."""
    world.apply(service())
    next(t for t in cloud.things.values() if t.kind == "balancer").fields["protected"] = True
    world.delete("web")
    assert world.exists()
    assert world.live().metadata.finalizers
    warnings = [notice.message for _, notice in world.kube.events if notice.reason == "DeleteLoadBalancerFailed"]
    assert any("protected" in message for message in warnings)


@pytest.mark.spec("SC-092")
def test_an_owner_is_an_orphan_only_after_two_looks_ten_minutes_apart(world, cloud):
    """One look is not believed; default is to report."""
    tags = {"cluster": "cluster-1", "owner": "shop/gone/uid-9", "scope": "auid9", "key": "auid9"}
    cloud.create("balancer", "auid9", tags=tags, fields={"timeout": 60}, uses=())
    world.settle(700)
    assert [i.name for _, i in world.account.strangers()] == ["gone"]
    assert world.account.orphan_watch.confirmed() == ()
    world.settle(1300)
    assert [i.name for _, i in world.account.orphan_watch.confirmed()] == ["gone"]
    assert any(t.name == "auid9" for t in cloud.things.values())


@pytest.mark.spec("SC-094")
def test_planning_writes_nothing(world, make_world, cloud):
    """Neither to the cloud nor to the API server, whatever the plan is."""
    world.apply(service())
    world.kube.listeners = []
    live = world.live()
    world.kube.put(change(live, spec=change(live.spec, ports=service(ports=(81, 82)).spec.ports)))
    cloud_writes, kube_writes = cloud.writes, world.kube.writes
    fresh = make_world(info(cloud), kube=world.kube, nodes=(), policy=Policy(mode=Mode.OBSERVE))
    fresh.settle()
    assert sum(len(plan.actions) + len(plan.held) for plan in fresh.plans()) >= 3
    assert (cloud.writes, world.kube.writes) == (cloud_writes, kube_writes)


@pytest.mark.spec("SC-094")
def test_observing_lets_nothing_go(world, make_world, cloud):
    """A deleted Service keeps its finalizer, also when the cloud has nothing of it, until somebody may write."""
    world.apply(service())
    cloud.things.clear()
    world.kube.listeners = []
    observing = make_world(info(cloud), kube=world.kube, policy=Policy(mode=Mode.OBSERVE))
    observing.settle(700)
    before = observing.kube.writes
    observing.kube.delete("shop/web")
    observing.settle(60)
    assert observing.kube.writes == before
    assert observing.live().metadata.finalizers


def test_a_conflict_that_never_ends_is_told_and_tried_with_growing_pauses(world, cloud):
    """After five tries at once the Service says so, and there is no storm."""
    tries = []

    def conflict(name, number):
        if name == "create-balancer":
            tries.append(world.clock.monotonic())
            raise Conflict("the version does not match")

    cloud.before = conflict
    world.kube.put(service())
    world.settle(100)
    assert world.condition().reason == "Conflict"
    assert 6 <= len(tries) <= 40
    cloud.before = lambda *_: None
    world.settle(300)
    assert world.condition().status == "True"


@pytest.mark.parametrize(
    "kind",
    [CloudBug, Conflict, MissingFact, PermissionDenied, QuotaExceeded, Unreachable],
    ids=lambda kind: kind.reason,
)
def test_work_that_failed_is_tried_again_within_the_time_that_explain_tells(world, cloud, kind):
    """For an hour each pause is within the bound that is told, and the longest is near it."""
    tries = []

    def refuse(name, number):
        if name == "create-balancer":
            tries.append(world.clock.monotonic())
            raise kind("it does not work")

    cloud.before = refuse
    world.kube.put(service())
    world.settle(3600)
    longest = max(later - earlier for earlier, later in itertools.pairwise(tries))
    assert world.condition().reason == kind.reason
    assert 0.6 * longest_pause(kind) <= longest <= longest_pause(kind) + 1


def test_a_culprit_that_arrives_during_a_search_is_not_blamed_on_others(world, cloud):
    """Two poisoned Services, one of them late: both are found, and nobody else is."""
    spent = []

    def interrupt(name, number):
        if name == "update" and not spent and world.account.bisections:
            spent.append(number)
            world.kube.put(service("late", ports=(2000,), annotations={PREFIX + "poison": "true"}))
            raise PermissionDenied("not now")

    world.apply(service("first", ports=(900,)))
    cloud.before = interrupt
    for index in range(4):
        annotations = {PREFIX + "poison": "true"} if index == 1 else {}
        world.kube.put(service(f"s{index}", ports=(1000 + index,), annotations=annotations))
    world.settle(1000)
    assert spent
    reasons = {name: world.condition(name).reason for name in ("first", "s0", "s1", "s2", "s3", "late")}
    assert {name for name, reason in reasons.items() if reason == "InvalidService"} == {"s1", "late"}
    assert {reason for name, reason in reasons.items() if name not in ("s1", "late")} == {"Ready"}
