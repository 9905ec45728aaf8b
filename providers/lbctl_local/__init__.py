"""The `local` driver: balancers on this host, served by Envoy. For laptops, bare-metal gateways and CI.

The "cloud" is a state directory with Envoy's discovery files. Importing this package loads no SDK.
"""

from __future__ import annotations

import os
from functools import partial

from lbctl.clock import SystemClock
from lbctl.driver import Driver, DriverInfo, Setup
from lbctl.model.node import internal_ip
from lbctl.model.objects import Node
from lbctl_local.annotations import ANNOTATIONS
from lbctl_local.names import BALANCER, PROCESS
from lbctl_local.parse import CAPABILITIES, parse_service
from lbctl_local.settings import LocalSettings, find_state_dir, parse_pools

FAMILIES = ("IPv4", "IPv6")


def connect(setup: Setup) -> Driver:
    """The driver of one state directory; starts nothing before the first balancer."""
    from lbctl_local.driver import LocalDriver  # noqa: PLC0415 - the package's import loads no process code

    return LocalDriver(DRIVER, setup)


def tear_down(settings: LocalSettings) -> None:
    """End Envoy and remove its state directory; waits at most 20 s."""
    from lbctl_local.process import stop_envoy  # noqa: PLC0415 - the package's import loads no process code

    stop_envoy(find_state_dir(settings, environ=os.environ, root=os.geteuid() == 0), SystemClock())


def has_internal_ip(node: Node) -> bool:
    """True when balancers can reach the node."""
    return any(internal_ip(node, family) for family in FAMILIES)


def internal_ips(node: Node) -> tuple[str | None, ...]:
    """All of a node that makes a difference here."""
    return tuple(internal_ip(node, family) for family in FAMILIES)


DRIVER = DriverInfo(
    name="local",
    summary="Envoy on this host: laptops, bare-metal gateways, CI",
    capabilities=CAPABILITIES,
    annotations=ANNOTATIONS,
    scope_kinds=(PROCESS.kind, BALANCER),
    node_kinds=frozenset({BALANCER}),
    connect=connect,
    settings=LocalSettings,
    extra="local",
    watches=frozenset({"endpointslices"}),
    ready_node=has_internal_ip,
    node_identity=internal_ips,
    # A write that replaces a pool takes effect once its first health checks are through (2 s for a dead target).
    min_node_sync_seconds=3.0,
    event_reasons=("LimitedByDriver",),
    parser=lambda settings: partial(parse_service, pools=parse_pools(settings)),
    tear_down=tear_down,
)
