"""The annotations of cloud-provider-azure, as data (cloud-provider-azure 7b31c76, pkg/consts).

`parse` reads Services against this table; validation, the reference page and the admission policy come from it too.
The value kinds below are Azure's own grammar. Nothing here knows names, settings or the cloud's API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lbctl.annotations import Annotation, AnnotationTable
from lbctl.grammar import Address, Integer, ListOf, Text
from lbctl_azure.ids import is_resource_id
from lbctl_azure.tags import parse_tags

PREFIX = "service.beta.kubernetes.io/"
SOURCE = "cloud-provider-azure"
MOVES = "moves the address"


@dataclass(frozen=True, slots=True)
class TrueWord:
    """The word true in any case; every other text means false, as upstream has it."""

    @property
    def grammar(self) -> str:
        """For people: what may be written."""
        return "true; anything else means false"

    def parse(self, text: str) -> bool:
        """True for the word true."""
        return text.strip().lower() == "true"

    def cel(self, value: str) -> str:  # noqa: ARG002 - every text is valid
        """Nothing to check."""
        return ""


@dataclass(frozen=True, slots=True)
class LooseTags:
    """`key=value` pairs; the value is the pairs and the pieces that are none, which upstream skips."""

    @property
    def grammar(self) -> str:
        """For people: what may be written."""
        return "key=value pairs, separated by commas"

    def parse(self, text: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Pairs, and pieces to warn of."""
        pairs, bad = parse_tags(text)
        return pairs, tuple(bad)

    def cel(self, value: str) -> str:  # noqa: ARG002 - pieces that are no pairs are skipped
        """Nothing to check."""
        return ""


@dataclass(frozen=True, slots=True)
class ArmId:
    """The full id of a resource of one kind."""

    kind: str

    @property
    def grammar(self) -> str:
        """For people: what may be written."""
        return f"/subscriptions/…/resourceGroups/…/providers/Microsoft.Network/{self.kind}/…"

    def parse(self, text: str) -> str:
        """The id as written."""
        trimmed = text.strip()
        if trimmed and not is_resource_id(trimmed, self.kind):
            raise ValueError(f"is not an id of the form {self.grammar}")
        return trimmed

    def cel(self, value: str) -> str:
        """The id's shape."""
        return f"{value}.trim() == '' || {value}.lowerAscii().contains('/{self.kind.lower()}/')"


NAME = Text(pattern=r"[\w.()-]{0,90}", what="a name of letters, digits, dots, dashes and underscores")
LABEL = Text(
    pattern=r"([a-z][a-z0-9-]{1,61}[a-z0-9])?", what="a DNS label of 3 to 63 lower-case letters, digits or dashes"
)
PATH = Text(pattern=r"/\S*", what="a path that begins with a slash")
SUBSCRIPTION = Text(pattern=r"[0-9a-fA-F-]{36}|\*", what="a subscription id or *")
ANYTHING = Text(what="text")
SLOTS = Integer(5, 2147483647)
COUNT = Integer(2, 2147483647)


def _own(key: str, kind: Any, doc: str, **more: Any) -> Annotation:  # noqa: ANN401 - fields of Annotation
    name = key.replace("azure-", "").replace("load-balancer-", "").replace("-", "_")
    return Annotation(PREFIX + key, more.pop("name", name), kind, doc, source=SOURCE, **more)


def _port(key: str, kind: Any, doc: str) -> Annotation:  # noqa: ANN401 - any Kind
    name = "port_" + key.replace("-", "_")
    return Annotation(f"{PREFIX}port_{{port}}_{key}", name, kind, doc, source=SOURCE)


def _link(key: str, kind: Any, doc: str, **more: Any) -> Annotation:  # noqa: ANN401 - fields of Annotation
    return _own(f"azure-pls-{key}", kind, doc, name="pls_" + key.replace("-", "_"), **more)


