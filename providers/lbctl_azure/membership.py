"""Interfaces in pools: which machine belongs into which pool, read, modelled and planned. Pure.

Used with pools of interfaces (`nodeIPConfiguration`). The model of a scale set comes before its instances, because an
instance that differs from its model is undone by the model's next update; a set whose model is in the pool gives every
new instance its membership without a write of ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lbctl.driver import World
from lbctl.model.objects import Node
from lbctl.model.resource import Desired, Key, Observed, Resource, Scope, Seen, nothing
from lbctl.model.status import Notice, Severity
from lbctl.plan.actions import Action, Plan, Step, Verb
from lbctl.plan.order import build_plan
from lbctl_azure.account import BALANCER_SCOPE, Account
from lbctl_azure.elements import FRONTEND, POOL, RULE
from lbctl_azure.ids import last_segment, parent_of, segment_after
from lbctl_azure.names import family_of_pool
from lbctl_azure.nodes import Machine, machine_of, takes_traffic
from lbctl_azure.placement import scope_of
from lbctl_azure.wish import wishes

MEMBER = "member"
SCALE_SET = "scale-set"
FAMILIES = ("IPv4", "IPv6")
Document = Mapping[str, Any]
Pools = frozenset[str]


@dataclass(frozen=True, slots=True)
class Machines:
    """What is known of machines: uniform scale sets, and the interface of each machine that has one of its own."""

    scale_sets: Mapping[Key, Seen] = field(default_factory=nothing, hash=False)
    interfaces: Mapping[str, Document] = field(default_factory=nothing, hash=False)

    @classmethod
    def observed_in(cls, observed: Observed) -> Machines:
        """What an observation of the scope knows."""
        sets = {seen.key: seen for seen in observed.of_kind(SCALE_SET)}
        return cls(sets, observed.body if isinstance(observed.body, dict) else {})

    def knows(self, machine: Machine) -> bool:
        """True when the machine's interface, or the scale set that describes it, was read."""
        if machine.scale_set:
            return scale_set_key(machine.scale_set) in self.scale_sets
        return machine.id.lower() in self.interfaces

    def families(self, machine: Machine) -> list[str]:
        """Families that the machine's interface has."""
        if machine.scale_set:
            return self.scale_sets[scale_set_key(machine.scale_set)].outputs["families"].split(",")
        return _families(self.interfaces[machine.id.lower()])

    def other_balancers(self, machine: Machine, account: Account) -> str:
        """Foreign balancers that the machine's interface serves; an interface can serve but one of a kind."""
        if machine.scale_set:
            return self.scale_sets[scale_set_key(machine.scale_set)].outputs["others"]
        return _foreign_balancers(pools_in(self.interfaces[machine.id.lower()]), account)

    def interface_of(self, machine: Machine) -> str | None:
        """Id of the machine's own interface; None for an instance of a uniform set."""
        found = self.interfaces.get(machine.id.lower())
        return str(found["id"]) if found and not machine.scale_set else None


# -- reading -----------------------------------------------------------------------------------------------------------


def read_members(balancers: Mapping[Scope, Observed], machines: Machines, account: Account) -> list[Seen]:
    """Machines in our pools and all uniform scale sets."""
    own = (read_interface(machine, document, account) for machine, document in machines.interfaces.items())
    return [*machines.scale_sets.values(), *(seen for seen in own if seen), *_instances(balancers, account)]


def own_interfaces(interfaces: Iterable[Document]) -> dict[str, Document]:
    """The primary interface of each machine that has interfaces of its own, by the machine's id in lower case."""
    found = {
        (document["properties"].get("virtualMachine") or {}).get("id", "").lower(): document
        for document in interfaces
        if _is_primary(document)
    }
    found.pop("", None)
    return found


def _is_primary(interface: Document) -> bool:
    return bool(interface["properties"].get("primary", True))


def is_uniform(scale_set: Document) -> bool:
    """True for scale sets whose instances have no interfaces of their own."""
    return bool((scale_set.get("properties") or {}).get("orchestrationMode", "Uniform") != "Flexible")


