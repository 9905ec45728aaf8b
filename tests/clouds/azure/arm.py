"""The service itself: a request in, an answer out, no sockets and no threads.

Kept here: the order of checks that every request goes through, and what each verb does with a resource, a part of one
or a collection. The server calls `answer` under its lock; rules live with their types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from tests.clouds.azure import balancers, compute, interfaces, networks, private_links, public_ips, security_groups
from tests.clouds.azure.access import Access, Principal, check_action, check_links
from tests.clouds.azure.catalog import compute_provider, service_tags
from tests.clouds.azure.cloud import Body, Change, Cloud, Kind, Operation, Resource
from tests.clouds.azure.errors import ArmError, bad_request, busy, invalid_format, not_found
from tests.clouds.azure.ids import ResourceId, key_of
from tests.clouds.azure.limits import Throttle
from tests.clouds.azure.paths import Asked, Counted, Route, action_of, counted_as
from tests.clouds.azure.schema import check_body
from tests.clouds.azure.views import Views, part_named, show, show_part

KINDS: Final[Mapping[str, Kind]] = {
    kind.type.lower(): kind
    for module in (balancers, compute, interfaces, networks, private_links, public_ips, security_groups)
    for kind in module.KINDS
}
# The versions whose description the bodies are checked against.
API_VERSIONS: Final[Mapping[str, frozenset[str]]] = {
    "microsoft.network": frozenset({"2025-05-01"}),
    "microsoft.compute": frozenset({"2025-04-01", "2026-04-01", "2026-03-03", "2026-03-02"}),
    "microsoft.resources": frozenset({"2021-04-01", "2022-09-01", "2024-11-01", "2025-04-01"}),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A call; header names in lower case, `base` is the address that the client used."""

    method: str
    route: Route
    path: str
    base: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def action(self) -> str:
        """The permission that the call needs."""
        return action_of(self.method, self.route)

    @property
    def counted(self) -> Counted:
        """What the call counts as."""
        return counted_as(self.method, self.route)


