"""Dying before or after every single write on AWS changes nothing in the end: no orphan, no duplicate, no plan."""

import re
from dataclasses import dataclass

import msgspec
import pytest

from lbctl.model.objects import Service
from lbctl_aws.annotations import AWS
from moto_fixtures.snapshot import Snapshot
from tests.aws.cluster import EVERY_MODE, POD_ADDRESSES, PODS, Cluster, service
from tests.world import change

CRASH_SECONDS = 500
DRAWN_ID = re.compile(r"[0-9a-f]{16,17}")


def create(cluster):
    """Make a Service with two ports and an attribute."""
    cluster.kube.put(wanted(cluster.mode))


def update(cluster):
    """Change a port and the ranges."""
    live = cluster.live()
    new = wanted(cluster.mode, ports=(80, 8443), load_balancer_source_ranges=("10.0.0.0/8",))
    cluster.kube.put(change(live, spec=new.spec))


def delete(cluster):
    """Delete the Service."""
    cluster.kube.delete("shop/web")


def wanted(mode, **spec):
    """The Service of the scenarios."""
    return service(**{"ports": (80, 443), "annotations": EVERY_MODE[mode], **spec})


SCENARIOS = {"create": [create], "update": [create, update], "delete": [create, delete]}


@dataclass(frozen=True)
class Moment:
    """Everything that outlives a process: the cloud, its time, the API objects."""

    cloud: Snapshot
    time: float
    objects: dict[str, Service]

    @property
    def content(self):
        """What makes it differ from another moment; time alone does not."""
        return self.cloud.content, msgspec.json.encode(self.objects)


def moment(cluster):
    """This moment."""
    return Moment(cluster.aws.snapshot(), cluster.aws.clock.now(), dict(cluster.kube.services))


def play(cluster, steps):
    """Play a scenario undisturbed; every distinct moment before and after a write of its last step, cloud's or API's.

    What a process that dies there leaves behind is exactly that, because its memory is lost.
    """
    for step in steps[:-1]:
        step(cluster)
        cluster.settle(60)
    cluster.aws.calls.clear()
    moments = {}

    def look(*_):
        now = moment(cluster)
        moments.setdefault(now.content, now)

    cluster.kube.before = cluster.kube.after = look
    cluster.aws.faults.look_around_writes(look)
    steps[-1](cluster)
    cluster.settle(CRASH_SECONDS)
    cluster.aws.faults.reset()
    cluster.kube.before = cluster.kube.after = lambda *_: None
    assert not cluster.bugs
    return list(moments.values())


def revive(cluster, at):
    """Go back to the moment with another process, and let it work."""
    cluster.aws.restore(at.cloud)
    cluster.aws.clock.reset()
    cluster.aws.clock.advance(at.time)
    cluster.aws.follow(cluster.clock.monotonic)
    cluster.kube.services = dict(at.objects)
    cluster.crash()
    cluster.settle(CRASH_SECONDS)
    assert not cluster.bugs


def picture(cluster):
    """Everything that must be the same whatever happened on the way."""
    services = {
        key: (s.metadata.finalizers, s.metadata.annotations, len(s.status.load_balancer.ingress))
        for key, s in cluster.kube.services.items()
    }
    return comparable(cluster.state()), services


def comparable(state):
    """The state without what tells only when something was made, and without ids that the cloud draws."""
    if isinstance(state, dict):
        return {key: comparable(value) for key, value in state.items() if key not in {"CreatedTime", "TargetHealth"}}
    if isinstance(state, list):
        return [comparable(item) for item in state]
    return DRAWN_ID.sub("", state) if isinstance(state, str) else state


@pytest.mark.spec("AWS-076", "AWS-077")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mode", EVERY_MODE)
def test_a_crash_at_every_write_converges_to_the_same_end(aws, mode, scenario):
    """From before and after each write, of the cloud or of the API, the next process gets to the undisturbed end."""
    cluster = Cluster.begin(aws)
    cluster.mode = mode
    moments = play(cluster, SCENARIOS[scenario])
    wanted_end = picture(cluster)
    assert len(moments) > sum(call.outcome == "ok" for call in aws.calls.writes) >= 2
    for number, at in enumerate(moments):
        revive(cluster, at)
        assert picture(cluster) == wanted_end, f"moment {number}"
        assert not cluster.plans(), f"moment {number}"


@pytest.mark.slow
@pytest.mark.parametrize("mode", EVERY_MODE)
def test_a_process_that_dies_while_it_waits_for_an_answer_leaves_the_same_behind(aws, mode):
    """A connection that is cut in the middle of a create, its write done, ends as an undisturbed create."""
    ends = []
    for write in (None, 2):
        cluster = Cluster.begin(aws)
        cluster.mode = mode
        dead = aws.faults.die_after(write) if write else None
        create(cluster)
        run(cluster, dead)
        aws.faults.revive()
        cluster.crash()
        cluster.settle(CRASH_SECONDS)
        ends.append(picture(cluster))
    assert ends[0] == ends[1]


def leave(cluster):
    """The only pod with a security group of its own goes."""
    cluster.move_pods(POD_ADDRESSES[1])


WITHOUT_GROUPS = {**PODS, AWS + "disable-nlb-sg": "true"}
POD_GROUP_WORLDS = {"managed groups": (PODS, False), "no groups": (WITHOUT_GROUPS, False), "operator's": (PODS, True)}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("last", [leave, delete])
@pytest.mark.parametrize("world", POD_GROUP_WORLDS)
def test_the_rule_of_a_group_that_only_pods_had_never_outlives_its_use(aws, last, world):
    """Nothing but the rule itself leads to the group of a pod that is gone: a process that died finds it again."""
    annotations, is_given = POD_GROUP_WORLDS[world]
    scene = aws.seed("basic")
    cluster = Cluster(aws, scene, **({"backend_security_group": scene["user-group"]} if is_given else {}))
    cluster.settle()
    before = cluster.groups()["demo-nodes"]["IpPermissions"]
    cluster.pods_own_group("for-pods", POD_ADDRESSES[0])

    def begin(cluster):
        cluster.kube.put(service(ports=(80, 443), annotations=annotations))

    moments = play(cluster, [begin, last])
    assert any(m.cloud != moments[0].cloud for m in moments)
    assert cluster.groups()["for-pods"]["IpPermissions"] == []
    assert last is leave or cluster.groups()["demo-nodes"]["IpPermissions"] == before
    wanted_end = picture(cluster)
    after = cluster.pods
    for number, at in enumerate(moments):
        cluster.pods = after
        revive(cluster, at)
        assert picture(cluster) == wanted_end, f"moment {number}"
        assert not cluster.plans(), f"moment {number}"


def run(cluster, dead):
    """Work until the process is dead, or until there is nothing to do."""
    end = cluster.clock.monotonic() + 60
    while not (dead and dead.is_set()):
        cluster.controller.tick()
        work = cluster.controller.next_work()
        if work is not None:
            cluster.do(work)
            continue
        due = cluster.controller.next_due()
        if due is None or due > end:
            return
        cluster.clock.advance(max(due - cluster.clock.monotonic(), 0.001))
