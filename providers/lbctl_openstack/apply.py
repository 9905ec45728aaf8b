"""One action -> one write.

Octavia's writes come back as `Pending`: the balancer takes no other write until it is ACTIVE again, and what the plan
wanted counts as seen from then on. A reply that is lost leaves the scope in doubt, so that the next pass looks first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace

from lbctl.driver import Pending, Refs, World
from lbctl.errors import CloudBug, Conflict, MissingFact, Rejected
from lbctl.model.resource import Key, Observed, Outputs, Ref, Resource, Scope, Seen, State
from lbctl.plan.actions import Action, Step, Verb
from lbctl_openstack import bodies, names, plan
from lbctl_openstack.bodies import settled
from lbctl_openstack.client import BALANCING, NETWORK, Client
from lbctl_openstack.errors import Busy
from lbctl_openstack.fields import Json, Member, member_body, monitor_body, pool_body
from lbctl_openstack.group_calls import GroupWriter
from lbctl_openstack.observe import Reading, observe_all, seen_floating

LISTENERS, POOLS, MONITORS = "/lbaas/listeners", "/lbaas/pools", "/lbaas/healthmonitors"
BALANCERS = "/lbaas/loadbalancers"
FLOATING = "/floatingips"
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 3.0, 1.0, 2.0
FLIGHT = "flight"
BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Writer:
    """Everything that can be written for one cluster."""

    client: Client
    cluster: str

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Run one action; when the balancer is busy with what somebody else wants, wait for that."""
        if action.call in GROUP_CALLS:
            return GROUP_CALLS[action.call](GroupWriter(self.client, self.cluster), action, refs)
        try:
            return CALLS[action.call](self, action, refs)
        except Busy:
            balancer = refs.scope.get(names.BALANCER_KEY)
            if balancer is None:
                raise
            return self._somebody_elses(action, balancer, refs)

    def _somebody_elses(self, action: Action, balancer: Seen, refs: Refs) -> Pending:
        """Nothing was done: the balancer is polled like one of ours, and the action is planned again after that."""
        nothing_done = Outputs((replace(balancer, state=State.ACTIVE),))
        early = Outputs((_in_flight(balancer, refs),))
        return Pending(f"{balancer.outputs['id']} {BUSY} {action.id}", UPDATE_SECONDS, early, nothing_done)

    # -- balancers --------------------------------------------------------------------------------------------------

    def create(self, action: Action, refs: Refs) -> Pending:
        """POST the balancer with everything in it; the reply tells ids, VIP and its port."""
        body = bodies.balancer_creation(action.steps, cluster=self.cluster)
        reply = self.client.post(BALANCING, BALANCERS, body)["loadbalancer"]
        seen = tuple(_made(reply, refs.world, refs.scope.scope))
        outputs = Outputs(tuple(replace(s, state=State.ACTIVE) for s in seen))
        early = Outputs(tuple(_in_flight(s, refs) if s.key == names.BALANCER_KEY else s for s in seen))
        return Pending(f"{reply['id']} {action.id}", CREATE_SECONDS, early, outputs)

    def update(self, action: Action, refs: Refs) -> Pending:
        """PUT the balancer's tags; without a wish, those of the Services that have left are taken off."""
        (step,) = action.steps
        seen = _seen(step)
        if step.desired is None:
            self._put(seen, BALANCERS, "loadbalancer", {"tags": bodies.left_tags(self._fresh_tags(seen))})
            return self._pending(action, refs, Outputs(gone=(step.key,)), UPDATE_SECONDS)
        tags = bodies.balancer_tags(step.desired, self._fresh_tags(seen))
        self._put(seen, BALANCERS, "loadbalancer", {"name": step.desired.fields["name"], "tags": tags})
        confirmed = _confirmed(step, refs, {**seen.outputs, "tags": json.dumps(tags)})
        shared = _shared_floating(refs.scope, step.desired)
        return self._pending(action, refs, Outputs((confirmed, *shared)), UPDATE_SECONDS)

    def _fresh_tags(self, seen: Seen) -> Seen:
        """The balancer with the tags that it has now: others may have added theirs."""
        reply = self.client.get(BALANCING, f"{BALANCERS}/{seen.outputs['id']}")["loadbalancer"]
        return replace(seen, outputs={**seen.outputs, "tags": json.dumps([t for t in reply.get("tags") or [] if t])})

    def release(self, action: Action, refs: Refs) -> Outputs:
        """PUT the balancer's tags without our uid tag: what stays is just what upstream would have made."""
        if any(step.key == names.BALANCER_KEY for step in action.steps):
            seen = self._fresh_tags(refs.scope[names.BALANCER_KEY])
            tags = [tag for tag in json.loads(seen.outputs["tags"]) if not tag.startswith(names.UID_TAG)]
            self._put(seen, BALANCERS, "loadbalancer", {"tags": tags})
        return Outputs(gone=tuple(step.key for step in action.steps))

    def delete(self, action: Action, refs: Refs) -> Pending:
        """DELETE the balancer with everything in it."""
        balancer = next(step for step in action.steps if step.key.kind == names.BALANCER)
        identity = _seen(balancer).outputs["id"]
        self.client.delete(BALANCING, f"{BALANCERS}/{identity}", cascade="true")
        whole = (step.key for step in action.steps)
        if balancer.key == names.BALANCER_KEY:
            whole = (key for key in refs.scope.resources if key.kind not in plan.NEUTRON_KINDS)
        outputs = Outputs(gone=tuple(whole))
        early = Outputs((_in_flight(_seen(balancer), refs),))
        return Pending(f"{identity} {action.id}", DELETE_SECONDS, early, outputs)

    # -- what belongs to a balancer -----------------------------------------------------------------------------------

    def create_listener(self, action: Action, refs: Refs) -> Pending:
        """POST a listener that points to a pool that is there already."""
        resource, fields = _wanted(action, refs)
        body = bodies.listener_creation(resource, fields) | {"loadbalancer_id": _balancer_id(refs)}
        reply = self.client.post(BALANCING, LISTENERS, {"listener": body})["listener"]
        return self._confirm(action, refs, {"id": reply["id"], "tags": "[]", "headers": "{}", **_noted(reply)})

    def update_listener(self, action: Action, refs: Refs) -> Pending:
        """PUT what differs of a listener; tags and headers are read first, since others may have added theirs."""
        step = action.steps[0]
        resource, fields = _wanted(action, refs)
        seen = refs.scope[resource.key]
        changed = {change.field for change in step.changes}
        if changed & {"tags", "headers"}:
            seen = self._fresh(seen)
        body = bodies.listener_update({name: fields[name] for name in changed}, seen)
        self._put(seen, LISTENERS, "listener", body)
        return self._confirm(action, refs, {**seen.outputs, **_noted(body)})

    def _fresh(self, seen: Seen) -> Seen:
        reply = self.client.get(BALANCING, f"{LISTENERS}/{seen.outputs['id']}")["listener"]
        return replace(seen, outputs={**seen.outputs, **_noted(reply)})

    def create_pool(self, action: Action, refs: Refs) -> Pending:
        """POST a pool on the balancer, without members and without a listener."""
        resource, _ = _wanted(action, refs)
        body = bodies.pool_creation(resource) | {"loadbalancer_id": _balancer_id(refs)}
        reply = self.client.post(BALANCING, POOLS, {"pool": body})["pool"]
        pool = _confirmed(action.steps[0], refs, {"id": reply["id"], "tags": json.dumps(body["tags"])})
        empty = Resource(
            Key("members", resource.key.id), "", {"members": frozenset()}, resource.owners, frozenset({resource.key})
        )
        outputs = Outputs((pool, Seen(empty, {"pool": reply["id"], "ids": "{}"})))
        return self._pending(action, refs, outputs, UPDATE_SECONDS)

    def update_pool(self, action: Action, refs: Refs) -> Pending:
        """PUT algorithm and persistence of a pool."""
        resource, fields = _wanted(action, refs)
        seen = refs.scope[resource.key]
        self._put(seen, POOLS, "pool", pool_body(fields))
        return self._confirm(action, refs, dict(seen.outputs))

    def put_members(self, action: Action, refs: Refs) -> Pending:
        """PUT the whole set of members."""
        resource, _ = _wanted(action, refs)
        pool = refs.get(Ref(Key("pool", resource.key.id)))
        self.client.put(BALANCING, f"{POOLS}/{pool}/members", {"members": bodies.members_of(resource)})
        return self._confirm(action, refs, {"pool": pool, "ids": "{}"})

    def add_member(self, action: Action, refs: Refs) -> Pending:
        """POST one member, for a provider that takes no batch."""
        resource, _ = _wanted(action, refs)
        member, pool = _member(action), refs.get(Ref(Key("pool", resource.key.id)))
        body = {"member": member_body(member)}
        reply = self.client.post(BALANCING, f"{POOLS}/{pool}/members", body)["member"]
        return self._pending(action, refs, _with_member(refs.scope, resource, member, reply["id"]), UPDATE_SECONDS)

    def drop_member(self, action: Action, refs: Refs) -> Pending:
        """DELETE one member, for a provider that takes no batch."""
        resource, _ = _wanted(action, refs)
        member, pool = _member(action), refs.get(Ref(Key("pool", resource.key.id)))
        member_id = json.loads(refs.scope[resource.key].outputs["ids"])[member.place]
        self.client.delete(BALANCING, f"{POOLS}/{pool}/members/{member_id}")
        return self._pending(action, refs, _with_member(refs.scope, resource, member, ""), UPDATE_SECONDS)

    def create_monitor(self, action: Action, refs: Refs) -> Pending:
        """POST the health monitor of a pool."""
        resource, _ = _wanted(action, refs)
        pool = refs.get(Ref(Key("pool", resource.key.id)))
        body = bodies.monitor_creation(resource) | {"pool_id": pool}
        reply = self.client.post(BALANCING, MONITORS, {"healthmonitor": body})["healthmonitor"]
        return self._confirm(action, refs, {"id": reply["id"]})

    def update_monitor(self, action: Action, refs: Refs) -> Pending:
        """PUT the numbers of a health monitor."""
        resource, fields = _wanted(action, refs)
        seen = refs.scope[resource.key]
        self._put(seen, MONITORS, "healthmonitor", monitor_body(fields))
        return self._confirm(action, refs, dict(seen.outputs))

    def delete_child(self, action: Action, refs: Refs) -> Pending:
        """DELETE a listener, pool or monitor; a pool takes its members and monitor along."""
        step = action.steps[0]
        path = CHILD_PATHS[step.key.kind]
        self.client.delete(BALANCING, f"{path}/{_seen(step).outputs['id']}")
        gone = [step.key]
        if step.key.kind == "pool":
            gone += [Key("members", step.key.id), Key("monitor", step.key.id)]
        return self._pending(action, refs, Outputs(gone=tuple(gone)), UPDATE_SECONDS)

    # -- floating IPs -----------------------------------------------------------------------------------------------

    def attach(self, action: Action, refs: Refs) -> Outputs:
        """Bring a floating IP to the VIP port: the one that is ours already, the wanted one, or a new one."""
        (step,) = action.steps
        assert step.desired is not None
        port = refs.get(Ref(names.BALANCER_KEY, "vip_port_id"))
        wanted = str(step.desired.fields.get("address") or "")
        if step.verb is Verb.UPDATE and step.seen is not None:
            return self._point(step, step.seen.outputs["id"], port)
        if wanted and (free := self._free_address(wanted, port)):
            return self._point(step, free, port)
        return self._new_floating(step, port, wanted)

    def keep(self, action: Action, _refs: Refs) -> Outputs:
        """PUT the tag that says that a floating IP of ours is meant to stay."""
        (step,) = action.steps
        seen = _seen(step)
        tags = sorted({*json.loads(seen.outputs["tags"]), names.KEPT_TAG})
        self.client.put(NETWORK, f"{FLOATING}/{seen.outputs['id']}/tags", {"tags": tags})
        return Outputs()

    def give_up(self, action: Action, refs: Refs) -> Outputs:
        """DELETE a floating IP that we made; one that we only attached, or that is to be kept, is only detached."""
        (step,) = action.steps
        seen = _seen(step)
        path = f"{FLOATING}/{seen.outputs['id']}"
        if seen.outputs["made"] and not plan.is_kept(step, refs.world):
            self.client.delete(NETWORK, path)
        elif seen.resource.fields["port"]:
            self.client.put(NETWORK, path, {"floatingip": {"port_id": None}})
        return Outputs(gone=(step.key,))

    def _free_address(self, address: str, port: str) -> str:
        """Id of the floating IP with this address; empty when there is none, `Rejected` when it is in use."""
        for body in self.client.list(NETWORK, FLOATING, "floatingips", floating_ip_address=address):
            if body.get("port_id") not in (None, "", port):
                raise Rejected(
                    f"floating IP {address} is not available: it is attached to port {body['port_id']}",
                    hint="choose another address, or detach it first",
                )
            return str(body["id"])
        return ""

    def _point(self, step: Step, floating_id: str, port: str) -> Outputs:
        reply = self.client.put(NETWORK, f"{FLOATING}/{floating_id}", {"floatingip": {"port_id": port}})
        return self._seen_floating(step, reply["floatingip"])

    def _new_floating(self, step: Step, port: str, wanted: str) -> Outputs:
        assert step.desired is not None
        fields = step.desired.fields
        (owner,) = step.desired.owners
        body: Json = {
            "floating_network_id": fields["network"],
            "port_id": port,
            "description": names.floating_description(self.cluster, owner),
        }
        if wanted:
            body["floating_ip_address"] = wanted
        subnets = fields["subnets"]
        assert isinstance(subnets, tuple)
        return self._seen_floating(step, self._first_that_works(body, subnets or ("",), port))

    def _first_that_works(self, body: Json, subnets: tuple[object, ...], port: str) -> Json:
        """The floating IP of the first subnet with a free address."""
        for number, subnet in enumerate(subnets, 1):
            choice = {"subnet_id": subnet} if subnet else {}
            try:
                reply: Json = self.client.post(NETWORK, FLOATING, {"floatingip": body | choice})["floatingip"]
            except MissingFact:
                if number == len(subnets):
                    raise
            except Conflict:
                return self._already_there(port)
            else:
                return reply
        raise CloudBug("no floating subnet was given")

    def _already_there(self, port: str) -> Json:
        found = self.client.list(NETWORK, FLOATING, "floatingips", port_id=port)
        if not found:
            raise Conflict(f"port {port} has a floating IP that cannot be seen")
        return found[0]

    def _seen_floating(self, step: Step, body: Json) -> Outputs:
        assert step.desired is not None
        described = names.service_of(names.FLOATING_TEXT, body.get("description", ""), cluster=self.cluster)
        return Outputs((seen_floating(body, step.desired.owners, made=described is not None),))

    # -- shared -----------------------------------------------------------------------------------------------------

    def _put(self, seen: Seen, path: str, kind: str, body: Json) -> None:
        self.client.put(BALANCING, f"{path}/{seen.outputs['id']}", {kind: body})

    def _confirm(self, action: Action, refs: Refs, outputs: Mapping[str, str]) -> Pending:
        confirmed = Outputs((_confirmed(action.steps[0], refs, outputs),))
        return self._pending(action, refs, confirmed, UPDATE_SECONDS)

    def _pending(self, action: Action, refs: Refs, outputs: Outputs, seconds: float) -> Pending:
        """The balancer is busy from now on, and ACTIVE when the operation is over."""
        balancer = refs.scope[names.BALANCER_KEY]
        early = Outputs((_in_flight(balancer, refs),))
        touched = {seen.key for seen in outputs.seen} | set(outputs.gone)
        if names.BALANCER_KEY not in touched:
            outputs = replace(outputs, seen=(*outputs.seen, replace(balancer, state=State.ACTIVE)))
        return Pending(f"{balancer.outputs['id']} {action.id}", seconds, early, outputs)


