"""The HTTP side: routes, credentials, content negotiation, streams, and the faults that happen on the wire.

Runs in the server's event loop. Everything that answers is synchronous and elsewhere; this module reads requests,
writes responses and keeps watches open.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml
from aiohttp import web

from lbctl.sandbox.api import discovery, openapi, status
from lbctl.sandbox.api.auth import Ask, User, Users, check_allowed, check_document
from lbctl.sandbox.api.journal import Journal, Line
from lbctl.sandbox.api.objects import decode, encode
from lbctl.sandbox.api.paths import Target, UnknownGroup, parse_path
from lbctl.sandbox.api.rendering import parse_accept
from lbctl.sandbox.api.status import Refusal
from lbctl.sandbox.api.verbs import Answer, Call, Verbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbctl.sandbox.api.faults import Fault, Faults
    from lbctl.sandbox.api.resources import Resources
    from lbctl.sandbox.api.watches import Watches

VERBS = {
    ("GET", True): "get",
    ("GET", False): "list",
    ("POST", False): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
    ("DELETE", False): "deletecollection",
}
OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")
FAULT_REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
GZIP_BYTES = 128 * 1024
LARGEST_BODY = 3 * 1024 * 1024
JSON_TYPE = "application/json"


@dataclass(slots=True)
class Frontend:
    """One server's handler and what it needs."""

    resources: Resources
    verbs: Verbs
    users: Users
    faults: Faults
    journal: Journal
    watches: Watches
    handlers: dict[str, Callable[[Call], Answer]] = field(init=False)

    def __post_init__(self) -> None:
        verbs = self.verbs
        self.handlers = {
            "get": verbs.get,
            "list": verbs.list,
            "create": verbs.create,
            "update": verbs.update,
            "patch": verbs.patch,
            "delete": verbs.delete,
            "deletecollection": verbs.delete_collection,
        }

    def application(self) -> web.Application:
        """The aiohttp application; every path goes through one handler."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, refusals included."""
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return self._note(request, request.method.lower(), _refused(request, refusal))
        except UnknownGroup:
            return self._note(request, request.method.lower(), web.Response(status=404, text="404 page not found\n"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return _public(request.path)
        user = self.users.identify(request.headers.get("Authorization", ""))
        if (found := _document(request.path)) is not None:
            check_document(user, request.path)
            return self._note(request, "get", web.Response(body=found, content_type=JSON_TYPE))
        target = parse_path(request.path)
        verb = _verb(request, target)
        faults = self.faults.due(verb, request.path_qs)
        if (early := await _suffer(faults)) is not None:
            return self._note(request, verb, _refused(request, early))
        check_allowed(user, _ask(verb, target))
        return await self._carry_out(request, verb, target, user=user, loses=any(fault.lose_answer for fault in faults))

    async def _carry_out(
        self, request: web.Request, verb: str, target: Target, *, user: User, loses: bool
    ) -> web.StreamResponse:
        form = parse_accept(request.headers.get("Accept", ""), include=request.query.get("includeObject", "Metadata"))
        agent = request.headers.get("User-Agent", "")
        call = Call(target, request.query, user, agent, form)
        if verb == "watch":
            return await self._watch(request, call)
        if request.can_read_body:
            call.content_type = request.content_type if "Content-Type" in request.headers else ""
            call.body = await request.read()
        answer = self.handlers[verb](call)
        if request.method != "GET":
            asyncio.get_running_loop().call_soon(self.resources.finish_namespaces)
        if loses:
            self._log(request, verb, 0)
            _hang_up(request)
        return self._note(request, verb, _response(answer, call))

    async def _watch(self, request: web.Request, call: Call) -> web.StreamResponse:
        watch = self.watches.open(call)
        response = web.StreamResponse(headers={"Content-Type": JSON_TYPE})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._log(request, "watch", 200)
        try:
            await self.watches.serve(watch, response, call)
        except ConnectionError:
            # Closed before aiohttp could end the stream in good order: the client is to see that it broke.
            if request.transport is not None:
                request.transport.close()
        return response

    def _note(self, request: web.Request, verb: str, response: web.Response) -> web.Response:
        self._log(request, verb, response.status)
        return response

    def _log(self, request: web.Request, verb: str, code: int) -> None:
        self.journal.note(Line(verb, request.path_qs, request.headers.get("User-Agent", ""), code))


def _verb(request: web.Request, target: Target) -> str:
    verb = VERBS.get((request.method, bool(target.name)))
    asks = verb == "list" and request.query.get("watch", "") in ("1", "true")
    if asks or (target.watch and request.method == "GET"):
        verb = "watch"
    if verb is None or (target.kind.create_only and verb != "create") or (verb == "create" and target.subresource):
        raise status.method_not_allowed()
    if verb in ("create", "deletecollection") and target.kind.namespaced and not target.namespace:
        raise status.method_not_allowed()
    return verb


def _ask(verb: str, target: Target) -> Ask:
    kind = target.kind
    return Ask(verb, kind.group, kind.resource, target.namespace, target.name, target.subresource)


def _document(path: str) -> bytes | None:
    """What is not a resource: discovery and OpenAPI."""
    plain = DOCUMENTS.get(path.rstrip("/"))
    if plain is not None:
        return plain()
    parts = path.strip("/").split("/")
    described = parts[:2] == ["openapi", "v3"]
    group_version = _group_version(parts[2:] if described else parts)
    if group_version is None:
        return _group_document(parts)
    if described:
        return openapi.document(*group_version)
    found = discovery.resources(*group_version)
    return encode(found) if found else None


def _group_document(parts: list[str]) -> bytes | None:
    if parts[0] != "apis" or len(parts) != 2:  # noqa: PLR2004 - apis/GROUP
        return None
    found = discovery.group(parts[1])
    return encode(found) if found else None


def _group_version(parts: list[str]) -> tuple[str, str] | None:
    if parts == ["api", "v1"]:
        return "", "v1"
    return (parts[1], parts[2]) if parts[0] == "apis" and len(parts) == 3 else None  # noqa: PLR2004 - apis/GROUP/VERSION


DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "/api": lambda: encode(discovery.core_versions()),
    "/apis": lambda: encode(discovery.groups()),
    "/openapi/v3": openapi.index,
}


def _public(path: str) -> web.Response:
    if path == "/version":
        return web.Response(body=encode(discovery.version()), content_type=JSON_TYPE)
    return web.Response(text="ok")


async def _suffer(faults: list[Fault]) -> Refusal | None:
    """Wait as long as the faults say; the refusal that one of them asks for."""
    for fault in faults:
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
    chosen = next((fault for fault in faults if fault.code), None)
    if chosen is None:
        return None
    details = {"retryAfterSeconds": chosen.retry_after_seconds} if chosen.retry_after_seconds else {}
    return Refusal(chosen.code, FAULT_REASONS.get(chosen.code, ""), "refused on purpose", details=details)


def _response(answer: Answer, call: Call) -> web.Response:
    body, media = answer.body, JSON_TYPE
    if call.form.yaml:
        body, media = yaml.safe_dump(decode(body), sort_keys=False).encode(), "application/yaml"
    response = web.Response(status=answer.code, body=body, content_type=media)
    for text in dict.fromkeys(call.warnings):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    if len(body) > GZIP_BYTES:
        response.enable_compression()
    return response


def _refused(request: web.Request, refusal: Refusal) -> web.Response:
    response = web.Response(status=refusal.code, body=encode(refusal.body()), content_type=JSON_TYPE)
    if refusal.retry_after:
        response.headers["Retry-After"] = str(refusal.retry_after)
    if request.can_read_body:
        # The rest of a body that nobody reads would be taken for the next request.
        response.force_close()
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError
