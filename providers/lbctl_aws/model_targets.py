"""What the target groups of a network balancer should look like, and which targets are in them. Pure.

Living target groups keep their names as long as nothing changes that is fixed in them.
"""

from __future__ import annotations

from collections.abc import Hashable

from lbctl.model.resource import NOTHING, Key, Resource, Seen
from lbctl_aws import attributes, names
from lbctl_aws.backends import GroupWish
from lbctl_aws.generations import choose_group_name, forwarded
from lbctl_aws.health import HealthCheck, group_check
from lbctl_aws.names import GroupTraits
from lbctl_aws.place import LISTENER, TARGETS, Place, balancer_of, listener_key
from lbctl_aws.sharing import read_upstream, remembered_targets, share
from lbctl_aws.targets import PodGroup, instance_targets, pod_targets

FIXED_GROUP_FIELDS = ("protocol", "port", "target_type", "family", "vpc")
ANY_PORT = 1
"""Port of a target group whose targets each bring their own (LBC: named target ports)."""


def target_group(place: Place, balancer: Key, wish: GroupWish) -> Resource:
    """One target group with its health check, attributes and targets; the Service with the balancer owns it."""
    check = group_check(wish.intent, place.settings)
    port = _port(place, wish)
    fields: dict[str, Hashable] = {
        "protocol": wish.protocol,
        "port": port,
        "target_type": place.options.target_type,
        "family": wish.family.lower(),
        "vpc": place.facts.network.vpc_id,
    }
    base = _name(place, wish, check, port)
    name = _living(place, balancer, wish, fields, base) or choose_group_name(place, base, balancer.id, fields)
    fields.update(health_fields(check))
    fields["tags"] = place.tags(_tags(place, wish))
    fields.update(_targets(place, wish, Key(TARGETS, name), port))
    resets = (
        (key, attributes.group_default(key, target_type=place.options.target_type, protocol=wish.protocol))
        for key in attributes.remembered(place.options, f"tg/{wish.place}")
    )
    fields.update(attributes.as_fields(attributes.group_attributes(place.options, wish.port), resets))
    return Resource(Key(TARGETS, name), name=name, fields=fields, owners=place.owners)


def health_fields(check: HealthCheck) -> dict[str, Hashable]:
    """A health check as fields; None where the API's default is taken."""
    return {
        "health_protocol": check.protocol,
        "health_port": check.port,
        "health_path": check.path or None,
        "health_interval": check.interval,
        "health_timeout": check.timeout or None,
        "health_healthy": check.healthy,
        "health_unhealthy": check.unhealthy,
        "health_codes": check.codes or None,
    }


def _port(place: Place, wish: GroupWish) -> int:
    first = wish.ports[0]
    if place.options.target_type == "instance":
        return first.node_port
    target = first.target_port or first.port
    return target if isinstance(target, int) else ANY_PORT


def _name(place: Place, wish: GroupWish, check: HealthCheck, port: int) -> str:
    owner = wish.intent.identity
    traits = GroupTraits(wish.port, port, wish.protocol, place.options.target_type, check.protocol, check.interval)
    if place.options.is_ccm:
        return names.ccm_target_group(place.cluster, owner, traits)
    return names.lbc_target_group(place.cluster, owner, traits, service_port=str(wish.port), base=wish.base)


def _tags(place: Place, wish: GroupWish) -> dict[str, str]:
    if place.options.is_ccm:
        return names.ccm_tags(place.cluster, place.owner)
    return names.lbc_tags(place.cluster, place.owner, f"{wish.intent.identity.key}:{wish.port}")


def _living(place: Place, balancer: Key, wish: GroupWish, fixed: dict[str, Hashable], base: str) -> str:
    """The target group that serves the same now, if all that is fixed in it still fits.

    Upstream's names hold the health check's protocol and interval, which the API can change in place. The groups of a
    weighted action may differ in nothing but the tag that says which Service's port they serve.
    """
    arns = _arns(place, balancer, wish)
    resource = _tags(place, wish).get(names.LBC_RESOURCE)
    for seen in place.owned(TARGETS):
        same = all(seen.resource.fields.get(field) == fixed[field] for field in FIXED_GROUP_FIELDS)
        same = same and (_serves(seen) == resource or seen.key.id == base)
        if same and seen.outputs.get("arn") in arns:
            return seen.key.id
    return ""


def _arns(place: Place, balancer: Key, wish: GroupWish) -> frozenset[str]:
    """The groups that the port's listener sends to; for those of another Service, that any listener sends to."""
    if wish.base:
        listeners = [one for one in place.observed.of_kind(LISTENER) if balancer_of(one.key) == balancer.id]
    else:
        one = place.observed.get(listener_key(balancer.id, wish.port, classic=False))
        listeners = [one] if one is not None else []
    return frozenset(arn for listener in listeners for arn, _ in forwarded(listener))


def _serves(group: Seen) -> str | None:
    tags = group.resource.fields.get("tags")
    return dict(tags).get(names.LBC_RESOURCE) if isinstance(tags, frozenset) else None


def _targets(place: Place, wish: GroupWish, group: Key, port: int) -> dict[str, frozenset[str]]:
    """The targets that are wanted; what is there while nodes, or the Service's slices, are not known at all.

    A Service with a selector has a slice even without pods, so none means that they have not been read yet.
    """
    is_instance = place.options.target_type == "instance"
    is_known = len(place.world.nodes) > 0 if is_instance else bool(place.world.slices.get(wish.intent.identity))
    there = _living_targets(place, group)
    if not is_known:
        return {"targets": there}
    if is_instance:
        wanted = instance_targets(place.world, place.options, limit=place.settings.max_targets_per_target_group)
    else:
        into = PodGroup(group.id, port, place.facts.network, wish.family)
        wanted = frozenset().union(*(pod_targets(place.world, wish.intent, one, into) for one in wish.ports))
    if not place.options.multi_cluster_target_group:
        return {"targets": wanted}
    ours = remembered_targets(place.options, wish.place)
    if ours is None:
        ours = read_upstream(place.facts.lbc_targets.get(group.id, NOTHING), group_port=port)
    return share(there, wanted, ours, place=wish.place)


def _living_targets(place: Place, group: Key) -> frozenset[str]:
    seen = place.observed.get(group)
    targets = seen.resource.fields.get("targets") if seen is not None else None
    return targets if isinstance(targets, frozenset) else frozenset()
