"""What would be planned if Services and Nodes were other than they are: a second controller that never runs.

`lbctl plan -f`, `apply` and the demo use it. The accounts are copied with what was observed and share the driver, which
is only read from; the copy is told the imagined objects as if a fresh process had listed them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lbctl.engine.account import Account
from lbctl.engine.assembly import Assembly
from lbctl.engine.planning import build_world
from lbctl.model.objects import EndpointSlice, Node, Service


def imagine(
    assembly: Assembly,
    *,
    services: Iterable[Service],
    nodes: Iterable[Node],
    slices: Iterable[EndpointSlice] = (),
) -> Assembly:
    """An assembly to plan with, in which exactly these objects exist; one snapshot for each account without one.

    What the Services refer to in objects of custom kinds is read, one GET each.

    Its controller must not be run: writes would reach the real API server and cloud.
    """
    accounts = {name: _copy(account) for name, account in assembly.accounts.items()}
    controller = assembly.controller.twin(accounts)
    imagined = replace(assembly, controller=controller)
    for endpoint_slice in slices:
        controller.see_slice(None, endpoint_slice)
    listed, known = list(services), list(nodes)
    imagined.read_referred(listed)
    controller.start(listed, known)
    unread = [account for account in accounts.values() if account.snapshot_at is None]
    for account in unread:
        _read(imagined, account)
    if unread:
        # What a Service had is known only now, and decides whose those are that changed their class or type.
        controller.start(listed, known)
    return imagined


def _copy(account: Account) -> Account:
    copied = Account(account.name, account.info, account.driver)
    for observed in list(account.observed.values()):
        copied.see(observed, now=observed.read_at)
    copied.snapshot_at = account.snapshot_at
    for key, by_name in list(account.slices.items()):
        copied.slices[key] = dict(by_name)
    copied.pods.update(account.pods)
    return copied


def _read(assembly: Assembly, account: Account) -> None:
    now = assembly.clock.monotonic()
    world = build_world(account, list(account.services.values()), cluster=assembly.cluster, now=assembly.clock.now())
    for observed in account.driver.snapshot(world).values():
        account.see(observed, now=now)
    account.snapshot_at = now
