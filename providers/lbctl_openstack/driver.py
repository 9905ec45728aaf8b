"""The class that joins the driver's parts; each method is a few lines, the work is in the modules it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from lbctl.driver import DriverInfo, Figure, Finding, Health, Outcome, Pending, Refs, Setup, World
from lbctl.model.intent import Intent
from lbctl.model.objects import Service
from lbctl.model.resource import Desired, Identity, Observed, Outputs, Scope
from lbctl.model.status import Status
from lbctl.plan.actions import Action, Plan
from lbctl_openstack import names, plan
from lbctl_openstack.annotations import BALANCER_ID
from lbctl_openstack.apply import Writer
from lbctl_openstack.check import Checks
from lbctl_openstack.client import connect
from lbctl_openstack.facts import FactReader
from lbctl_openstack.health import UNKNOWN, WORDS, read_health, word_of
from lbctl_openstack.model import model_scope
from lbctl_openstack.observe import Reading, observe_all
from lbctl_openstack.parse import parse_service
from lbctl_openstack.part import Facts
from lbctl_openstack.plan import Manner, build_actions, release_actions
from lbctl_openstack.polls import Polls
from lbctl_openstack.reading import Reader
from lbctl_openstack.selecting import without_instance
from lbctl_openstack.settings import OpenStackSettings, load
from lbctl_openstack.status import status_of

MOST_TRIES = 3


class OpenStackDriver:
    """One region of one project. Safe for several threads, one scope in each."""

    def __init__(self, info: DriverInfo, setup: Setup) -> None:
        settings: OpenStackSettings = setup.settings
        self.info = info
        self._settings = settings
        self._cluster = setup.cluster.name
        self._conf = load(settings)
        timeout = settings.timeout_seconds or self._conf.metadata.request_timeout
        self._client = connect(
            self._conf.access,
            timeout=timeout,
            user_agent=setup.user_agent,
            clock=setup.clock,
            record=setup.record,
        )
        self._clock = setup.clock
        self._facts = FactReader(self._client, setup.clock, self._conf.balancing)
        managed = self._conf.balancing.manage_security_groups
        self._reader = Reader(self._client, setup.clock, managed=managed)
        self._writer = Writer(self._client, self._cluster)
        self._polls = Polls(self._client, setup.clock, setup.random)
        self._show = setup.show
        self._tries: Counter[Scope] = Counter()
        self._strays: tuple[str, ...] = ()

    def claims(self, service: Service) -> bool:  # noqa: ARG002 - the contract's signature
        """False when cloud.conf turns the load balancers off."""
        return self._conf.balancing.enabled

    def parse(self, service: Service) -> Intent:
        """What the Service asks for; `InvalidService` with all problems."""
        return parse_service(service, conf=self._conf, monitor_for_local=self._settings.monitor_for_local)

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:
        """The scope of the balancer that the Service names, as far as it was seen, else its own."""
        own = names.balancer_scope(self._cluster, intent.identity)
        service = world.services.get(intent.identity)
        balancer_id = service.metadata.annotations.get(BALANCER_ID, "") if service is not None else ""
        if not balancer_id or _holds(world.observed.get(own), balancer_id):
            return (own,)
        # Whoever has a balancer stays there, whatever is named since: the model says that it must not change.
        used = (scope for scope, seen in world.observed.items() if seen.owned_by(intent.identity))
        named = (scope for scope, seen in world.observed.items() if _holds(seen, balancer_id))
        return (next(used, None) or next(named, own),)

    def facts(self, scope: Scope, world: World) -> Facts:
        """Subnets, networks, API version: what the scope's Services do not name themselves."""
        observed = world.observed.get(scope)
        seen = observed.resources if observed is not None else ()
        return self._facts.read(
            world.intents.values(),
            world.nodes,
            floating_exists=names.FLOATING_KEY in seen,
            balancer_seen=names.BALANCER_KEY in seen,
        )

    def model(self, scope: Scope, world: World, facts: Facts) -> Desired:
        """Everything that the scope should hold."""
        return model_scope(scope, world, facts, balancing=self._conf.balancing)

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        """Everything of this cluster in the project: five lists, and one more a pool for its members."""
        self._strays = world.nodes.project(without_instance)
        reading = self._reader.everything(world)
        self._show_health(reading)
        return observe_all(reading, world)

    def _show_health(self, reading: Reading) -> None:
        words = Counter(word_of(member) for pool in reading.members.values() for member in pool)
        for word in sorted({*WORDS.values(), UNKNOWN}):
            self._show(Figure.TARGETS, word, words[word])

    def observe(self, scope: Scope, world: World) -> Observed:
        """One scope: its balancer by name or id, and what belongs to it."""
        reading = self._reader.one(scope, world)
        return observe_all(reading, world).get(scope, Observed(scope, read_at=reading.read_at))

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        """The differences, folded into calls and ordered."""
        balancing = self._conf.balancing
        manner = Manner(
            cascade=balancing.cascade_delete,
            serial=balancing.provider_requires_serial_api_calls,
            may_recreate=self._tries[desired.scope] < MOST_TRIES,
        )
        return build_actions(desired, observed, world, manner)

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """One write."""
        reply = self._writer.apply(action, refs)
        if action.call == plan.REPLACE:
            self._tries[refs.scope.scope] += 1
        return reply

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """What became of the writes: one list call, whatever their number."""
        return self._polls.outcomes(pending)

    def status(self, identity: Identity, world: World) -> Status:
        """The address that clients use, in the form that annotations and cloud.conf ask for."""
        return status_of(identity, world, balancing=self._conf.balancing)

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        """What Octavia's monitors say of the Services' members; one call a balancer."""
        return read_health(self._client, identities, world)

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:
        """Nothing but our uid tag is ours alone."""
        return release_actions(identity, observed)

    def check(self) -> Iterator[Finding]:
        """Findings for the doctor."""
        return Checks(self._conf, self._client, self._facts, self._cluster, self._clock, self._strays).run()

    def close(self) -> None:
        """Close connections."""
        self._client.close()


def _holds(observed: Observed | None, balancer_id: str) -> bool:
    seen = observed.get(names.BALANCER_KEY) if observed is not None else None
    return seen is not None and seen.outputs["id"] == balancer_id
