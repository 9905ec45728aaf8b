"""Writes on classic balancers: one action is one call of the first Elastic Load Balancing API."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from lbctl.driver import Refs
from lbctl.errors import Conflict
from lbctl.model.resource import Key, Outputs, Seen
from lbctl.plan.actions import Action, Step, Verb
from lbctl_aws import confirm
from lbctl_aws.attributes import FIELD
from lbctl_aws.client import AwsClient
from lbctl_aws.model_classic import NEGOTIATION_TYPE
from lbctl_aws.place import CLASSIC, CLASSIC_LISTENER, balancer_of
from lbctl_aws.replies import write_tags

Write = Callable[[AwsClient, Action, Refs], Outputs]


def create(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """A new balancer with its listeners and tags."""
    step = next(step for step in action.steps if step.key.kind == CLASSIC)
    listeners = [step for step in action.steps if step.key.kind == CLASSIC_LISTENER]
    request = {
        "LoadBalancerName": step.key.id,
        "Listeners": [_listener(one, refs) for one in listeners],
        "Subnets": confirm.settled_set(step, "subnets", refs),
        "SecurityGroups": confirm.settled_set(step, "groups", refs),
        "Tags": write_tags(confirm.set_tags(step, refs)),
    }
    if confirm.wanted(step, "scheme", refs) == "internal":
        request["Scheme"] = "internal"
    reply = client.call("elb", "CreateLoadBalancer", request, ignore=("DuplicateLoadBalancerName",))
    if reply is None:
        raise Conflict(f"classic balancer {step.key.id} exists with other settings")
    seen = confirm.created(step, refs, {"dns": reply["DNSName"]})
    return Outputs(seen=(seen, *(_without_policy(one, refs) for one in listeners)))


def delete(client: AwsClient, action: Action, _: Refs) -> Outputs:
    """The balancer is gone with its listeners; AWS answers the same when it was gone before."""
    client.call("elb", "DeleteLoadBalancer", {"LoadBalancerName": action.steps[0].key.id})
    return confirm.all_gone(action)


def create_listeners(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The listeners are there."""
    request = {"LoadBalancerName": _balancer(action), "Listeners": [_listener(step, refs) for step in action.steps]}
    client.call("elb", "CreateLoadBalancerListeners", request)
    return Outputs(seen=tuple(_without_policy(step, refs) for step in action.steps))


def delete_listeners(client: AwsClient, action: Action, _: Refs) -> Outputs:
    """The listeners are gone."""
    ports = sorted(int(step.key.id.rpartition(":")[2]) for step in action.steps)
    request = {"LoadBalancerName": _balancer(action), "LoadBalancerPorts": ports}
    client.call("elb", "DeleteLoadBalancerListeners", request, ignore=("LoadBalancerNotFound",))
    return confirm.all_gone(action)


def _listener(step: Step, refs: Refs) -> dict[str, Any]:
    listener = {
        "Protocol": confirm.wanted(step, "protocol", refs),
        "LoadBalancerPort": int(step.key.id.rpartition(":")[2]),
        "InstanceProtocol": confirm.wanted(step, "backend", refs),
        "InstancePort": confirm.wanted(step, "node_port", refs),
        "SSLCertificateId": confirm.wanted(step, "certificate", refs),
    }
    return {key: value for key, value in listener.items() if value is not None}


def _without_policy(step: Step, refs: Refs) -> Seen:
    """A new listener: its policy comes with a call of its own."""
    assert step.desired is not None
    fields = {key: confirm.settle(value, refs) for key, value in step.desired.fields.items()}
    needs = frozenset({Key(CLASSIC, balancer_of(step.key))})
    return Seen(replace(step.desired, fields={**fields, "policy": None}, needs=needs))


def _balancer(action: Action) -> str:
    return balancer_of(action.steps[0].key)