Call = Callable[[Writer, Action, Refs], Outputs | Pending]
CALLS: Mapping[str, Call] = {
    plan.CREATE: Writer.create,
    plan.UPDATE: Writer.update,
    plan.DELETE: Writer.delete,
    plan.REPLACE: Writer.delete,
    plan.RELEASE: Writer.release,
    "listeners.create": Writer.create_listener,
    "listeners.update": Writer.update_listener,
    "listeners.delete": Writer.delete_child,
    "pools.create": Writer.create_pool,
    "pools.update": Writer.update_pool,
    "pools.delete": Writer.delete_child,
    "members.put": Writer.put_members,
    plan.ADD_MEMBER: Writer.add_member,
    plan.DROP_MEMBER: Writer.drop_member,
    "healthmonitors.create": Writer.create_monitor,
    "healthmonitors.update": Writer.update_monitor,
    "healthmonitors.delete": Writer.delete_child,
    plan.ATTACH: Writer.attach,
    plan.KEEP: Writer.keep,
    plan.GIVE_UP: Writer.give_up,
}
GROUP_CALLS: Mapping[str, Callable[[GroupWriter, Action, Refs], Outputs]] = {
    plan.MAKE_GROUP: GroupWriter.create,
    plan.DROP_GROUP: GroupWriter.delete,
    plan.ADD_RULES: GroupWriter.add_rules,
    plan.DROP_RULE: GroupWriter.remove_rule,
    plan.PLACE: GroupWriter.place,
}
CHILD_PATHS = {"listener": LISTENERS, "pool": POOLS, "monitor": MONITORS}


