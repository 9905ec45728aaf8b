"""What to do about an error, and when it is tried again, told by the reason that the condition shows. Pure.

The controller writes nothing for a try that fails like the one before it, so the time of the next one is nowhere to be
read; but each kind of error has its own rule for it, and by that the time is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lbctl.driver import Finding, Level
from lbctl.engine.backoff import JITTER, LAST_SECONDS
from lbctl.errors import (
    Blame,
    CloudBug,
    Conflict,
    InvalidService,
    InvalidSettings,
    KubeDenied,
    KubeUnreachable,
    LbctlError,
    MissingFact,
    NotAuthenticated,
    OwnedByOther,
    PermissionDenied,
    QuotaExceeded,
    Rejected,
    Retry,
    Unreachable,
)

LOGS = "kubectl -n kube-system logs deployment/lbctl"
RESTART = "kubectl -n kube-system rollout restart deployment/lbctl"
EDIT = "correct it: kubectl -n {namespace} edit service {name}"
REPORT = "report it, with what this writes: lbctl explain {namespace}/{name} --bundle bundle.json"
BY_REASON: Mapping[str, str] = {
    InvalidService.reason: EDIT,
    Rejected.reason: EDIT,
    InvalidSettings.reason: "correct the controller's settings; lbctl config show tells each value and its origin",
    OwnedByOther.reason: "see whose it is by its tags; lbctl adopt {namespace}/{name} says if it can be taken over",
    KubeDenied.reason: "grant it: lbctl manifests prints the roles, lbctl doctor tests them",
    KubeUnreachable.reason: "look at the API server: kubectl get --raw /readyz?verbose",
    NotAuthenticated.reason: "renew the controller's credentials; lbctl doctor says who it is logged in as",
    PermissionDenied.reason: "grant it: lbctl permissions prints the role that is needed, lbctl doctor tests it",
    QuotaExceeded.reason: "raise it, or free some: lbctl gc lists what Services that are gone still hold",
    MissingFact.reason: "provide it; lbctl doctor says what is found and what is not",
    Unreachable.reason: "look at the cloud's status page, and from here with: lbctl doctor",
    Conflict.reason: "find who else changes it: another controller, a tool, a person",
    CloudBug.reason: REPORT,
}
BY_BLAME: Mapping[Blame, str] = {
    Blame.AUTHOR: EDIT,
    Blame.OPERATOR: "change in the cloud what it names",
    Blame.NOBODY: f"wait for it; if it stays, the controller's log says more: {LOGS}",
    Blame.US: REPORT,
}


def advice(reason: str, service: str) -> str:
    """What to do about the error of this reason on `namespace/name`; empty when no error has it."""
    known = kinds_of(reason)
    if not known:
        return ""
    namespace, _, name = service.partition("/")
    return BY_REASON.get(reason, BY_BLAME[known[0].blame]).format(namespace=namespace, name=name)


def next_try(reason: str, service: str) -> Finding | None:
    """When work on `namespace/name` that ended with this reason is tried again; None when that was no error."""
    kinds = kinds_of(reason)
    if not kinds:
        return None
    text = " or ".join(dict.fromkeys(_rule(kind) for kind in kinds))
    if all(longest_pause(kind) is None and kind.retry is not Retry.NEVER for kind in kinds):
        return Finding(Level.WARNING, "next try", text, advice(reason, service))
    return Finding(Level.WARNING, "next try", text, f"to have it tried at once, restart the controller: {RESTART}")


def kinds_of(reason: str) -> list[type[LbctlError]]:
    """The errors that show this reason; those of a driver once it is loaded."""
    return [kind for kind in _every(LbctlError) if kind.reason == reason]


def _every(kind: type[LbctlError]) -> Iterator[type[LbctlError]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _every(derived)


def longest_pause(kind: type[LbctlError]) -> float | None:
    """Seconds within which work that ended with this error is tried again; None when time alone brings no try."""
    match kind.retry:
        case Retry.WHEN_CHANGED | Retry.BISECT | Retry.NEVER:
            return None
        case Retry.AFTER:
            return kind.after_seconds
        case _:
            return LAST_SECONDS * (1 + JITTER)


def _rule(kind: type[LbctlError]) -> str:
    pause = longest_pause(kind)
    if pause is None:
        return "when the controller starts again" if kind.retry is Retry.NEVER else "as soon as the Service changes"
    often = "it is tried that often" if kind.retry is Retry.AFTER else "the pauses grow to that, from 5 seconds on"
    return f"within {_length(pause)}: {often}"


def _length(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 2 * 60 else f"{seconds:.0f} seconds"
