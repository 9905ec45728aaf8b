"""Label and field selectors: parsed once a request, then asked for each object.

A selector that does not parse, or a field that the kind cannot be selected by, is refused with 400. The selectable
fields are those of kube-apiserver 1.36.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Obj, section
from lbctl.sandbox.api.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbctl.sandbox.api.kinds import Kind

SET_BASED = re.compile(r"\s*(?P<key>[^\s!=,()]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)\s*")
EQUALITY = re.compile(r"\s*(?P<key>[^\s!=,()]+)\s*(?P<operator>==|=|!=)\s*(?P<values>[^\s!=,()]*)\s*")
PRESENCE = re.compile(r"\s*(?P<absent>!?)\s*(?P<key>[^\s!=,()]+)\s*")
EVENT_FIELDS = (
    *(
        f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    ),
    *("reason", "type", "source", "reportingComponent"),
)
SELECTABLE: dict[str, tuple[str, ...]] = {
    "services": ("spec.clusterIP", "spec.type"),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    "replicasets.apps": ("status.replicas",),
    "jobs.batch": ("status.successful",),
    "events": EVENT_FIELDS,
}


@dataclass(frozen=True, slots=True)
class Term:
    """One requirement on a label or field: its value is (or is not) among the given ones."""

    key: str
    values: frozenset[str]
    negated: bool = False
    presence: bool = False

    def accepts(self, value: str | None) -> bool:
        """Whether the requirement holds for `value`; None stands for a label that is not there."""
        held = value is not None if self.presence else value in self.values
        return held != self.negated


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements of one request; the empty one accepts everything."""

    labels: tuple[Term, ...] = ()
    fields: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def accepts(self, obj: Obj) -> bool:
        """Whether the object is part of the answer."""
        labels = section(obj, "metadata", "labels")
        return all(term.accepts(labels.get(term.key)) for term in self.labels) and all(
            term.accepts(field_value(obj, term.key)) for term in self.fields
        )


def field_value(obj: Obj, path: str) -> str:
    """The text of a selectable field; the empty string where it is not set."""
    if (special := SPECIAL_FIELDS.get(path)) is not None:
        return special(obj)
    *parents, last = path.split(".")
    value = section(obj, *parents).get(last, "")
    return str(value)


def _event_source(obj: Obj) -> str:
    return str(section(obj, "source").get("component") or obj.get("reportingComponent") or "")


def _unschedulable(obj: Obj) -> str:
    return "true" if section(obj, "spec").get("unschedulable") else "false"


SPECIAL_FIELDS: dict[str, Callable[[Obj], str]] = {"source": _event_source, "spec.unschedulable": _unschedulable}


def parse_selector(kind: Kind, *, labels: str, fields: str) -> Selector:
    """The selector of a request's `labelSelector` and `fieldSelector`; raises Refusal 400 for what cannot be read."""
    return Selector(tuple(_label_terms(labels)), tuple(_field_terms(kind, fields)))


def _label_terms(text: str) -> list[Term]:
    terms, position = [], 0
    while position < len(text.rstrip()):
        term, position = _label_term(text, position)
        terms.append(term)
    return terms


def _label_term(text: str, position: int) -> tuple[Term, int]:
    for pattern, make in ((SET_BASED, _set_term), (EQUALITY, _equality_term), (PRESENCE, _presence_term)):
        found = pattern.match(text, position)
        if found and (found.end() == len(text) or text[found.end()] == ","):
            return make(found), found.end() + 1
    raise bad_request(
        f"unable to parse requirement: found {text[position:]!r}, expected: identifier, in, notin, =, ==, != or !"
    )


def _set_term(found: re.Match[str]) -> Term:
    values = frozenset(value.strip() for value in found["values"].split(","))
    return Term(found["key"], values, negated=found["operator"] == "notin")


def _equality_term(found: re.Match[str]) -> Term:
    return Term(found["key"], frozenset((found["values"],)), negated=found["operator"] == "!=")


def _presence_term(found: re.Match[str]) -> Term:
    return Term(found["key"], frozenset(), negated=bool(found["absent"]), presence=True)


def _field_terms(kind: Kind, text: str) -> list[Term]:
    return [_field_term(kind, part) for part in text.split(",") if part.strip()]


def _field_term(kind: Kind, part: str) -> Term:
    key, operator, value = re.fullmatch(r"([^!=]*)(==|=|!=|)(.*)", part.strip()).groups()  # type: ignore[union-attr] # it matches every text
    if not operator:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    if key not in ("metadata.name", "metadata.namespace", *SELECTABLE.get(kind.storage, ())):
        raise bad_request(f"field label not supported: {key}")
    return Term(key, frozenset((value,)), negated=operator == "!=")
