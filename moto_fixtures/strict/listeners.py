"""What moto allows or forgets about v2 listeners: ports, protocols, certificates, policies.

The protocol table is the one of the user guide, "Target groups for your Network Load Balancers": a listener forwards
only to groups that speak its protocol.
"""

from __future__ import annotations

from typing import Any

from moto.elbv2.ssl_policies import SSL_POLICIES

from moto_fixtures.strict.cloud import Cloud, MotoObject
from moto_fixtures.strict.switch import Switch
from moto_fixtures.wire import Call, Json, RefusedError

_TARGET_PROTOCOLS = {
    "TCP": {"TCP", "TCP_UDP"},
    "TLS": {"TLS", "TCP"},
    "UDP": {"UDP", "TCP_UDP"},
    "TCP_UDP": {"TCP_UDP"},
    "QUIC": {"QUIC", "TCP_QUIC"},
    "TCP_QUIC": {"TCP_QUIC"},
}
_SECURE = {"TLS", "HTTPS"}
_MAX_WEIGHT = 999
# moto knows no QUIC: it is asked for the protocol that behaves alike, and told the real one afterwards.
_STANDS_FOR = {"QUIC": "UDP", "TCP_QUIC": "TCP_UDP"}

quic_protocols = Switch(
    "quic-protocols",
    moto="refuses QUIC and TCP_QUIC",
    aws="protocols of network listeners and their target groups",
)
listener_port_unique = Switch(
    "listener-port-unique",
    moto="CreateListener and ModifyListener on a used port succeed: two listeners on it",
    aws="DuplicateListener",
)
listener_protocols = Switch(
    "listener-protocols",
    moto="a listener may forward to a group of any protocol",
    aws="IncompatibleProtocols",
)
listener_certificates = Switch(
    "listener-certificates",
    moto="TLS without a certificate and TCP with one are accepted",
    aws="ValidationError",
)
listener_policies = Switch(
    "listener-policies",
    moto="every listener, even TCP, has an SslPolicy, and CreateListener takes unknown ones",
    aws="only secure listeners have one; SSLPolicyNotFound",
)
modify_listener = Switch(
    "modify-listener",
    moto="ModifyListener refuses TLS, UDP and TCP_UDP, ignores AlpnPolicy, and certificates on anything but HTTPS",
    aws="all network protocols, certificates and AlpnPolicy, each left alone when it is not given",
)
group_one_balancer = Switch(
    "group-one-balancer",
    moto="a target group may serve the listeners of several balancers",
    aws="TargetGroupAssociationLimit",
)

weighted_groups = Switch(
    "weighted-groups",
    moto="a forward action takes any weight, and target groups that do not exist",
    aws="ValidationError outside of 0 to 999; TargetGroupNotFound",
)

group_family = Switch(
    "group-family",
    moto="a balancer with IPv4 only may have listeners that forward to groups of IPv6 targets, or become one",
    aws="InvalidConfigurationRequest",
)


def forwarded_groups(actions: list[Json]) -> list[str]:
    """The ARNs of the target groups that actions forward to, in either way of naming them."""
    named = [action["TargetGroupArn"] for action in actions if "TargetGroupArn" in action]
    weighted = [
        group["TargetGroupArn"]
        for action in actions
        for group in action.get("ForwardConfig", {}).get("TargetGroups", [])
    ]
    return list(dict.fromkeys(named + weighted))


def _after(call: Call, listener: MotoObject) -> Json:
    """The listener as it will be once the call is done: what is given wins, the rest stays."""
    if listener is None:
        return call.params
    held: dict[str, Any] = {
        "LoadBalancerArn": listener.load_balancer_arn,
        "Port": int(listener.port),
        "Protocol": listener.protocol,
        "Certificates": [{"CertificateArn": arn} for arn in listener.certificates],
        "DefaultActions": [action.data for action in listener.default_actions],
    }
    given = {key: value for key, value in call.params.items() if value not in ([], None)}
    if given.get("Protocol", listener.protocol) not in _SECURE and "Certificates" not in given:
        held.pop("Certificates")
    return held | given


