"""A small cloud in memory with a cloud's rules, and the driver for it: what the core is tested against.

The cloud refuses duplicate names and the deletion of what is in use, takes its time when told to, rejects poisoned
requests whole, counts calls, and can fail, lose an answer or die at any call. The driver keeps two kinds of scope: a
balancer for each Service, and one firewall document for the whole cluster, which is always written as a whole and
points at the balancers.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from lbctl.annotations import Annotation, AnnotationTable
from lbctl.driver import DriverInfo, Finding, Gate, Health, Judgement, Level, Outcome, Pending, Refs, Setup, World
from lbctl.errors import CloudError, Conflict, InvalidService, MissingFact, NotReady, PermissionDenied, Rejected
from lbctl.grammar import Boolean, Choice, Integer, Text
from lbctl.model.capabilities import Affinity, Capabilities
from lbctl.model.intent import Intent, identity_of, read_intent
from lbctl.model.node import spread
from lbctl.model.objects import CustomObject, Ingress, Service
from lbctl.model.problem import Problem
from lbctl.model.ranges import served_ranges
from lbctl.model.reference import SERVICES, Reference
from lbctl.model.resource import Desired, Identity, Key, Observed, Outputs, Ref, Resource, Scope, Seen, State
from lbctl.model.status import Status, Verdict
from lbctl.naming import default_balancer_name
from lbctl.plan.actions import Action, Hazard, Plan, Step, Verb, Wait
from lbctl.plan.diff import diff
from lbctl.plan.order import build_plan
from lbctl.plan.rules import FieldRule, KindRule, Rules


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Thing:
    """One object of the cloud."""

    id: str
    kind: str
    name: str
    tags: dict[str, str]
    fields: dict[str, Any]
    uses: set[str] = field(default_factory=set)
    ready: bool = True
    created: str = ""


Hook = Callable[[str, int], None]


class MemoryCloud:
    """The cloud: `before` and `after` are called around each write with its name and number and may raise."""

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        self.calls: Counter[str] = Counter()
        self.operations: dict[str, tuple[int, Callable[[], None]]] = {}
        self.slow = False
        self.refused_busy = 0
        self.failing: dict[str, CloudError] = {}
        self.unknown_targets: set[str] = set()
        self.most_targets = 1000
        self.cuts_lists = False
        self.config_faults: list[str] = []
        self.unhealthy: set[str] = set()
        self.names_are_marks = False
        self.writes = 0
        self.before: Hook = lambda _name, _number: None
        self.after: Hook = lambda _name, _number: None
        self._ids = itertools.count(1)
        self._addresses = itertools.count(1)

    def stored(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields as the cloud keeps them: it knows no targets that do not exist, and not too many."""
        if "targets" not in fields:
            return dict(fields)
        if len(fields["targets"]) > self.most_targets:
            raise ValueError(f"more than {self.most_targets} targets")
        return {**fields, "targets": fields["targets"] - self.unknown_targets}

    def create(
        self, kind: str, name: str, *, tags: dict[str, str], fields: dict[str, Any], uses: Iterable[str]
    ) -> Thing:
        with self._write(f"create-{kind}"):
            if any(t.kind == kind and t.name == name for t in self.things.values()):
                raise LookupError(f"{kind} {name} exists")
            self._check(fields, uses)
            thing = Thing(f"{kind}-{next(self._ids)}", kind, name, dict(tags), self.stored(fields), set(uses))
            if kind == "balancer":
                thing.fields["address"] = self.new_address()
            self._serve_second_family(thing)
            thing.ready = not (self.slow and kind == "balancer")
            self.things[thing.id] = thing
            return thing

    def new_address(self) -> str:
        return f"198.51.{100 + (n := next(self._addresses)) // 256}.{n % 256}"

    def update(
        self, thing_id: str, *, fields: dict[str, Any], uses: Iterable[str], tags: dict[str, str] | None = None
    ) -> Thing:
        with self._write("update"):
            if thing_id not in self.things:
                raise KeyError(thing_id)
            self._check(fields, uses)
            thing = self.things[thing_id]
            thing.fields.update(self.stored(fields))
            self._serve_second_family(thing)
            thing.uses = set(uses)
            thing.tags.update(tags or {})
            return thing

    def _serve_second_family(self, thing: Thing) -> None:
        if "IPv6" in thing.fields.get("families", ()):
            thing.fields.setdefault("address6", f"2001:db8::{next(self._addresses):x}")
        else:
            thing.fields.pop("address6", None)

    def delete(self, thing_id: str) -> None:
        with self._write("delete"):
            if thing_id in self.things and self.things[thing_id].fields.get("protected"):
                raise RuntimeError(f"{self.things[thing_id].name} is protected against deletion")
            users = [t.name for t in self.things.values() if thing_id in t.uses]
            if users:
                raise PermissionError(f"{thing_id} is in use by {users}")
            self.things.pop(thing_id, None)

    def list(self, kind: str | None = None) -> list[Thing]:
        self.calls["list"] += 1
        return [t for t in self.things.values() if kind is None or t.kind == kind]

    def finish(self) -> None:
        """Let everything that is being made be ready."""
        for thing in self.things.values():
            thing.ready = True

    def state(self) -> list[tuple[Any, ...]]:
        """The whole cloud without ids, in a stable order."""
        names = {t.id: f"{t.kind}/{t.name}" for t in self.things.values()}
        return sorted(
            (t.kind, t.name, sorted(t.tags.items()), _plain(t.fields, names), sorted(names.get(u, u) for u in t.uses))
            for t in self.things.values()
        )

    def state_but_for(self, uid: str) -> str:
        """The whole cloud without a Service's uid, to compare what one Service has in different clusters."""
        short = uid.replace("-", "")[:31]  # as names hold it
        return repr(self.state()).replace(uid, "<uid>").replace(short, "<short uid>")

    def _check(self, fields: dict[str, Any], uses: Iterable[str]) -> None:
        if any(used in self.things and not self.things[used].ready for used in uses):
            self.refused_busy += 1
            raise PermissionError("a thing that it uses is still being made")
        missing = [used for used in uses if used not in self.things]
        if missing:
            raise KeyError(f"not found: {missing}")
        if "poison" in str(fields):
            raise ValueError("the request holds poison")

    def _write(self, name: str) -> _Write:
        return _Write(self, name)


