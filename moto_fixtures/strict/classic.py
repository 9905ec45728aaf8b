"""What moto allows a classic balancer and AWS does not, and what it crashes on.

The words of an error are those of the API model of 2012-06-01 where it has them.
"""

from __future__ import annotations

import re

from moto.elb.models import FakeBackend

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,32}(?<!-)")
_ON_ONE_BALANCER = (
    "CreateLoadBalancerListeners",
    "DeleteLoadBalancerListeners",
    "ConfigureHealthCheck",
    "RegisterInstancesWithLoadBalancer",
    "DeregisterInstancesFromLoadBalancer",
    "DescribeLoadBalancerAttributes",
    "ModifyLoadBalancerAttributes",
    "CreateLoadBalancerPolicy",
    "DeleteLoadBalancerPolicy",
    "SetLoadBalancerPoliciesOfListener",
    "SetLoadBalancerPoliciesForBackendServer",
    "SetLoadBalancerListenerSSLCertificate",
    "AttachLoadBalancerToSubnets",
    "DetachLoadBalancerFromSubnets",
    "ApplySecurityGroupsToLoadBalancer",
)
# What PolicyTypeName may be; AWS has more, these are the ones that any controller makes.
_POLICY_TYPES = {"ProxyProtocolPolicyType", "SSLNegotiationPolicyType", "BackendServerAuthenticationPolicyType"}

_DESYNC = ("elb.http.desyncmitigationmode", "defensive")

classic_exists = Switch(
    "classic-exists",
    moto="a call on a balancer that does not exist breaks with an internal error, or succeeds",
    aws="LoadBalancerNotFound",
)
classic_name_form = Switch("classic-name-form", moto="accepts names of more than 32 characters", aws="ValidationError")
classic_idempotent = Switch(
    "classic-idempotent",
    moto="CreateLoadBalancer with equal settings answers DuplicateLoadBalancerName",
    aws="answers the existing balancer's DNS name; DuplicateLoadBalancerName for other settings",
)
classic_network = Switch(
    "classic-network",
    moto="unknown subnets: InvalidSubnetID.NotFound or accepted; unknown groups: ValidationError",
    aws="SubnetNotFound, InvalidConfigurationRequest for two subnets of a zone, InvalidSecurityGroup",
)
classic_zones = Switch(
    "classic-zones",
    moto="AvailabilityZones of a balancer in subnets is empty, subnets have no order",
    aws="the zones of its subnets, sorted",
)
classic_instances = Switch(
    "classic-instances",
    moto="registers unknown instances and the same one twice, and answers an empty list",
    aws="InvalidInstance; registering again changes nothing; the answer lists all that are registered",
)
classic_health_check = Switch(
    "classic-health-check",
    moto="a timeout that is not under the interval and any target text are accepted, no check before the first is set",
    aws="ValidationError; TCP on the first instance port, interval 30, timeout 5, thresholds 2 and 10",
)
classic_listeners = Switch(
    "classic-listeners",
    moto="InstanceProtocol is lost, a new instance port has no backend, deleting two listeners deletes neither",
    aws="listeners as they were asked for",
)
classic_certificates = Switch(
    "classic-certificates",
    moto="SSL and HTTPS listeners without a certificate are accepted",
    aws="CertificateNotFound",
)
classic_policies = Switch(
    "classic-policies",
    moto="unknown policies, duplicate policies, unknown ports and deleting a policy in use are accepted",
    aws="PolicyNotFound, DuplicatePolicyName, ListenerNotFound, InvalidConfigurationRequest",
)
classic_attributes = Switch(
    "classic-attributes",
    moto="any Modify adds another elb.http.desyncmitigationmode; draining without a time-out loses the time-out",
    aws="one such attribute, from birth; draining keeps 300",
)


def _balancer(call: Call, cloud: Cloud) -> MotoObject:
    name = call.params["LoadBalancerName"]
    balancer = cloud.elb.load_balancers.get(name)
    if balancer is None:
        raise RefusedError("LoadBalancerNotFound", f"There is no ACTIVE Load Balancer named '{name}'")
    return balancer


@classic_exists.before("elb", *_ON_ONE_BALANCER)
def _check_exists(call: Call, cloud: Cloud) -> None:
    _balancer(call, cloud)


