"""What can be wrong with a Service's AWS annotations together: each check yields every problem that it finds. Pure.

Single values are checked by the annotation table; here are the rules that span several of them, or depend on the mode.
Upstream finds most of these half-way through its calls; here nothing is called for a Service that has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lbctl.model.intent import Intent
from lbctl.model.problem import Problem
from lbctl.model.ranges import family_of
from lbctl_aws import attributes, names
from lbctl_aws.annotations import CCM, CLB, IP, LBC, LEGACY, key_of
from lbctl_aws.health import HTTP, TRAFFIC_PORT, group_check
from lbctl_aws.listeners import QUIC, build_listeners, port_conflicts, selects
from lbctl_aws.options import Options, options_of
from lbctl_aws.settings import AwsSettings

Check = Callable[[Intent, Options, AwsSettings], Iterator[Problem]]
Found = Iterator[Problem]

MAX_TAGS = {CLB: 10}
MAX_TAGS_DEFAULT = 50
CLASSIC_TIMEOUT = 60
IDLE_SECONDS = range(60, 6001)
CCM_GROUP_ATTRIBUTES = frozenset({attributes.PRESERVE_IP, attributes.PROXY_V2})


def find_problems(intent: Intent, settings: AwsSettings) -> list[Problem]:
    """Every problem of the Service's annotations, in the order of the checks."""
    options = options_of(intent)
    return [problem for check in CHECKS for problem in check(intent, options, settings)]


def _on(name: str, message: str, hint: str = "", *, part: str = "") -> Problem:
    key = key_of(name).replace("{port}", part)
    return Problem(f"metadata.annotations[{key}]", message, hint)


def _upstream_refusals(intent: Intent, options: Options, _: AwsSettings) -> Found:
    if not options.is_ccm:
        return
    if intent.affinity_seconds is not None:
        yield Problem("spec.sessionAffinity", "ClientIP is not supported in this mode", "use None")
    if intent.requested_address:
        yield Problem(
            "spec.loadBalancerIP", "AWS does not take an address from here", "use eip-allocations with an nlb"
        )


def _shared_ports(intent: Intent, options: Options, _: AwsSettings) -> Found:
    for path, message in port_conflicts(intent, options):
        yield Problem(path, message)


def _protocols(intent: Intent, options: Options, settings: AwsSettings) -> Found:
    if options.backend_protocol in {"http", "https"} and options.mode != CLB:
        yield _on("backend_protocol", f"{options.backend_protocol} needs a classic balancer", "use ssl or tcp")
    if options.healthcheck_protocol == "SSL" and options.mode != CLB:
        yield _on("healthcheck_protocol", "SSL needs a classic balancer", "use tcp, http or https")
    if options.healthcheck_success_codes and options.is_lbc and group_check(intent, settings).protocol not in HTTP:
        yield _on("healthcheck_success_codes", "a TCP health check has no status codes", "set healthcheck-protocol")


def _health(intent: Intent, options: Options, _: AwsSettings) -> Found:
    port = options.healthcheck_port
    names_known = {entry.name for entry in intent.ports} if options.is_lbc else set()
    if port and port != TRAFFIC_PORT and not (port.isdigit() and 0 < int(port) < 65536) and port not in names_known:  # noqa: PLR2004 - the range of ports
        yield _on("healthcheck_port", f"{port!r} is neither a port number nor {TRAFFIC_PORT}")
    if options.mode == CLB:
        interval, timeout = options.healthcheck_interval or 10, options.healthcheck_timeout or 5
        if timeout > CLASSIC_TIMEOUT:
            yield _on("healthcheck_timeout", f"{timeout} is more than {CLASSIC_TIMEOUT} seconds")
        if timeout >= interval:
            yield _on("healthcheck_timeout", f"{timeout} s is not less than the interval of {interval} s")


def _certificates(intent: Intent, options: Options, _: AwsSettings) -> Found:
    if options.is_ccm and len(options.ssl_cert) > 1:
        yield _on("ssl_cert", "this mode takes one certificate", "use the class service.k8s.aws/nlb for several")
    if options.ssl_ports is None or options.is_ccm:
        return
    if "*" in options.ssl_ports:
        yield _on("ssl_ports", "'*' is not supported in this mode", "leave the annotation out for all TCP ports")
        return
    for word in options.ssl_ports:
        if not any(selects((word,), port) for port in intent.ports):
            yield _on("ssl_ports", f"{word!r} matches no port of the Service")


