"""`AwsWorld`: what a test holds of the cloud.

One a test: an endpoint for the driver, a scene to set, faults to programme, calls to count and a state to compare.
Seeding remembers each topology as a snapshot, so the second test of a session gets it in milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from moto_fixtures import seed, snapshot, state
from moto_fixtures.calls import CallLog
from moto_fixtures.clock import CloudClock
from moto_fixtures.faults import Faults
from moto_fixtures.seed import Seeder
from moto_fixtures.server import REGION, AwsServer, Client
from moto_fixtures.snapshot import Snapshot
from moto_fixtures.wire import Json

_SEEDED: dict[str, tuple[Snapshot, dict[str, str]]] = {}


@dataclass(frozen=True, slots=True)
class Scene:
    """A seeded topology: ids by the topology's names, and the Nodes that its instances are."""

    ids: dict[str, str]
    nodes: list[Json]

    def __getitem__(self, name: str) -> str:
        return self.ids[name]


class AwsWorld:
    """The cloud of one test."""

    region = REGION

    def __init__(self, server: AwsServer) -> None:
        self._server = server

    @property
    def endpoint(self) -> str:
        """The URL to give to a driver."""
        return self._server.endpoint

    @property
    def faults(self) -> Faults:
        """What goes wrong, from now on."""
        return self._server.faults

    @property
    def calls(self) -> CallLog:
        """What was asked, since the scene was set or the log was cleared."""
        return self._server.calls

    @property
    def clock(self) -> CloudClock:
        """The cloud's time, which stands still until it is moved or told whom to follow."""
        return self._server.clock

    @property
    def quotas(self) -> dict[str, int]:
        """Limits of the account, to be changed at will."""
        return self._server.strict.quotas

    @property
    def breakdowns(self) -> list[str]:
        """Where the counterpart itself broke; a test that leaves any here fails at its end."""
        return self._server.strict.breakdowns

    def client(self, service: str) -> Client:
        """A plain boto3 client, one attempt a call; logged, and met by faults."""
        return self._server.client(service)

    def backstage(self, service: str) -> Client:
        """A client whose calls are not logged and meet no faults."""
        return self._server.backstage(service)

    def without(self, *switches: str) -> AbstractContextManager[None]:
        """Turn strict switches off for a `with` block."""
        return self._server.strict.without(*switches)

    def seed(self, topology: str | Json) -> Scene:
        """An account that holds exactly this topology, and an empty call log.

        By HTTP the first time in a process, from its snapshot afterwards: the same state to the last id.
        """
        return self._seed(topology, self._server.backstage)

    def seed_crowd(self, topology: Json) -> Scene:
        """The same for a topology of thousands of objects (`moto_fixtures.crowd`): made without HTTP the first time."""
        return self._seed(topology, self._server.inside)

    def _seed(self, topology: str | Json, client: Callable[[str], Client]) -> Scene:
        content = seed.load(topology)
        key = json.dumps(content, sort_keys=True)
        if key not in _SEEDED:
            snapshot.empty(self._server.strict)
            with self._server.strict.strictly():
                ids = Seeder(client, self.quotas).make(content)
            _SEEDED[key] = (snapshot.take(self._server.strict), ids)
        taken, ids = _SEEDED[key]
        snapshot.restore(self._server.strict, taken)
        self.calls.clear()
        return Scene(dict(ids), seed.nodes(ids, content))

    def state(self) -> dict[str, dict[str, Json]]:
        """The whole cloud as plain data, ids replaced by names: see `moto_fixtures.state`."""
        return state.observe(self._server.strict, REGION)

    def bystanders(self) -> Json:
        """The part of the state that belongs to others, and that no test may change."""
        return state.bystanders(self.state())

    def snapshot(self) -> Snapshot:
        """The cloud as it is, to come back to with `restore`."""
        return snapshot.take(self._server.strict)

    def restore(self, taken: Snapshot) -> None:
        """Put the cloud back."""
        snapshot.restore(self._server.strict, taken)

    def set_health(
        self, group_arn: str, target_id: str, *, state: str, reason: str | None = None, description: str | None = None
    ) -> None:
        """Let a registered target be in this state, on every port, instead of passing its checks in time."""
        held = self._server.strict.ledger.targets.get(group_arn, {})
        for target in (one for one in held.values() if one.id == target_id):
            target.forced_state = (state, reason, description)

    def follow(self, now: Callable[[], float]) -> None:
        """Let the cloud's time be this clock's (seconds)."""
        self.clock.follow(now)
