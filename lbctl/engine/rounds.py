"""What became of a Service in a round of work at the desk. Pure."""

from __future__ import annotations

from lbctl.engine.account import Account
from lbctl.engine.claim import Standing
from lbctl.engine.marking import is_retained
from lbctl.engine.summary import ready_condition_of
from lbctl.engine.tracked import READY, Outcome, Progress, Tracked


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
    condition = ready_condition_of(tracked.service)
    if condition is None:
        return Outcome(Progress.WORKING, "NotSeenYet")
    return READY if condition.status == "True" else Outcome(Progress.WORKING, condition.reason, condition.message)