@dataclass(slots=True)
class Reply:
    """An answer; None as body means no content."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


class Arm:
    """The endpoint: one cloud, its callers, limits and views."""

    def __init__(self, cloud: Cloud, access: Access, throttle: Throttle) -> None:
        self.cloud: Final = cloud
        self.access: Final = access
        self.throttle: Final = throttle
        self.views: Final = Views(cloud)

    def answer(self, request: Request) -> Reply:
        """The answer to a request, errors included."""
        self.cloud.settle()
        headers = {"x-ms-request-id": self.cloud.new_guid(), "x-ms-correlation-request-id": self.cloud.new_guid()}
        try:
            if request.route.asked is Asked.TOKEN:
                return self._token(request)
            principal = self.access.principal(request.headers)
            headers |= self.throttle.admit(principal.name, request.counted, self.cloud.now())
            reply = self._answer_admitted(request, principal)
        except ArmError as error:
            reply = Reply(error.status, error.body(), dict(error.headers))
            if error.status == 404 and request.method == "HEAD":  # noqa: PLR2004 - an HTTP status reads best as itself
                reply.body = None
        reply.headers = headers | reply.headers
        return reply

    def _answer_admitted(self, request: Request, principal: Principal) -> Reply:
        route = request.route
        _check_api_version(request)
        if route.asked is Asked.UNKNOWN:
            raise ArmError(404, "InvalidResourceType", f"No route fits '{request.path}'.")
        if route.subscription.lower() != self.cloud.subscription:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{route.subscription}' could not be found.")
        check_action(principal, request.action, request.path)
        if route.asked is Asked.RESOURCE:
            return self._resource(request, principal)
        return _ANSWERS[route.asked](self, request)

    # Resources and their parts

    def _resource(self, request: Request, principal: Principal) -> Reply:
        self._check_registered(request)
        target = request.route.target
        assert target is not None
        self._check_group(target.group)
        if target.type.lower() in KINDS:
            return self._verb(_WHOLE, request)(self, request, principal, target)
        if target.type.lower().startswith(f"{compute.INSTANCE}/".lower()):
            return self._instance_detail(target)
        if len(target.types) > 1 and (kind := KINDS.get(target.parent.type.lower())) is not None:
            collection = next((name for name in kind.parts if name.lower() == target.types[-1].lower()), "")
            if collection:
                return self._verb(_PART, request)(
                    self, request, principal, target.parent.child(collection, target.name)
                )
        raise ArmError(404, "InvalidResourceType", f"The resource type '{target.type}' could not be found.")

    def _verb(self, table: Mapping[str, Verb], request: Request) -> Verb:
        verb = table.get(request.method)
        if verb is None:
            raise ArmError(405, "MethodNotAllowed", f"The method {request.method} is not allowed on '{request.path}'.")
        return verb

    def get(self, request: Request, _principal: Principal, target: ResourceId) -> Reply:
        """The resource as reads see it."""
        shown = self.views.read(target.key)
        if shown is None:
            raise not_found(_short(target))
        machine = self.cloud.find(target)
        if "instanceview" in request.query.get("$expand", "").lower() and machine is not None:
            view = {"instanceView": compute.instance_view(machine)}
            shown = {**shown, "properties": {**shown["properties"], **view}}
        return Reply(200, shown, {"ETag": shown["etag"]})

    def put(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Creates or replaces the resource."""
        kind, before = KINDS[target.type.lower()], self.cloud.find(target)
        _check_preconditions(request, before, target)
        body = check_body(_decoded(request), kind.model)
        body = {name: value for name, value in body.items() if name not in ("id", "name", "type")}
        return self._write(request, principal, Change(before.id if before else target, body, before, self.cloud))

    def patch(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Changes tags, or of a machine or scale set any members, and leaves the rest."""
        before = self.cloud.find(target)
        if before is None:
            raise not_found(_short(target))
        _check_preconditions(request, before, target)
        body = check_body(_decoded(request), before.kind.patch_model)
        return self._write(request, principal, Change(before.id, _merged(before.body, body), before, self.cloud))

    def delete(self, request: Request, _principal: Principal, target: ResourceId) -> Reply:
        """Starts the removal; nothing to remove is success as well."""
        resource = self.cloud.find(target)
        if resource is None:
            return Reply(204)
        _check_preconditions(request, resource, target)
        if resource.state == "Deleting" and resource.operation is not None:
            return self._accepted(request, resource.operation)
        self._check_not_busy(request, resource)
        resource.kind.release(resource, self.cloud)
        self.views.keep(resource.id.key)
        return self._accepted(request, self.cloud.start(resource, deletes=True))

    def get_part(self, request: Request, _principal: Principal, target: ResourceId) -> Reply:
        """A part as reads see it."""
        whole = self.views.read(target.parent.key)
        part = part_named(whole, target.types[-1], target.name) if whole else None
        if part is None:
            raise not_found(_short(target))
        return Reply(200, part, {"ETag": part["etag"]})

    def put_part(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Creates or replaces one part: the whole is judged with it."""
        owner, collection = self._owner(target), target.types[-1]
        if not owner.kind.parts[collection].writable:
            raise ArmError(405, "MethodNotAllowed", f"{collection} can only be changed as a part of {owner.id}.")
        _check_preconditions(request, owner, target, exists=self.cloud.has_part(str(target)))
        part = check_body(_decoded(request), owner.kind.parts[collection].model)
        part = {**{name: value for name, value in part.items() if name not in ("id", "type")}, "name": target.name}
        self._write(request, principal, _with_part(owner, self.cloud, target, part))
        assert owner.operation is not None
        shown = part_named(show(owner, self.cloud), collection, target.name)
        return Reply(200, shown, self._polling(request, owner.operation))

    def delete_part(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Removes one part: the whole is judged without it."""
        owner = self.cloud.find(target.parent)
        if owner is None or not self.cloud.has_part(str(target)):
            return Reply(204)
        _check_preconditions(request, owner, target)
        self._write(request, principal, _with_part(owner, self.cloud, target, None))
        assert owner.operation is not None
        return self._accepted(request, owner.operation)

    def _owner(self, target: ResourceId) -> Resource:
        owner = self.cloud.find(target.parent)
        if owner is None:
            raise ArmError(
                404,
                "ParentResourceNotFound",
                f"Failed to perform '{target.types[-1]}' on resource(s) of type '{target.parent.type}', because the "
                f"parent resource '{target.parent}' could not be found.",
            )
        return owner

    def _write(self, request: Request, principal: Principal, change: Change) -> Reply:
        kind = KINDS[change.id.type.lower()]
        if change.before is not None:
            self._check_not_busy(request, change.before)
        body = kind.admit(change)
        check_links(principal, request.action, request.path, kind.uses(change.id, body))
        self.views.keep(change.id.key)
        created = change.before is None
        resource = self.cloud.store(change, kind, body)
        operation = self.cloud.start(resource)
        return Reply(201 if created else 200, show(resource, self.cloud), self._polling(request, operation))

    def _check_not_busy(self, request: Request, resource: Resource) -> None:
        operation = resource.operation
        if operation is None or operation.status != "InProgress":
            return
        if operation.deletes or not resource.kind.supersedes:
            raise busy(self._operation_url(request, "operations", operation))

    def _check_registered(self, request: Request) -> None:
        namespace = request.route.namespace
        if request.method not in ("GET", "HEAD") and namespace.lower() not in self.cloud.registered:
            raise ArmError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'. See "
                "https://aka.ms/rps-not-found for how to register subscriptions.",
            )

    def _check_group(self, group: str) -> None:
        if group.lower() not in self.cloud.groups:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")

    def _instance_detail(self, target: ResourceId) -> Reply:
        """An interface of an instance, which the network provider shows under the instance's path."""
        instance = self.cloud.find(target.parent)
        shown = compute.interfaces_of(instance) if instance else []
        for interface in shown:
            if interface["name"].lower() == target.name.lower():
                return Reply(200, interface)
        raise not_found(_short(target))

    # Operations

    def _polling(self, request: Request, operation: Operation) -> dict[str, str]:
        url = self._operation_url(request, "operations", operation)
        return {"Azure-AsyncOperation": url, "x-ms-request-id": operation.id, **self._retry_after(operation)}

    def _retry_after(self, operation: Operation) -> dict[str, str]:
        seconds = self.cloud.timing.retry_after
        return {"Retry-After": str(seconds)} if seconds is not None and operation.status == "InProgress" else {}

    def _accepted(self, request: Request, operation: Operation) -> Reply:
        location = self._operation_url(request, "operationResults", operation)
        return Reply(202, None, {**self._polling(request, operation), "Location": location})

    def _operation_url(self, request: Request, kind: str, operation: Operation) -> str:
        namespace, version = request.route.namespace, request.query.get("api-version", "")
        path = f"/subscriptions/{self.cloud.subscription}/providers/{namespace}/locations/{self.cloud.region}"
        return f"{request.base}{path}/{kind}/{operation.id}?api-version={version}"

    def _find_operation(self, request: Request) -> Operation:
        operation = self.cloud.operations.get(request.route.name)
        if operation is None:
            raise ArmError(404, "OperationNotFound", f"The operation '{request.route.name}' could not be found.")
        return operation

    def poll(self, request: Request) -> Reply:
        """The state of an operation."""
        operation = self._find_operation(request)
        error = {"error": operation.error} if operation.error else {}
        return Reply(200, {"status": operation.status, **error}, self._retry_after(operation))

    def poll_result(self, request: Request) -> Reply:
        """The result of an operation: 202 while it runs, then what the call itself would have answered."""
        operation = self._find_operation(request)
        if operation.status == "InProgress":
            location = self._operation_url(request, "operationResults", operation)
            return Reply(202, None, {"Location": location, **self._retry_after(operation)})
        if operation.error is not None:
            return Reply(409, {"error": operation.error})
        return Reply(204) if operation.deletes else Reply(200, show(operation.resource, self.cloud))

    # Collections and what the region offers

    def list_collection(self, request: Request) -> Reply:
        """The resources of a type, in the subscription or a group, or the parts of one resource."""
        route = request.route
        if route.group:
            self._check_group(route.group)
        if route.target is not None and route.kind.lower() == "instanceview":
            return Reply(200, compute.instance_view(self._existing(route.target)))
        if route.target is not None:
            return Reply(200, {"value": self._list_parts(route.target, route.kind)})
        kind = f"{route.namespace}/{route.kind}"
        if kind.lower() not in KINDS:
            raise ArmError(404, "InvalidResourceType", f"The resource type '{kind}' could not be found.")
        found = self.views.read_all(kind, group=route.group)
        return Reply(200, {"value": _filtered(found, request.query.get("$filter", ""))})

    def _list_parts(self, owner: ResourceId, collection: str) -> list[Body]:
        inside = _INSIDE.get((owner.type.lower(), collection.lower()))
        resource = self._existing(owner)
        if inside is not None:
            return inside(self.cloud, resource)
        whole = self.views.read(owner.key)
        for name in resource.kind.parts:
            if name.lower() == collection.lower() and whole is not None:
                parts: list[Body] = whole["properties"].get(name, [])
                return parts
        raise ArmError(404, "InvalidResourceType", f"The resource type '{owner.type}/{collection}' could not be found.")

    def _existing(self, target: ResourceId) -> Resource:
        resource = self.cloud.find(target)
        if resource is None:
            raise not_found(_short(target))
        return resource

    def list_service_tags(self, _request: Request) -> Reply:
        """The service tags of the region."""
        return Reply(200, service_tags(self.cloud))

    def show_provider(self, request: Request) -> Reply:
        """The metadata of a resource provider."""
        namespace = request.route.namespace
        if namespace.lower() == "microsoft.compute":
            return Reply(200, compute_provider(self.cloud))
        state = "Registered" if namespace.lower() in self.cloud.registered else "NotRegistered"
        return Reply(200, {"namespace": namespace, "registrationState": state, "resourceTypes": []})

    def register(self, request: Request) -> Reply:
        """Registers the subscription with a provider."""
        self.cloud.registered.add(request.route.namespace.lower())
        return self.show_provider(request)

    def show_group(self, request: Request) -> Reply:
        """A resource group; HEAD answers with a status alone."""
        name = self.cloud.groups.get(request.route.group.lower())
        if request.method == "HEAD":
            return Reply(204 if name else 404)
        self._check_group(request.route.group)
        return Reply(200, _group(self.cloud, name or ""))

    def list_groups(self, _request: Request) -> Reply:
        """All resource groups."""
        return Reply(200, {"value": [_group(self.cloud, name) for name in self.cloud.groups.values()]})

    def _token(self, request: Request) -> Reply:
        """A token for the first principal: from the token endpoint, or as a machine's own identity gets one."""
        if request.method == "GET" and request.headers.get("metadata", "").lower() != "true":
            raise bad_request("invalid_request", "Required metadata header not specified")
        token = next(iter(self.access.principals))
        return Reply(
            200,
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": "86400",
                "ext_expires_in": "86400",
                "expires_on": "4102444800",
                "resource": request.query.get("resource", ""),
            },
        )


Verb = Callable[[Arm, Request, Principal, ResourceId], Reply]
_WHOLE: Final[Mapping[str, Verb]] = {"GET": Arm.get, "PUT": Arm.put, "PATCH": Arm.patch, "DELETE": Arm.delete}
_PART: Final[Mapping[str, Verb]] = {"GET": Arm.get_part, "PUT": Arm.put_part, "DELETE": Arm.delete_part}
_ANSWERS: Final[Mapping[Asked, Callable[[Arm, Request], Reply]]] = {
    Asked.COLLECTION: Arm.list_collection,
    Asked.OPERATION: Arm.poll,
    Asked.OPERATION_RESULT: Arm.poll_result,
    Asked.SERVICE_TAGS: Arm.list_service_tags,
    Asked.PROVIDER: Arm.show_provider,
    Asked.REGISTER: Arm.register,
    Asked.GROUP: Arm.show_group,
    Asked.GROUPS: Arm.list_groups,
}


def _instances(cloud: Cloud, scale_set: Resource) -> list[Body]:
    uniform = compute.instances_of(cloud, scale_set)
    return [show(machine, cloud) for machine in uniform or compute.machines_of_flex_set(cloud, str(scale_set.id))]


def _instance_interfaces(_cloud: Cloud, instance: Resource) -> list[Body]:
    return compute.interfaces_of(instance)


def _scale_set_interfaces(cloud: Cloud, scale_set: Resource) -> list[Body]:
    instances = compute.instances_of(cloud, scale_set)
    return [interface for instance in instances for interface in compute.interfaces_of(instance)]


# Collections under a resource that are no part of its body.
_INSIDE: Final[Mapping[tuple[str, str], Callable[[Cloud, Resource], list[Body]]]] = {
    (compute.SCALE_SET.lower(), "virtualmachines"): _instances,
    (compute.SCALE_SET.lower(), "networkinterfaces"): _scale_set_interfaces,
    (compute.INSTANCE.lower(), "networkinterfaces"): _instance_interfaces,
}


def parse_query(text: str) -> dict[str, str]:
    """The query of a URL, names as written."""
    return dict(parse_qsl(text, keep_blank_values=True))


def _decoded(request: Request) -> Any:
    try:
        return msgspec.json.decode(request.body)
    except msgspec.DecodeError as error:
        raise invalid_format("InvalidJson", f"The request content is no JSON: {error}") from None


def _check_api_version(request: Request) -> None:
    version = request.query.get("api-version")
    if not version:
        raise bad_request(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    namespace = request.route.namespace.lower()
    supported = API_VERSIONS.get(namespace, frozenset())
    if request.route.asked in (Asked.PROVIDER, Asked.REGISTER, Asked.GROUP, Asked.GROUPS):
        supported = API_VERSIONS["microsoft.resources"]
    elif request.route.target is not None and "networkinterfaces" in request.path.lower():
        supported = API_VERSIONS["microsoft.network"]
    if version not in supported:
        raise bad_request(
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(sorted(supported))}'.",
        )


def _check_preconditions(
    request: Request, resource: Resource | None, target: ResourceId, *, exists: bool | None = None
) -> None:
    """If-Match and If-None-Match, against the ETag of the whole."""
    wanted = request.headers.get("if-match", "")
    there = exists if exists is not None else resource is not None
    if wanted and wanted != "*" and (resource is None or wanted != resource.etag):
        current = resource.etag if resource else "none"
        raise ArmError(
            412,
            "PreconditionFailed",
            f"Etag provided in if-match header {wanted} does not match etag {current} of resource {target} in NRP data "
            "store.",
        )
    if wanted == "*" and not there:
        raise ArmError(412, "PreconditionFailed", f"The resource {target} does not exist.")
    if request.headers.get("if-none-match", "") == "*" and there:
        raise ArmError(412, "PreconditionFailed", f"The resource {target} already exists.")


def _with_part(owner: Resource, cloud: Cloud, target: ResourceId, part: Body | None) -> Change:
    """The change of the whole that replacing, adding or (None) removing one part makes."""
    collection, name = target.types[-1], target.name.lower()
    parts = owner.properties.get(collection, [])
    at = next((index for index, item in enumerate(parts) if item["name"].lower() == name), len(parts))
    changed = [*parts[:at], *([part] if part is not None else []), *parts[at + 1 :]]
    body = {**owner.body, "properties": {**owner.properties, collection: changed}}
    return Change(owner.id, body, owner, cloud)


def _merged(before: Body, patch: Body) -> Body:
    """The body with a patch laid over it; tags and lists are replaced, objects are merged."""
    merged = dict(before)
    for name, value in patch.items():
        old = merged.get(name)
        merge = isinstance(value, dict) and isinstance(old, dict) and name != "tags"
        merged[name] = _merged(old, value) if merge else value  # type: ignore[arg-type]  # `merge` says it is a dict
    return merged


def _filtered(found: list[Body], expression: str) -> list[Body]:
    """The one filter that is known: the machines of a flexible scale set."""
    member, _, wanted = expression.partition(" eq ")
    if member.strip("' ") != "virtualMachineScaleSet/id":
        return found
    owner = key_of(wanted.strip("' "))
    return [
        body for body in found if key_of(body["properties"].get("virtualMachineScaleSet", {}).get("id", "")) == owner
    ]


def _group(cloud: Cloud, name: str) -> Body:
    return {
        "id": f"/subscriptions/{cloud.subscription}/resourceGroups/{name}",
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": cloud.region,
        "properties": {"provisioningState": "Succeeded"},
    }


def _short(target: ResourceId) -> str:
    pairs = "/".join(f"{kind}/{name}" for kind, name in zip(target.types, target.names, strict=True))
    return f"{target.namespace}/{pairs}' under resource group '{target.group}"


__all__ = ["API_VERSIONS", "KINDS", "Arm", "Reply", "Request", "parse_query", "show_part"]
