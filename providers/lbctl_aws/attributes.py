"""Attributes of balancers, target groups and listeners: what the API knows, its defaults, and what a Service declares.

The fields of a resource hold declared attributes only; one that was declared before and is not any more is wanted at
the API's default (`remembered` tells), one that never was is left alone. Defaults from the service's API model
(elasticloadbalancing 2015-12-01 and 2012-06-01: attribute documentation). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbctl.model.intent import Intent
from lbctl_aws.listeners import DATAGRAM, ListenerWish, build_listeners
from lbctl_aws.options import Options, options_of

FIELD = "attribute:"

PROXY_V2 = "proxy_protocol_v2.enabled"
PRESERVE_IP = "preserve_client_ip.enabled"
CROSS_ZONE = "load_balancing.cross_zone.enabled"
LOG_ENABLED, LOG_BUCKET, LOG_PREFIX = "access_logs.s3.enabled", "access_logs.s3.bucket", "access_logs.s3.prefix"
CLIENT_ROUTING = "dns_record.client_routing_policy"
CLIENT_ROUTING_VALUES = ("any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity")
DENY_GATEWAY = "ipv6.deny_all_igw_traffic"
TERMINATE = "deregistration_delay.connection_termination.enabled"

# An empty default means: the API refuses to set it back; it is left as it is (a bucket without access logs).
BALANCER_DEFAULTS: Mapping[str, str] = {
    "deletion_protection.enabled": "false",
    CROSS_ZONE: "false",
    LOG_ENABLED: "false",
    LOG_BUCKET: "",
    LOG_PREFIX: "",
    CLIENT_ROUTING: "any_availability_zone",
    DENY_GATEWAY: "false",
    "zonal_shift.config.enabled": "false",
    "secondary_ips.auto_assigned.per_subnet": "0",
}
GROUP_DEFAULTS: Mapping[str, str] = {
    "deregistration_delay.timeout_seconds": "300",
    TERMINATE: "false",
    PRESERVE_IP: "true",
    PROXY_V2: "false",
    "stickiness.enabled": "false",
    "stickiness.type": "source_ip",
    CROSS_ZONE: "use_load_balancer_configuration",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    "target_health_state.unhealthy.connection_termination.enabled": "true",
    "target_health_state.unhealthy.draining_interval_seconds": "0",
}
LISTENER_DEFAULTS: Mapping[str, str] = {"tcp.idle_timeout.seconds": "350"}
CLASSIC_DEFAULTS: Mapping[str, str] = {
    "idle_timeout": "60",
    "draining": "false",
    "draining_timeout": "300",
    "cross_zone": "false",
    "log": "false",
    "log_interval": "60",
    "log_bucket": "",
    "log_prefix": "",
}


def boolean(value: object) -> str:
    """A boolean as AWS writes it."""
    return "true" if value else "false"


def balancer_attributes(options: Options) -> dict[str, str]:
    """Declared attributes of a network balancer; the general annotation wins over those for one attribute (LBC)."""
    single = {
        CROSS_ZONE: _boolean(options.cross_zone_load_balancing_enabled),
        LOG_ENABLED: _boolean(options.access_log_enabled),
        LOG_BUCKET: options.access_log_s3_bucket_name if options.access_log_enabled else None,
        LOG_PREFIX: options.access_log_s3_bucket_prefix if options.access_log_enabled else None,
    }
    return {**_given(single), **options.balancer_attributes}


def classic_attributes(options: Options) -> dict[str, str]:
    """Declared attributes of a classic balancer, by our names."""
    logged = bool(options.access_log_enabled)
    single = {
        "idle_timeout": _text(options.connection_idle_timeout),
        "draining": _boolean(options.connection_draining_enabled),
        "draining_timeout": _text(options.connection_draining_timeout),
        "cross_zone": _boolean(options.cross_zone_load_balancing_enabled),
        "log": _boolean(options.access_log_enabled),
        "log_interval": options.access_log_emit_interval if logged else None,
        "log_bucket": options.access_log_s3_bucket_name if logged else None,
        "log_prefix": options.access_log_s3_bucket_prefix if logged else None,
    }
    return _given(single)


def group_attributes(options: Options, port: int) -> dict[str, str]:
    """Declared attributes of one port's target group: those of the port win, an empty value keeps the base value.

    `proxy-protocol: *` sets the PROXY protocol everywhere and beats the list of ports (LBC).
    """
    attributes = dict(options.target_group_attributes)
    attributes.update({key: value for key, value in options.port_group_attributes.get(str(port), {}).items() if value})
    if options.proxy_protocol_per_target_group is not None:
        attributes[PROXY_V2] = boolean(port in options.proxy_protocol_per_target_group)
    if options.proxy_protocol and options.is_lbc:
        attributes[PROXY_V2] = "true"
    return attributes


def listener_attributes(options: Options, wish: ListenerWish) -> dict[str, str]:
    """Declared attributes of one listener."""
    return dict(options.listener_attributes.get(wish.action_key, {}))


def group_default(key: str, *, target_type: str, protocol: str) -> str:
    """The API's default of a target group attribute, which depends on what the group targets and speaks."""
    if key == PRESERVE_IP:
        return boolean(target_type == "instance" or protocol in DATAGRAM)
    if key == TERMINATE:
        return boolean(protocol in {"UDP", "TCP_UDP"})
    return GROUP_DEFAULTS.get(key, "")


def balancer_default(key: str, *, scheme: str) -> str:
    """The API's default of a network balancer's attribute."""
    return boolean(scheme == "internal") if key == DENY_GATEWAY else BALANCER_DEFAULTS.get(key, "")


def declared(intent: Intent, groups: Mapping[str, int]) -> frozenset[str]:
    """Everything that the Service declares now and that has to be undone some day, as `remembered` writes it.

    `groups` are its target groups: the Service port of each by its place. Entries are `lb:KEY`, `tg/PLACE:KEY`,
    `listener/PORT:KEY` and `tag:KEY`.
    """
    options = options_of(intent)
    balancer = classic_attributes(options) if options.is_classic else balancer_attributes(options)
    entries = {f"lb:{key}" for key in balancer}
    entries.update(f"tag:{key}" for key in options.additional_resource_tags)
    for place, port in groups.items():
        entries.update(f"tg/{place}:{key}" for key in group_attributes(options, port))
    for wish in () if options.is_classic else build_listeners(intent):
        entries.update(f"listener/{wish.port}:{key}" for key in listener_attributes(options, wish))
    return frozenset(entries)


def remembered(options: Options, place: str) -> Iterable[str]:
    """Keys that were declared some time at this place (`lb`, `tg/80`, `listener/80`, `tag`)."""
    prefix = place + ":"
    return (entry.removeprefix(prefix) for entry in options.remembered if entry.startswith(prefix))


def as_fields(attributes: Mapping[str, str], defaults: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Resource fields of declared attributes; `defaults` are those to go back to where nothing is declared."""
    fields = {FIELD + key: value for key, value in defaults if value and key not in attributes}
    fields.update({FIELD + key: value for key, value in attributes.items()})
    return fields


def _boolean(value: bool | None) -> str | None:  # noqa: FBT001 - the value itself is the argument
    return None if value is None else boolean(value)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value is not None}