def configurations_of(document: Document) -> list[dict[str, Any]]:
    """IP configurations of the primary interface of an interface, an instance or a scale set's model."""
    properties = document.get("properties") or {}
    if "ipConfigurations" in properties:
        return list(properties["ipConfigurations"])
    listed = network_profile(document).get("networkInterfaceConfigurations") or []
    primary = next((item for item in listed if (item.get("properties") or {}).get("primary")), None)
    chosen = primary or (listed[0] if listed else {"properties": {}})
    return list(chosen["properties"].get("ipConfigurations") or [])


def network_profile(document: Document) -> Mapping[str, Any]:
    """The part of a scale set or an instance that describes its interfaces."""
    properties = document.get("properties") or {}
    of_model = (properties.get("virtualMachineProfile") or {}).get("networkProfile")
    found: Mapping[str, Any] = of_model or properties.get("networkProfileConfiguration") or {}
    return found


def pools_in(document: Document) -> Pools:
    """Ids of all pools that the primary interface is in, in lower case."""
    return frozenset(
        pool["id"].lower()
        for configuration in configurations_of(document)
        for pool in (configuration.get("properties") or {}).get("loadBalancerBackendAddressPools") or []
    )


def is_our_pool(pool_id: str, account: Account) -> bool:
    """True for a pool of one of our load balancers that carries the cluster's pool name, and that we fill."""
    balancer = segment_after(pool_id, "loadBalancers")
    is_filled = account.is_ours(balancer) and account.keeps_members(balancer)
    return is_filled and last_segment(pool_id) in {name.lower() for name in account.pools}


def spelt_pool(pool_id: str, account: Account) -> str:
    """The id of a pool of ours in the case in which it is written."""
    balancer = account.balancer_id(account.scope_named(segment_after(pool_id, "loadBalancers")))
    name = next(name for name in account.pools if name.lower() == last_segment(pool_id).lower())
    return f"{balancer}/backendAddressPools/{name}"


def read_scale_set(document: Document, account: Account) -> Seen:
    """A uniform scale set with the pools of its model."""
    pools = pools_in(document)
    ours = frozenset(pool for pool in pools if is_our_pool(pool, account))
    resource = Resource(scale_set_key(document["id"]), document["name"], {"pools": ours})
    outputs = {
        "id": document["id"],
        "families": ",".join(_families(document)),
        "others": _foreign_balancers(pools, account),
    }
    return Seen(resource, outputs)


def read_interface(machine: str, document: Document, account: Account) -> Seen | None:
    """A machine that is in pools of ours through its own interface; None when it is in none."""
    ours = frozenset(pool for pool in pools_in(document) if is_our_pool(pool, account))
    resource = Resource(member_key(machine), last_segment(machine), {"pools": ours})
    return Seen(resource, {"id": machine, "interface": document["id"]}) if ours else None


def read_instance(document: Document, account: Account) -> Seen | None:
    """An instance of a uniform scale set that is in pools of ours; None when it is in none."""
    ours = frozenset(pool for pool in pools_in(document) if is_our_pool(pool, account))
    resource = Resource(member_key(document["id"]), last_segment(document["id"]), {"pools": ours})
    return Seen(resource, {"id": document["id"]}) if ours else None


def _instances(balancers: Mapping[Scope, Observed], account: Account) -> Iterator[Seen]:
    """Instances of uniform sets need no read of their own: the pools list them."""
    found: dict[str, set[str]] = defaultdict(set)
    for observed in balancers.values():
        for pool in observed.of_kind(POOL):
            for member in filter(None, pool.outputs.get("members", "").split("\n")):
                machine, separator, _ = member.partition("/networkinterfaces/")
                if (
                    separator
                    and "/virtualmachinescalesets/" in machine
                    and is_our_pool(pool.outputs["id"].lower(), account)
                ):
                    found[machine].add(pool.outputs["id"].lower())
    for machine, pools in sorted(found.items()):
        resource = Resource(member_key(machine), last_segment(machine), {"pools": frozenset(pools)})
        yield Seen(resource, {"id": machine})


