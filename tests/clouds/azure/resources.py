"""What each verb does with a resource and with a part of one.

Called by the dispatcher once the caller, the version and the action are found good. A part is written by judging the
whole with it, as the service does, so a part and its resource share one ETag and one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.clouds.azure import compute
from tests.clouds.azure.access import Principal, check_linked_tenant, check_links
from tests.clouds.azure.cloud import Body, Change, Cloud, Resource
from tests.clouds.azure.errors import ArmError, busy, not_found
from tests.clouds.azure.ids import ResourceId
from tests.clouds.azure.kinds import KINDS
from tests.clouds.azure.listings import check_group
from tests.clouds.azure.polling import accepted, operation_url, polling_headers
from tests.clouds.azure.requests import Reply, Request, check_preconditions, decoded
from tests.clouds.azure.schema import check_body
from tests.clouds.azure.views import Views, part_named, show


class Resources:
    """The resources of one cloud, read through its views."""

    def __init__(self, views: Views) -> None:
        self.views: Final = views
        self.cloud: Final = views.cloud

    def answer(self, request: Request, principal: Principal) -> Reply:
        """The answer to any call on a resource or a part; raises ArmError."""
        self._check_registered(request)
        target = request.route.target
        assert target is not None
        check_group(self.cloud, target.subscription, target.group)
        if target.type.lower() in KINDS:
            return _verb(_WHOLE, request)(self, request, principal, target)
        if target.type.lower().startswith(f"{compute.INSTANCE}/".lower()):
            return self._instance_detail(target)
        if len(target.types) > 1 and (kind := KINDS.get(target.parent.type.lower())) is not None:
            collection = next((name for name in kind.parts if name.lower() == target.types[-1].lower()), "")
            if collection:
                return _verb(_PART, request)(self, request, principal, target.parent.child(collection, target.name))
        raise ArmError(404, "InvalidResourceType", f"The resource type '{target.type}' could not be found.")

    def get(self, request: Request, _principal: Principal, target: ResourceId) -> Reply:
        """The resource as reads see it."""
        shown = self.views.read(target.key)
        if shown is None:
            raise not_found(target)
        machine = self.cloud.find(target)
        if "instanceview" in request.query.get("$expand", "").lower() and machine is not None:
            view = {"instanceView": compute.instance_view(machine)}
            shown = {**shown, "properties": {**shown["properties"], **view}}
        return Reply(200, shown, {"ETag": shown["etag"]} if "etag" in shown else {})

    def put(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Creates or replaces the resource."""
        kind, before = KINDS[target.type.lower()], self.cloud.find(target)
        check_preconditions(request, before, target)
        body = check_body(decoded(request), kind.model)
        body = {name: value for name, value in body.items() if name not in ("id", "name", "type")}
        return self._write(request, principal, Change(before.id if before else target, body, before, self.cloud))

    def patch(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Changes tags, or of a machine or scale set any members, and leaves the rest."""
        before = self.cloud.find(target)
        if before is None:
            raise not_found(target)
        check_preconditions(request, before, target)
        body = check_body(decoded(request), before.kind.patch_model)
        return self._write(request, principal, Change(before.id, _merged(before.body, body), before, self.cloud))

    def delete(self, request: Request, _principal: Principal, target: ResourceId) -> Reply:
        """Starts the removal; nothing to remove is success as well."""
        resource = self.cloud.find(target)
        if resource is None:
            return Reply(204)
        check_preconditions(request, resource, target)
        if resource.state == "Deleting" and resource.operation is not None:
            return accepted(self.cloud, request, resource.operation)
        self._check_not_busy(request, resource)
        resource.kind.release(resource, self.cloud)
        self.views.keep(resource.id.key)
        return accepted(self.cloud, request, self.cloud.start(resource, deletes=True))

    def get_part(self, _request: Request, _principal: Principal, target: ResourceId) -> Reply:
        """A part as reads see it."""
        whole = self.views.read(target.parent.key)
        part = part_named(whole, target.types[-1], target.name) if whole else None
        if part is None:
            raise not_found(target)
        return Reply(200, part, {"ETag": part["etag"]})

    def put_part(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Creates or replaces one part: the whole is judged with it."""
        owner, collection = self._owner(target), target.types[-1]
        if not owner.kind.parts[collection].writable:
            raise ArmError(405, "MethodNotAllowed", f"{collection} can only be changed as a part of {owner.id}.")
        check_preconditions(request, owner, target, exists=self.cloud.has_part(str(target)))
        part = check_body(decoded(request), owner.kind.parts[collection].model)
        part = {**{name: value for name, value in part.items() if name not in ("id", "type")}, "name": target.name}
        self._write(request, principal, _with_part(owner, self.cloud, target, part))
        assert owner.operation is not None
        shown = part_named(show(owner, self.cloud), collection, target.name)
        return Reply(200, shown, polling_headers(self.cloud, request, owner.operation))

    def delete_part(self, request: Request, principal: Principal, target: ResourceId) -> Reply:
        """Removes one part: the whole is judged without it."""
        owner = self.cloud.find(target.parent)
        if owner is None or not self.cloud.has_part(str(target)):
            return Reply(204)
        check_preconditions(request, owner, target)
        self._write(request, principal, _with_part(owner, self.cloud, target, None))
        assert owner.operation is not None
        return accepted(self.cloud, request, owner.operation)

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
        uses = tuple(kind.uses(change.id, body))
        subscriptions = {ResourceId.parse(use.target).subscription for use in uses}
        linked = [(subscription, self.cloud.tenant_of(subscription)) for subscription in sorted(subscriptions)]
        check_linked_tenant(principal, request.action, request.path, linked)
        check_links(principal, request.action, request.path, uses)
        self.views.keep(change.id.key)
        created = change.before is None
        resource = self.cloud.store(change, kind, body)
        operation = self.cloud.start(resource)
        return Reply(
            201 if created else 200, show(resource, self.cloud), polling_headers(self.cloud, request, operation)
        )

    def _check_not_busy(self, request: Request, resource: Resource) -> None:
        operation = resource.operation
        if operation is None or operation.status != "InProgress":
            return
        if operation.deletes or not resource.kind.supersedes:
            raise busy(operation_url(self.cloud, request, "operations", operation))

    def _check_registered(self, request: Request) -> None:
        namespace = request.route.namespace
        if request.method not in ("GET", "HEAD") and namespace.lower() not in self.cloud.registered:
            raise ArmError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'. See "
                "https://aka.ms/rps-not-found for how to register subscriptions.",
            )

    def _instance_detail(self, target: ResourceId) -> Reply:
        """An interface of an instance, which the network provider shows under the instance's path."""
        instance = self.cloud.find(target.parent)
        shown = compute.interfaces_of(instance) if instance else []
        for interface in shown:
            if interface["name"].lower() == target.name.lower():
                return Reply(200, interface)
        raise not_found(target)


Verb = Callable[[Resources, Request, Principal, ResourceId], Reply]
_WHOLE: Final[Mapping[str, Verb]] = {
    "GET": Resources.get,
    "PUT": Resources.put,
    "PATCH": Resources.patch,
    "DELETE": Resources.delete,
}
_PART: Final[Mapping[str, Verb]] = {
    "GET": Resources.get_part,
    "PUT": Resources.put_part,
    "DELETE": Resources.delete_part,
}


def _verb(table: Mapping[str, Verb], request: Request) -> Verb:
    verb = table.get(request.method)
    if verb is None:
        raise ArmError(405, "MethodNotAllowed", f"The method {request.method} is not allowed on '{request.path}'.")
    return verb


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
