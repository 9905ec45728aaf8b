"""The annotations of cloud-provider-openstack, as data: parser, validation and reference page come from this table.

`parse.py` reads the values by `name`. Upstream never refuses a bad value: it uses the default. So do we, with an Event;
only annotations of our own are strict.
"""

from __future__ import annotations

from lbctl.annotations import OUR_PREFIX, Annotation, AnnotationTable
from lbctl.grammar import Choice, Cidr, Integer, ListOf, Pairs, Text
from lbctl.model.ranges import SOURCE_RANGES_ANNOTATION

PREFIX = "loadbalancer.openstack.org/"
INTERNAL = "service.beta.kubernetes.io/openstack-internal-load-balancer"
BALANCER_ID = PREFIX + "load-balancer-id"
ADDRESS = PREFIX + "load-balancer-address"
NODE_RANGES = OUR_PREFIX + "node-address-cidr"
KEEP_FLOATING = PREFIX + "keep-floatingip"
SOURCE = "cloud-provider-openstack"

MOVES = "moves the address"
AT_CREATION = "at creation only"
BOOLEAN = Choice(("true", "false"))
LARGEST = 2**31 - 1
TEXT = Text()
# X-Forwarded-Port and -Proto: cloud-provider-openstack pull request 3038.
FORWARDED_HEADERS = {
    "X-Forwarded-For": "the client's address",
    "X-Forwarded-Port": "the listener's port",
    "X-Forwarded-Proto": "`http`, or `https` where the listener ends TLS",
}


def _text(name: str, doc: str, *, on_change: str = "in place") -> Annotation:
    return Annotation(PREFIX + name, name.replace("-", "_"), TEXT, doc, on_change=on_change, source=SOURCE)


def _number(name: str, doc: str, *, low: int = 0, high: int = LARGEST) -> Annotation:
    return Annotation(PREFIX + name, name.replace("-", "_"), Integer(low, high), doc, source=SOURCE)


def _switch(name: str, doc: str, *, on_change: str = "in place") -> Annotation:
    return Annotation(PREFIX + name, name.replace("-", "_"), BOOLEAN, doc, on_change=on_change, source=SOURCE)


ANNOTATIONS = AnnotationTable(
    (
        Annotation(INTERNAL, "internal", BOOLEAN, "No floating IP: the VIP is the address.", source=SOURCE),
        Annotation(
            SOURCE_RANGES_ANNOTATION,
            "source_ranges",
            TEXT,
            "CIDRs that may connect; used only without `spec.loadBalancerSourceRanges`.",
            source=SOURCE,
        ),
        _text("load-balancer-id", "Use this balancer; written by the controller as well.", on_change="must not change"),
        _text("load-balancer-address", "The address in use; written by the controller.", on_change="written by us"),
        _text("class", "Name of a `[LoadBalancerClass]` section of cloud.conf: its networks are used."),
        _text("floating-network-id", "External network of the floating IP.", on_change=AT_CREATION),
        _text("floating-subnet-id", "Subnet of the floating IP; wins over name and tags.", on_change=AT_CREATION),
        _text("floating-subnet", "Name, glob or `~regex` of floating subnets; `!` negates.", on_change=AT_CREATION),
        _text("floating-subnet-tags", "Tags of floating subnets: any, `&` all, `!` negates.", on_change=AT_CREATION),
        _switch("keep-floatingip", "Keep the floating IP when the Service goes or becomes internal."),
        _text("network-id", "Network of the VIP.", on_change=MOVES),
        _text("subnet-id", "Subnet of the VIP, and of the members by default.", on_change=MOVES),
        _text("member-subnet-id", "Subnet of the members."),
        _text("port-id", "Port of the VIP; other fields of the VIP are then not sent.", on_change=MOVES),
        _number("connection-limit", "Connections of a listener; -1 is no limit.", low=-1),
        _text("lb-method", "Algorithm of the pools, in Octavia's words."),
        _text(
            "proxy-protocol", "`true` or `v1`, or `v2`: members are told the client's address.", on_change="new pool"
        ),
        *(
            _switch(name.lower(), f"HTTP listeners that add {name}: {what}.", on_change="interrupts connections")
            for name, what in FORWARDED_HEADERS.items()
        ),
        _text(
            "default-tls-container-ref", "Barbican reference: listeners end TLS.", on_change="interrupts connections"
        ),
        _number("timeout-client-data", "Milliseconds without data from the client."),
        _number("timeout-member-connect", "Milliseconds for connecting to a member."),
        _number("timeout-member-data", "Milliseconds without data from the member."),
        _number("timeout-tcp-inspect", "Milliseconds to wait for more packets to inspect."),
        _switch("enable-health-monitor", "A health monitor for each pool."),
        _number("health-monitor-delay", "Seconds between two checks.", low=1),
        _number("health-monitor-timeout", "Seconds for one check.", low=1),
        _number("health-monitor-max-retries", "Checks until a member is up.", low=1, high=10),
        _number("health-monitor-max-retries-down", "Failed checks until a member is down.", low=1, high=10),
        _text("flavor-id", "Octavia flavor.", on_change=MOVES),
        _text("availability-zone", "Octavia availability zone.", on_change=MOVES),
        _text("hostname", "The status shows this name instead of an address."),
        Annotation(
            PREFIX + "node-selector",
            "node_selector",
            Pairs(bare_keys=True),
            "Labels that a node must have to be a member.",
            source=SOURCE,
        ),
        Annotation(
            OUR_PREFIX + "x-forwarded-for-ports",
            "forwarded_ports",
            ListOf(Integer(1, 65535)),
            "Ports that X-Forwarded headers and TLS apply to; all without it.",
            default=(),
            on_change="interrupts connections",
            source="lbctl",
        ),
        Annotation(
            NODE_RANGES,
            "node_ranges",
            ListOf(Cidr()),
            "Where nodes have several addresses: members are at the first one in these ranges.",
            default=(),
            source="lbctl",
        ),
    ),
    prefixes=(PREFIX,),
)