def _families(document: Document) -> list[str]:
    found = {c["properties"].get("privateIPAddressVersion", "IPv4") for c in configurations_of(document)}
    return [family for family in FAMILIES if family in found]


def _foreign_balancers(pools: Pools, account: Account) -> str:
    names = {segment_after(pool, "loadBalancers") for pool in pools}
    return ",".join(sorted(name for name in names if not account.is_ours(name)))


def member_key(machine: str) -> Key:
    """Key of a machine."""
    return Key(MEMBER, machine.lower())


def scale_set_key(scale_set: str) -> Key:
    """Key of a uniform scale set."""
    return Key(SCALE_SET, scale_set.lower())


# -- modelling ---------------------------------------------------------------------------------------------------------


def model_members(scope: Scope, world: World, known: Machines, account: Account) -> Desired:
    """The pools that every machine should be in; one that is no target any more leaves them, unless it is the last."""
    observed = world.observed.get(scope, Observed(scope))
    filled = (scope_ for scope_ in _living(world) if account.keeps_members(scope_.name))
    pools = {scope_: found for scope_ in filled if (found := _pools_of(scope_, world))}
    machines = [(node, machine) for node in world.nodes if (machine := machine_of(node)) and known.knows(machine)]
    strangers = [node for node, machine in machines if known.other_balancers(machine, account)]
    members = [
        resource
        for node, machine in machines
        if node not in strangers
        and (resource := _member(node, machine, pools, known=known, world=world, account=account)) is not None
    ]
    resources = [*members, *_models(members, pools, known)]
    return Desired.of(scope, _never_empty(resources, observed, pools), notices=_notices(strangers, world))


def _living(world: World) -> set[Scope]:
    """Balancers that somebody uses who is not known to be going away; one who still waits to come uses nothing."""
    return {
        scope
        for scope, observed in world.observed.items()
        if scope.kind == BALANCER_SCOPE and any(_stays(seen, world) for seen in observed.resources.values())
    }


def is_kept_by_strangers(scope: Scope, world: World, account: Account) -> bool:
    """True for a balancer with members for nobody but Services that are gone: only `lbctl gc` removes such a one."""
    sitting = any(scope_of(wish, world, account) == scope for wish in wishes(world))
    return not sitting and scope in _living(world)


def _stays(seen: Seen, world: World) -> bool:
    """A foreign frontend stays; a Service's part stays unless the Service is known and not wanted."""
    if seen.key.kind == FRONTEND and not seen.ours:
        return True
    owners = seen.resource.owners
    return seen.key.kind in (FRONTEND, RULE) and any(o in world.intents or o not in world.services for o in owners)


def _pools_of(scope: Scope, world: World) -> dict[str, str]:
    """Pool ids of a balancer by family, as far as the pools exist."""
    observed = world.observed.get(scope, Observed(scope))
    return {
        family_of_pool(seen.resource.name): seen.outputs["id"].lower() for seen in observed.of_kind(POOL) if seen.ours
    }


def _member(
    node: Node,
    machine: Machine,
    pools: Mapping[Scope, Mapping[str, str]],
    *,
    known: Machines,
    world: World,
    account: Account,
) -> Resource | None:
    families = known.families(machine)
    wanted = frozenset(
        pool
        for scope, by_family in pools.items()
        if takes_traffic(node, account, scope, world)
        for family, pool in by_family.items()
        if family in families
    )
    if not wanted:
        return None
    needs = frozenset({scale_set_key(machine.scale_set)} if machine.scale_set else ())
    fields = {"pools": wanted, "interface": known.interface_of(machine)}
    return Resource(member_key(machine.id), node.metadata.name, fields, needs=needs)


def _models(
    members: Iterable[Resource], pools: Mapping[Scope, Mapping[str, str]], known: Machines
) -> Iterator[Resource]:
    """Every scale set: in the pools of its members, and out of those of balancers that are going away."""
    by_set: dict[Key, set[str]] = defaultdict(set)
    for member in members:
        for need in member.needs:
            by_set[need] |= pools_of(member)
    alive = {pool for by_family in pools.values() for pool in by_family.values()}
    for seen in known.scale_sets.values():
        wanted = frozenset(by_set.get(seen.key, set()) | (pools_of(seen.resource) & alive))
        yield Resource(seen.key, seen.resource.name, {"pools": wanted})


