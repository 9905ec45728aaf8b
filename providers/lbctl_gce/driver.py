"""The class that joins the driver's parts; each method is a few lines, the work is in the modules it names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from lbctl.clock import Clock
from lbctl.driver import DriverInfo, Finding, Health, Outcome, Pending, Refs, Setup, World
from lbctl.model.intent import Intent
from lbctl.model.objects import Ingress, Service
from lbctl.model.resource import Desired, Identity, Observed, Outputs, Scope
from lbctl.model.status import Status, Verdict, published
from lbctl.plan.actions import Action, Plan
from lbctl_gce.apply import Writer
from lbctl_gce.backends import group_zones
from lbctl_gce.check import Checks
from lbctl_gce.claims import NameClaims
from lbctl_gce.client import Client, Endpoint
from lbctl_gce.credentials import Credentials, Granted, load_credentials
from lbctl_gce.errors import ApiError, translated
from lbctl_gce.facts import FactBook, Facts
from lbctl_gce.firewalls import ManualRules, manual_notice
from lbctl_gce.flowlogs import choose_flowlogs
from lbctl_gce.fronts import choose_fronts, named_fronts, read_fronts
from lbctl_gce.health import Pulse
from lbctl_gce.kinds import ADDRESS, BACKEND, CLUSTER, FIREWALL, GROUP, RULE, balancer_scope
from lbctl_gce.machines import machines_of
from lbctl_gce.metadata import InstanceMetadata
from lbctl_gce.model import model_balancer
from lbctl_gce.modes import Mode
from lbctl_gce.names import INGRESS_UID, L4Names, LegacyNames, balancer_name, cluster_id
from lbctl_gce.observe import LISTS, Reading, observe_all, read_cloud
from lbctl_gce.parse import is_leaving, mode_of, option, parse_service
from lbctl_gce.place import Place
from lbctl_gce.plan import build_actions
from lbctl_gce.results import results_of, status_of_endpoints
from lbctl_gce.settings import PUBLIC_HOST, Config, GceSettings, read_config
from lbctl_gce.shared import model_cluster, undetermined

log = logging.getLogger(__name__)


class GceDriver:
    """One project and region. Safe for several threads, one scope in each."""

    def __init__(self, info: DriverInfo, setup: Setup) -> None:
        settings: GceSettings = setup.settings
        metadata = InstanceMetadata()
        config = read_config(settings, metadata)
        for key in (*config.unknown_keys, *config.idle_keys):
            log.warning("gce.conf: %s", key)
        self.info = info
        self._clock = setup.clock
        self._place = Place(config, L4Names.of(setup.cluster.id), LegacyNames(_ingress_uid(setup)))
        endpoint = Endpoint(config.project, config.network_project, config.region, config.host, config.scheme)
        self._client = Client(
            endpoint, _credentials(config, metadata, setup.clock), setup.user_agent, setup.clock, setup.record
        )
        self._manual = ManualRules(config.network_project, config.is_shared_network)
        self._writer = Writer(self._client, self._place, self._manual)
        self._existing: dict[str, Mode] = {}
        self._claims = NameClaims(self._place)
        self._strays: frozenset[str] = frozenset()
        self._zones: frozenset[str] = frozenset()
        self._book = FactBook(
            addresses=lambda: self._items("addresses.list"),
            instances=lambda: self._items("instances.aggregatedList"),
            subnets=lambda: self._items("subnetworks.list"),
            groups=lambda: self._items("instanceGroups.aggregatedList"),
            fronts=lambda: read_fronts(self._items(LISTS[RULE]), self._items(LISTS[BACKEND])),
            is_group=self._place.legacy.is_group,
            now=setup.clock.monotonic,
        )

    def claims(self, service: Service) -> bool:  # noqa: ARG002 - class and mode decide
        """True: which of upstream's two controllers would serve it is settled by the mode."""
        return True

    def parse(self, service: Service) -> Intent:
        """What the Service asks for; `InvalidService` with all problems."""
        existing = self._existing.get(balancer_name(service.metadata.uid))
        intent = parse_service(service, defaults=self._place.config.defaults, existing=existing)
        if is_leaving(service):
            self._claims.drop(intent.identity)
        else:
            self._claims.claim(intent)
        return intent

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:  # noqa: ARG002 - the contract's signature
        """The Service's own scope, and the cluster's, of which endpoint groups alone need nothing."""
        own = balancer_scope(intent.identity)
        return (own, CLUSTER) if mode_of(intent).has_balancer else (own,)

    def facts(self, scope: Scope, world: World) -> Facts:  # noqa: ARG002 - the Services alone tell
        """Reserved addresses, subnets and tags, as far as the scope's Services need them; usually no call."""
        if not self._place.config.node_tags and any(mode_of(intent).has_balancer for intent in world.intents.values()):
            self._book.with_tags(machine.name for machine in world.nodes.project(machines_of))
        if not self._place.config.fills_groups:
            self._zones = frozenset(group_zones(world.nodes.project(machines_of), self._place))
            self._book.with_groups(self._zones)
        for intent in world.intents.values():
            requested = [intent.requested_address] if intent.requested_address else []
            self._book.with_addresses(wanted=requested, names=option(intent, "addresses")[:2])
            if not mode_of(intent).has_balancer:
                self._book.with_fronts(named_fronts(intent, self._place.config.region))
            subnet = option(intent, "subnet") or option(intent, "internal_subnet")
            if subnet:
                self._book.with_subnet(subnet)
        collisions = {
            name: other for intent in world.intents for name, other in self._claims.collisions(intent).items()
        }
        return replace(self._book.facts, collisions=collisions)

    def model(self, scope: Scope, world: World, facts: Facts) -> Desired:
        """Everything that the scope should hold."""
        if scope == CLUSTER:
            return model_cluster(world, facts, self._place)
        return model_balancer(scope, world, facts, self._place)

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        """All objects of this cluster: nine lists, and one for the members of each group of instances or endpoints."""
        return self._take(self._read(), world)

    def observe(self, scope: Scope, world: World) -> Observed:
        """One scope; costs all lists, since references are only known from them, but one for each of its own groups."""
        found = self._take(self._read(scope), world).get(scope)
        return found or Observed(scope, read_at=self._clock.monotonic())

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        """The differences as calls, in order."""
        return build_actions(desired, observed, world)

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """One call."""
        result = self._writer.apply(action, refs)
        if isinstance(result, Outputs):
            self._note_modes(result)
        return result

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """What became of the operations."""
        outcomes = self._writer.poll(pending)
        for outcome in outcomes.values():
            if isinstance(outcome, Outputs):
                self._note_modes(outcome)
        return outcomes

    def status(self, identity: Identity, world: World) -> Status:
        """The addresses of the forwarding rules, always as `ip`, and the names of what was made."""
        intent = world.intents.get(identity)
        observed = world.observed.get(balancer_scope(identity))
        if intent is None or observed is None:
            return Status(waiting_for="nothing exists yet")
        if not mode_of(intent).has_balancer:
            fronts = choose_fronts(intent, self._place.config.region, observed, self._book.facts.fronts)
            return status_of_endpoints(world.services[identity], observed, fronts)
        rules = [seen for seen in observed.of_kind(RULE) if seen.ours and identity in seen.resource.owners]
        addresses = sorted({seen.outputs["address"].partition("/")[0] for seen in rules})
        ingress = published(tuple(Ingress(ip=address) for address in addresses), families=intent.families)
        missing = [f for f in intent.families if not any(seen.resource.fields["family"] == f for seen in rules)]
        waiting = f"the forwarding rule for {' and '.join(missing)} does not exist yet" if missing else ""
        manual = [notice for seen in observed.of_kind(FIREWALL) if (notice := manual_notice(seen))]
        shared = world.observed.get(CLUSTER) or Observed(CLUSTER)
        present = world.services[identity].metadata.annotations
        results = results_of(intent, self._place, observed, shared, present)
        conditions = () if mode_of(intent).is_legacy else self._conditions(identity, world)
        return Status(ingress, waiting, tuple(manual), results, conditions)

    @staticmethod
    def _conditions(identity: Identity, world: World) -> tuple[Verdict, ...]:
        verdict = choose_flowlogs(world.services[identity], world.referred).verdict
        return (verdict,) if verdict is not None else ()

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        """What Google's checks find: one call for each group of a backend service and each instance of a pool."""
        return Pulse(self._client, self._place.links, world).read(identities)

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:  # noqa: ARG002 - names are marks
        """Nothing: names are the only marks here, and they cannot be taken off."""
        return ()

    def check(self) -> Iterator[Finding]:
        """Findings for the doctor."""
        return Checks(self._client, self._place, self._strays, self._zones).run()

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _take(self, reading: Reading, world: World) -> Mapping[Scope, Observed]:
        self._claims.keep(world.services)
        self._strays = world.nodes.project(undetermined)
        self._zones = frozenset(group_zones(world.nodes.project(machines_of), self._place))
        self._book.take_addresses(reading.bodies[ADDRESS])
        self._book.take_groups(reading.bodies[GROUP])
        self._book.take_fronts(read_fronts(reading.bodies[RULE], reading.bodies[BACKEND]))
        self._manual.look(reading.bodies[FIREWALL])
        self._existing = {
            body["name"]: existing_mode(body.get("target", ""), body.get("loadBalancingScheme", ""))
            for body in reading.bodies[RULE]
        }
        return self._with_manual(observe_all(reading, world.services, self._place))

    def _note_modes(self, outputs: Outputs) -> None:
        """Remember what forwarding rules point at now, which decides the mode of a Service with two finalizers."""
        for seen in outputs.seen:
            if seen.key.kind == RULE:
                fields = seen.resource.fields
                self._existing[seen.key.id] = existing_mode(str(fields["backend"]), str(fields["scheme"]))

    def _read(self, only: Scope | None = None) -> Reading:
        try:
            return read_cloud(self._client, self._place, read_at=self._clock.monotonic(), only=only)
        except ApiError as error:
            raise translated(error, "reading the region's balancers") from None

    def _items(self, method: str) -> list[dict[str, object]]:
        try:
            return list(self._client.items(method))
        except ApiError as error:
            raise translated(error, method) from None

    def _with_manual(self, found: dict[Scope, Observed]) -> Mapping[Scope, Observed]:
        """Rules that somebody else was asked to write count as written, unless they are really there."""
        for key, seen in list(self._manual.rules.items()):
            owners = seen.resource.owners
            scope = balancer_scope(next(iter(owners))) if owners else CLUSTER
            observed = found.get(scope) or Observed(scope, read_at=self._clock.monotonic())
            if observed.get(key) is not None:
                del self._manual.rules[key]
            else:
                found[scope] = replace(observed, resources={**observed.resources, key: seen})
        return found


def _credentials(config: Config, metadata: InstanceMetadata, clock: Clock) -> Credentials:
    if config.token_server:
        return Granted(config.token_server, metadata.token, clock.monotonic)
    return load_credentials(config.settings.credentials_file, confined=config.host != PUBLIC_HOST)


def _ingress_uid(setup: Setup) -> str:
    given: str | None = setup.settings.ingress_uid
    if given is not None:
        return given
    return cluster_id(setup.read_document(INGRESS_UID), kube_system_uid=setup.cluster.id)


def existing_mode(points_at: str, scheme: str) -> Mode:
    """The kind of balancer that a forwarding rule of our name belongs to."""
    if "/targetPools/" in points_at:
        return Mode.TARGET_POOL
    return Mode.INTERNAL_GROUPS if scheme == "INTERNAL" else Mode.EXTERNAL_GROUPS
