"""What one Service wants of OpenStack: its annotations, its class and cloud.conf settled into one value.

`parse.py` makes it, `model.py` and `facts.py` read it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from lbctl.model.intent import Intent
from lbctl_openstack.fields import Timeouts

OPTION = "wish"


@dataclass(frozen=True, slots=True)
class Wish:
    """Everything settled; times of monitors in seconds, timeouts in milliseconds; empty text means "not named".

    `index` is (protocol, port, position in `spec.ports`) of each port, for names. `joins` is the id of the balancer
    that the Service's author names; `headers` are the X-Forwarded ones to add, `http_ports` the ports that they and TLS
    apply to. `node_ranges` are those that node addresses must be in; any will do without.
    """

    index: tuple[tuple[str, int, int], ...]
    internal: bool = False
    joins: str = ""
    network_id: str = ""
    subnet_id: str = ""
    member_subnet_id: str = ""
    port_id: str = ""
    floating_network_id: str = ""
    floating_subnet_id: str = ""
    floating_subnet: str = ""
    floating_subnet_tags: str = ""
    connection_limit: int = -1
    method: str = "ROUND_ROBIN"
    proxy_protocol: str = ""
    headers: frozenset[str] = frozenset()
    tls_ref: str = ""
    http_ports: frozenset[int] = frozenset()
    timeouts: Timeouts | None = None
    monitor: bool = False
    monitor_delay: int = 5
    monitor_timeout: int = 3
    monitor_retries: int = 1
    monitor_retries_down: int = 3
    flavor_id: str = ""
    availability_zone: str = ""
    hostname: str = ""
    node_selector: tuple[tuple[str, str], ...] = ()
    node_ranges: tuple[str, ...] = ()

    def position(self, protocol: str, port: int) -> int:
        """The port's index in `spec.ports`."""
        return next(index for of, number, index in self.index if (of, number) == (protocol, port))


def wish_of(intent: Intent) -> Wish:
    """The wish that `parse` put into an intent."""
    return cast("Wish", (intent.options or {})[OPTION])


def needs_node_subnets(intent: Intent, wish: Wish) -> bool:
    """True when nothing names the subnet of the members, or that of the VIP's second family."""
    return len(intent.families) > 1 or not (wish.member_subnet_id or wish.subnet_id)


def needs_floating(intent: Intent, wish: Wish) -> bool:
    """True for an external Service whose VIP is IPv4 and who joins nobody."""
    return not wish.internal and intent.families[0] == "IPv4" and not wish.joins
