"""Carries out one request on a resource: from decoded query and body to response bytes.

Between HTTP, which reads and writes sockets, and `Resources`, which knows the rules. Synchronous and without I/O, so a
request is one step that no other can interrupt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbctl.sandbox.api import decoding, lists, patching, rendering, schema, status
from lbctl.sandbox.api.applying import applied_fields, apply
from lbctl.sandbox.api.events_group import to_core
from lbctl.sandbox.api.objects import Json, Obj, encode, metadata, seconds_text
from lbctl.sandbox.api.ownership import Author
from lbctl.sandbox.api.protobuf import CONTENT_TYPE
from lbctl.sandbox.api.reviews import review
from lbctl.sandbox.api.selectors import parse_selector

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from lbctl.sandbox.api.auth import User
    from lbctl.sandbox.api.paths import Target
    from lbctl.sandbox.api.rendering import Form
    from lbctl.sandbox.api.resources import Outcome, Resources
    from lbctl.sandbox.api.store import Entry

BODY_TYPES = ("application/json", "application/yaml", CONTENT_TYPE, "")
VALIDATIONS = ("", "Ignore", "Warn", "Strict")


@dataclass(slots=True)
class Call:
    """One request after HTTP was taken off it."""

    target: Target
    query: Mapping[str, str]
    user: User
    agent: str
    form: Form
    body: bytes = b""
    content_type: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name of the target."""
        return self.target.namespace, self.target.name

    @property
    def validation(self) -> str:
        """How unknown fields are treated."""
        return self.query.get("fieldValidation", "")

    def dry(self) -> bool:
        """Whether nothing is to be stored."""
        return self.query.get("dryRun", "") == "All"


@dataclass(frozen=True, slots=True)
class Answer:
    """Code and JSON of a response."""

    code: int
    body: bytes