@classic_name_form.before("elb", "CreateLoadBalancer")
def _check_name(call: Call, _cloud: Cloud) -> None:
    name = call.params["LoadBalancerName"]
    if not _NAME.fullmatch(name):
        raise RefusedError(
            "ValidationError", f"LoadBalancer name '{name}' must have at most 32 letters, digits, hyphens"
        )


@classic_network.before("elb", "CreateLoadBalancer", "AttachLoadBalancerToSubnets")
def _check_subnets(call: Call, cloud: Cloud) -> None:
    held = cloud.elb.load_balancers.get(call.params["LoadBalancerName"])
    attached = held.subnets if held is not None and call.operation != "CreateLoadBalancer" else []
    subnet_ids = dict.fromkeys([*attached, *call.params.get("Subnets", ())])
    subnets = [cloud.subnet(subnet_id) for subnet_id in subnet_ids]
    if None in subnets:
        missing = next(one for one, found in zip(subnet_ids, subnets, strict=True) if found is None)
        raise RefusedError("SubnetNotFound", f"The subnet ID '{missing}' does not exist")
    if len({one.availability_zone for one in subnets}) < len(subnets):
        message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        raise RefusedError("InvalidConfigurationRequest", message)


@classic_network.before("elb", "CreateLoadBalancer", "ApplySecurityGroupsToLoadBalancer")
def _check_groups(call: Call, cloud: Cloud) -> None:
    for group_id in call.params.get("SecurityGroups", ()):
        if cloud.security_group(group_id) is None:
            message = f"One or more of the specified security groups do not exist: '{group_id}'"
            raise RefusedError("InvalidSecurityGroup", message)


@classic_idempotent.before("elb", "CreateLoadBalancer")
def _answer_repeat(call: Call, cloud: Cloud) -> Json | None:
    name = call.params["LoadBalancerName"]
    existing = cloud.elb.load_balancers.get(name)
    if existing is None:
        return None
    if _asked_settings(call.params) != _held_settings(existing, cloud):
        message = f"Load balancer named '{name}' already exists and it is configured with different parameters."
        raise RefusedError("DuplicateLoadBalancerName", message)
    return {"DNSName": existing.dns_name}


def _asked_settings(params: Json) -> tuple[object, ...]:
    listeners = [_listener_settings(one) for one in params["Listeners"]]
    groups = set(params.get("SecurityGroups", ()))
    return (params.get("Scheme", "internet-facing"), set(params.get("Subnets", ())), groups, sorted(listeners))


def _listener_settings(listener: Json) -> tuple[int, str, int, str]:
    protocol = listener["Protocol"].upper()
    backend = listener.get("InstanceProtocol", protocol).upper()
    return (int(listener["LoadBalancerPort"]), protocol, int(listener["InstancePort"]), backend)


def _held_settings(balancer: MotoObject, cloud: Cloud) -> tuple[object, ...]:
    protocols = cloud.ledger.instance_protocols
    listeners = [
        (port, one.protocol, int(one.instance_port), protocols.get((balancer.name, port), one.protocol))
        for one in balancer.listeners
        for port in [int(one.load_balancer_port)]
    ]
    return (balancer.scheme, set(balancer.subnets), set(balancer.security_groups), sorted(listeners))


@classic_zones.after("elb", "CreateLoadBalancer", "AttachLoadBalancerToSubnets", "DetachLoadBalancerFromSubnets")
def _fill_zones(call: Call, cloud: Cloud, answer: Json) -> None:
    balancer = _balancer(call, cloud)
    balancer.subnets = sorted(balancer.subnets)
    balancer.availability_zones = sorted(cloud.subnet(one).availability_zone for one in balancer.subnets)
    if "Subnets" in answer:
        answer["Subnets"] = balancer.subnets


@classic_instances.instead("elb", "RegisterInstancesWithLoadBalancer")
def _register(call: Call, cloud: Cloud) -> Json:
    balancer = _balancer(call, cloud)
    asked = [instance["InstanceId"] for instance in call.params["Instances"]]
    for instance_id in asked:
        if cloud.instance(instance_id) is None:
            raise RefusedError("InvalidInstance", f"Could not find EC2 instance {instance_id}.")
    balancer.instance_sparse_ids = list(dict.fromkeys([*balancer.instance_sparse_ids, *asked]))
    return {"Instances": balancer.instances}


