"""Collections, and what a region or a subscription offers: lists, groups, providers, service tags.

Called by the dispatcher, for reads alone. Lists show what reads may see, which can lag behind the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.clouds.azure import compute
from tests.clouds.azure.catalog import compute_provider, network_usages, service_tags
from tests.clouds.azure.errors import ArmError, not_found
from tests.clouds.azure.ids import ResourceId, key_of
from tests.clouds.azure.kinds import KINDS
from tests.clouds.azure.requests import Reply, Request
from tests.clouds.azure.views import Views, show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.clouds.azure.cloud import Body, Cloud, Resource


def check_group(cloud: Cloud, subscription: str, group: str) -> None:
    """Refuses a resource group that is not there."""
    if cloud.group(subscription, group) is None:
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def list_collection(views: Views, request: Request) -> Reply:
    """The resources of a type, in the subscription or a group, or the parts of one resource."""
    route = request.route
    if route.group:
        check_group(views.cloud, route.subscription, route.group)
    if route.target is not None and route.kind.lower() == "instanceview":
        return Reply(200, compute.instance_view(_existing(views.cloud, route.target)))
    if route.target is not None:
        return Reply(200, {"value": _list_parts(views, route.target, route.kind)})
    kind = f"{route.namespace}/{route.kind}"
    if kind.lower() not in KINDS:
        raise ArmError(404, "InvalidResourceType", f"The resource type '{kind}' could not be found.")
    found = views.read_all(kind, subscription=route.subscription, group=route.group)
    return Reply(200, {"value": _filtered(found, request.query.get("$filter", ""))})


def _list_parts(views: Views, owner: ResourceId, collection: str) -> list[Body]:
    inside = _INSIDE.get((owner.type.lower(), collection.lower()))
    resource = _existing(views.cloud, owner)
    if inside is not None:
        return inside(views.cloud, resource)
    whole = views.read(owner.key)
    for name in resource.kind.parts:
        if name.lower() == collection.lower() and whole is not None:
            parts: list[Body] = whole["properties"].get(name, [])
            return parts
    raise ArmError(404, "InvalidResourceType", f"The resource type '{owner.type}/{collection}' could not be found.")


def _existing(cloud: Cloud, target: ResourceId) -> Resource:
    resource = cloud.find(target)
    if resource is None:
        raise not_found(target)
    return resource


def list_service_tags(views: Views, _request: Request) -> Reply:
    """The service tags of the region."""
    return Reply(200, service_tags(views.cloud))


def list_usages(views: Views, _request: Request) -> Reply:
    """How much of its limits the subscription uses in the region."""
    return Reply(200, {"value": network_usages(views.cloud)})


def show_provider(views: Views, request: Request) -> Reply:
    """The metadata of a resource provider."""
    namespace = request.route.namespace
    if namespace.lower() == "microsoft.compute":
        return Reply(200, compute_provider(views.cloud))
    state = "Registered" if namespace.lower() in views.cloud.registered else "NotRegistered"
    return Reply(200, {"namespace": namespace, "registrationState": state, "resourceTypes": []})


def register(views: Views, request: Request) -> Reply:
    """Registers the subscription with a provider."""
    views.cloud.registered.add(request.route.namespace.lower())
    return show_provider(views, request)


def show_group(views: Views, request: Request) -> Reply:
    """A resource group; HEAD answers with a status alone."""
    subscription, wanted = request.route.subscription, request.route.group
    name = views.cloud.group(subscription, wanted)
    if request.method == "HEAD":
        return Reply(204 if name else 404)
    check_group(views.cloud, subscription, wanted)
    return Reply(200, _group(views.cloud, subscription, name or ""))


def list_groups(views: Views, request: Request) -> Reply:
    """All resource groups of a subscription."""
    subscription = request.route.subscription
    names = views.cloud.groups(subscription)
    return Reply(200, {"value": [_group(views.cloud, subscription, name) for name in names]})


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


def _filtered(found: list[Body], expression: str) -> list[Body]:
    """The one filter that is known: the machines of a flexible scale set."""
    member, _, wanted = expression.partition(" eq ")
    if member.strip("' ") != "virtualMachineScaleSet/id":
        return found
    owner = key_of(wanted.strip("' "))
    return [
        body for body in found if key_of(body["properties"].get("virtualMachineScaleSet", {}).get("id", "")) == owner
    ]


def _group(cloud: Cloud, subscription: str, name: str) -> Body:
    return {
        "id": f"/subscriptions/{subscription}/resourceGroups/{name}",
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": cloud.region,
        "properties": {"provisioningState": "Succeeded"},
    }
