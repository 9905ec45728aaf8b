"""Asks the clouds how many targets of Services are healthy, for `lbctl status --targets` and `lbctl explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lbctl.cli.desk import desk
from lbctl.cli.progress import progress
from lbctl.driver import Health, TellsHealth
from lbctl.engine.account import Account
from lbctl.engine.assembly import Assembly
from lbctl.engine.planning import build_world
from lbctl.engine.tracked import Tracked
from lbctl.model.resource import Identity
from lbctl.settings import Settings


def read_health(settings: Settings) -> dict[str, Health]:
    """The health of targets by `namespace/name`, where the driver tells it; a snapshot, and what the driver reads."""
    found: dict[str, Health] = {}
    with desk(settings) as at:
        at.read_clouds()
        for account in at.assembly.accounts.values():
            told = health_of(at.assembly, account, list(account.services.values()))
            found |= {identity.key: health for identity, health in told.items()}
    return found


def health_of(assembly: Assembly, account: Account, members: Sequence[Tracked]) -> Mapping[Identity, Health]:
    """What the driver reads of the targets of these Services; empty when its cloud does not tell."""
    if not isinstance(account.driver, TellsHealth):
        return {}
    world = build_world(account, members, cluster=assembly.cluster, now=assembly.clock.now())
    with progress("asking for the health of targets"):
        return account.driver.health([tracked.identity for tracked in members], world)
