"""What the present piece of work is about, for every log line that is written while it lasts.

Set by whoever takes a piece of work, read by the formatters of `lbctl.obs.log`; each thread has its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Lines written in this block, by this thread, carry these fields; empty ones are left out."""
    given = {name: value for name, value in fields.items() if value}
    before = _about.set({**_about.get(), **given})
    try:
        yield
    finally:
        _about.reset(before)


def current() -> Mapping[str, str]:
    """The fields of the present piece of work."""
    return _about.get()
