"""What became of a Service in a round of work at the desk. Pure."""

from __future__ import annotations

from lbctl.engine.account import Account
from lbctl.engine.claim import Standing
from lbctl.engine.marking import is_retained
from lbctl.engine.summary import State, summarise
from lbctl.engine.tracked import READY, Outcome, Progress, Tracked

TOLD = {State.PENDING: Progress.WORKING, State.FAILED: Progress.FAILED, State.HELD: Progress.HELD}
WORDS = {
    Progress.INVALID: "failed",
    Progress.FAILED: "failed",
    Progress.HELD: "held",
    Progress.WORKING: "pending",
    Progress.READY: "ready",
    Progress.GONE: "gone",
}
"""What people and programs are told, in the words of `lbctl status`, which sees none that is gone."""


def outcome_of(account: Account, tracked: Tracked) -> Outcome:
    """The outcome after the round; for a Service on which this process did not work, what its condition says."""
    if tracked.identity not in account.services:
        return _end(tracked)
    if tracked.standing is Standing.LEAVING and tracked.worst.progress is Progress.READY:
        return Outcome(Progress.WORKING, "Deleting")
    return tracked.worst if tracked.outcomes else _told(tracked)


def _end(tracked: Tracked) -> Outcome:
    if is_retained(tracked):
        return Outcome(Progress.GONE, "Released", "let go; the balancer stays, without our marks")
    if tracked.had_objects:
        return Outcome(Progress.GONE, "Deleted", "deleted; nothing of it is left in the cloud")
    return Outcome(Progress.GONE, "Deleted", "deleted; it had nothing in the cloud")


def _told(tracked: Tracked) -> Outcome:
    summary = summarise(tracked.service)
    return READY if summary.state is State.READY else Outcome(TOLD[summary.state], summary.reason, summary.message)