@classic_instances.instead("elb", "DeregisterInstancesFromLoadBalancer")
def _deregister(call: Call, cloud: Cloud) -> Json:
    balancer = _balancer(call, cloud)
    asked = {instance["InstanceId"] for instance in call.params["Instances"]}
    unknown = sorted(asked - set(balancer.instance_sparse_ids))
    if unknown and cloud.instance(unknown[0]) is None:
        raise RefusedError("InvalidInstance", f"Could not find EC2 instance {unknown[0]}.")
    balancer.instance_sparse_ids = [one for one in balancer.instance_sparse_ids if one not in asked]
    return {"Instances": balancer.instances}


@classic_health_check.before("elb", "ConfigureHealthCheck")
def _check_health_check(call: Call, _cloud: Cloud) -> None:
    check = call.params["HealthCheck"]
    if check["Timeout"] >= check["Interval"]:
        raise RefusedError("ValidationError", "HealthCheck timeout must be less than interval")
    protocol, _, rest = check["Target"].partition(":")
    port, slash, _path = rest.partition("/")
    if protocol.upper() not in {"TCP", "SSL", "HTTP", "HTTPS"} or not port.isdigit():
        raise RefusedError("ValidationError", "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL")
    if protocol.upper().startswith("HTTP") != bool(slash):
        raise RefusedError("ValidationError", "HealthCheck HTTP Target must specify a port followed by a path")


@classic_health_check.after("elb", "CreateLoadBalancer")
def _first_health_check(call: Call, cloud: Cloud, _answer: Json) -> None:
    port = call.params["Listeners"][0]["InstancePort"]
    cloud.elb.configure_health_check(
        load_balancer_name=call.params["LoadBalancerName"],
        timeout=5,
        healthy_threshold=10,
        unhealthy_threshold=2,
        interval=30,
        target=f"TCP:{port}",
    )


@classic_listeners.after("elb", "CreateLoadBalancer", "CreateLoadBalancerListeners")
def _complete_listeners(call: Call, cloud: Cloud, _answer: Json) -> None:
    balancer = _balancer(call, cloud)
    for listener in call.params["Listeners"]:
        port, _, _, instance_protocol = _listener_settings(listener)
        cloud.ledger.instance_protocols[balancer.name, port] = instance_protocol
    held = {int(one.instance_port) for one in balancer.backends}
    for instance_port in {int(one.instance_port) for one in balancer.listeners} - held:
        balancer.backends.append(FakeBackend(instance_port=str(instance_port)))


@classic_listeners.after("elb", "DescribeLoadBalancers")
def _show_listeners(_call: Call, cloud: Cloud, answer: Json) -> None:
    for described in answer["LoadBalancerDescriptions"]:
        for listener in (one["Listener"] for one in described["ListenerDescriptions"]):
            key = (described["LoadBalancerName"], listener["LoadBalancerPort"])
            listener["InstanceProtocol"] = cloud.ledger.instance_protocols.get(key, listener["Protocol"])


@classic_listeners.instead("elb", "DeleteLoadBalancerListeners")
def _delete_listeners(call: Call, cloud: Cloud) -> Json:
    balancer = _balancer(call, cloud)
    ports = {int(port) for port in call.params["LoadBalancerPorts"]}
    balancer.listeners = [one for one in balancer.listeners if int(one.load_balancer_port) not in ports]
    used = {int(one.instance_port) for one in balancer.listeners}
    balancer.backends = [one for one in balancer.backends if one.policy_names or int(one.instance_port) in used]
    for port in ports:
        cloud.ledger.instance_protocols.pop((balancer.name, port), None)
    return {}


@classic_certificates.before(
    "elb", "CreateLoadBalancer", "CreateLoadBalancerListeners", "SetLoadBalancerListenerSSLCertificate"
)
def _check_certificates(call: Call, cloud: Cloud) -> None:
    listeners = [call.params, *call.params.get("Listeners", ())]
    for arn in (one["SSLCertificateId"] for one in listeners if one.get("SSLCertificateId")):
        if not cloud.elbv2._certificate_exists(arn):  # noqa: SLF001 - moto's own look-up, in ACM and IAM
            raise RefusedError("CertificateNotFound", f"Server Certificate not found for the key: {arn}")
    for one in call.params.get("Listeners", ()):
        if one["Protocol"].upper() in {"HTTPS", "SSL"} and not one.get("SSLCertificateId"):
            message = "You must specify an SSL Certificate when using the HTTPS or SSL protocol"
            raise RefusedError("CertificateNotFound", message)


