"""What is sent for one action: the method, its parameters and its body. Pure.

`apply.py` sends it; a change sends only the fields that differ, and keeps numbers that an operator has raised.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lbctl.driver import Refs
from lbctl.errors import MissingFact
from lbctl.model.resource import Key, Ref, Resource
from lbctl.plan.actions import Action, Step
from lbctl_gce.kinds import BACKEND, CHECK, ENDPOINTS, FIREWALL, HTTP_CHECK, POOL, RULE, path_of
from lbctl_gce.plan import MEMBERSHIP
from lbctl_gce.rules import LOGGING
from lbctl_gce.shapes import WRITERS, Fields, Json, Links, zonal_policy

RAISED_BY_HAND = ("interval", "timeout", "healthy", "unhealthy", "draining")


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `fields` are the resource's as they will be once it has succeeded, references resolved."""

    method: str
    path: Mapping[str, str]
    body: Json | None
    fields: Fields = field(default_factory=dict)


def build_request(action: Action, refs: Refs, links: Links) -> Request:
    """The call of an action; `NotReady` while something that it refers to does not exist."""
    step = action.steps[0]
    verb = action.call.partition(".")[2]
    if verb == "delete":
        return Request(action.call, path_of(step.key), None)
    assert step.desired is not None
    if step.key.kind in MEMBERSHIP:
        return _membership(action, step, links)
    fields = resolved(step.desired, refs)
    if step.key.kind == FIREWALL and step.seen is None and not fields["tags"]:
        raise MissingFact(f"{step.key} waits for the first node, whose network tag it needs")
    if verb == "insert":
        body = WRITERS[step.key.kind](step.desired.name, fields, links)
        if step.key.kind == POOL:
            assert isinstance(action.payload, tuple)
            body["instances"] = [links.full(instance) for instance in action.payload]
        path = {key: value for key, value in path_of(step.key).items() if key == "zone"}
        return Request(action.call, path, body, fields)
    return _change(action, step, fields, links)


def resolved(resource: Resource, refs: Refs) -> dict[str, Hashable]:
    """The resource's fields with every reference replaced by what it stands for."""
    return {name: _resolve(value, refs) for name, value in resource.fields.items()}


def _resolve(value: Hashable, refs: Refs) -> Hashable:
    if isinstance(value, Ref):
        return refs.get(value)
    if isinstance(value, frozenset):
        return frozenset(_resolve(item, refs) for item in value)
    return value


def _change(action: Action, step: Step, fields: dict[str, Hashable], links: Links) -> Request:
    assert step.seen is not None
    if action.call.endswith(".removeHealthCheck"):
        body = {"healthChecks": [{"healthCheck": links.full(str(action.payload))}]}
        return Request(action.call, path_of(step.key), body, {**step.seen.resource.fields, "check": ""})
    assert step.desired is not None
    old = step.seen.resource.fields
    kept = {name: max(int(str(old[name])), int(str(fields[name]))) for name in RAISED_BY_HAND if name in fields}
    unset = {name: old[name] for name, value in fields.items() if value is None and name in old}
    merged = {**fields, **kept, **unset}
    body = CHANGES[step.key.kind](step, merged, links)
    return Request(action.call, path_of(step.key), body, merged)


def _change_rule(_step: Step, fields: Fields, _links: Links) -> Json:
    """Global access is all that is changed in place."""
    return {"allowGlobalAccess": fields["global_access"]}


def _change_backend(step: Step, fields: Fields, links: Links) -> Json:
    body = WRITERS[BACKEND](step.key.id, fields, links)
    if not fields["locality"]:
        body["localityLbPolicy"] = "MAGLEV" if any(c.field == "locality" for c in step.changes) else None
    if not fields["strong_seconds"] and any(c.field == "strong_seconds" for c in step.changes):
        body["connectionTrackingPolicy"] = {"enableStrongAffinity": False, "trackingMode": "PER_CONNECTION"}
    if fields["same_zone"] is False and any(c.field == "same_zone" for c in step.changes):
        body["networkPassThroughLbTrafficPolicy"] = zonal_policy(on=False)
    if not any(change.field in LOGGING for change in step.changes):
        body.pop("logConfig", None)
    return {
        key: value for key, value in body.items() if value is not None and key not in ("name", "loadBalancingScheme")
    }


def _change_check(step: Step, fields: Fields, links: Links) -> Json:
    body = WRITERS[step.key.kind](step.key.id.rpartition("/")[2], fields, links)
    return {key: value for key, value in body.items() if key not in ("name", "type")} | _type(step.key)


def _type(key: Key) -> Json:
    return {"type": "HTTP"} if key.kind == CHECK else {}


def _change_firewall(step: Step, fields: Fields, links: Links) -> Json:
    body = WRITERS[FIREWALL](step.key.id, fields, links)
    return {key: value for key, value in body.items() if key not in ("name", "network", "direction")}


def _change_pool(_step: Step, fields: Fields, links: Links) -> Json:
    return {"healthChecks": [{"healthCheck": links.full(str(fields["check"]))}]}


CHANGES: Mapping[str, Any] = {
    RULE: _change_rule,
    BACKEND: _change_backend,
    CHECK: _change_check,
    HTTP_CHECK: _change_check,
    FIREWALL: _change_firewall,
    POOL: _change_pool,
}


def _membership(action: Action, step: Step, links: Links) -> Request:
    name, add, _ = MEMBERSHIP[step.key.kind]
    members = action.payload
    assert isinstance(members, tuple)
    zone = path_of(step.key).get("zone", "")
    old = step.seen.resource.fields[name] if step.seen else frozenset()
    assert isinstance(old, frozenset)
    joined = action.call.endswith(f".{add}")
    now = old | frozenset(members) if joined else old - frozenset(members)
    body = {"networkEndpoints": [_endpoint(text, links) for text in members]}
    if step.key.kind != ENDPOINTS:
        paths = [text if "/" in text else f"zones/{zone}/instances/{text}" for text in members]
        body = {"instances": [{"instance": links.full(path)} for path in paths]}
    return Request(action.call, path_of(step.key), body, {name: now})


def _endpoint(text: str, links: Links) -> Json:
    path, _, address = text.partition(" ")
    return {"instance": links.full(path), **({"ipAddress": address} if address else {})}


def merged_backends(body: Json, live: Json, own: frozenset[str]) -> Json:
    """The change of a backend service with the fingerprint of a fresh read; foreign backends stay.

    `own` are the groups that are this cluster's to link or unlink.
    """
    foreign = [entry for entry in live.get("backends", ()) if not any(entry["group"].endswith(path) for path in own)]
    wanted = body.get("backends", [])
    present = {entry["group"].partition("/projects/")[2]: entry for entry in live.get("backends", ())}
    kept = [present.get(entry["group"].partition("/projects/")[2], entry) for entry in wanted]
    return {**body, "backends": [*foreign, *kept], "fingerprint": live["fingerprint"]}
