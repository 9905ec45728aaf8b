"""What a classic balancer should look like, with the names and tags of CCM. Pure.

A classic balancer is one object: listeners, health check, instances, attributes and policies are parts of it. Those
that have calls of their own are resources of their own here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from lbctl.model.resource import Key, Resource, Seen
from lbctl_aws import attributes, names
from lbctl_aws.checks import is_internal
from lbctl_aws.generations import choose_name
from lbctl_aws.health import classic_check
from lbctl_aws.listeners import ListenerWish, build_listeners
from lbctl_aws.model_groups import Groups, classic_groups
from lbctl_aws.network import INTERNAL, PUBLIC, Wanted, ccm_subnets, named_subnets
from lbctl_aws.place import CLASSIC, CLASSIC_BACKEND, CLASSIC_POLICY, Place, listener_key
from lbctl_aws.targets import instance_targets

PROXY_TYPE = "ProxyProtocolPolicyType"
NEGOTIATION_TYPE = "SSLNegotiationPolicyType"


@dataclass(frozen=True, slots=True)
class ClassicModel:
    """The balancer's key and everything that belongs to it."""

    key: Key
    resources: tuple[Resource, ...]


def build_classic(place: Place) -> ClassicModel:
    """Everything of one classic balancer; `MissingFact` explains what AWS or the operator has to provide."""
    scheme = INTERNAL if is_internal(place.options) else PUBLIC
    base = names.ccm_balancer(place.owner.uid)
    name = choose_name(place, CLASSIC, base, {"scheme": scheme})
    key = Key(CLASSIC, name)
    groups = classic_groups(place, name)
    fields = {**_fields(place, groups), "scheme": scheme, "subnets": _subnets(place, scheme, place.observed.get(key))}
    balancer = Resource(key, name=name, fields=fields, owners=place.owners, needs=groups.needs)
    wishes = build_listeners(place.intent)
    policies = tuple(_policies(place, key, wishes))
    listeners = [_listener(place, key, wish) for wish in wishes]
    return ClassicModel(key, (*groups.resources, balancer, *policies, *listeners, *_backends(place, key, wishes)))


def _fields(place: Place, groups: Groups) -> dict[str, Hashable]:
    check = classic_check(place.intent, place.settings)
    resets = ((key, attributes.CLASSIC_DEFAULTS.get(key, "")) for key in attributes.remembered(place.options, "lb"))
    return {
        "groups": frozenset(groups.attached),
        "tags": place.tags(names.ccm_tags(place.cluster, place.owner), with_owner=False),
        "health_target": check.classic_target,
        "health_interval": check.interval,
        "health_timeout": check.timeout,
        "health_healthy": check.healthy,
        "health_unhealthy": check.unhealthy,
        "targets": instance_targets(place.world, place.options, limit=place.settings.max_targets_per_target_group),
        **attributes.as_fields(attributes.classic_attributes(place.options), resets),
    }


def _subnets(place: Place, scheme: str, live: Seen | None) -> Hashable:
    if place.options.subnets:
        return frozenset(subnet.id for subnet in named_subnets(place.options.subnets, place.facts.network))
    if live is not None and not place.settings.follow_subnets:
        return live.resource.fields["subnets"]
    return frozenset(subnet.id for subnet in ccm_subnets(place.facts.network, Wanted(scheme, place.cluster)))


def _listener(place: Place, balancer: Key, wish: ListenerWish) -> Resource:
    policy = _negotiation_policy(place, wish)
    needs = {balancer, *([policy_key(balancer, policy)] if policy else [])}
    return Resource(
        listener_key(balancer.id, wish.port, classic=True),
        name=f":{wish.port}",
        fields={
            "protocol": wish.protocol,
            "backend": wish.backend,
            "node_port": wish.first.node_port,
            "certificate": place.options.ssl_cert[0] if wish.tls else None,
            "policy": policy or None,
        },
        owners=place.owners,
        needs=frozenset(needs),
    )


def policy_key(balancer: Key, policy: str) -> Key:
    """Key of a policy of a classic balancer."""
    return Key(CLASSIC_POLICY, f"{balancer.id}:{policy}")


def backend_key(balancer: str, port: int) -> Key:
    """Key of the policies of one backend port of a classic balancer."""
    return Key(CLASSIC_BACKEND, f"{balancer}:{port}")


def _negotiation_policy(place: Place, wish: ListenerWish) -> str:
    policy = place.options.ssl_negotiation_policy
    return names.NEGOTIATION_POLICY_PREFIX + policy if wish.tls and policy else ""


def _policies(place: Place, balancer: Key, wishes: tuple[ListenerWish, ...]) -> Iterator[Resource]:
    policy = place.options.ssl_negotiation_policy
    if policy and any(wish.tls for wish in wishes):
        yield _policy(place, balancer, names.NEGOTIATION_POLICY_PREFIX + policy, NEGOTIATION_TYPE, policy)
    if place.options.proxy_protocol:
        yield _policy(place, balancer, names.PROXY_POLICY, PROXY_TYPE, "true")


def _policy(place: Place, balancer: Key, name: str, kind: str, value: str) -> Resource:
    return Resource(
        policy_key(balancer, name),
        name=name,
        fields={"type": kind, "value": value},
        owners=place.owners,
        needs=frozenset({balancer}),
    )


def _backends(place: Place, balancer: Key, wishes: tuple[ListenerWish, ...]) -> Iterator[Resource]:
    if not place.options.proxy_protocol:
        return
    listeners: dict[int, set[Key]] = {}
    for wish in wishes:
        listeners.setdefault(wish.first.node_port, set()).add(listener_key(balancer.id, wish.port, classic=True))
    for port, keys in sorted(listeners.items()):
        yield Resource(
            backend_key(balancer.id, port),
            name=f"node port {port}",
            fields={"policies": frozenset({names.PROXY_POLICY})},
            owners=place.owners,
            needs=frozenset({policy_key(balancer, names.PROXY_POLICY), *keys}),
        )
