"""What a Service asks of AWS beyond the cloud-independent wish: the annotations, typed; and which mode serves it.

`lbctl_aws.parse` makes it, all pure stages read it through `options_of`. The mode decides whose names and tags apply:
`clb` and `nlb-legacy` are CCM's, `nlb-instance` and `nlb-ip` are LBC's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from lbctl.model.intent import Intent
from lbctl.model.objects import Service
from lbctl.model.resource import NOTHING
from lbctl_aws.annotations import CCM, CLB, INSTANCE, IP, LBC, LEGACY, key_of
from lbctl_aws.grammar import Forward
from lbctl_aws.settings import AwsSettings

TYPE_KEY = key_of("type")
TARGET_TYPE_KEY = key_of("nlb_target_type")
UNCLAIMED = "unclaimed"
EXTERNAL, NLB_IP = "external", "nlb-ip"


@dataclass(frozen=True, slots=True)
class Options:
    """The AWS annotations of one Service, parsed; None where the Service says nothing.

    The attributes are named like the annotations in `lbctl_aws.annotations`; `given` holds the names that the Service
    sets. Mappings are not to be changed.
    """

    mode: str
    given: frozenset[str]
    name: str | None
    internal: bool | None
    scheme: str | None
    subnets: tuple[str, ...] | None
    eip_allocations: tuple[str, ...] | None
    private_ipv4_addresses: tuple[str, ...] | None
    ipv6_addresses: tuple[str, ...] | None
    ip_address_type: str
    enable_prefix_for_ipv6_source_nat: str
    source_nat_ipv6_prefixes: tuple[str, ...] | None
    minimum_load_balancer_capacity: str | None
    proxy_protocol: str | None
    proxy_protocol_per_target_group: tuple[int, ...] | None
    ssl_cert: tuple[str, ...]
    ssl_ports: tuple[str, ...] | None
    ssl_negotiation_policy: str | None
    backend_protocol: str | None
    alpn_policy: str | None
    enable_tcp_udp_listener: bool
    quic_enabled_ports: tuple[str, ...]
    actions: Mapping[str, Forward]
    connection_idle_timeout: int | None
    connection_draining_enabled: bool | None
    connection_draining_timeout: int | None
    cross_zone_load_balancing_enabled: bool | None
    access_log_enabled: bool | None
    access_log_emit_interval: str | None
    access_log_s3_bucket_name: str | None
    access_log_s3_bucket_prefix: str | None
    balancer_attributes: Mapping[str, str]
    target_group_attributes: Mapping[str, str]
    port_group_attributes: Mapping[str, Mapping[str, str]]
    listener_attributes: Mapping[str, Mapping[str, str]]
    additional_resource_tags: Mapping[str, str]
    healthcheck_protocol: str | None
    healthcheck_port: str | None
    healthcheck_path: str | None
    healthcheck_healthy_threshold: int | None
    healthcheck_unhealthy_threshold: int | None
    healthcheck_timeout: int | None
    healthcheck_interval: int | None
    healthcheck_success_codes: str | None
    security_groups: tuple[str, ...] | None
    extra_security_groups: tuple[str, ...]
    manage_backend_security_group_rules: bool | None
    disable_nlb_sg: bool
    inbound_sg_rules_on_private_link_traffic: str | None
    security_group_prefix_lists: tuple[str, ...]
    enable_icmp_for_path_mtu_discovery: str | None
    target_node_labels: Mapping[str, str]
    multi_cluster_target_group: bool
    remembered: tuple[str, ...]
    own_targets: tuple[str, ...] | None
    approve: str | None

    @property
    def is_classic(self) -> bool:
        """True for a classic balancer."""
        return self.mode == CLB

    @property
    def is_ccm(self) -> bool:
        """True where names and tags are those of cloud-provider-aws."""
        return self.mode in CCM

    @property
    def is_lbc(self) -> bool:
        """True where names and tags are those of the load balancer controller."""
        return self.mode in LBC

    @property
    def target_type(self) -> str:
        """`instance` or `ip`, as the API calls it."""
        return "ip" if self.mode == IP else "instance"

    @property
    def is_dual(self) -> bool:
        """True for a balancer with IPv4 and IPv6 addresses."""
        return self.ip_address_type == "dualstack"


def build_options(mode: str, by_name: Mapping[str, object], given: frozenset[str]) -> Options:
    """The options that the values of the annotation table make in this mode."""
    values = {field.name: by_name[field.name] for field in fields(Options) if field.name in by_name}
    return Options(mode=mode, given=given, **values)  # type: ignore[arg-type] # the table's kinds give these types


def options_of(intent: Intent) -> Options:
    """The AWS options of an intent that `lbctl_aws.parse` made."""
    options = (intent.options or NOTHING)["aws"]
    assert isinstance(options, Options)
    return options


def mode_of(service: Service, settings: AwsSettings) -> str:
    """The mode that serves the Service, `unclaimed` where upstream has nobody for it, empty when it is not AWS's.

    CCM matches the type annotation exactly and leaves `external` and `nlb-ip` to LBC (aws_loadbalancer.go: isNLB,
    isLBExternal); LBC takes its class, else these two (service_helper: IsServicePendingFinalization).
    """
    kind = service.metadata.annotations.get(TYPE_KEY, "")
    target = service.metadata.annotations.get(TARGET_TYPE_KEY, "").strip()
    if service.spec.load_balancer_class is not None:
        if service.spec.load_balancer_class not in settings.load_balancer_classes:
            return ""
        return IP if kind == NLB_IP else _lbc_mode(target or settings.default_target_type)
    if kind == EXTERNAL:
        return _lbc_mode(target) if target else UNCLAIMED
    return {"nlb": LEGACY, NLB_IP: IP}.get(kind, CLB)


def _lbc_mode(target: str) -> str:
    return IP if target == "ip" else INSTANCE
