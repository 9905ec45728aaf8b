"""Taking turns with the other writers of a cloud's shared objects, by a Lease that is theirs."""

from __future__ import annotations

import msgspec
import pytest

from lbctl.clock import ManualClock
from lbctl.errors import KubeGone, NotReady
from lbctl.kube.lease import micro_time
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import LEASES
from lbctl.kube.write_lease import WriteLease

NAME = "resource-locker"


class Turn:
    """The Lease of one test, seen from its other writer."""

    def __init__(self, rest, namespace) -> None:
        self.clock = ManualClock()
        self.ours = WriteLease(f"{namespace}/{NAME}", rest=rest, clock=self.clock)
        self._rest = rest
        self._target = LEASES.one(NAME, namespace=namespace)

    def exists(self) -> None:
        """The cluster has the Lease, and nobody holds it."""
        body = {"metadata": {"name": NAME}, "spec": {"leaseDurationSeconds": 900}}
        self._rest.send("create", self._target.within(self._target.namespace), body=body)

    def held_by(self, holder: str, *, seconds_ago: float = 0.0) -> None:
        """Somebody has taken it."""
        clock = ManualClock(self.clock.now())
        at = clock.now().timestamp() - seconds_ago
        renewed = micro_time(clock.now().fromtimestamp(at, tz=clock.now().tzinfo))
        body = {"spec": {"holderIdentity": holder, "renewTime": renewed}}
        self._rest.send("patch", self._target, body=body, content_type=MERGE_PATCH)

    def another(self) -> WriteLease:
        """What a process has that was started after ours died."""
        return WriteLease(f"{self._target.namespace}/{NAME}", rest=self._rest, clock=self.clock)

    @property
    def spec(self) -> dict:
        """The record on the server."""
        return msgspec.json.decode(self._rest.get(self._target))["spec"]

    @property
    def holder(self) -> str:
        """Who holds it."""
        return self.spec.get("holderIdentity", "")


@pytest.fixture
def turn(rest, namespace):
    """A Lease in a namespace of the test's own."""
    return Turn(rest, namespace)


@pytest.mark.spec("AZ-092")
def test_without_the_lease_there_is_nobody_to_wait_for(turn):
    """It is neither missed nor made."""
    turn.ours.enter("scope")
    turn.ours.leave("scope")
    with pytest.raises(KubeGone):
        turn.holder  # noqa: B018 - the reading is what fails


@pytest.mark.spec("AZ-092")
def test_it_is_held_from_the_first_user_to_the_last(turn):
    """Two scopes are written at once: the first to end does not let others in."""
    turn.exists()
    turn.ours.enter("one")
    turn.ours.enter("two")
    assert turn.holder == "lbctl"
    turn.ours.leave("one")
    assert turn.holder == "lbctl"
    turn.ours.leave("two")
    assert turn.holder == ""


@pytest.mark.spec("AZ-092")
def test_while_another_holds_it_nothing_is_written(turn):
    """The refusal names the holder; it is let go of and is ours with the next look."""
    turn.exists()
    turn.held_by("resource-provider")
    with pytest.raises(NotReady, match="resource-provider is changing the cloud's shared objects"):
        turn.ours.enter("scope")
    turn.held_by("")
    turn.clock.advance(16)
    turn.ours.enter("scope")
    assert turn.holder == "lbctl"


def test_a_refusal_is_believed_for_a_while(turn):
    """Hundreds of scopes that wait do not ask hundreds of times: news is looked for after 15 seconds."""
    turn.exists()
    turn.held_by("resource-provider")
    with pytest.raises(NotReady):
        turn.ours.enter("one")
    turn.held_by("")
    with pytest.raises(NotReady):
        turn.ours.enter("two")


def test_a_lease_that_has_run_out_is_free(turn):
    """Whoever held it died: its own duration says from when on it does not count."""
    turn.exists()
    turn.held_by("resource-provider", seconds_ago=901)
    turn.ours.enter("scope")
    assert turn.holder == "lbctl"


def test_what_a_dead_process_of_ours_held_goes_on_with_the_next(turn):
    """Nobody waits a quarter of an hour for himself."""
    turn.exists()
    turn.ours.enter("scope")
    turn.another().enter("scope")
    assert turn.holder == "lbctl"


def test_long_work_keeps_it_fresh(turn):
    """It is written again after five minutes, long before others may believe it dead."""
    turn.exists()
    turn.ours.enter("scope")
    before = turn.spec["renewTime"]
    turn.clock.advance(301)
    turn.ours.enter("scope")
    assert turn.spec["renewTime"] > before
