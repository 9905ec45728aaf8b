"""What the API says of a classic balancer -> what we compare. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from lbctl.model.resource import Identity, Key, Resource, Seen
from lbctl_aws import names
from lbctl_aws.attributes import FIELD, boolean
from lbctl_aws.model_classic import NEGOTIATION_TYPE, PROXY_TYPE, backend_key, policy_key
from lbctl_aws.ownership import Claim
from lbctl_aws.place import CLASSIC, listener_key

Raw = Mapping[str, Any]


def see_classic(raw: Raw, tags: Mapping[str, str], claim: Claim, groups: Mapping[str, str]) -> Iterator[Seen]:
    """The balancer and its parts; `groups` maps the ids of managed security groups to their names."""
    name = raw["LoadBalancerName"]
    key = Key(CLASSIC, name)
    owners = frozenset({claim.owner})
    attached = frozenset(raw.get("SecurityGroups", ()))
    needs = frozenset(Key("security-group", groups[group]) for group in attached if group in groups)
    fields: dict[str, Hashable] = {
        "scheme": raw.get("Scheme", "internet-facing"),
        "subnets": frozenset(raw.get("Subnets", ())),
        "groups": attached,
        "tags": frozenset(tags.items()),
        "targets": frozenset(instance["InstanceId"] for instance in raw.get("Instances", ())),
        **_health(raw.get("HealthCheck") or {}),
    }
    outputs = {"dns": raw.get("DNSName", ""), "zone": raw.get("CanonicalHostedZoneNameID", ""), **_created(raw)}
    seen = Seen(Resource(key, name, fields, owners, needs), outputs, ours=claim.ours, owner_hint=claim.hint)
    yield seen
    yield from _parts(raw, key, owners, claim)


def _created(raw: Raw) -> dict[str, str]:
    created = raw.get("CreatedTime")
    return {"created": created.isoformat()} if created is not None else {}


def _health(raw: Raw) -> dict[str, Hashable]:
    if not raw.get("Target"):
        return {}
    return {
        "health_target": raw["Target"],
        "health_interval": raw["Interval"],
        "health_timeout": raw["Timeout"],
        "health_healthy": raw["HealthyThreshold"],
        "health_unhealthy": raw["UnhealthyThreshold"],
    }


def _parts(raw: Raw, balancer: Key, owners: frozenset[Identity], claim: Claim) -> Iterator[Seen]:
    for description in raw.get("ListenerDescriptions", ()):
        yield _seen(see_listener(description, balancer, owners), claim)
    for policy in raw.get("Policies", {}).get("OtherPolicies", ()):
        resource = _policy(policy, balancer, owners)
        if resource is not None:
            yield _seen(resource, claim)
    for backend in raw.get("BackendServerDescriptions", ()):
        if names.PROXY_POLICY in backend.get("PolicyNames", ()):
            fields: dict[str, Hashable] = {"policies": frozenset(backend["PolicyNames"])}
            key = backend_key(balancer.id, backend["InstancePort"])
            resource = Resource(key, f"node port {backend['InstancePort']}", fields, owners, frozenset({balancer}))
            yield _seen(resource, claim)


def _seen(resource: Resource, claim: Claim) -> Seen:
    return Seen(resource, ours=claim.ours, owner_hint=claim.hint)


def see_listener(description: Raw, balancer: Key, owners: frozenset[Identity]) -> Resource:
    """One listener with the negotiation policy that upstream or we set."""
    raw = description["Listener"]
    ours = [p for p in description.get("PolicyNames", ()) if p.startswith(names.NEGOTIATION_POLICY_PREFIX)]
    certificate = raw.get("SSLCertificateId")
    return Resource(
        listener_key(balancer.id, raw["LoadBalancerPort"], classic=True),
        f":{raw['LoadBalancerPort']}",
        {
            "protocol": raw["Protocol"].upper(),
            "backend": raw.get("InstanceProtocol", raw["Protocol"]).upper(),
            "node_port": raw["InstancePort"],
            # Some versions of the API write the word for a listener without one.
            "certificate": certificate if certificate and certificate != "None" else None,
            "policy": ours[0] if ours else None,
        },
        owners,
        frozenset({balancer, *(policy_key(balancer, policy) for policy in ours[:1])}),
    )


def _policy(name: str, balancer: Key, owners: frozenset[Identity]) -> Resource | None:
    """A policy that upstream or we made: its name tells its content."""
    if name == names.PROXY_POLICY:
        fields: dict[str, Hashable] = {"type": PROXY_TYPE, "value": "true"}
    elif name.startswith(names.NEGOTIATION_POLICY_PREFIX):
        fields = {"type": NEGOTIATION_TYPE, "value": name.removeprefix(names.NEGOTIATION_POLICY_PREFIX)}
    else:
        return None
    return Resource(policy_key(balancer, name), name, fields, owners, frozenset({balancer}))


def read_attributes(raw: Raw) -> dict[str, Hashable]:
    """`LoadBalancerAttributes` as fields."""
    log, draining = raw.get("AccessLog") or {}, raw.get("ConnectionDraining") or {}
    found = {
        "idle_timeout": (raw.get("ConnectionSettings") or {}).get("IdleTimeout"),
        "draining": _flag(draining.get("Enabled")),
        "draining_timeout": draining.get("Timeout"),
        "cross_zone": _flag((raw.get("CrossZoneLoadBalancing") or {}).get("Enabled")),
        "log": _flag(log.get("Enabled")),
        "log_interval": log.get("EmitInterval"),
        "log_bucket": log.get("S3BucketName"),
        "log_prefix": log.get("S3BucketPrefix"),
    }
    return {FIELD + key: str(value) for key, value in found.items() if value is not None}


def _flag(value: bool | None) -> str | None:  # noqa: FBT001 - the value itself is the argument
    return None if value is None else boolean(value)
