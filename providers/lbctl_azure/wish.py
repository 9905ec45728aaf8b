"""What one Service asks of Azure, fully parsed: the values that `parse` makes and `model` reads.

Nothing below knows annotations any more. Times are in minutes or seconds as named; addresses are canonical text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbctl.model.intent import Intent, Port
from lbctl.model.resource import nothing
from lbctl.naming import default_balancer_name

if TYPE_CHECKING:
    from lbctl.driver import World


@dataclass(frozen=True, slots=True)
class Front:
    """One address of the Service: which family, and what the Service says about it."""

    family: str
    address: str = ""
    public_ip: str = ""
    prefix_id: str = ""

    @property
    def is_pinned(self) -> bool:
        """True when the Service names an existing public address."""
        return bool(self.address or self.public_ip)


@dataclass(frozen=True, slots=True)
class Probe:
    """A health probe; `label` is the part of its name after the Service's, empty for the shared one."""

    label: str
    protocol: str
    port: int
    path: str = ""
    interval: int = 5
    threshold: int = 2

    @property
    def is_shared(self) -> bool:
        """True for the one probe that Services share."""
        return not self.label


@dataclass(frozen=True, slots=True)
class Forward:
    """One rule: what comes in at `port` and how its targets are probed; `everything` serves all ports at once."""

    port: Port
    probe: Probe | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come: CIDRs and service tags; neither means everybody.

    `broken` says that a range was unreadable, so that nobody else may come. `sealed` denies all others explicitly.
    """

    open: bool = True
    ranges: frozenset[str] = frozenset()
    tags: tuple[str, ...] = ()
    broken: bool = False
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class PrivateLink:
    """A private link service in front of the Service's IPv4 address."""

    name: str = ""
    group: str = ""
    subnet: str = ""
    count: int = 1
    addresses: tuple[str, ...] = ()
    fqdns: tuple[str, ...] = ()
    proxy_protocol: bool = False
    visibility: tuple[str, ...] = ()
    auto_approval: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(Intent):
    """An intent with everything that Azure adds to it; `labels` count only where selectors choose a balancer."""

    internal: bool = False
    subnet: str = ""
    fronts: tuple[Front, ...] = ()
    forwards: tuple[Forward, ...] = ()
    access: Access = Access()
    address_group: str = ""
    dns_label: str | None = None
    address_tags: Mapping[str, str] = field(default_factory=nothing, hash=False)
    ip_tags: tuple[tuple[str, str], ...] | None = None
    more_addresses: tuple[str, ...] = ()
    idle_minutes: int = 4
    tcp_reset: bool = True
    floating_ip: bool = True
    configurations: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=nothing, hash=False)
    private_link: PrivateLink | None = None

    @property
    def uid_name(self) -> str:
        """The Service's name in Azure."""
        return default_balancer_name(self.identity.uid)

    @property
    def dual_stack(self) -> bool:
        """True when both families are served."""
        return len(self.fronts) > 1

    def floats(self, family: str) -> bool:
        """Whether packets keep the frontend's address; an internal IPv6 frontend cannot do it."""
        return self.floating_ip and not (self.internal and family == "IPv6")


def wishes(world: World) -> tuple[Wish, ...]:
    """All intents of the world, in a stable order."""
    found: Iterable[Intent] = world.intents.values()
    return tuple(sorted((w for w in found if isinstance(w, Wish)), key=lambda wish: wish.identity))