FRONTEND = (
    _own("azure-load-balancer-internal", TrueWord(), "A private address.", default=False, on_change=MOVES),
    _own("azure-load-balancer-internal-subnet", NAME, "Its subnet.", default="", on_change=MOVES, name="subnet"),
    _own("azure-load-balancer-ipv4", Address(4), "The IPv4 address.", default="", on_change=MOVES),
    _own("azure-load-balancer-ipv6", Address(6), "The IPv6 address.", default="", on_change=MOVES),
    _own("azure-pip-name", NAME, "An existing public address, by name.", default="", on_change=MOVES),
    _own("azure-pip-name-ipv6", NAME, "The same for IPv6.", default="", on_change=MOVES),
    _own("azure-pip-prefix-id", ArmId("publicIPPrefixes"), "The prefix of a new address.", default="", on_change=MOVES),
    _own("azure-pip-prefix-id-ipv6", ArmId("publicIPPrefixes"), "The same for IPv6.", default="", on_change=MOVES),
    _own("azure-load-balancer-resource-group", NAME, "The group of public addresses.", default="", on_change=MOVES),
    _own("azure-dns-label-name", LABEL, "The public address's DNS label; empty removes it, absent leaves it."),
    _own("azure-pip-tags", LooseTags(), "Tags of the public address.", default=({}, ())),
    _own("azure-pip-ip-tags", LooseTags(), "IP tags of the public address.", on_change=MOVES),
    _own("azure-additional-public-ips", ListOf(Address()), "Further addresses that lead here.", default=()),
    _own("azure-load-balancer-configurations", ListOf(ANYTHING), "Allowed balancers.", default=(), on_change=MOVES),
)  # fmt: skip

TRAFFIC = (
    _own("azure-load-balancer-tcp-idle-timeout", Integer(4, 100), "Minutes until an idle flow ends.", default=4),
    _own("azure-load-balancer-disable-tcp-reset", TrueWord(), "No TCP reset at idle time-out.", default=False),
    _own("azure-load-balancer-enable-high-availability-ports", TrueWord(), "One rule for all ports.", default=False),
    _own("azure-disable-load-balancer-floating-ip", TrueWord(), "Deliver to node ports.", default=False),
    _own("azure-disable-load-balancer-nsg-rule", TrueWord(), "No security rules.", default=False),
    _own("azure-allowed-service-tags", ListOf(ANYTHING), "Service tags that may come.", default=()),
    _own("azure-allowed-ip-ranges", ANYTHING, "Address ranges that may come.", default=""),
    Annotation(
        PREFIX + "load-balancer-source-ranges",
        "source_ranges",
        ANYTHING,
        "Address ranges that may come.",
        default="",
        source="kubernetes",
    ),
    _own(
        "azure-deny-all-except-load-balancer-source-ranges", TrueWord(), "Deny everybody else.",
        default=False, name="deny_all",
    ),
)  # fmt: skip

PROBES = (
    _own("azure-load-balancer-health-probe-protocol", ANYTHING, "Tcp, Http or Https.", default=""),
    _own("azure-load-balancer-health-probe-request-path", PATH, "Path of an HTTP probe.", default=""),
    _own("azure-load-balancer-health-probe-interval", SLOTS, "Seconds between probes.", default=0),
    _own("azure-load-balancer-health-probe-num-of-probe", COUNT, "Probes that decide.", default=0),
    _port("health-probe_protocol", ANYTHING, "The same for one port."),
    _port("health-probe_request-path", PATH, "The same for one port."),
    _port("health-probe_interval", SLOTS, "The same for one port."),
    _port("health-probe_num-of-probe", COUNT, "The same for one port."),
    _port("health-probe_port", ANYTHING, "The port that is asked: a number or a port's name."),
    _port("no_lb_rule", TrueWord(), "No rule and no probe for this port."),
    _port("no_probe_rule", TrueWord(), "A rule without probe."),
)  # fmt: skip

PRIVATE_LINK = (
    _link("create", TrueWord(), "A private link service for the address.", default=False),
    _link("name", NAME, "Its name.", default="", on_change="refused"),
    _link("resource-group", NAME, "Its resource group.", default="", on_change="refused"),
    _link("ip-configuration-subnet", NAME, "Subnet of its own addresses.", default=""),
    _link("ip-configuration-ip-address-count", Integer(1, 8), "How many addresses of its own.", default=1),
    _link("ip-configuration-ip-address", ListOf(Address(4), " "), "Fixed ones, the first is primary.", default=()),
    _link("fqdns", ListOf(ANYTHING, " "), "Names that it is known by.", default=()),
    _link("proxy-protocol", TrueWord(), "PROXY protocol version 2.", default=False),
    _link("visibility", ListOf(SUBSCRIPTION, " "), "Who sees it: subscription ids or *.", default=()),
    _link("auto-approval", ListOf(SUBSCRIPTION, " "), "Whose connections need no approval.", default=()),
)  # fmt: skip

WITHOUT_EFFECT = (
    _own("azure-load-balancer-mode", ANYTHING, "Basic SKU only: no effect.", default="", deprecated="Basic SKU only"),
    _own("azure-shared-securityrule", ANYTHING, "Rules are always shared now.", default="", deprecated="always on"),
)  # fmt: skip

ANNOTATIONS = AnnotationTable(
    (*FRONTEND, *TRAFFIC, *PROBES, *PRIVATE_LINK, *WITHOUT_EFFECT),
    prefixes=(PREFIX + "azure-", PREFIX + "port_"),
)
