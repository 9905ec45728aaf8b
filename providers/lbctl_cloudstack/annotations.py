"""The annotations of the `cloudstack` driver, as data: parser, validation and reference page come from this table.

`parse.py` reads the values by `name`; nothing here knows the API. Upstream is apache/cloudstack-kubernetes-provider.
"""

from __future__ import annotations

from lbctl.annotations import OUR_PREFIX, Annotation, AnnotationTable
from lbctl.grammar import Address, Boolean, Choice, Integer, Pairs, Text
from lbctl_cloudstack.names import (
    ADDRESS_ANNOTATION,
    ASSOCIATED_ANNOTATION,
    CHOSEN_ANNOTATION,
    CHOSEN_UDP_ANNOTATION,
    ID_ANNOTATION,
    KEEP_IP_ANNOTATION,
    PREFIX,
)

ALGORITHMS = ("roundrobin", "leastconn", "source")
STICKINESS_METHODS = ("SourceBased", "LbCookie", "AppCookie")
OURS = f"{OUR_PREFIX}cloudstack-"
UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
MANAGE = ("manage", "skip")

ANNOTATIONS = AnnotationTable(
    (
        Annotation(
            key=f"{PREFIX}proxy-protocol",
            name="proxy_protocol",
            kind=Text(what="exactly true or false"),
            default="false",
            doc="`true` sends the PROXY protocol to the targets of TCP ports; any other text than `true` means false.",
            on_change="recreates the rules of TCP ports",
            source="upstream 1.0",
        ),
        Annotation(
            key=f"{PREFIX}hostname",
            name="hostname",
            kind=Text(what="a host name"),
            default="",
            doc="Published instead of the address, so that traffic from inside goes through the balancer too.",
            source="upstream 1.1",
        ),
        Annotation(
            key=f"{PREFIX}source-cidrs",
            name="source_cidrs",
            kind=Text(what="a list of CIDRs, separated by commas"),
            default="0.0.0.0/0",
            doc="Sources that the balancer's own filter lets through.",
            on_change="in place from CloudStack 4.22 on with one CIDR, else recreates the rules",
            source="upstream 1.2",
        ),
        Annotation(
            key=ASSOCIATED_ANNOTATION,
            name="associated",
            kind=Boolean(),
            default=False,
            doc="Written by the controller when it took the free address that the Service names: it may release it.",
            source="upstream 1.2",
        ),
        Annotation(
            key=ADDRESS_ANNOTATION,
            name="address",
            kind=Address(4),
            default="",
            doc="The public address to use; wins over `spec.loadBalancerIP`.",
            on_change="moves the address: the new one serves before the old one goes",
            source="proposed upstream (PR 95)",
        ),
        Annotation(
            key=KEEP_IP_ANNOTATION,
            name="keep_ip",
            kind=Boolean(),
            default=False,
            doc="Never releases the public address.",
            source="proposed upstream (PR 95)",
        ),
        Annotation(
            key=ID_ANNOTATION,
            name="address_id",
            kind=Text(UUID, "the id of a public address"),
            default="",
            doc="The public address to start on, by its id, where the Service names none. It is released only where "
            "ip-associated-by-controller says that a controller took it.",
            on_change="has no effect on a Service that is served",
            source="proposed upstream (PR 95)",
        ),
        Annotation(
            key=f"{PREFIX}network-id",
            name="network_id",
            kind=Text(UUID, "the id of a guest network"),
            default="",
            doc="The guest network of the targets; by default the one that can balance and has most nodes.",
            on_change="recreates the rules",
            source="proposed upstream (PR 95)",
        ),
        Annotation(
            key=f"{OURS}network-id",
            name="own_network_id",
            kind=Text(UUID, "the id of a guest network"),
            default="",
            doc="The same as upstream's proposed key, which wins.",
            on_change="recreates the rules",
            source="lbctl",
        ),
        Annotation(
            key=f"{OURS}algorithm",
            name="algorithm",
            kind=Choice(ALGORITHMS),
            default="",
            doc="How a target is chosen; by default `source` with session affinity ClientIP, else `roundrobin`.",
            source="lbctl",
        ),
        Annotation(
            key=f"{PREFIX}stickiness-method-name",
            name="stickiness",
            kind=Choice(STICKINESS_METHODS, any_case=True),
            default="",
            doc="Stickiness policy of the TCP rules; with LbCookie only of ports whose appProtocol is http.",
            source="upstream after 1.2",
        ),
        Annotation(
            key=f"{PREFIX}stickiness-method-param",
            name="stickiness_params",
            kind=Pairs(),
            default=None,
            doc="Parameters of the stickiness policy, such as `tablesize=200k,expire=30m`.",
            source="upstream after 1.2",
        ),
        Annotation(
            key=f"{OURS}stickiness",
            name="own_stickiness",
            kind=Choice(STICKINESS_METHODS),
            default="",
            doc="The same as upstream's key, which wins, but on every TCP rule.",
            source="lbctl",
        ),
        Annotation(
            key=f"{OURS}stickiness-params",
            name="own_stickiness_params",
            kind=Pairs(),
            default=None,
            doc="The same as upstream's key, which wins.",
            source="lbctl",
        ),
        Annotation(
            key=f"{OURS}timeout",
            name="timeout",
            kind=Integer(1, 86400),
            default=0,
            doc="Seconds until an idle connection is closed; only on servers whose rules have an idle timeout.",
            on_change="in place; taking it back recreates the rules",
            source="lbctl",
        ),
        Annotation(
            key=f"{OURS}health-check-path",
            name="health_path",
            kind=Text(r"/[^\s]*", "a path that starts with /"),
            default="",
            doc="HTTP path asked for on the targets' node ports; only where the network's provider has such checks.",
            source="lbctl",
        ),
        Annotation(
            key=f"{OURS}firewall",
            name="firewall",
            kind=Choice(MANAGE),
            default="manage",
            doc="`skip` leaves the firewall rules of the address to somebody else.",
            source="lbctl",
        ),
        Annotation(
            key=f"{OURS}acl",
            name="acl",
            kind=Choice(MANAGE),
            default="manage",
            doc="`skip` leaves the network ACL of a VPC tier to somebody else.",
            source="lbctl",
        ),
        Annotation(
            key=CHOSEN_ANNOTATION,
            name="chosen_address",
            kind=Address(4),
            default="",
            doc="Written by the controller before it takes this address, so that no crash loses it.",
            source="lbctl",
        ),
        Annotation(
            key=CHOSEN_UDP_ANNOTATION,
            name="chosen_udp_address",
            kind=Address(4),
            default="",
            doc="The same for the second address, that of UDP ports, with the setting `split_ips`.",
            source="lbctl",
        ),
    ),
    prefixes=(PREFIX,),
)
