"""Steps -> the documents that Octavia wants. Pure; `apply.py` sends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from lbctl.model.intent import Port
from lbctl.model.resource import Identity, Key, Ref, Resource, Seen
from lbctl.plan.actions import Step
from lbctl_openstack import names
from lbctl_openstack.fields import Json, Member, listener_body, member_body, monitor_body, pool_body

Resolve = Callable[[Ref], str]
VIP = {
    "port": "vip_port_id",
    "subnet": "vip_subnet_id",
    "chosen_subnet": "vip_subnet_id",
    "network": "vip_network_id",
    "address": "vip_address",
    "flavor": "flavor_id",
    "zone": "availability_zone",
    "provider": "provider",
}


def settled(resource: Resource, resolve: Resolve) -> dict[str, Hashable]:
    """The fields with references resolved."""
    return {name: resolve(value) if isinstance(value, Ref) else value for name, value in resource.fields.items()}


def balancer_creation(steps: Iterable[Step], *, cluster: str) -> Json:
    """The one document that makes a balancer with everything in it."""
    wanted = {step.key: step.desired for step in steps if step.desired is not None}
    balancer = wanted[names.BALANCER_KEY]
    owner = named_owner(balancer, cluster)
    fields = balancer.fields
    body: Json = {VIP[name]: fields[name] for name in VIP if fields.get(name)}
    body |= {"name": balancer.name, "description": names.balancer_description(cluster, owner)}
    if "tags" in fields:
        body["tags"] = balancer_tags(balancer, None)
    if more := fields.get("more_subnets"):
        body["additional_vips"] = [{"subnet_id": subnet} for subnet in _items(more)]
    listeners = [_whole_listener(wanted, key) for key in sorted(wanted) if key.kind == "listener"]
    return {"loadbalancer": body | ({"listeners": listeners} if listeners else {})}


def named_owner(balancer: Resource, cluster: str) -> Identity:
    """The Service whose name the balancer bears."""
    owners = sorted(balancer.owners)
    return next((o for o in owners if names.balancer_scope(cluster, o).name == balancer.name), owners[0])


def balancer_tags(balancer: Resource, seen: Seen | None) -> list[str]:
    """All tags that the balancer should have: other people's, the Services', and ours."""
    old = json.loads(seen.outputs["tags"]) if seen is not None else []
    left = seen.resource.fields["tags"] if seen is not None else frozenset()
    kept = [tag for tag in old if tag not in _items(left) and not tag.startswith(names.UID_TAG)]
    ours = [*_items(balancer.fields["tags"]), *map(names.uid_tag, _items(balancer.fields["uids"]))]
    return sorted({*kept, *ours})


def left_tags(seen: Seen) -> list[str]:
    """The tags of a balancer that all our Services have left."""
    gone = {*_items(seen.resource.fields["tags"]), *map(names.uid_tag, _items(seen.resource.fields["uids"]))}
    return [tag for tag in json.loads(seen.outputs["tags"]) if tag not in gone]


def listener_creation(resource: Resource, fields: Mapping[str, Hashable]) -> Json:
    """A new listener, without its pool."""
    protocol, _, port = resource.key.id.partition("/")
    body: Json = {"name": resource.name, "protocol": protocol, "protocol_port": int(port)}
    body |= {key: value for key, value in listener_body(fields, kept_headers={}).items() if value}
    if "tags" in fields:
        body["tags"] = sorted(_items(fields["tags"]))
    return body


def listener_update(fields: Mapping[str, Hashable], seen: Seen) -> Json:
    """The changeable part of a listener; tags and headers of others are kept."""
    body = listener_body(fields, kept_headers=json.loads(seen.outputs["headers"]))
    if "tags" in fields:
        kept = set(json.loads(seen.outputs["tags"])) - set(_items(seen.resource.fields["tags"]))
        body["tags"] = sorted(kept | set(_items(fields["tags"])))
    return body


def pool_creation(resource: Resource) -> Json:
    """A new pool, without members; its tag tells which port it is for until a listener does."""
    transport, port, protocol = resource.key.id.split("/")
    tag = names.port_tag(Port(int(port), transport, 0))
    return {"name": resource.name, "protocol": protocol, "tags": [tag], **pool_body(resource.fields)}


def monitor_creation(resource: Resource) -> Json:
    """A new health monitor, without its pool."""
    body: Json = {"name": resource.name, "type": resource.fields["type"], **monitor_body(resource.fields)}
    if resource.fields["type"] == "HTTP":
        body["http_method"] = "GET"
    return body


def members_of(resource: Resource) -> list[Json]:
    """The members of a pool."""
    members: list[Member] = sorted(_items(resource.fields["members"]))
    return [member_body(member) for member in members]


def _whole_listener(wanted: Mapping[Key, Resource], key: Key) -> Json:
    listener = wanted[key]
    pool = listener.fields["pool"]
    assert isinstance(pool, Ref)
    fields = {name: value for name, value in listener.fields.items() if name != "pool"}
    return listener_creation(listener, fields) | {"default_pool": _whole_pool(wanted, pool.key)}


def _whole_pool(wanted: Mapping[Key, Resource], key: Key) -> Json:
    body = pool_creation(wanted[key])
    del body["tags"]
    members = wanted.get(Key("members", key.id))
    monitor = wanted.get(Key("monitor", key.id))
    if members is not None and members.fields["members"]:
        body["members"] = members_of(members)
    if monitor is not None:
        body["healthmonitor"] = monitor_creation(monitor)
    return body


def _items(value: Hashable) -> list[Any]:
    assert isinstance(value, (tuple, frozenset))
    return sorted(value)
