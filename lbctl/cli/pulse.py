"""Asks the clouds how many targets of each Service are healthy, for `lbctl status --targets`."""

from __future__ import annotations

from lbctl.cli.desk import desk
from lbctl.cli.progress import progress
from lbctl.driver import Health, TellsHealth
from lbctl.engine.planning import build_world
from lbctl.settings import Settings


def read_health(settings: Settings) -> dict[str, Health]:
    """The health of targets by `namespace/name`, where the driver tells it; a snapshot, and what the driver reads."""
    found: dict[str, Health] = {}
    with desk(settings) as at:
        at.read_clouds()
        assembly = at.assembly
        with progress("asking for the health of targets"):
            for account in assembly.accounts.values():
                if isinstance(account.driver, TellsHealth):
                    members = list(account.services.values())
                    world = build_world(account, members, cluster=assembly.cluster, now=assembly.clock.now())
                    told = account.driver.health([tracked.identity for tracked in members], world)
                    found |= {identity.key: health for identity, health in told.items()}
    return found
