"""The next document of a load balancer: the server's own, with the steps of a plan worked in. Pure.

Foreign elements keep their place and every byte; ours are replaced in place, appended, or left out. Called by `apply`
with the document as last read, so that nothing is lost between planning and writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lbctl.plan.actions import Step, Verb
from lbctl_azure.elements import BALANCER, COLLECTIONS, FOREIGN_COLLECTIONS, Element, write_fields

READ_ONLY = ("etag", "provisioningState", "resourceGuid")


def next_balancer(document: Mapping[str, Any] | None, steps: Iterable[Step], *, shell: Element, id: str) -> Element:  # noqa: A002 - ARM's word
    """The document to write. `shell` holds what a new balancer is born with; it is ignored for one that exists."""
    result: Element = dict(document) if document else dict(shell)
    properties: Element = dict(result.get("properties") or {})
    by_kind: dict[str, dict[str, Step]] = {}
    for step in steps:
        by_kind.setdefault(step.key.kind, {})[step.key.id] = step
    for kind, collection in COLLECTIONS.items():
        if kind in by_kind:
            properties[collection] = _next_elements(kind, properties.get(collection) or [], by_kind[kind], id)
    for step in by_kind.get(BALANCER, {}).values():
        result.update(_shell_changes(step))
    result["properties"] = {name: value for name, value in properties.items() if name not in READ_ONLY}
    return {name: value for name, value in result.items() if name not in READ_ONLY}


def _shell_changes(step: Step) -> Element:
    if step.desired is None:
        return {}
    tags = step.desired.fields.get("tags")
    return {"tags": dict(tags)} if isinstance(tags, frozenset) else {}


def _next_elements(kind: str, elements: Iterable[Element], steps: Mapping[str, Step], balancer: str) -> list[Element]:
    kept: list[Element] = []
    left = dict(steps)
    for element in elements:
        step = left.pop(element["name"].lower(), None)
        if step is None:
            kept.append(element)
        elif step.verb is not Verb.DELETE:
            kept.append(write_fields(kind, element, _changes(step), balancer))
    born = (step for step in left.values() if step.verb is not Verb.DELETE)
    return [*kept, *(write_fields(kind, {"name": step.name}, _wanted(step), balancer) for step in born)]


def _changes(step: Step) -> dict[str, Any]:
    return {change.field: change.new for change in step.changes}


def _wanted(step: Step) -> dict[str, Any]:
    assert step.desired is not None
    return {name: value for name, value in step.desired.fields.items() if value is not None}


def foreign_elements(document: Mapping[str, Any] | None, ours: Iterable[tuple[str, str]]) -> list[str]:
    """What a balancer holds besides ours (collection and lower-case name), as `collection/name`."""
    properties = (document or {}).get("properties") or {}
    mine = frozenset(ours)
    return [
        f"{collection}/{element['name']}"
        for collection in (*COLLECTIONS.values(), *FOREIGN_COLLECTIONS)
        for element in properties.get(collection) or []
        if (collection, element["name"].lower()) not in mine
    ]


def writable(document: Mapping[str, Any]) -> Element:
    """The document as read, less what only the server writes."""
    properties = {k: v for k, v in (document.get("properties") or {}).items() if k != "provisioningState"}
    return {**{k: v for k, v in document.items() if k != "etag"}, "properties": properties}