def _made(reply: Json, world: World, scope: Scope) -> Iterator[Seen]:
    """What the reply to a creation says, read as any other document."""
    parent = [{"id": reply["id"]}]
    pools = tuple({**pool, "loadbalancers": parent} for pool in reply.get("pools") or ())
    reading = Reading(
        balancers=(reply,),
        listeners=tuple({**body, "loadbalancers": parent} for body in reply.get("listeners") or ()),
        pools=pools,
        monitors=tuple({**p["healthmonitor"], "pools": [{"id": p["id"]}]} for p in pools if p.get("healthmonitor")),
        members={pool["id"]: tuple(pool.get("members") or ()) for pool in pools},
    )
    return iter(observe_all(reading, world).get(scope, Observed(scope)).resources.values())


def _shared_floating(scope: Observed, balancer: Resource) -> Iterator[Seen]:
    """The floating IP belongs to whoever uses the balancer, so it changes hands together with it."""
    seen = scope.get(names.FLOATING_KEY)
    if seen is not None:
        yield replace(seen, resource=replace(seen.resource, owners=balancer.owners))


def _noted(listener: Json) -> dict[str, str]:
    """Tags and headers of a listener as outputs, as far as a document has them."""
    named = {"tags": listener.get("tags"), "headers": listener.get("insert_headers")}
    return {name: json.dumps(value) for name, value in named.items() if value is not None}