def configure_health(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer checks its targets so."""
    step = action.steps[0]
    check = {
        "Target": confirm.wanted(step, "health_target", refs),
        "Interval": confirm.wanted(step, "health_interval", refs),
        "Timeout": confirm.wanted(step, "health_timeout", refs),
        "HealthyThreshold": confirm.wanted(step, "health_healthy", refs),
        "UnhealthyThreshold": confirm.wanted(step, "health_unhealthy", refs),
    }
    client.call("elb", "ConfigureHealthCheck", {"LoadBalancerName": step.key.id, "HealthCheck": check})
    return confirm.all_changed(action, refs)


def modify_attributes(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer has the attributes; blocks of the API that hold none of the changed ones are not sent."""
    step = action.steps[0]
    assert step.desired is not None
    there = {**(step.seen.resource.fields if step.seen else {}), **step.desired.fields}
    values = {key.removeprefix(FIELD): str(value) for key, value in there.items() if key.startswith(FIELD)}
    touched = {change.field.removeprefix(FIELD) for change in step.changes}
    blocks = {name: build(values) for name, (keys, build) in BLOCKS.items() if not touched.isdisjoint(keys)}
    request = {"LoadBalancerName": step.key.id, "LoadBalancerAttributes": blocks}
    client.call("elb", "ModifyLoadBalancerAttributes", request)
    return confirm.all_changed(action, refs)


def _log_block(values: Mapping[str, str]) -> dict[str, Any]:
    block: dict[str, Any] = {"Enabled": values.get("log") == "true"}
    if block["Enabled"]:
        block["S3BucketName"] = values.get("log_bucket", "")
        block["S3BucketPrefix"] = values.get("log_prefix", "")
        block["EmitInterval"] = int(values.get("log_interval", "60"))
    return block


def _draining_block(values: Mapping[str, str]) -> dict[str, Any]:
    block: dict[str, Any] = {"Enabled": values.get("draining") == "true"}
    if "draining_timeout" in values:
        block["Timeout"] = int(values["draining_timeout"])
    return block


def _idle_block(values: Mapping[str, str]) -> dict[str, Any]:
    return {"IdleTimeout": int(values["idle_timeout"])}


def _zone_block(values: Mapping[str, str]) -> dict[str, Any]:
    return {"Enabled": values.get("cross_zone") == "true"}


Block = Callable[[Mapping[str, str]], dict[str, Any]]
BLOCKS: Mapping[str, tuple[tuple[str, ...], Block]] = {
    "AccessLog": (("log", "log_interval", "log_bucket", "log_prefix"), _log_block),
    "ConnectionDraining": (("draining", "draining_timeout"), _draining_block),
    "ConnectionSettings": (("idle_timeout",), _idle_block),
    "CrossZoneLoadBalancing": (("cross_zone",), _zone_block),
}


def apply_groups(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer has exactly these security groups."""
    step = action.steps[0]
    request = {"LoadBalancerName": step.key.id, "SecurityGroups": confirm.settled_set(step, "groups", refs)}
    client.call("elb", "ApplySecurityGroupsToLoadBalancer", request)
    return confirm.all_changed(action, refs)


def add_tags(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer has the tags."""
    step, members = action.steps[0], confirm.members_of(action)
    tags = write_tags(dict(members))  # type: ignore[arg-type] # members of a tag field are pairs of texts
    client.call("elb", "AddTags", {"LoadBalancerNames": [step.key.id], "Tags": tags})
    return Outputs(seen=(confirm.gained(step, refs, "tags", members),))


def remove_tags(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer lacks the tags."""
    step, members = action.steps[0], confirm.members_of(action)
    tags = [{"Key": str(key)} for key in sorted(members, key=str)]
    client.call("elb", "RemoveTags", {"LoadBalancerNames": [step.key.id], "Tags": tags})
    return Outputs(seen=(confirm.lost(step, refs, "tags", members),))


def attach_subnets(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer reaches into these subnets too."""
    return _subnets(client, action, refs, "AttachLoadBalancerToSubnets")


def detach_subnets(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer has left these subnets."""
    return _subnets(client, action, refs, "DetachLoadBalancerFromSubnets")


def _subnets(client: AwsClient, action: Action, refs: Refs, operation: str) -> Outputs:
    step, members = action.steps[0], confirm.members_of(action)
    client.call("elb", operation, {"LoadBalancerName": step.key.id, "Subnets": sorted(map(str, members))})
    change = confirm.gained if operation.startswith("Attach") else confirm.lost
    return Outputs(seen=(change(step, refs, "subnets", members),))


def register(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The instances are targets."""
    step, members = action.steps[0], confirm.members_of(action)
    request = {"LoadBalancerName": step.key.id, "Instances": _instances(members)}
    client.call("elb", "RegisterInstancesWithLoadBalancer", request)
    return Outputs(seen=(confirm.gained(step, refs, "targets", members),))


def deregister(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The instances are no targets; an instance that is gone never was one."""
    step, members = action.steps[0], confirm.members_of(action)
    request = {"LoadBalancerName": step.key.id, "Instances": _instances(members)}
    ignore = ("InvalidInstance", "LoadBalancerNotFound")
    client.call("elb", "DeregisterInstancesFromLoadBalancer", request, ignore=ignore)
    return Outputs(seen=(confirm.lost(step, refs, "targets", members),))


def _instances(members: Iterable[Hashable]) -> list[dict[str, str]]:
    return [{"InstanceId": str(member)} for member in sorted(members, key=str)]


def create_policy(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The balancer knows the policy; it is found again by its name."""
    step = action.steps[0]
    kind, value = confirm.wanted(step, "type", refs), confirm.wanted(step, "value", refs)
    attribute = "Reference-Security-Policy" if kind == NEGOTIATION_TYPE else "ProxyProtocol"
    request = {
        "LoadBalancerName": _balancer(action),
        "PolicyName": step.name,
        "PolicyTypeName": kind,
        "PolicyAttributes": [{"AttributeName": attribute, "AttributeValue": value}],
    }
    client.call("elb", "CreateLoadBalancerPolicy", request, ignore=("DuplicatePolicyName",))
    return Outputs(seen=(confirm.created(step, refs),))


def set_listener_policy(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The listener negotiates by this policy."""
    step = action.steps[0]
    policy = confirm.wanted(step, "policy", refs)
    request = {
        "LoadBalancerName": _balancer(action),
        "LoadBalancerPort": int(step.key.id.rpartition(":")[2]),
        "PolicyNames": [policy] if policy else [],
    }
    client.call("elb", "SetLoadBalancerPoliciesOfListener", request)
    return confirm.all_changed(action, refs)


def set_certificate(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The listener, which goes on, has this certificate."""
    step = action.steps[0]
    request = {
        "LoadBalancerName": _balancer(action),
        "LoadBalancerPort": int(step.key.id.rpartition(":")[2]),
        "SSLCertificateId": confirm.wanted(step, "certificate", refs),
    }
    client.call("elb", "SetLoadBalancerListenerSSLCertificate", request)
    return confirm.all_changed(action, refs)


def set_backend_policies(client: AwsClient, action: Action, refs: Refs) -> Outputs:
    """The backend port has its policies, or none of ours."""
    step = action.steps[0]
    removes = step.verb is Verb.DELETE
    request = {
        "LoadBalancerName": _balancer(action),
        "InstancePort": int(step.key.id.rpartition(":")[2]),
        "PolicyNames": [] if removes else confirm.settled_set(step, "policies", refs),
    }
    client.call("elb", "SetLoadBalancerPoliciesForBackendServer", request, ignore=("LoadBalancerNotFound",))
    return confirm.all_gone(action) if removes else Outputs(seen=(confirm.changed(step, refs),))


WRITES: Mapping[str, Write] = {
    "elb.CreateLoadBalancer": create,
    "elb.DeleteLoadBalancer": delete,
    "elb.CreateLoadBalancerListeners": create_listeners,
    "elb.DeleteLoadBalancerListeners": delete_listeners,
    "elb.ConfigureHealthCheck": configure_health,
    "elb.ModifyLoadBalancerAttributes": modify_attributes,
    "elb.ApplySecurityGroupsToLoadBalancer": apply_groups,
    "elb.AddTags": add_tags,
    "elb.RemoveTags": remove_tags,
    "elb.AttachLoadBalancerToSubnets": attach_subnets,
    "elb.DetachLoadBalancerFromSubnets": detach_subnets,
    "elb.RegisterInstancesWithLoadBalancer": register,
    "elb.DeregisterInstancesFromLoadBalancer": deregister,
    "elb.CreateLoadBalancerPolicy": create_policy,
    "elb.SetLoadBalancerPoliciesOfListener": set_listener_policy,
    "elb.SetLoadBalancerListenerSSLCertificate": set_certificate,
    "elb.SetLoadBalancerPoliciesForBackendServer": set_backend_policies,
}
