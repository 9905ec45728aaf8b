"""The settings of the `local` driver and the files and ranges that follow from them.

Pure but for the environment that callers hand in; read by every other module of the driver.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lbctl.errors import InvalidSettings

SYSTEM_STATE = Path("/var/lib/lbctl/local")
# A Unix socket's path has 108 bytes on Linux and 104 on macOS, with the final zero.
LONGEST_STATE_DIR = 90

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator may choose.

    `addresses` are the CIDRs that balancers get their addresses from; network and broadcast address stay unused.
    `interface` is the host interface that the addresses are added to; without one they must exist already, as all of
    127.0.0.0/8 does on Linux. `workers` are Envoy's threads; each holds one socket a listener. `drain_seconds` is how
    long connections of a removed listener may go on. `max_connections` bounds all connections of Envoy together.
    """

    state_dir: str = ""
    addresses: tuple[str, ...] = ("127.0.64.0/18",)
    interface: str = ""
    workers: int = 2
    drain_seconds: int = 30
    max_connections: int = 100_000


def find_state_dir(settings: LocalSettings, *, environ: Mapping[str, str], root: bool) -> Path:
    """Where state is kept: the setting, else /var/lib/lbctl/local for root, else under XDG_STATE_HOME.

    `InvalidSettings` when the path is too long for the admin socket in it.
    """
    path = Path(settings.state_dir) if settings.state_dir else _default_state_dir(environ, root=root)
    if len(str(path.absolute())) > LONGEST_STATE_DIR:
        raise InvalidSettings(
            f"local: state_dir {path} is longer than {LONGEST_STATE_DIR} characters",
            hint="choose a shorter path: a Unix socket has to fit in it",
        )
    return path.absolute()


def _default_state_dir(environ: Mapping[str, str], *, root: bool) -> Path:
    if root:
        return SYSTEM_STATE
    home = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '/tmp')}/.local/state"  # noqa: S108 - a last resort
    return Path(home) / "lbctl" / "local"


def parse_pools(settings: LocalSettings) -> tuple[Network, ...]:
    """The address pools; `InvalidSettings` with every text that is none."""
    pools: list[Network] = []
    faults: list[str] = []
    for text in settings.addresses:
        try:
            pools.append(ipaddress.ip_network(text))
        except ValueError as error:
            faults.append(str(error))
    if faults or not pools:
        raise InvalidSettings(
            f"local: addresses: {'; '.join(faults) or 'no range is given'}", hint="write ranges such as 127.0.64.0/18"
        )
    return tuple(pools)