def _merged(call: Call, cloud: Cloud) -> Json:
    arn = call.params.get("ListenerArn")
    listener = cloud.listener(arn) if arn else None
    if arn and listener is None:
        raise RefusedError("ListenerNotFound", "One or more listeners not found")
    return _after(call, listener)


@listener_port_unique.before("elbv2", "CreateListener", "ModifyListener")
def _check_port(call: Call, cloud: Cloud) -> None:
    wanted = _merged(call, cloud)
    balancer = cloud.balancer(wanted["LoadBalancerArn"])
    others = (
        [one for one in balancer.listeners.values() if one.arn != call.params.get("ListenerArn")] if balancer else []
    )
    if any(int(one.port) == wanted.get("Port") for one in others):
        message = f"A listener already exists on this port for this load balancer '{wanted['LoadBalancerArn']}'"
        raise RefusedError("DuplicateListener", message)


@listener_protocols.before("elbv2", "CreateListener", "ModifyListener")
def _check_protocols(call: Call, cloud: Cloud) -> None:
    wanted = _merged(call, cloud)
    for arn in forwarded_groups(wanted["DefaultActions"]):
        group, protocol = cloud.target_group(arn), wanted.get("Protocol")
        if group is not None and group.protocol not in _TARGET_PROTOCOLS.get(str(protocol), {group.protocol}):
            message = (
                f"Listener protocol '{protocol}' is not supported with a target group of protocol '{group.protocol}'"
            )
            raise RefusedError("IncompatibleProtocols", message)


@listener_certificates.before("elbv2", "CreateListener", "ModifyListener")
def _check_certificates(call: Call, cloud: Cloud) -> None:
    wanted = _merged(call, cloud)
    protocol, certificates = wanted.get("Protocol"), wanted.get("Certificates", [])
    if protocol in _SECURE and not certificates:
        raise RefusedError("ValidationError", f"A certificate must be specified for {protocol} listeners")
    if protocol not in _SECURE and certificates:
        raise RefusedError("ValidationError", f"A certificate cannot be specified for {protocol} listeners")
    for certificate in certificates:
        if not cloud.elbv2._certificate_exists(certificate["CertificateArn"]):  # noqa: SLF001 - moto's own look-up
            message = f"Certificate '{certificate['CertificateArn']}' not found"
            raise RefusedError("CertificateNotFound", message)


@listener_policies.before("elbv2", "CreateListener", "ModifyListener")
def _check_policy(call: Call, _cloud: Cloud) -> None:
    policy = call.params.get("SslPolicy")
    if policy is not None and policy not in SSL_POLICIES:
        raise RefusedError("SSLPolicyNotFound", f"SSL policy '{policy}' not found")


@listener_policies.after("elbv2", "CreateListener", "ModifyListener")
def _drop_policy(_call: Call, cloud: Cloud, answer: Json) -> None:
    described = answer["Listeners"][0]
    listener = cloud.listener(described["ListenerArn"])
    if listener is not None and listener.protocol not in _SECURE:
        listener.ssl_policy = None
        described.pop("SslPolicy", None)


@group_one_balancer.before("elbv2", "CreateListener", "ModifyListener")
def _check_association(call: Call, cloud: Cloud) -> None:
    wanted = _merged(call, cloud)
    asked = set(forwarded_groups(wanted["DefaultActions"]))
    for listener in cloud.listeners():
        used = asked & set(forwarded_groups([action.data for action in listener.default_actions]))
        if used and listener.load_balancer_arn != wanted["LoadBalancerArn"]:
            message = f"The following target groups cannot be associated with more than one load balancer: {min(used)}"
            raise RefusedError("TargetGroupAssociationLimit", message)


@group_family.before("elbv2", "CreateListener", "ModifyListener")
def _check_family(call: Call, cloud: Cloud) -> None:
    wanted = _merged(call, cloud)
    balancer = cloud.balancer(wanted["LoadBalancerArn"])
    if balancer is not None and balancer.ip_address_type != "dualstack":
        _refuse_ipv6(cloud, wanted["DefaultActions"])