def _quic(intent: Intent, options: Options, _: AwsSettings) -> Found:
    for word in options.quic_enabled_ports:
        ports = [port for port in intent.ports if selects((word,), port)]
        if not ports:
            yield _on("quic_enabled_ports", f"{word!r} matches no port of the Service")
        elif "UDP" not in {port.protocol for port in ports}:
            yield _on("quic_enabled_ports", f"port {word} is TCP, and QUIC runs over UDP", f"known: {sorted(QUIC)}")


def _addresses(_: Intent, options: Options, __: AwsSettings) -> Found:
    internal = is_internal(options)
    counted = ("eip_allocations", "private_ipv4_addresses", "ipv6_addresses", "source_nat_ipv6_prefixes")
    for name in counted:
        given = getattr(options, name)
        if given is not None and options.subnets is not None and len(given) != len(options.subnets):
            yield _on(name, f"has {len(given)} entries for {len(options.subnets)} subnets", "give one for each subnet")
    if options.eip_allocations and internal is True:
        yield _on("eip_allocations", "an internal balancer has no elastic addresses")
    if options.private_ipv4_addresses and internal is False:
        yield _on("private_ipv4_addresses", "an internet-facing balancer has no fixed private addresses")
    if options.ipv6_addresses and not options.is_dual:
        yield _on("ipv6_addresses", "needs ip-address-type dualstack")


def _families(intent: Intent, options: Options, _: AwsSettings) -> Found:
    if intent.families == ("IPv6",) and not options.is_dual:
        hint = f"set {key_of('ip_address_type')} to dualstack"
        yield Problem("spec.ipFamilies", "IPv6 targets need a balancer with both families", hint)


def _source_nat(_: Intent, options: Options, __: AwsSettings) -> Found:
    on = options.enable_prefix_for_ipv6_source_nat == "on"
    if on and not options.is_dual:
        yield _on("enable_prefix_for_ipv6_source_nat", "needs ip-address-type dualstack")
    if options.source_nat_ipv6_prefixes is not None and not on:
        yield _on("source_nat_ipv6_prefixes", "needs enable-prefix-for-ipv6-source-nat on")


def _access_logs(_: Intent, options: Options, __: AwsSettings) -> Found:
    general = options.balancer_attributes
    enabled = options.access_log_enabled or general.get(attributes.LOG_ENABLED) == "true"
    if enabled and not (options.access_log_s3_bucket_name or general.get(attributes.LOG_BUCKET)):
        yield _on("access_log_enabled", "access logs need a bucket", "set access-log-s3-bucket-name")


def _balancer_attributes(_: Intent, options: Options, __: AwsSettings) -> Found:
    for key in options.balancer_attributes:
        if key not in attributes.BALANCER_DEFAULTS:
            known = ", ".join(attributes.BALANCER_DEFAULTS)
            yield _on("balancer_attributes", f"{key!r} is no attribute of a network balancer", f"known: {known}")
    policy = options.balancer_attributes.get(attributes.CLIENT_ROUTING)
    if policy is not None and policy not in attributes.CLIENT_ROUTING_VALUES:
        allowed = ", ".join(attributes.CLIENT_ROUTING_VALUES)
        yield _on("balancer_attributes", f"{attributes.CLIENT_ROUTING} is {policy!r}", f"use one of {allowed}")


def _group_attributes(intent: Intent, options: Options, _: AwsSettings) -> Found:
    known = CCM_GROUP_ATTRIBUTES if options.is_ccm else frozenset(attributes.GROUP_DEFAULTS)
    for key, value in options.target_group_attributes.items():
        if key not in known:
            yield _on("target_group_attributes", f"{key!r} is not honoured here", f"known: {', '.join(sorted(known))}")
        elif options.is_ccm and value not in {"true", "false"}:
            yield _on("target_group_attributes", f"{key} is {value!r}", "use true or false")
    keeps_address = options.target_group_attributes.get(attributes.PRESERVE_IP) != "false"
    if not keeps_address and "UDP" in intent.protocols:
        yield _on("target_group_attributes", f"{attributes.PRESERVE_IP} cannot be false for UDP")
    if options.target_group_attributes and options.mode == CLB:
        yield _on("target_group_attributes", "a classic balancer has no target groups")


