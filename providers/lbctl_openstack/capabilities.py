"""What Octavia's provider drivers can do, as a table: what a provider refuses is left out before the write. Pure.

Sources: octavia 19, octavia-lib; ovn-octavia-provider 11.0.0, ovn_octavia_provider/driver.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbctl.model.capabilities import Affinity, Capabilities

Version = tuple[int, int]

TIMEOUTS: Version = (2, 1)
FORWARDED_PROTO: Version = (2, 1)
TAGS: Version = (2, 5)
FLAVORS: Version = (2, 6)
ALLOWED_CIDRS: Version = (2, 12)
ZONES: Version = (2, 14)
HTTP_MONITOR_ON_UDP: Version = (2, 16)
ADDITIONAL_VIPS: Version = (2, 26)

AMPHORA_METHODS = frozenset({"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"})
OVN_METHODS = frozenset({"SOURCE_IP_PORT", "SOURCE_IP"})


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider driver. `methods` is empty when any may work; `http` stands for HTTP, TLS and PROXY pools."""

    name: str
    methods: frozenset[str] = frozenset()
    http: bool = True
    timeouts: bool = True
    flavors: bool = True
    zones: bool = True
    allowed_cidrs: bool = True
    http_monitors: bool = True
    keeps_client_address: bool = False


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("amphora", AMPHORA_METHODS),
        Provider("amphorav2", AMPHORA_METHODS),
        Provider("octavia", AMPHORA_METHODS),
        Provider(
            "ovn",
            OVN_METHODS,
            http=False,
            timeouts=False,
            flavors=False,
            zones=False,
            allowed_cidrs=False,
            http_monitors=False,
            keeps_client_address=True,
        ),
        Provider("f5"),
    )
}


def provider_of(name: str) -> Provider:
    """The provider; one that is not in the table is taken to be able to do everything, and answers for itself."""
    return PROVIDERS.get(name) or Provider(name)


CAPABILITIES = Capabilities(
    protocols=frozenset({"TCP", "UDP", "SCTP"}),
    mixed_protocols=True,
    families=("IPv4", "IPv6"),
    dual_stack=True,
    source_ranges=True,
    affinity=Affinity.CLIENT_IP,
    needs_node_ports=True,
    proxy_protocol=True,
    shared_address=True,
    requested_address=True,
)