@classic_listeners.before("elb", "SetLoadBalancerListenerSSLCertificate")
def _check_listener(call: Call, cloud: Cloud) -> None:
    _listener(call, cloud)


def _listener(call: Call, cloud: Cloud) -> MotoObject:
    balancer, port = _balancer(call, cloud), call.params["LoadBalancerPort"]
    found = next((one for one in balancer.listeners if int(one.load_balancer_port) == port), None)
    if found is None:
        message = f"Load balancer '{balancer.name}' does not have a listener on port {port}"
        raise RefusedError("ListenerNotFound", message)
    return found


@classic_policies.before("elb", "CreateLoadBalancerPolicy")
def _check_new_policy(call: Call, cloud: Cloud) -> None:
    balancer, name = _balancer(call, cloud), call.params["PolicyName"]
    if call.params["PolicyTypeName"] not in _POLICY_TYPES:
        raise RefusedError("PolicyTypeNotFound", f"Policy type {call.params['PolicyTypeName']} does not exist")
    if any(policy.policy_name == name for policy in balancer.policies):
        message = f"A policy with the name {name} already exists for load balancer {balancer.name}"
        raise RefusedError("DuplicatePolicyName", message)


@classic_policies.before("elb", "SetLoadBalancerPoliciesOfListener", "SetLoadBalancerPoliciesForBackendServer")
def _check_set_policies(call: Call, cloud: Cloud) -> None:
    balancer = _balancer(call, cloud)
    known = {policy.policy_name for policy in balancer.policies}
    unknown = [name for name in call.params.get("PolicyNames", ()) if name not in known]
    if unknown:
        message = f"There is no policy with name {unknown[0]} for load balancer {balancer.name}"
        raise RefusedError("PolicyNotFound", message)
    if "LoadBalancerPort" in call.params:
        _listener(call, cloud)
    elif call.params["InstancePort"] not in {int(one.instance_port) for one in balancer.backends}:
        message = (
            f"Load balancer '{balancer.name}' has no listener with the instance port {call.params['InstancePort']}"
        )
        raise RefusedError("InvalidConfigurationRequest", message)


@classic_policies.before("elb", "DeleteLoadBalancerPolicy")
def _check_deleted_policy(call: Call, cloud: Cloud) -> None:
    balancer, name = _balancer(call, cloud), call.params["PolicyName"]
    users = [*balancer.listeners, *balancer.backends]
    if any(name in user.policy_names for user in users):
        message = f"Policy {name} of load balancer {balancer.name} is in use"
        raise RefusedError("InvalidConfigurationRequest", message)


@classic_attributes.after("elb", "CreateLoadBalancer")
def _complete_attributes(call: Call, cloud: Cloud, _answer: Json) -> None:
    attributes = cloud.elb.load_balancers[call.params["LoadBalancerName"]].attributes
    attributes["connection_draining"] = {"enabled": False, "timeout": 300}
    attributes["additional_attributes"] = [_DESYNC]


@classic_attributes.before("elb", "ModifyLoadBalancerAttributes")
def _check_access_log(call: Call, _cloud: Cloud) -> None:
    log = call.params["LoadBalancerAttributes"].get("AccessLog", {})
    if log.get("Enabled") and not log.get("S3BucketName"):
        raise RefusedError("InvalidConfigurationRequest", "S3Bucket is required to enable AccessLog")


@classic_attributes.after("elb", "ModifyLoadBalancerAttributes")
def _settle_attributes(call: Call, cloud: Cloud, answer: Json) -> None:
    balancer = _balancer(call, cloud)
    additional = dict([_DESYNC, *balancer.attributes["additional_attributes"]])
    balancer.attributes["additional_attributes"] = list(additional.items())
    shown = cloud.ask("elb", "DescribeLoadBalancerAttributes", {"LoadBalancerName": balancer.name})
    answer["LoadBalancerAttributes"] = shown["LoadBalancerAttributes"]
