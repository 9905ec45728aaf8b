"""Annotations declared once as data: parser, validation, reference page and admission policy come from here.

A driver declares a table of `Annotation`s. `AnnotationTable.read` parses a Service's annotations against it and returns
every problem at once, with the nearest known key for what looks like a typing error. What values may be is in
`lbctl.grammar`. Nothing here knows a cloud.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lbctl.grammar import Choice, Kind, Text
from lbctl.model.problem import Problem
from lbctl.model.status import Notice, Severity

APPROVE = "lbctl.io/approve"
DELETION_POLICY = "lbctl.io/deletion-policy"
OUR_PREFIX = "lbctl.io/"
UNKNOWN = "is no annotation of this driver and has no effect on the balancer"
"""What is said of a key, here and by the API server."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation that a driver honours.

    `key` is the full name; a `{port}` or `{suffix}` in it matches any text there, and the value is then a mapping from
    that text. `name` is what the driver calls the value. `on_change` says in a word what a change does (`in place`,
    `moves the address`, …); `modes` restricts it to some of the driver's modes, empty means all. `source` names the
    upstream that honours it.
    """

    key: str
    name: str
    kind: Kind
    doc: str
    default: Any = None
    on_change: str = "in place"
    modes: tuple[str, ...] = ()
    source: str = ""
    deprecated: str = ""

    @property
    def is_pattern(self) -> bool:
        """True when the key has a variable part."""
        return "{" in self.key

    @property
    def written_default(self) -> str:
        """The default as one would write it; empty when there is none, or no text of its kind means it."""
        text = str(self.default).lower() if isinstance(self.default, bool) else str(self.default)
        try:
            return text if self.kind.parse(text) == self.default else ""
        except ValueError:
            return ""

    def match(self, key: str) -> str | None:
        """The variable part of `key`, empty for an exact match, None when it does not match."""
        if not self.is_pattern:
            return "" if key == self.key else None
        found = _pattern(self.key).fullmatch(key)
        return found.group(1) if found else None


@dataclass(frozen=True, slots=True)
class Values:
    """What `AnnotationTable.read` found: every declared name has a value, its default if the Service says nothing."""

    by_name: Mapping[str, Any]
    given: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()


COMMON = (
    Annotation(
        key=DELETION_POLICY,
        name="deletion_policy",
        kind=Choice(("delete", "retain")),
        default="delete",
        doc="`retain` keeps the balancer when the Service is deleted: our marks and finalizer are taken off.",
        source="lbctl",
    ),
    Annotation(
        key=APPROVE,
        name="approve",
        kind=Text(pattern=r"[0-9a-f]{12}", what="the digest of a held plan"),
        doc="Lets the held plan with this digest run; without effect once the plan has changed.",
        source="lbctl",
    ),
)


@dataclass(frozen=True)
class AnnotationTable:
    """All annotations of one driver.

    `prefixes` are those, beside `lbctl.io/`, under which an unknown key is worth a notice. `ignored` are keys
    under these prefixes that other programs own.
    """

    annotations: tuple[Annotation, ...]
    prefixes: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()
    _exact: Mapping[str, Annotation] = field(init=False, repr=False)
    _patterns: tuple[Annotation, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the table; two annotations of one key or name are a bug."""
        every = (*COMMON, *self.annotations)
        exact = {annotation.key: annotation for annotation in every if not annotation.is_pattern}
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_patterns", tuple(a for a in every if a.is_pattern))
        if len({annotation.name for annotation in every}) != len(every):
            raise AssertionError("two annotations share a name")

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of Annotation
        return iter((*COMMON, *self.annotations))

    def find(self, key: str) -> tuple[Annotation, str] | None:
        """The declaration of a key and the key's variable part."""
        if key in self._exact:
            return self._exact[key], ""
        for annotation in self._patterns:
            part = annotation.match(key)
            if part is not None:
                return annotation, part
        return None

    def declared(self, annotations: Mapping[str, str]) -> dict[str, str]:
        """Only those annotations that decide something here."""
        return {key: value for key, value in annotations.items() if self.find(key) is not None}

    def read(self, annotations: Mapping[str, str]) -> Values:
        """Parse the annotations of one Service; cost grows with their number, not with the table's size."""
        values: dict[str, Any] = {a.name: {} if a.is_pattern else a.default for a in self}
        given: set[str] = set()
        problems: list[Problem] = []
        notices: list[Notice] = []
        for key, text in sorted(annotations.items()):
            found = self.find(key)
            if found is None:
                notices.extend(self._stranger(key))
                continue
            annotation, part = found
            try:
                parsed = annotation.kind.parse(text)
            except ValueError as error:
                problems.append(Problem(f"metadata.annotations[{key}]", f"{text!r} {error}"))
                continue
            given.add(annotation.name)
            if annotation.is_pattern:
                values[annotation.name][part] = parsed
            else:
                values[annotation.name] = parsed
        return Values(values, frozenset(given), tuple(problems), tuple(notices))

    def nearest(self, key: str) -> str:
        """The known key that looks most like this one, or empty."""
        known = [annotation.key for annotation in self]
        return next(iter(difflib.get_close_matches(key, known, n=1, cutoff=0.8)), "")

    @property
    def own_prefixes(self) -> tuple[str, ...]:
        """What the keys begin with of which an unknown one is told."""
        return (OUR_PREFIX, *self.prefixes)

    def _stranger(self, key: str) -> list[Notice]:
        if key in self.ignored or not key.startswith(self.own_prefixes):
            return []
        nearest = self.nearest(key)
        whose = f"; whose it is: lbctl annotations {key}" if key.startswith(OUR_PREFIX) else ""
        hint = f"; did you mean {nearest}?" if nearest else whose
        return [Notice(Severity.WARNING, "AnnotationIgnored", f"{key} {UNKNOWN}{hint}")]


_compiled: dict[str, re.Pattern[str]] = {}


def _pattern(key: str) -> re.Pattern[str]:
    if key not in _compiled:
        before, _, rest = key.partition("{")
        _, _, after = rest.partition("}")
        _compiled[key] = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
    return _compiled[key]