class Verbs:
    """The verbs over the resources of one server."""

    def __init__(self, resources: Resources, now: Callable[[], dt.datetime]) -> None:
        self._resources = resources
        self._now = now

    def get(self, call: Call) -> Answer:
        """One object."""
        return Answer(200, self._shown(call, self._resources.get(call.target.kind, call.key)))

    def list(self, call: Call) -> Answer:
        """A page of objects."""
        page = lists.read_page(self._resources.store, call.target.kind, call.target.namespace, list_options(call))
        return Answer(200, rendering.list_body(call.target.kind, page, call.form, now=self._now()))

    def create(self, call: Call) -> Answer:
        """A new object, or the answer to a review."""
        kind = call.target.kind
        _check_options(call)
        obj = self._read(call, self._body(call))
        if kind.create_only:
            return Answer(
                201, encode({"kind": kind.kind, "apiVersion": kind.api_version} | review(kind.kind, obj, call.user))
            )
        if metadata(obj).get("resourceVersion"):
            raise status.Refusal(500, "", "resourceVersion should not be set on objects to be created")
        return self._made(call, self._create(call, obj, self._author(call)))

    def update(self, call: Call) -> Answer:
        """The object as the body says; kinds that allow it are created when missing."""
        _check_options(call)
        kind = call.target.kind
        obj = self._read(call, self._body(call))
        self._check_identity(call, obj)
        if self._is_missing(call) and self._resources.rules(kind).put_creates:
            return self._made(call, self._create(call, obj, self._author(call)))

        def replace(old: Obj) -> Obj:
            given = metadata(obj).get("uid") or metadata(old)["uid"]
            if given != metadata(old)["uid"]:
                why = f"Precondition failed: UID in precondition: {given}, UID in object meta: {metadata(old)['uid']}"
                raise status.conflict(kind, call.target.name, why)
            return obj

        return self._made(
            call, self._resources.update(kind, call.key, replace, author=self._author(call), dry_run=call.dry())
        )

    def patch(self, call: Call) -> Answer:
        """The object after a patch; an apply creates what is missing."""
        if call.content_type not in patching.FORMATS:
            raise status.unsupported_media(call.content_type, patching.FORMATS)
        _check_options(call)
        patch = decoding.parse(call.body, call.content_type)
        if call.content_type == patching.APPLY:
            return self._apply(call, patch)
        kind = call.target.kind

        def change(live: Obj) -> Obj:
            tree = patching.patched(kind, live, patch, call.content_type)
            made = patching.read_patched(kind, tree, warn=call.warnings.append, field_validation=call.validation)
            self._check_identity(call, made)
            return made

        return self._made(
            call, self._resources.update(kind, call.key, change, author=self._author(call), dry_run=call.dry())
        )

    def delete(self, call: Call) -> Answer:
        """The object that was marked or removed, or a Status, as the kind has it."""
        options = self._delete_options(call)
        outcome = self._resources.delete(
            call.target.kind,
            call.key,
            preconditions=options.get("preconditions") or {},
            dry_run=call.dry() or options.get("dryRun") == ["All"],
        )
        kind = call.target.kind
        if not outcome.removed or self._resources.rules(kind).answers_deleted_object:
            return Answer(200, self._shown(call, outcome.entry))
        details = status.about(kind, call.target.name) | {"uid": metadata(outcome.entry.value)["uid"]}
        return Answer(
            200, encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
        )

    def delete_collection(self, call: Call) -> Answer:
        """The list of what was there."""
        self._delete_options(call)
        kind = call.target.kind
        page = lists.read_page(self._resources.store, kind, call.target.namespace, list_options(call))
        for entry in page.entries:
            self._resources.delete(kind, entry.key, preconditions={}, dry_run=call.dry())
        return Answer(200, rendering.list_body(kind, page, call.form, now=self._now()))

    def _body(self, call: Call) -> Json:
        if call.content_type not in BODY_TYPES:
            raise status.unsupported_media(call.content_type, BODY_TYPES[:3])
        return decoding.parse(call.body, call.content_type)

    def _read(self, call: Call, tree: Json) -> Obj:
        obj = decoding.read(call.target.kind, tree, warn=call.warnings.append, field_validation=call.validation)
        return to_core(obj) if call.target.kind.group == "events.k8s.io" else obj

    def _create(self, call: Call, obj: Obj, author: Author) -> Outcome:
        return self._resources.create(call.target.kind, call.target.namespace, obj, author=author, dry_run=call.dry())

    def _apply(self, call: Call, patch: Json) -> Answer:
        kind = call.target.kind
        config = self._read(call, patch)
        self._check_identity(call, config)
        if metadata(config).pop("managedFields", None):
            raise status.bad_request("metadata.managedFields must be nil")
        author = self._author(call, applied=applied_fields(kind, config))
        if self._is_missing(call):
            return self._apply_new(call, config, author)

        def change(live: Obj) -> Obj:
            return apply(kind, live, config, author=author, force=call.query.get("force") == "true")

        return self._made(call, self._resources.update(kind, call.key, change, author=author, dry_run=call.dry()))

    def _apply_new(self, call: Call, config: Obj, author: Author) -> Answer:
        if uid := metadata(config).get("uid"):
            raise status.conflict(
                call.target.kind,
                call.target.name,
                f"uid mismatch: the provided object specified uid {uid}, and no existing object was found",
            )
        if call.target.subresource:
            raise status.not_found(call.target.kind, call.target.name)
        metadata(config).setdefault("name", call.target.name)
        return self._made(call, self._create(call, config, author))

    def _is_missing(self, call: Call) -> bool:
        return self._resources.store.find(call.target.kind.storage, call.key) is None

    def _check_identity(self, call: Call, obj: Obj) -> None:
        meta, target = metadata(obj), call.target
        if meta.setdefault("name", target.name) != target.name:
            text = f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
            raise status.bad_request(text)
        if target.namespace and meta.setdefault("namespace", target.namespace) != target.namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _author(self, call: Call, *, applied: frozenset[tuple[str, ...]] | None = None) -> Author:
        manager = call.query.get("fieldManager") or call.agent.partition("/")[0] or "unknown"
        return Author(manager, seconds_text(self._now()), call.target.subresource, applied)

    def _delete_options(self, call: Call) -> Obj:
        options: Obj = decoding.parse(call.body, call.content_type) if call.body else {}
        known = schema.definitions()[schema.META + "DeleteOptions"]["properties"]
        return {name: value for name, value in options.items() if name in known}

    def _made(self, call: Call, outcome: Outcome) -> Answer:
        return Answer(201 if outcome.created else 200, self._shown(call, outcome.entry))

    def _shown(self, call: Call, entry: Entry) -> bytes:
        return rendering.renderer(call.target.kind, call.form, self._now)(entry)


def list_options(call: Call) -> lists.ListOptions:
    """What the query asks of a list or watch; raises Refusal 400 for selectors that cannot be read."""
    query, target = call.query, call.target
    named = f"metadata.name={target.name}," if target.name else ""
    fields = named + query.get("fieldSelector", "")
    selector = parse_selector(target.kind, labels=query.get("labelSelector", ""), fields=fields)
    limit = query.get("limit", "0")
    return lists.ListOptions(
        selector=selector,
        limit=int(limit) if limit.isdecimal() else 0,
        continued=query.get("continue", ""),
        revision=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
    )


def _check_options(call: Call) -> None:
    problems = status.Problems()
    if (dry_run := call.query.get("dryRun", "All")) != "All":
        problems.unsupported("dryRun", dry_run, ("All",))
    if call.validation not in VALIDATIONS:
        problems.unsupported("fieldValidation", call.validation, VALIDATIONS[1:])
    applies = call.content_type == patching.APPLY
    if applies and not call.query.get("fieldManager"):
        problems.required("fieldManager", "is required for apply patch")
    if "force" in call.query and not applies:
        problems.forbidden("force", "may not be specified for non-apply patch")
    if problems.causes:
        raise status.invalid_options("PatchOptions", problems.causes)
