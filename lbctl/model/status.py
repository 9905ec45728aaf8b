"""What is told to the Service: addresses, readiness and messages; pure values."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from lbctl.model.objects import Ingress


class Severity(enum.StrEnum):
    """Type of a Kubernetes Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, order=True)
class Notice:
    """Something that the Service's author should know: one Event, told once per content."""

    severity: Severity
    reason: str
    message: str


@dataclass(frozen=True, slots=True, order=True)
class Verdict:
    """One of upstream's own conditions of a Service: its type, whether it holds, why, and the same in words."""

    type: str
    holds: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """A driver's answer for one Service.

    `ingress` is what can be published now, also while later steps still fail. `waiting_for` is empty when the balancer
    serves; otherwise it is a stable sentence. `notices` are limits and warnings that do not stop anything.
    `annotations` are the `DriverInfo.result_annotations` that should be on the Service, all others of them not; None
    leaves them as they are. They are written once the balancer serves. `conditions` are those of the
    `DriverInfo.result_conditions` that something can be said of; the others stay as they are.
    """

    ingress: tuple[Ingress, ...] = ()
    waiting_for: str = ""
    notices: tuple[Notice, ...] = ()
    annotations: Mapping[str, str] | None = field(default=None, hash=False)
    conditions: tuple[Verdict, ...] = ()


def published(ingress: tuple[Ingress, ...], *, families: tuple[str, ...]) -> tuple[Ingress, ...]:
    """The ingress list as the API server would store it, in a stable order.

    `ipMode` defaults to VIP, addresses are in canonical text, the order is that of `families`, then address, then host
    name (API server 1.36 defaulting; service-controller A.8).
    """

    def rank(entry: Ingress) -> tuple[int, str, str]:
        family = _family(entry.ip)
        return (families.index(family) if family in families else len(families), entry.ip or "", entry.hostname or "")

    return tuple(sorted((_canonical(entry) for entry in ingress), key=rank))


def _canonical(entry: Ingress) -> Ingress:
    ip = entry.ip or _literal(entry.hostname)
    if ip is None:
        return Ingress(hostname=entry.hostname, ports=entry.ports)
    hostname = None if _literal(entry.hostname) else entry.hostname
    return Ingress(
        ip=str(ipaddress.ip_address(ip)), hostname=hostname, ip_mode=entry.ip_mode or "VIP", ports=entry.ports
    )


def _literal(hostname: str | None) -> str | None:
    """The host name when it is an address, which the API server takes as `ip` only."""
    try:
        return str(ipaddress.ip_address(hostname)) if hostname else None
    except ValueError:
        return None


def _family(ip: str | None) -> str:
    if ip is None:
        return ""
    return f"IPv{ipaddress.ip_address(ip).version}"
