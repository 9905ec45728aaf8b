"""Every annotation that the AWS driver honours, as data: grammar, default, modes, what a change does.

`lbctl.annotations` parses, validates and documents from this table. What depends on several annotations or on the mode
is checked in `lbctl_aws.parse`. Sources: CCM (pkg/providers/v1/aws.go, aws_loadbalancer.go at 63ec440c) and LBC
(pkg/annotations/constants.go, pkg/service at 225f44568).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lbctl.annotations import Annotation, AnnotationTable
from lbctl.grammar import Address, Boolean, Choice, Cidr, Document, Integer, Kind, ListOf, Pairs, Text
from lbctl_aws.grammar import Certificate, Internal, TargetWeights

PREFIX = "service.beta.kubernetes.io/"
AWS = PREFIX + "aws-load-balancer-"
REMEMBERED = "lbctl.io/aws-attributes"
OWN_TARGETS = "lbctl.io/aws-targets"

CLB, LEGACY, INSTANCE, IP = "clb", "nlb-legacy", "nlb-instance", "nlb-ip"
CCM = (CLB, LEGACY)
LBC = (INSTANCE, IP)
NETWORK = (LEGACY, INSTANCE, IP)
ALL: tuple[str, ...] = ()

IN_PLACE, NEW_BALANCER, NEW_GROUP = "in place", "moves the address", "in place, with a new target group"
WORD = Text(pattern=r"\S+", what="a word without blanks")


def _of(
    suffix: str,
    kind: Kind,
    doc: str,
    *,
    modes: tuple[str, ...] = ALL,
    default: Any = None,  # noqa: ANN401 - each annotation has its own value type
    on_change: str = IN_PLACE,
    name: str = "",
) -> Annotation:
    sources = [name for name, theirs in (("CCM", CCM), ("LBC", LBC)) if not modes or set(theirs) & set(modes)]
    return Annotation(
        key=AWS + suffix,
        name=name or suffix.replace("-", "_"),
        kind=kind,
        doc=doc,
        default=default,
        on_change=on_change,
        modes=modes,
        source=" and ".join(sources),
    )


SHAPE = (
    _of(
        "type",
        Text(),
        "`nlb`, `nlb-ip` or `external` choose a network balancer; anything else a classic one.",
        default="",
        on_change=NEW_BALANCER,
    ),
    _of(
        "nlb-target-type",
        Choice(("instance", "ip")),
        "What a network balancer sends to: node ports or pods.",
        modes=LBC,
        on_change=NEW_GROUP,
    ),
    _of(
        "name",
        Text(
            pattern=r"[0-9A-Za-z]([0-9A-Za-z-]{0,30}[0-9A-Za-z])?",
            never=r"internal-.*",
            what="1 to 32 letters, digits and inner hyphens, not starting with internal-",
        ),
        "Name of the balancer instead of the derived one.",
        modes=LBC,
        on_change=NEW_BALANCER,
    ),
    _of(
        "internal",
        Internal(),
        "True for an internal balancer.",
        on_change=NEW_BALANCER,
    ),
    _of(
        "scheme",
        Choice(("internal", "internet-facing")),
        "Who reaches the balancer; wins over `-internal`.",
        modes=LBC,
        on_change=NEW_BALANCER,
    ),
    _of(
        "subnets", ListOf(WORD), "Subnet ids or Name tags, at most one in each zone; without it they are found by tags."
    ),
    _of(
        "eip-allocations",
        ListOf(Text(pattern=r"eipalloc-[0-9a-z]+", what="an allocation id eipalloc-…")),
        "Elastic addresses, one for each subnet.",
        modes=NETWORK,
        on_change=NEW_BALANCER,
    ),
    _of(
        "private-ipv4-addresses",
        ListOf(Address(4)),
        "Fixed addresses of an internal balancer, one for each subnet, matched by the subnets' ranges.",
        modes=NETWORK,
        on_change=NEW_BALANCER,
    ),
    _of("ipv6-addresses", ListOf(Address(6)), "Fixed IPv6 addresses, one for each subnet.", modes=LBC),
    _of("ip-address-type", Choice(("ipv4", "dualstack")), "Families of the balancer.", modes=LBC, default="ipv4"),
    _of(
        "enable-prefix-for-ipv6-source-nat",
        Choice(("on", "off")),
        "Whether UDP over IPv6 uses a source NAT prefix.",
        modes=LBC,
        default="off",
    ),
    _of(
        "source-nat-ipv6-prefixes",
        ListOf(Text(pattern=r"auto_assigned|[0-9a-fA-F:]+/\d+", what="an IPv6 prefix or auto_assigned")),
        "Source NAT prefixes, one for each subnet.",
        modes=LBC,
    ),
    _of(
        "minimum-load-balancer-capacity",
        Text(pattern=r"CapacityUnits=\d+", what="CapacityUnits=N, where 0 resets"),
        "Reserved capacity.",
        modes=LBC,
    ),
)

TRAFFIC = (
    _of("proxy-protocol", Choice(("*",)), "`*`: targets get the PROXY protocol.", modes=(CLB, *LBC)),
    _of(
        "proxy-protocol-per-target-group",
        ListOf(Integer(1, 65535)),
        "Ports whose targets get the PROXY protocol v2, the others not.",
        modes=LBC,
    ),
    _of("ssl-cert", ListOf(Certificate()), "Certificate ARNs; the first one is the default.", default=()),
    _of("ssl-ports", ListOf(WORD), "Ports, by number or name, that terminate TLS; `*` means all (not in LBC modes)."),
    _of("ssl-negotiation-policy", WORD, "Name of the TLS policy."),
    _of(
        "backend-protocol",
        Choice(("http", "https", "ssl", "tcp"), any_case=True),
        "Protocol towards the targets.",
        on_change=NEW_GROUP,
    ),
    _of(
        "alpn-policy",
        Choice(("None", "HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred")),
        "Protocol negotiation of TLS listeners.",
        modes=LBC,
    ),
    _of(
        "enable-tcp-udp-listener",
        Boolean(),
        "One listener for a TCP and a UDP port of the same number.",
        modes=LBC,
        default=False,
        on_change=NEW_GROUP,
    ),
    _of(
        "quic-enabled-ports",
        ListOf(WORD),
        "UDP ports, by number or name, that speak QUIC.",
        modes=LBC,
        default=(),
        on_change=NEW_GROUP,
    ),
    Annotation(
        key=PREFIX + "actions.{port}",
        name="actions",
        kind=Document(TargetWeights().decode, "a JSON forward action"),
        doc="Weighted target groups of the listener PROTOCOL-PORT: of other Services' ports, or by ARN.",
        modes=LBC,
        source="LBC",
    ),
)

ATTRIBUTES = (
    _of("connection-idle-timeout", Integer(1, 3600), "Idle seconds of a connection.", modes=(CLB,)),
    _of("connection-draining-enabled", Boolean(), "Whether leaving targets drain.", modes=(CLB,)),
    _of("connection-draining-timeout", Integer(1, 3600), "Seconds that leaving targets drain.", modes=(CLB,)),
    _of("cross-zone-load-balancing-enabled", Boolean(), "Whether zones share targets.", modes=ALL),
    _of("access-log-enabled", Boolean(), "Whether access logs are written."),
    _of("access-log-emit-interval", Choice(("5", "60")), "Minutes between access logs.", modes=(CLB,)),
    _of("access-log-s3-bucket-name", WORD, "Bucket of the access logs."),
    _of("access-log-s3-bucket-prefix", Text(), "Prefix of the access logs in the bucket."),
    _of(
        "attributes",
        Pairs(),
        "Attributes of the balancer, as the API names them.",
        modes=LBC,
        default={},
        name="balancer_attributes",
    ),
    _of("target-group-attributes", Pairs(), "Attributes of all target groups.", modes=NETWORK, default={}),
    _of(
        "target-group-attributes.{port}",
        Pairs(bare_keys=True),
        "Attributes of one port's target group; an empty value keeps the base value.",
        modes=LBC,
        name="port_group_attributes",
    ),
    _of(
        "listener-attributes.{port}",
        Pairs(),
        "Attributes of the listener PROTOCOL-PORT.",
        modes=LBC,
        name="listener_attributes",
    ),
    _of(
        "additional-resource-tags", Pairs(bare_keys=True), "Tags of everything that belongs to the Service.", default={}
    ),
)

HEALTH = (
    _of(
        "healthcheck-protocol", Choice(("TCP", "HTTP", "HTTPS", "SSL"), any_case=True), "Protocol of the health check."
    ),
    _of("healthcheck-port", WORD, "Port of the health check: a number, `traffic-port`, or (LBC) a port name."),
    _of(
        "healthcheck-path",
        Text(pattern=r"/.{0,1000}.{0,23}", what="a path of at most 1024 characters that starts with /"),
        "Path of an HTTP health check.",
    ),
    _of("healthcheck-healthy-threshold", Integer(2, 10), "Successes that make a target healthy."),
    _of("healthcheck-unhealthy-threshold", Integer(2, 10), "Failures that make a target unhealthy."),
    _of("healthcheck-timeout", Integer(2, 120), "Seconds that a probe may take.", modes=(CLB, *LBC)),
    _of("healthcheck-interval", Integer(5, 300), "Seconds between probes."),
    _of(
        "healthcheck-success-codes",
        Text(pattern=r"[2-5]\d\d([-,][2-5]\d\d)*", what="status codes such as 200-399 or 200,204"),
        "Status codes that count as success.",
        modes=LBC,
    ),
)

SECURITY = (
    _of("security-groups", ListOf(WORD), "Security groups instead of a managed one; ids or (LBC) Name tags."),
    _of(
        "extra-security-groups",
        ListOf(Text(pattern=r"sg-[0-9a-z]+", what="an id sg-…")),
        "Security groups besides the managed one.",
        modes=(CLB,),
        default=(),
    ),
    _of(
        "manage-backend-security-group-rules",
        Boolean(),
        "Whether rules of nodes and pods are kept for this balancer.",
        modes=LBC,
    ),
    _of(
        "disable-nlb-sg",
        Boolean(),
        "Create the balancer without any security group.",
        modes=LBC,
        default=False,
        on_change=NEW_BALANCER,
    ),
    _of(
        "inbound-sg-rules-on-private-link-traffic",
        Choice(("on", "off")),
        "Whether traffic from endpoint services meets the security groups.",
        modes=LBC,
    ),
    _of(
        "security-group-prefix-lists",
        ListOf(Text(pattern=r"pl-[0-9a-z]+", what="a prefix list id pl-…")),
        "Prefix lists that may reach the balancer.",
        modes=LBC,
        default=(),
    ),
    Annotation(
        key=PREFIX + "load-balancer-source-ranges",
        name="source_ranges",
        kind=ListOf(Cidr()),
        doc="Who may reach the balancer; the field spec.loadBalancerSourceRanges wins.",
        source="CCM and LBC",
    ),
    _of(
        "enable-icmp-for-path-mtu-discovery",
        Choice(("on",)),
        "`on` opens ICMP for path MTU discovery.",
        modes=LBC,
    ),
)

TARGETS = (
    _of(
        "target-node-labels",
        Pairs(bare_keys=True),
        "Only nodes with these labels are targets; a key without value needs to exist (CCM modes).",
        modes=(CLB, LEGACY, INSTANCE),
        default={},
    ),
    _of(
        "multi-cluster-target-group",
        Boolean(),
        "Targets that other clusters registered stay; ours are written down on the Service.",
        modes=LBC,
        default=False,
    ),
)

OURS = (
    Annotation(
        key=REMEMBERED,
        name="remembered",
        kind=ListOf(Text()),
        doc="Written by lbctl: attributes and tags that it set, so that they can go back to their defaults.",
        default=(),
        source="lbctl",
    ),
    Annotation(
        key=OWN_TARGETS,
        name="own_targets",
        kind=ListOf(Text()),
        doc="Written by lbctl: targets that it registered in groups that clusters share; it takes off no others.",
        source="lbctl",
    ),
)

TABLE = AnnotationTable(
    annotations=(*SHAPE, *TRAFFIC, *ATTRIBUTES, *HEALTH, *SECURITY, *TARGETS, *OURS),
    prefixes=(AWS, PREFIX + "actions."),
)


KEYS: Mapping[str, str] = {annotation.name: annotation.key for annotation in TABLE}


def key_of(name: str) -> str:
    """Full key of the annotation with this name."""
    return KEYS[name]


def remembered_text(entries: frozenset[str]) -> str | None:
    """Value of the remembering annotation; None, which removes it, when there is nothing to remember."""
    return ",".join(sorted(entries)) or None