def _port_attributes(intent: Intent, options: Options, _: AwsSettings) -> Found:
    numbers = {str(port.port) for port in intent.ports}
    named = {target.port for forward in options.actions.values() for target in forward.targets if target.service}
    for part, given in options.port_group_attributes.items():
        # Which number a named port of another Service has is not known here.
        if part not in numbers | named and all(word.isdigit() for word in named):
            yield _on("port_group_attributes", "neither the Service nor its actions have such a port", part=part)
        for key in given:
            if key not in attributes.GROUP_DEFAULTS:
                yield _on("port_group_attributes", f"{key!r} is no attribute of a target group", part=part)


def _listener_attributes(intent: Intent, options: Options, _: AwsSettings) -> Found:
    wishes = {wish.action_key: wish for wish in build_listeners(intent)} if intent.ports else {}
    for part, given in options.listener_attributes.items():
        wish = wishes.get(part)
        if wish is None:
            yield _on("listener_attributes", f"there is no such listener; there are {', '.join(wishes)}", part=part)
        elif wish.tls:
            yield _on("listener_attributes", "a TLS listener has no attributes", part=part)
        for key, value in given.items():
            if key not in attributes.LISTENER_DEFAULTS:
                yield _on("listener_attributes", f"{key!r} is no attribute of a listener", part=part)
            elif not value.isdigit() or int(value) not in IDLE_SECONDS:
                yield _on("listener_attributes", f"{key} is {value!r}", "use 60 to 6000 seconds", part=part)


def _tags(_: Intent, options: Options, settings: AwsSettings) -> Found:
    for key, value in options.additional_resource_tags.items():
        if names.is_owned_key(key) or key.startswith("aws:"):
            yield _on("additional_resource_tags", f"{key!r} is not yours to set", "choose another key")
        if options.is_lbc and not value:
            yield _on("additional_resource_tags", f"{key!r} has no value", "write key=value")
    own = 2 if options.mode == CLB else 4
    total = own + len({**settings.default_tags, **options.additional_resource_tags})
    limit = MAX_TAGS.get(options.mode, MAX_TAGS_DEFAULT)
    if total > limit:
        yield _on("additional_resource_tags", f"{total} tags with our own, and the limit is {limit}")


def _groups(intent: Intent, options: Options, settings: AwsSettings) -> Found:
    if options.mode == LEGACY and options.security_groups and not settings.nlb_security_group_mode:
        yield _on("security_groups", "needs NLBSecurityGroupMode=Managed in the cloud configuration")
    if options.mode == LEGACY and options.extra_security_groups:
        yield _on("extra_security_groups", "needs a classic balancer", "use the class service.k8s.aws/nlb")
    if options.disable_nlb_sg and options.security_groups:
        yield _on("disable_nlb_sg", "contradicts the annotation security-groups", "remove one of the two")
    bad = sorted(cidr for cidr in intent.source_ranges if family_of(cidr) == "IPv6")
    if bad and not options.is_dual:
        yield Problem("spec.loadBalancerSourceRanges", f"{', '.join(bad)} is IPv6, and the balancer serves IPv4 only")


def _actions(intent: Intent, options: Options, _: AwsSettings) -> Found:
    wishes = {wish.action_key: wish for wish in build_listeners(intent)} if intent.ports else {}
    for part, forward in options.actions.items():
        if part not in wishes:
            yield _on("actions", f"there is no such listener; there are {', '.join(sorted(wishes))}", part=part)
        arns = [target.arn for target in forward.targets if target.arn]
        if len(set(arns)) < len(arns):
            yield _on("actions", "names a target group twice", "add up the weights", part=part)
        if forward.sticky and part in wishes and wishes[part].tls:
            yield _on("actions", "a TLS listener has no stickiness between target groups", part=part)


def _labels(_: Intent, options: Options, __: AwsSettings) -> Found:
    if options.mode == IP and options.target_node_labels:
        yield _on("target_node_labels", "pods are the targets in this mode, not nodes")


CHECKS: tuple[Check, ...] = (
    _upstream_refusals,
    _shared_ports,
    _protocols,
    _health,
    _certificates,
    _quic,
    _addresses,
    _families,
    _source_nat,
    _access_logs,
    _balancer_attributes,
    _group_attributes,
    _port_attributes,
    _listener_attributes,
    _tags,
    _groups,
    _labels,
    _actions,
)


def is_internal(options: Options) -> bool | None:
    """Whether the Service asks for an internal balancer; None where it leaves that open (LBC modes)."""
    if options.mode in LBC and options.scheme:
        return options.scheme == "internal"
    if options.internal is not None:
        return options.internal
    return False if options.mode in CCM else None