def _member(action: Action) -> Member:
    assert isinstance(action.payload, Member)
    return action.payload


def _with_member(scope: Observed, resource: Resource, member: Member, member_id: str) -> Outputs:
    """The members of a pool after one has come, or has gone when it has no id any more."""
    seen = scope[resource.key]
    members = seen.resource.fields["members"]
    assert isinstance(members, frozenset)
    ids = {place: known for place, known in json.loads(seen.outputs["ids"]).items() if place != member.place}
    kept = members - {member}
    if member_id:
        ids[member.place] = member_id
        kept |= {member}
    known = replace(resource, fields={"members": kept})
    return Outputs((Seen(known, {**seen.outputs, "ids": json.dumps(ids)}),))


def _in_flight(seen: Seen, refs: Refs) -> Seen:
    """Busy from now on, whenever it was last written before."""
    outputs = {**seen.outputs, FLIGHT: "yes", "since": refs.world.now.isoformat()}
    return replace(seen, state=State.PENDING, outputs=outputs)


def _seen(step: Step) -> Seen:
    if step.seen is None:
        raise CloudBug(f"{step.key} was never seen")
    return step.seen


def _wanted(action: Action, refs: Refs) -> tuple[Resource, dict[str, Hashable]]:
    desired = action.steps[0].desired
    if desired is None:
        raise CloudBug(f"{action.id} has nothing to write")
    return desired, settled(desired, refs.get)


def _confirmed(step: Step, refs: Refs, outputs: Mapping[str, str]) -> Seen:
    """The resource as it is once the write has taken effect."""
    assert step.desired is not None
    old = step.seen.resource.fields if step.seen is not None else {}
    fields = {**old, **settled(step.desired, refs.get)}
    return Seen(replace(step.desired, fields=fields), outputs)


def _balancer_id(refs: Refs) -> str:
    return refs.get(Ref(names.BALANCER_KEY))
