"""A cloud whose calls cost nothing, so that what is measured is lbctl itself; its state survives in a file."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from lbctl.annotations import AnnotationTable
from lbctl.driver import DriverInfo, Finding, Outcome, Pending, Refs, Setup, World
from lbctl.errors import InvalidService
from lbctl.model.capabilities import Capabilities
from lbctl.model.intent import Intent, read_intent
from lbctl.model.objects import Ingress, Node, Service
from lbctl.model.resource import Desired, Identity, Key, Observed, Outputs, Resource, Scope, Seen
from lbctl.model.status import Status
from lbctl.naming import default_balancer_name
from lbctl.plan.actions import Action, Plan, Verb
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl.plan.rules import Rules

CAPABILITIES = Capabilities(protocols=frozenset({"TCP", "UDP"}), mixed_protocols=True)
TABLE = AnnotationTable(())
RULES = Rules()


class FreeSettings(msgspec.Struct, frozen=True):
    """Where the state is kept."""

    file: str = ""


def provider_ids(nodes: tuple[Node, ...]) -> frozenset[str]:
    return frozenset(node.spec.provider_id for node in nodes)


class FreeDriver:
    def __init__(self, setup: Setup) -> None:
        self.info = INFO
        self.file = Path(setup.settings.file)
        self.state: dict[Scope, dict[Key, Seen]] = pickle.loads(self.file.read_bytes()) if self.file.exists() else {}
        self.writes = 0

    def claims(self, service: Service) -> bool:
        return True

    def parse(self, service: Service) -> Intent:
        intent, problems = read_intent(
            service, capabilities=CAPABILITIES, values=TABLE.read(service.metadata.annotations)
        )
        if problems:
            raise InvalidService(problems)
        return intent

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:
        return (Scope("balancer", default_balancer_name(intent.identity.uid)),)

    def facts(self, scope: Scope, world: World) -> Any:
        return None

    def model(self, scope: Scope, world: World, facts: Any) -> Desired:
        resources = []
        for intent in world.intents.values():
            owners = frozenset({intent.identity})
            balancer = Key("balancer", "")
            fields = {"targets": world.nodes.project(provider_ids), "ranges": intent.source_ranges}
            resources.append(Resource(balancer, scope.name, fields, owners))
            resources.extend(
                Resource(Key("listener", str(p)), "", {"node_port": p.node_port}, owners, frozenset({balancer}))
                for p in intent.ports
            )
        return Desired.of(scope, resources)

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        return {scope: Observed(scope, dict(seen)) for scope, seen in self.state.items()}

    def observe(self, scope: Scope, world: World) -> Observed:
        return Observed(scope, dict(self.state.get(scope, {})))

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        steps = diff(desired, observed, rules=RULES)
        return build_plan(desired.scope, [Action("all", "write", steps)] if steps else [])

    def apply(self, action: Action, refs: Refs) -> Outputs:
        self.writes += 1
        state = self.state.setdefault(refs.scope.scope, {})
        address = f"198.18.{len(self.state) // 250 % 250}.{len(self.state) % 250 + 1}"
        for step in action.steps:
            if step.verb is Verb.DELETE:
                state.pop(step.key)
            elif step.desired is not None:
                outputs = step.seen.outputs if step.seen else {"address": address}
                state[step.key] = Seen(step.desired, outputs)
        gone = tuple(step.key for step in action.steps if step.verb is Verb.DELETE)
        return Outputs(tuple(state[s.key] for s in action.steps if s.key in state), gone)

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        return {}

    def status(self, identity: Identity, world: World) -> Status:
        observed = world.observed.get(Scope("balancer", default_balancer_name(identity.uid)))
        seen = observed.get(Key("balancer", "")) if observed else None
        return Status((Ingress(ip=seen.outputs["address"]),)) if seen else Status(waiting_for="not made yet")

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:
        return ()

    def check(self) -> Iterator[Finding]:
        return iter(())

    def close(self) -> None:
        self.file.write_bytes(pickle.dumps(self.state))


INFO = DriverInfo(
    name="free",
    summary="A cloud that costs nothing",
    capabilities=CAPABILITIES,
    annotations=TABLE,
    scope_kinds=("balancer",),
    node_kinds=frozenset({"balancer"}),
    connect=FreeDriver,
    settings=FreeSettings,
)
