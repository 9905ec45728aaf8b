"""What the server can do, asked once: by its own description of a command, else by its release. Reads."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from lbctl.errors import PermissionDenied
from lbctl_cloudstack.client import SHARE_OF_LIMIT, Api, Row
from lbctl_cloudstack.settings import CloudStackSettings

# Before it the parameter was taken and had no effect (cloudstack pull request 6460).
FIRST_WITH_SOURCES = (4, 18)
# From then on addresses of a VPC may have firewall rules (cloudstack pull request 12706).
FIRST_WITH_VPC_FIREWALL = (4, 23)


@dataclass(frozen=True, slots=True)
class Features:
    """What the server can do: its release, whether a rule may be made with sources, and what an update may change."""

    version: str = ""
    creates_cidrs: bool = False
    updates_cidrs: bool = False
    has_idle_timeout: bool = False

    @property
    def may_have_vpc_firewall(self) -> bool:
        """False only for a release that is known to refuse firewall rules on addresses of a VPC."""
        release = read_release(self.version)
        return release == (0, 0) or release >= FIRST_WITH_VPC_FIREWALL


def read_features(api: Api, settings: CloudStackSettings) -> Features:
    """What the server tells, and nothing where it does not; two calls. Sets the pace that the server allows."""
    limit: Row = {}
    with contextlib.suppress(PermissionDenied):
        limit = api.read("listCapabilities").get("capability", {})
    if limit.get("apilimitmax") and not settings.max_calls_per_second:
        api.pace.limit(SHARE_OF_LIMIT * int(limit["apilimitmax"]), float(limit.get("apilimitinterval") or 1))
    version = settings.version or str(limit.get("cloudstackversion", ""))
    parameters = _update_parameters(api)
    can_update = "cidrlist" in parameters
    if settings.cidr_update != "auto":
        can_update = settings.cidr_update == "inplace"
    can_create = "cidrlist" in parameters or read_release(version) >= FIRST_WITH_SOURCES
    return Features(version, can_create, can_update, "idletimeout" in parameters)


def read_release(version: str) -> tuple[int, int]:
    """Major and minor number of a release; (0, 0) for what is none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _update_parameters(api: Api) -> frozenset[str]:
    """What `updateLoadBalancerRule` takes here; nothing where the role does not let us ask."""
    try:
        (described, *_) = api.read("listApis", name="updateLoadBalancerRule").get("api") or [{}]
    except PermissionDenied:
        return frozenset()
    return frozenset(str(parameter["name"]) for parameter in described.get("params", ()))
