"""The pages of errors and exit codes, from `lbctl.errors`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from lbctl import errors
from lbctl.engine.backoff import FIRST_SECONDS, LAST_SECONDS
from lbctl.errors import CloudError, Exit, LbctlError, Retry
from tests.reference.markdown import code, codes, page, prose, table

BASES = (LbctlError, CloudError)
EXITS = {
    Exit.OK: "fine",
    Exit.FAILURE: "failure",
    Exit.CHANGES: "changes are pending (`plan`), or a check failed (`doctor`)",
    Exit.INVALID_INPUT: "invalid input: a Service, a file, a flag, a name that does not exist",
    Exit.CONFIGURATION: "configuration, or a missing extra",
    Exit.OWNED_BY_OTHER: "owned by another",
    Exit.NOT_READY: "not ready, or not in time",
    Exit.INTERRUPTED: "interrupted",
}


def errors_page() -> str:
    """Every error with its reason, who has to act, when it is tried again, and the exit code of a command."""
    return page(
        "Errors",
        "Every error that a Service, an Event or a command shows is one of these. The reason is what "
        "[conditions, Events](events.md) and [metrics](metrics.md) carry. An error says what was tried, on what, what "
        "came back and what to do.",
        table(("reason", "what", "whose move", "tried again", "exit code"), (_row(one) for one in _every())),
        f"{codes(reason for reason, kind in reasons().items() if _only_means_later(kind))} are no failures: they mean "
        '"later", count nothing and warn nobody.',
        f"Growing pauses start at {FIRST_SECONDS:g} seconds, double, and end at {LAST_SECONDS:g} seconds.",
    )


def exits_page() -> str:
    """The exit codes of all commands."""
    return page(
        "Exit codes",
        "The same for every command, so that scripts can tell a wish that cannot be from a cloud that does not answer.",
        table(("code", "meaning"), ((str(code.value), EXITS[code]) for code in Exit)),
    )


def reasons() -> dict[str, type[LbctlError]]:
    """Every error that is more than a base class, by reason."""
    return {one.reason: one for one in _every()}


def _every() -> Iterator[type[LbctlError]]:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, LbctlError) and kind not in BASES:
            yield kind


def _only_means_later(kind: type[LbctlError]) -> bool:
    return "is_failure" in vars(kind)


def _row(kind: type[LbctlError]) -> tuple[str, ...]:
    return (
        code(kind.reason),
        prose(inspect.getdoc(kind)),
        kind.blame.value,
        _pause(kind),
        str(kind.exit.value),
    )


def _pause(kind: type[LbctlError]) -> str:
    if kind.retry is not Retry.AFTER:
        return kind.retry.value
    given = inspect.signature(kind).parameters.get("after_seconds")
    if given is None:
        return f"after {kind.after_seconds:g} s"
    if given.default is inspect.Parameter.empty:
        return "after the time that the error names"
    return f"after the time that the error names, else {given.default or kind.after_seconds:g} s"