class _Write:
    def __init__(self, cloud: MemoryCloud, name: str) -> None:
        self.cloud, self.name = cloud, name

    def __enter__(self) -> None:
        self.cloud.writes += 1
        self.number = self.cloud.writes
        self.cloud.calls[self.name] += 1
        self.cloud.before(self.name, self.number)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.cloud.after(self.name, self.number)


def _plain(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return sorted((key, _plain(item, names)) for key, item in value.items() if not key.startswith("address"))
    if isinstance(value, (list, tuple, frozenset)):
        return sorted((_plain(item, names) for item in value), key=str)
    return names.get(value, value)


# -- the driver -----------------------------------------------------------------------------------------------------

PREFIX = "memory.example.com/"


class MemorySettings(msgspec.Struct, frozen=True):
    """There is nothing to set."""


TABLE = AnnotationTable(
    (
        Annotation(PREFIX + "flavor", "flavor", Choice(("small", "large")), "Size class.", default="small"),
        Annotation(PREFIX + "timeout", "timeout", Integer(1, 3600), "Idle timeout in seconds.", default=60),
        Annotation(PREFIX + "poison", "poison", Boolean(), "Makes the firewall reject the rule.", default=False),
        Annotation(PREFIX + "pods", "pods", Boolean(), "Sends to pods instead of nodes.", default=False),
        Annotation(PREFIX + "also", "also", Text(), "A Service whose pods are targets too."),
        Annotation(PREFIX + "tier", "tier", Text(), "The Tier that sets its bandwidth."),
        Annotation(PREFIX + "subnet", "subnet", Choice(("a", "b", "missing")), "Where it lives.", default="a"),
    ),
    prefixes=(PREFIX,),
)
CAPABILITIES = Capabilities(
    protocols=frozenset({"TCP", "UDP"}), families=("IPv4", "IPv6"), dual_stack=True, affinity=Affinity.CLIENT_IP
)
RULES = Rules(
    {
        "balancer": KindRule(
            "balancer",
            {"flavor": FieldRule(hazard=Hazard.MOVES_ADDRESS, replaces=True)},
            on_delete=Hazard.LOSES_ADDRESS,
        ),
        "listener": KindRule("listener", on_delete=Hazard.INTERRUPTS),
        "rule": KindRule("firewall rule"),
    }
)
TIERS = "tiers.v1.example.com"
TIER_KNOWN = "TierKnown"
FIREWALL = Scope("firewall", "cluster")


class MemoryDriver:
    """Pods may wait for Services with the label `gated`, by their names."""

    gate_prefix = "gate." + PREFIX

    def __init__(self, setup: Setup, cloud: MemoryCloud) -> None:
        self.info = info(cloud)
        self._cluster = setup.cluster
        self.cloud = cloud

    def claims(self, service: Service) -> bool:
        return service.metadata.annotations.get(PREFIX + "elsewhere") != "true"

    def parse(self, service: Service) -> Intent:
        values = TABLE.read({k: v for k, v in service.metadata.annotations.items() if k != PREFIX + "elsewhere"})
        intent, problems = read_intent(service, capabilities=CAPABILITIES, values=values)
        if problems:
            raise InvalidService(problems)
        return intent

    def scopes(self, intent: Intent, world: World) -> tuple[Scope, ...]:
        return (Scope("balancer", default_balancer_name(intent.identity.uid)), FIREWALL)

    def facts(self, scope: Scope, world: World) -> Any:
        return None

    def model(self, scope: Scope, world: World, facts: Any) -> Desired:
        if scope == FIREWALL:
            return Desired.of(scope, [r for intent in world.intents.values() for r in self._rules(intent, world)])
        rejected = {
            i.identity: (Problem(f"metadata.annotations[{PREFIX}subnet]", "there is no subnet missing"),)
            for i in world.intents.values()
            if (i.options or {}).get("subnet") == "missing"
        }
        wanted = [i for i in world.intents.values() if i.identity not in rejected]
        return Desired.of(
            scope, [r for intent in wanted for r in self._balancer(scope, intent, world)], rejected=rejected
        )

    def _balancer(self, scope: Scope, intent: Intent, world: World) -> Iterator[Resource]:
        options = intent.options or {}
        balancer = Key("balancer", scope.name)
        owners = frozenset({intent.identity})
        fields = {
            "flavor": options["flavor"],
            "timeout": options["timeout"],
            "targets": self._targets(intent, world),
            "affinity": intent.affinity_seconds,
            "health": f"HTTP:{intent.health_port}/healthz" if intent.health_port else "TCP",
            "families": intent.families,
            "bandwidth": self._bandwidth(intent, world),
        }
        yield Resource(balancer, scope.name, fields, owners)
        for port in intent.ports:
            yield Resource(
                Key("listener", str(port)),
                f"{scope.name}-{port.port}-{port.protocol.lower()}",
                {"port": port.port, "protocol": port.protocol, "node_port": port.node_port, "balancer": Ref(balancer)},
                owners,
                frozenset({balancer}),
            )

    def _targets(self, intent: Intent, world: World) -> frozenset[str]:
        if not (intent.options or {})["pods"]:
            return frozenset(node.metadata.name for node in spread(world.nodes, self.cloud.most_targets))
        served = [intent.identity, *self._also(intent, world)]
        endpoints = (one for who in served for listed in world.slices[who] for one in listed.endpoints or ())
        return frozenset(address for endpoint in endpoints for address in endpoint.addresses)

    def _also(self, intent: Intent, world: World) -> list[Identity]:
        """The Service whose pods are targets too; MissingFact when there is none."""
        name = (intent.options or {}).get("also")
        if name is None:
            return []
        other = world.referred.get(Reference(SERVICES, intent.identity.namespace, str(name)))
        if not isinstance(other, Service):
            raise MissingFact(f"there is no Service {name}", hint="create it")
        return [identity_of(other)]

    def _bandwidth(self, intent: Intent, world: World) -> int:
        name = (intent.options or {}).get("tier")
        tier = world.referred.get(Reference(TIERS, intent.identity.namespace, str(name)))
        return int(tier.spec["bandwidth"]) if isinstance(tier, CustomObject) else 0

    def _rules(self, intent: Intent, world: World) -> Iterator[Resource]:
        name = default_balancer_name(intent.identity.uid)
        balancer = Ref(Key("balancer", name), scope=Scope("balancer", name))
        seen = world.observed.get(Scope("balancer", name))
        if seen is None or seen.get(balancer.key) is None or seen[balancer.key].state is not State.ACTIVE:
            return
        ranges, _ = served_ranges(intent.source_ranges, intent.families)
        marker = "poison" if (intent.options or {}).get("poison") else ""
        fields = {"sources": ranges, "balancer": seen[balancer.key].outputs["id"], "marker": marker}
        yield Resource(Key("rule", name), name, fields, frozenset({intent.identity}))

    def snapshot(self, world: World) -> Mapping[Scope, Observed]:
        return self._observed(self.cloud.list())

    def observe(self, scope: Scope, world: World) -> Observed:
        return self._observed(self.cloud.list()).get(scope, Observed(scope))

    def _observed(self, things: list[Thing]) -> dict[Scope, Observed]:
        found: dict[Scope, dict[Key, Seen]] = {}
        for thing in things:
            if thing.tags.get("cluster") != self._cluster.id or "owner" not in thing.tags:
                continue
            if thing.kind == "firewall":
                found.setdefault(FIREWALL, {}).update((s.key, s) for s in _rules_seen(thing))
            else:
                scope = Scope("balancer", thing.tags["scope"])
                seen = _seen(thing)
                found.setdefault(scope, {})[seen.key] = seen
        whole = not self.cloud.cuts_lists
        return {scope: Observed(scope, resources, complete=whole) for scope, resources in found.items()}

    def plan(self, desired: Desired, observed: Observed, world: World) -> Plan:
        waits = [Wait(f"{s.key} is being made", 2.0) for s in observed.resources.values() if s.state is State.PENDING]
        steps = diff(desired, observed, rules=RULES)
        if desired.scope == FIREWALL:
            actions = [Action("firewall", "update", steps, payload=desired)] if steps else []
            return build_plan(desired.scope, actions, waits=waits)
        if waits:
            return build_plan(desired.scope, (), waits=waits)
        return build_plan(desired.scope, [Action(f"{s.verb}-{s.key}", s.verb.value, (s,)) for s in steps])

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        try:
            return self._apply(action, refs)
        except KeyError as error:
            raise Conflict(f"{action.call}: {error} is gone") from None
        except ValueError as error:
            raise Rejected(f"{action.call}: {error}") from None
        except RuntimeError as error:
            raise PermissionDenied(f"{action.call}: {error}", hint="lift the protection") from None
        except PermissionError as error:
            raise NotReady(f"{action.call}: {error}", after_seconds=5.0) from None

    def _apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        if action.id == "firewall":
            return self._put_firewall(action)
        step = action.steps[0]
        if step.verb is Verb.DELETE:
            assert step.seen is not None
            self.cloud.delete(step.seen.outputs["id"])
            return Outputs(gone=(step.key,))
        if step.verb is Verb.RELEASE and step.key.kind == "rule":
            assert step.seen is not None
            rules = dict(self.cloud.things[step.seen.outputs["id"]].fields["rules"])
            fields, _ = rules[step.key.id]
            rules[step.key.id] = (fields, ["//"])
            self.cloud.update(step.seen.outputs["id"], fields={"rules": rules}, uses=[fields["balancer"]])
            return Outputs(gone=(step.key,))
        if step.verb is Verb.RELEASE:
            assert step.seen is not None
            self.cloud.update(step.seen.outputs["id"], fields={}, uses=(), tags={"owner": "", "cluster": ""})
            return Outputs(gone=(step.key,))
        assert step.desired is not None
        desired = step.desired
        fields = {k: refs.get(v) if isinstance(v, Ref) else v for k, v in desired.fields.items()}
        uses = [fields["balancer"]] if "balancer" in fields else []
        if step.verb in (Verb.UPDATE, Verb.REPLACE):
            assert step.seen is not None
            if step.verb is Verb.REPLACE:
                fields["address"] = self.cloud.new_address()
            thing = self.cloud.update(step.seen.outputs["id"], fields=fields, uses=uses)
        else:
            thing = self._create_or_find(desired, fields, uses, refs)
        seen = _seen(thing)
        if not thing.ready:
            return Pending(thing.id, poll_after=2.0, early=Outputs(seen=(seen,)))
        return Outputs(seen=(replace(seen, resource=replace(desired, fields=seen.resource.fields)),))

    def _create_or_find(self, desired: Resource, fields: dict[str, Any], uses: list[str], refs: Refs) -> Thing:
        owner = next(iter(desired.owners))
        tags = {"cluster": self._cluster.id, "owner": f"{owner.namespace}/{owner.name}/{owner.uid}"}
        tags |= {"scope": refs.scope.scope.name, "key": desired.key.id}
        try:
            return self.cloud.create(desired.key.kind, desired.name, tags=tags, fields=fields, uses=uses)
        except LookupError as error:
            if isinstance(error, KeyError):
                raise
            thing = next(t for t in self.cloud.list(desired.key.kind) if t.name == desired.name)
            if thing.tags.get("cluster") != self._cluster.id:
                raise Rejected(f"{desired.name} belongs to another") from None
            return thing

    def _put_firewall(self, action: Action) -> Outputs:
        desired = action.payload
        assert isinstance(desired, Desired)
        rules = {
            key.id: (dict(r.fields), sorted(f"{o.namespace}/{o.name}/{o.uid}" for o in r.owners))
            for key, r in desired.resources.items()
        }
        existing = next((t for t in self.cloud.list("firewall") if t.tags.get("cluster") == self._cluster.id), None)
        released = {k: v for k, v in existing.fields["rules"].items() if v[1] == ["//"]} if existing else {}
        rules = released | rules
        uses = [fields["balancer"] for fields, _ in rules.values()]
        if existing is None:
            tags = {"cluster": self._cluster.id, "owner": ""}
            thing = self.cloud.create("firewall", "rules", tags=tags, fields={"rules": rules}, uses=uses)
        else:
            thing = self.cloud.update(existing.id, fields={"rules": rules}, uses=uses)
        seen = tuple(_rules_seen(thing))
        gone = tuple(step.key for step in action.steps if step.verb is Verb.DELETE)
        return Outputs(seen=seen, gone=gone)

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        things = {thing.id: thing for thing in self.cloud.list("balancer")}
        over: dict[str, Outcome] = {}
        for one in pending:
            if one.operation in self.cloud.failing:
                over[one.operation] = self.cloud.failing.pop(one.operation)
            elif one.operation in things and things[one.operation].ready:
                over[one.operation] = Outputs(seen=(_seen(things[one.operation]),))
        return over

    def status(self, identity: Identity, world: World) -> Status:
        name = default_balancer_name(identity.uid)
        observed = world.observed.get(Scope("balancer", name))
        seen = observed.get(Key("balancer", name)) if observed else None
        if seen is None or not seen.ours:
            return Status(waiting_for="the balancer does not exist yet")
        waiting = "" if seen.state is State.ACTIVE else "the balancer is being made"
        addresses = (seen.outputs["address"], seen.outputs["address6"])
        ingress = tuple(Ingress(ip=address) for address in addresses if address)
        return Status(ingress, waiting, conditions=tuple(self._tier_known(identity, world)))

    def _tier_known(self, identity: Identity, world: World) -> Iterator[Verdict]:
        intent = world.intents.get(identity)
        name = (intent.options or {}).get("tier") if intent is not None else None
        if name is not None:
            is_known = Reference(TIERS, identity.namespace, str(name)) in world.referred
            yield Verdict(TIER_KNOWN, is_known, "Found" if is_known else "Missing", f"tier {name}")

    def release(self, identity: Identity, observed: Observed) -> tuple[Action, ...]:
        if self.cloud.names_are_marks:
            return ()
        return tuple(
            Action(str(seen.key), "update", (Step(Verb.RELEASE, seen.key, owners=seen.resource.owners, seen=seen),))
            for seen in observed.resources.values()
            if identity in seen.resource.owners
        )

    def health(self, identities: Iterable[Identity], world: World) -> Mapping[Identity, Health]:
        found: dict[Identity, Health] = {}
        for identity in identities:
            name = default_balancer_name(identity.uid)
            for thing in self.cloud.list("balancer"):
                if thing.name == name:
                    targets = thing.fields["targets"]
                    found[identity] = Health(len(targets - self.cloud.unhealthy), len(targets))
        return found

    def may_gate(self, service: Service) -> bool:
        return "gated" in service.metadata.labels

    def known_gates(self, conditions: Iterable[str], world: World) -> frozenset[str]:
        return frozenset(conditions) & {self.gate_prefix + identity.name for identity in world.intents}

    def judge(self, gates: Iterable[Gate], world: World) -> Mapping[Gate, Judgement]:
        self.cloud.calls["judge"] += 1
        return {gate: Judgement(healthy=self.cloud.unhealthy.isdisjoint(gate.addresses)) for gate in gates}

    def check(self) -> Iterator[Finding]:
        yield Finding(Level.OK, "cloud", "the cloud answers")
        if self.cloud.most_targets < 10:  # few enough to be worth a word
            yield Finding(Level.FAILED, "quota", f"{self.cloud.most_targets} targets are allowed", "ask for more")

    def close(self) -> None:
        pass


def _owner(text: str) -> frozenset[Identity]:
    return frozenset({Identity(*text.split("/"))}) if text else frozenset()


def _seen(thing: Thing) -> Seen:
    balancer = Key("balancer", thing.tags["scope"])
    key = Key(thing.kind, thing.tags["key"])
    fields = {k: v for k, v in thing.fields.items() if not k.startswith("address") and k != "protected"}
    needs = frozenset() if key == balancer else frozenset({balancer})
    outputs = {"id": thing.id, "address": thing.fields.get("address", ""), "address6": thing.fields.get("address6", "")}
    outputs |= {"created": thing.created} if thing.created else {}
    state = State.ACTIVE if thing.ready else State.PENDING
    return Seen(Resource(key, thing.name, fields, _owner(thing.tags["owner"]), needs), outputs, state)


def _rules_seen(thing: Thing) -> Iterator[Seen]:
    for name, (fields, owners) in thing.fields["rules"].items():
        if owners == ["//"]:
            continue  # released: it stays in the document, and nobody of ours owns it
        identities = frozenset(identity for owner in owners for identity in _owner(owner))
        yield Seen(Resource(Key("rule", name), name, fields, identities), {"id": thing.id})


def references(service: Service) -> frozenset[Reference]:
    """What the annotations of a Service refer to."""
    named = ((SERVICES, PREFIX + "also"), (TIERS, PREFIX + "tier"))
    annotations, namespace = service.metadata.annotations, service.metadata.namespace
    return frozenset(Reference(kind, namespace, annotations[key]) for kind, key in named if key in annotations)


def info(cloud: MemoryCloud) -> DriverInfo:
    return DriverInfo(
        name="memory",
        summary="A cloud in memory, for tests",
        capabilities=CAPABILITIES,
        annotations=TABLE,
        scope_kinds=("balancer", "firewall"),
        node_kinds=frozenset({"balancer"}),
        connect=lambda setup: MemoryDriver(setup, cloud),
        settings=MemorySettings,
        classes=("example.com/memory",),
        watches=frozenset({"pods", "endpointslices"}),
        refers_to=(SERVICES, TIERS),
        result_conditions=frozenset({TIER_KNOWN}),
        references=references,
        node_identity=lambda node: node.metadata.name,
        controller_leases=("kube-system/memory-controller",),
        billed={"balancer": "by the hour"},
        ready_node=lambda node: bool(node.spec.provider_id),
        config_faults=lambda _settings: cloud.config_faults,
        documents=lambda _settings: ("secrets/kube-system/memory-config",),
        permissions=lambda _settings, services: {"allow": sorted(_permissions(services))},
    )


def _permissions(services: Iterable[Service] | None) -> set[str]:
    """The firewall is needed only for Services that narrow their clients down."""
    narrow = services is None or any(service.spec.load_balancer_source_ranges for service in services)
    return {"balancer/write", "balancer/read", *(["firewall/write"] if narrow else [])}


__all__ = ["CloudError", "Crash", "MemoryCloud", "MemoryDriver", "identity_of", "info"]