@group_family.before("elbv2", "SetIpAddressType", "SetSubnets")
def _check_family_left(call: Call, cloud: Cloud) -> None:
    if call.params.get("IpAddressType") == "ipv4":
        for listener in cloud.listeners():
            if listener.load_balancer_arn == call.params["LoadBalancerArn"]:
                _refuse_ipv6(cloud, [action.data for action in listener.default_actions])


def _refuse_ipv6(cloud: Cloud, actions: list[Json]) -> None:
    groups = [cloud.target_group(arn) for arn in forwarded_groups(actions)]
    if any(group is not None and group.ip_address_type == "ipv6" for group in groups):
        raise RefusedError("InvalidConfigurationRequest", "IPv6 target groups need a dualstack load balancer")


@weighted_groups.before("elbv2", "CreateListener", "ModifyListener")
def _check_weights(call: Call, cloud: Cloud) -> None:
    for action in call.params.get("DefaultActions", []):
        for group in action.get("ForwardConfig", {}).get("TargetGroups", []):
            if cloud.target_group(group["TargetGroupArn"]) is None:
                raise RefusedError("TargetGroupNotFound", "One or more target groups not found")
            if not 0 <= int(group.get("Weight", 1)) <= _MAX_WEIGHT:
                raise RefusedError("ValidationError", f"The weight must be in the range 0 to {_MAX_WEIGHT}")


@quic_protocols.rewrite("elbv2", "CreateListener", "CreateTargetGroup")
def _ask_for_stand_in(_call: Call, _cloud: Cloud, params: Json) -> None:
    if params.get("Protocol") in _STANDS_FOR:
        params["Protocol"] = _STANDS_FOR[params["Protocol"]]


@quic_protocols.after("elbv2", "CreateListener")
def _restore_listener(call: Call, cloud: Cloud, answer: Json) -> None:
    described = answer["Listeners"][0]
    listener = cloud.listener(described["ListenerArn"])
    if listener is not None and call.params.get("Protocol") in _STANDS_FOR:
        listener.protocol = described["Protocol"] = call.params["Protocol"]


@quic_protocols.after("elbv2", "CreateTargetGroup")
def _restore_group(call: Call, cloud: Cloud, answer: Json) -> None:
    described = answer["TargetGroups"][0]
    group = cloud.target_group(described["TargetGroupArn"])
    if group is not None and call.params.get("Protocol") in _STANDS_FOR:
        group.protocol = described["Protocol"] = call.params["Protocol"]


@modify_listener.rewrite("elbv2", "ModifyListener")
def _leave_to_us(_call: Call, _cloud: Cloud, params: Json) -> None:
    for ours in ("Protocol", "Certificates", "AlpnPolicy", "SslPolicy"):
        params.pop(ours, None)


@modify_listener.after("elbv2", "ModifyListener")
def _modify(call: Call, cloud: Cloud, answer: Json) -> None:
    listener = cloud.listener(call.params["ListenerArn"])
    if listener is None:
        return
    _modify_protocol(listener, call.params)
    if call.params.get("Certificates"):
        default = call.params["Certificates"][0]["CertificateArn"]
        listener.certificate = default
        listener.certificates = [default, *(arn for arn in listener.certificates[1:] if arn != default)]
    if "AlpnPolicy" in call.params:
        listener.alpn_policy = [policy for policy in call.params["AlpnPolicy"] if policy != "None"]
    shown = cloud.ask("elbv2", "DescribeListeners", {"ListenerArns": [listener.arn]})
    answer["Listeners"] = shown["Listeners"]


def _modify_protocol(listener: MotoObject, params: Json) -> None:
    listener.protocol = params.get("Protocol", listener.protocol)
    if listener.protocol in _SECURE:
        listener.ssl_policy = params.get("SslPolicy") or listener.ssl_policy or "ELBSecurityPolicy-2016-08"
    else:
        listener.ssl_policy, listener.certificate, listener.certificates = None, None, []
