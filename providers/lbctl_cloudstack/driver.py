"""The class that joins the driver's parts; each method is a few lines, the work is in the modules it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lbctl.driver import DriverInfo, Finding, Health, Outcome, Pending, Refs, Setup, World
from lbctl.model.intent import Intent
from lbctl.model.objects import Ingress, Service
from lbctl.model.resource import Desired, Identity, Observed, Outputs, Scope
from lbctl.model.status import Status
from lbctl.plan.actions import Action, Plan
from lbctl_cloudstack.apply import Writer
from lbctl_cloudstack.check import Checks
from lbctl_cloudstack.client import Api
from lbctl_cloudstack.facts import FactReader
from lbctl_cloudstack.jobs import Jobs
from lbctl_cloudstack.late import LateAddresses
from lbctl_cloudstack.model import Facts, model_scope
from lbctl_cloudstack.names import ADDRESS
from lbctl_cloudstack.observe import observe_all
from lbctl_cloudstack.parse import parse_service
from lbctl_cloudstack.plan import build_actions, release_actions
from lbctl_cloudstack.reading import Reader
from lbctl_cloudstack.settings import load_settings
from lbctl_cloudstack.target_health import read_health
from lbctl_cloudstack.targets import is_served, rules_of, scopes_of


class CloudStackDriver:
    """One account or project of one CloudStack. Safe for several threads, one scope in each."""

    def __init__(self, info: DriverInfo, setup: Setup) -> None:
        loaded = load_settings(setup.settings)
        settings = loaded.settings
        self.info = info
        self._unknown_keys = loaded.unknown
        self._settings = settings
        self._clock = setup.clock
        self._api = Api(settings, setup)
        late = LateAddresses(setup.clock, settings.expires)
        self._facts = FactReader(self._api, settings, setup.clock, late)
        self._jobs = Jobs(self._api, setup.clock, settings)
        self._reader = Reader(self._api, self._facts, setup.clock)
        self._writer = Writer(self._api, self._jobs, self._facts, late, settings, setup.cluster.id)

    def claims(self, service: Service) -> bool:  # noqa: ARG002 - the class alone decides
        """True: the class alone decides."""
        return True

    def parse(self, service: Service) -> Intent:
        """What the Service asks for; `InvalidService` with all problems."""
        return parse_service(service, self._settings)

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:
        """The public address that serves the Service, or the two."""
        return scopes_of(intent, world)

    def facts(self, scope: Scope, world: World) -> Facts:
        """Networks and machines, cached; an address to take or what is on one to release, read now."""
        return self._facts.read(scope, world)

    def model(self, scope: Scope, world: World, facts: Facts) -> Desired:
        """Everything that the address should hold."""
        return model_scope(scope, world, facts, tags=self._settings.tags)

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        """Every address that concerns this cluster; three lists, and members when they are due."""
        self._facts.features()
        return observe_all(self._reader.read_all(world), world, tags=self._settings.tags)

    def observe(self, scope: Scope, world: World) -> Observed:
        """One address; the same lists, and one call a rule for its members."""
        self._facts.forget_releases()
        found = observe_all(self._reader.read_scope(scope, world), world, tags=self._settings.tags)
        return found.get(scope) or Observed(scope, read_at=self._clock.monotonic())

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        """The differences, folded into calls and ordered."""
        can_update = self._facts.features().updates_cidrs
        return build_actions(desired, observed, world, updates_cidrs=can_update, tags=self._settings.tags)

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """One call."""
        return self._writer.apply(action, refs)

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """What became of the jobs: one list call from three jobs on."""
        return self._jobs.poll(pending)

    def status(self, identity: Identity, world: World) -> Status:
        """The address once all ports are served; while the Service moves, the one that still serves it."""
        intent = world.intents.get(identity)
        if intent is None:
            return Status(waiting_for="a valid Service")
        hostname = str((intent.options or {}).get("hostname") or "")
        scopes = scopes_of(intent, world)
        if is_served(intent, world):
            return Status(_ingress(map(world.observed.get, scopes), hostname))
        former = (o for scope, o in world.observed.items() if scope not in scopes)
        serving = next((o for o in former if next(rules_of(identity, o), None) is not None), None)
        return Status(_ingress((serving,), hostname), waiting_for="the rules of its ports and their members")

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        """How many targets the network's provider finds healthy, where it tells; one call a rule."""
        return read_health(self._api, self._facts, identities, world)

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:
        """Calls that take our marks off."""
        return release_actions(identity, observed)

    def check(self) -> Iterator[Finding]:
        """Findings for the doctor."""
        return Checks(self._api, self._facts, self._settings, self._unknown_keys).run()

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()


def _ingress(serving: Iterable[Observed | None], hostname: str) -> tuple[Ingress, ...]:
    addresses = (observed.get(ADDRESS) for observed in serving if observed is not None)
    ips = tuple(Ingress(ip=seen.outputs["ip"]) for seen in addresses if seen is not None)
    return (Ingress(hostname=hostname),) if ips and hostname else ips