def _never_empty(
    resources: list[Resource], observed: Observed, pools: Mapping[Scope, Mapping[str, str]]
) -> list[Resource]:
    """The last member of a living pool stays: an empty pool loses the nodes' outbound traffic."""
    unserved = {pool for by_family in pools.values() for pool in by_family.values()}
    for resource in resources:
        if resource.key.kind == MEMBER:
            unserved -= pools_of(resource)
    wanted = {resource.key for resource in resources}
    for seen in observed.of_kind(MEMBER):
        if seen.key not in wanted and pools_of(seen.resource) & unserved:
            resources.append(seen.resource)
            unserved -= pools_of(seen.resource)
    return resources


def pools_of(resource: Resource) -> Pools:
    """The pools of ours that a machine or a scale set's model is in."""
    value = resource.fields.get("pools")
    return value if isinstance(value, frozenset) else frozenset()


def _notices(strangers: Iterable[Node], world: World) -> dict[Any, tuple[Notice, ...]]:
    names = sorted(node.metadata.name for node in strangers)
    if not names:
        return {}
    text = f"nodes {', '.join(names)} serve another load balancer already and are left alone"
    return dict.fromkeys(world.intents, (Notice(Severity.WARNING, "NodeInOtherBalancer", text),))


# -- planning ----------------------------------------------------------------------------------------------------------


def plan_members(steps: Iterable[Step], observed: Observed, _world: World, _account: Account) -> Plan:
    """One write a machine, after the one of its scale set's model."""
    every = tuple(steps)
    models = {step.key.id: f"model {step.key.id}" for step in every if step.key.kind == SCALE_SET}
    actions = [
        Action(models[s.key.id], "virtualMachineScaleSets/write", (s,)) for s in every if s.key.kind == SCALE_SET
    ]
    for step in every:
        if step.key.kind != MEMBER:
            continue
        scale_set = parent_of(step.key.id) if "/virtualmachinescalesets/" in step.key.id else ""
        call = "virtualMachines/write" if scale_set else "networkInterfaces/write"
        after = frozenset({models[scale_set]} if scale_set in models else ())
        actions.append(Action(f"member {step.key.id}", call, (step,), after))
    return build_plan(observed.scope, actions)


# -- writing -----------------------------------------------------------------------------------------------------------


def wanted_pools(step: Step) -> Pools:
    """The pools that the step leads to."""
    gone = step.verb is Verb.DELETE or step.desired is None
    value: Hashable = None if gone or step.desired is None else step.desired.fields.get("pools")
    return value if isinstance(value, frozenset) else frozenset()


def with_pools(configurations: Iterable[Mapping[str, Any]], wanted: Pools, account: Account) -> list[dict[str, Any]]:
    """The IP configurations in these pools of ours, foreign pools kept: the first of each family takes its pools."""
    result = []
    left = set(FAMILIES)
    for item in configurations:
        properties = dict(item.get("properties") or {})
        family = properties.get("privateIPAddressVersion", "IPv4")
        present = properties.get("loadBalancerBackendAddressPools") or []
        kept = [pool for pool in present if not is_our_pool(pool["id"].lower(), account)]
        still = [pool for pool in present if pool["id"].lower() in wanted]
        if family in left:
            left.discard(family)
            have = {pool["id"].lower() for pool in still}
            new = sorted(pool for pool in wanted - have if family_of_pool(last_segment(pool)) == family)
            still += [{"id": spelt_pool(pool, account)} for pool in new]
        properties["loadBalancerBackendAddressPools"] = [*kept, *still]
        result.append({**item, "properties": properties})
    return result


def interface_of(step: Step) -> str:
    """Id of the interface that a step on a machine writes."""
    if step.seen is not None:
        return step.seen.outputs["interface"]
    assert step.desired is not None
    return str(step.desired.fields["interface"])
