"""One action -> one API call. Writes; each is safe to repeat after a crash.

A create whose object exists is refused by the server with a conflict, after which the scope is read again and the
object found by name. Creation of a rule answers with its id at once, and the commands of one network are carried out in
the order of their arrival, so what builds on it need not wait for its job.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from lbctl.driver import Pending, Refs
from lbctl.errors import Conflict, QuotaExceeded, Unreachable
from lbctl.model.resource import Identity, Outputs, Ref, Resource, Seen
from lbctl.plan.actions import Action, Step, Verb
from lbctl_cloudstack import calls
from lbctl_cloudstack.calls import part_of
from lbctl_cloudstack.client import Api, Row
from lbctl_cloudstack.errors import is_gone
from lbctl_cloudstack.facts import FactReader
from lbctl_cloudstack.filters import EVERYBODY
from lbctl_cloudstack.jobs import Jobs
from lbctl_cloudstack.late import LateAddresses
from lbctl_cloudstack.names import (
    ADDRESS,
    CLUSTER_TAG,
    HALF_TAG,
    OWNER_TAG,
    RELEASED,
    SERVICE_TAG,
    UDP_HALF,
    UID_TAG,
    Bond,
    Mark,
    balancer_name,
    is_own,
    is_udp_half,
    own_scopes,
    owner_tags,
    part_key,
    port_of,
    upstreams_reason,
    write_mark,
)
from lbctl_cloudstack.rows import address_outputs, spare_entries
from lbctl_cloudstack.settings import CloudStackSettings

Reply = Outputs | Pending


@dataclass(frozen=True, slots=True)
class Writer:
    """Carries out the actions of one account."""

    api: Api
    jobs: Jobs
    facts: FactReader
    late: LateAddresses
    settings: CloudStackSettings
    cluster: str

    def apply(self, action: Action, refs: Refs) -> Reply:
        """One call, by the action's name."""
        by_call: Mapping[str, Callable[[Action, Refs], Reply]] = {
            calls.USE: self._use,
            calls.ASSOCIATE: self._associate,
            calls.RELEASE: self._disassociate,
            calls.TAG: self._tag,
            calls.UNTAG: self._untag,
            calls.LET_GO: self._let_go,
            calls.CREATE_RULE: self._create_rule,
            calls.UPDATE_RULE: self._update_rule,
            calls.DELETE_RULE: self._delete_rule,
            calls.ASSIGN: self._assign,
            calls.REMOVE: self._remove,
            calls.OPEN: self._open,
            calls.CLOSE: self._close,
            calls.ALLOW: self._allow,
            calls.DISALLOW: self._disallow,
            calls.RENAME_ENTRY: self._rename_entry,
            **{attach: self._attach for attach, _ in calls.POLICIES.values()},
            **{detach: self._detach for _, detach in calls.POLICIES.values()},
        }
        return by_call[action.call](action, refs)

    # -- the address ------------------------------------------------------------------------------------------------

    def _use(self, action: Action, refs: Refs) -> Reply:
        """No call: the address is allocated already, as it was just read."""
        step = action.steps[0]
        assert step.desired is not None
        fields = step.desired.fields
        outputs = {"id": str(fields["id"]), "ip": str(fields["ip"])}
        outputs |= {name: str(fields[name]) for name in ("source_nat", "vpc") if fields[name]}
        return Outputs((self._address(refs, outputs, is_ours=not fields["stays"]),))

    def _associate(self, action: Action, refs: Refs) -> Reply:
        desired = action.steps[0].desired
        assert desired is not None
        where = {"vpcid": desired.fields["vpc"]} if desired.fields["vpc"] else {"networkid": desired.fields["network"]}
        ip = str(desired.fields["ip"])
        try:
            reply = self.api.write(calls.ASSOCIATE, **where, **self.api.project(), **({"ipaddress": ip} if ip else {}))
        except QuotaExceeded:
            if not ip or not is_own(refs.scope.scope):
                raise
            self.facts.forget_choice(ip)
            raise Conflict(f"{calls.ASSOCIATE}: {ip} is not free any more") from None
        except Unreachable:
            self.late.unanswered(refs.scope.scope)
            raise
        self.late.answered(refs.scope.scope)

        def result(answer: Row) -> Outputs:
            outputs = address_outputs(answer["ipaddress"])
            return Outputs((self._address(refs, outputs, is_ours=True),))

        return self.jobs.accepted(calls.ASSOCIATE, reply, result)

    def _address(self, refs: Refs, outputs: Mapping[str, str], *, is_ours: bool) -> Seen:
        fields: dict[str, Hashable] = {"ip": outputs["ip"]}
        if self.settings.tags and is_ours:
            fields["tagged"] = "tags" in outputs
        owners = frozenset(i for i in refs.world.services if refs.scope.scope in own_scopes(i.uid))
        return Seen(Resource(ADDRESS, outputs["ip"], fields, owners), outputs, ours=is_ours)

    def _disassociate(self, action: Action, refs: Refs) -> Reply:
        self.facts.check_release(refs.scope)
        gone = tuple(step.key for step in action.steps)
        return self._delete(calls.RELEASE, refs.scope[ADDRESS].outputs["id"], Outputs(gone=gone))

    # -- tags -------------------------------------------------------------------------------------------------------

    def _tag(self, action: Action, refs: Refs) -> Reply:
        is_address = action.steps[0].key in (ADDRESS, part_key("tags", ADDRESS))
        keys = [ADDRESS if is_address else part_key("rule", step.key) for step in action.steps]
        ids = [refs.get(Ref(key)) for key in keys]
        kind = "PublicIpAddress" if is_address else "LoadBalancer"
        tags = self._address_tags(refs) if is_address else owner_tags(self.cluster, _owner(action.steps[0]))
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        reply = self.api.write(calls.TAG, resourceids=ids, resourcetype=kind, tags=pairs)
        seen = tuple(_with(refs.scope[key], "tagged", value=True) for key in keys)
        marked = tuple(replace(s, outputs={**s.outputs, "tags": "true"}) for s in seen)
        return self.jobs.accepted(calls.TAG, reply, lambda _: Outputs(marked))

    def _address_tags(self, refs: Refs) -> dict[str, str]:
        """In a shared scope the address is nobody's in particular: only who took it is noted."""
        identity = min(refs.world.services)
        if is_own(refs.scope.scope):
            half = {HALF_TAG: UDP_HALF} if is_udp_half(refs.scope.scope) else {}
            return {**owner_tags(self.cluster, identity), **half, OWNER_TAG: identity.uid}
        return {CLUSTER_TAG: self.cluster, OWNER_TAG: identity.uid}

    def _untag(self, action: Action, refs: Refs) -> Reply:
        step = action.steps[0]
        if step.key.kind == "tags":
            return self._untag_rules(action, refs)
        keys = [SERVICE_TAG, UID_TAG]
        if step.verb in (Verb.RELEASE, Verb.DELETE) or _is_given_up(step):
            keys += [CLUSTER_TAG, OWNER_TAG]
        keys += [HALF_TAG] if is_udp_half(refs.scope.scope) else []
        reply = self.api.write(
            calls.UNTAG,
            resourceids=[refs.scope[ADDRESS].outputs["id"]],
            resourcetype="PublicIpAddress",
            tags=[{"key": key} for key in keys],
        )
        gone = tuple(refs.scope.resources) if _is_given_up(step) else (ADDRESS,)
        return self.jobs.accepted(calls.UNTAG, reply, lambda _: Outputs(gone=gone))

    def _untag_rules(self, action: Action, refs: Refs) -> Reply:
        rules = [part_key("rule", step.key) for step in action.steps]
        reply = self.api.write(
            calls.UNTAG,
            resourceids=[refs.get(Ref(rule)) for rule in rules],
            resourcetype="LoadBalancer",
            tags=[{"key": key} for key in (CLUSTER_TAG, SERVICE_TAG, UID_TAG)],
        )
        seen = tuple(_without(refs.scope[rule], "tags") for rule in rules)
        return self.jobs.accepted(calls.UNTAG, reply, lambda _: Outputs(seen))

    def _let_go(self, action: Action, refs: Refs) -> Reply:
        """No call: nothing in the cloud says that the address is ours."""
        if _is_given_up(action.steps[0]):
            return Outputs(gone=tuple(refs.scope.resources))
        return Outputs(gone=tuple(step.key for step in action.steps))

    # -- rules ------------------------------------------------------------------------------------------------------

    def _create_rule(self, action: Action, refs: Refs) -> Reply:
        step, part = action.steps[0], part_of(action)
        assert step.desired is not None
        fields = step.desired.fields
        mark = self._mark(step, refs, opened=part.with_firewall)
        reply = self.api.write(
            calls.CREATE_RULE,
            name=step.desired.name,
            publicipid=refs.get(Ref(ADDRESS)),
            networkid=fields["network"],
            publicport=fields["port"],
            privateport=fields["private_port"],
            protocol=fields["protocol"],
            algorithm=fields["algorithm"],
            description=write_mark(mark),
            openfirewall=part.with_firewall,
            **self._sources(fields["cidrs"]),
            **({"idletimeout": _milliseconds(fields["timeout"])} if fields["timeout"] else {}),
        )
        made: dict[str, Hashable] = {**fields, "address": refs.get(Ref(ADDRESS))}
        if "tagged" in made:
            made["tagged"] = False
        outputs = {"id": str(reply["id"])} | ({"opened": "true"} if part.with_firewall else {})
        seen = [Seen(replace(step.desired, fields=made), outputs)]
        opened = (s.desired for s in action.steps[1:] if s.desired is not None)
        seen += [Seen(replace(firewall, fields={**firewall.fields, "bond": Bond.BORN})) for firewall in opened]
        return Outputs(tuple(seen))

    def _sources(self, cidrs: Hashable) -> Mapping[str, object]:
        """An empty list admits everybody, too, but upstream takes such a rule for one that was changed."""
        if cidrs == EVERYBODY and not self.facts.features().creates_cidrs:
            return {}
        return {"cidrlist": sorted(_texts(cidrs))}

    def _mark(self, step: Step, refs: Refs, *, ip: str = "", opened: bool = False) -> Mark:
        return Mark(self.cluster, min(step.owners), ip, is_udp_half(refs.scope.scope), opened)

    def _update_rule(self, action: Action, refs: Refs) -> Reply:
        step = action.steps[0]
        if step.verb is Verb.RELEASE:
            return self._release_rule(action, refs)
        parameters: dict[str, object] = {"id": refs.get(Ref(step.key))}
        seen = refs.scope[step.key]
        for change in step.changes:
            if change.field == "algorithm":
                parameters["algorithm"] = change.new
            elif change.field == "cidrs":
                parameters["cidrlist"] = sorted(_texts(change.new))
            elif change.field == "timeout":
                parameters["idletimeout"] = _milliseconds(change.new)
            elif change.field == "opened":
                parameters["description"] = write_mark(self._mark(step, refs))
                seen = _without(seen, "opened")
                continue
            else:
                continue
            seen = _with(seen, change.field, value=change.new)
        reply = self.api.write(calls.UPDATE_RULE, **parameters)
        return self.jobs.accepted(calls.UPDATE_RULE, reply, lambda _: Outputs((seen,)))

    def _release_rule(self, action: Action, refs: Refs) -> Reply:
        rule = part_key("rule", action.steps[0].key)
        reply = self.api.write(calls.UPDATE_RULE, id=refs.get(Ref(rule)), description=RELEASED)
        gone = tuple(step.key for step in action.steps)
        return self.jobs.accepted(calls.UPDATE_RULE, reply, lambda _: Outputs(gone=gone))

    def _delete_rule(self, action: Action, refs: Refs) -> Reply:
        """The firewall rule that the rule's creation opened goes with it."""
        key = action.steps[0].key
        kinds = ("members", *calls.POLICIES, *(("firewall",) if part_of(action).with_firewall else ()))
        parts = tuple(part_key(kind, key) for kind in kinds)
        return self._delete(calls.DELETE_RULE, refs.get(Ref(key)), Outputs(gone=(key, *parts)))

    # -- members ----------------------------------------------------------------------------------------------------

    def _assign(self, action: Action, refs: Refs) -> Reply:
        step, machines = action.steps[0], part_of(action).machines
        reply = self._map(calls.ASSIGN, step, machines, refs)
        return self.jobs.accepted(calls.ASSIGN, reply, lambda _: _members(step, _present(step) | machines))

    def _remove(self, action: Action, refs: Refs) -> Reply:
        step, machines = action.steps[0], part_of(action).machines
        reply = self._map(calls.REMOVE, step, machines, refs)
        known = refs.scope.get(step.key)
        present = frozenset(_texts(known.resource.fields["machines"])) if known is not None else _present(step)
        return self.jobs.accepted(calls.REMOVE, reply, lambda _: _members(step, present - machines))

    def _map(self, command: str, step: Step, machines: frozenset[str], refs: Refs) -> Row:
        rule_id = refs.get(Ref(part_key("rule", step.key)))
        return self.api.write(command, id=rule_id, virtualmachineids=sorted(machines))

    # -- filters ----------------------------------------------------------------------------------------------------

    def _open(self, action: Action, refs: Refs) -> Reply:
        step, cidrs = action.steps[0], part_of(action).cidrs
        assert step.desired is not None
        reply = self.api.write(
            calls.OPEN,
            ipaddressid=refs.get(Ref(ADDRESS)),
            protocol=step.desired.fields["protocol"],
            startport=port_of(step.key),
            endport=port_of(step.key),
            cidrlist=sorted(cidrs),
        )
        return self.jobs.accepted(calls.OPEN, reply, self._filter(refs, step, str(reply["id"]), cidrs))

    def _filter(self, refs: Refs, step: Step, new_id: str, cidrs: frozenset[str]) -> Callable[[Row], Outputs]:
        assert step.desired is not None
        known = refs.scope.get(step.key)
        outputs = {**(known.outputs if known else {}), new_id: ",".join(sorted(cidrs))}
        fields = {**step.desired.fields, "cidrs": _union(known, cidrs)}
        if step.key.kind == "firewall":
            fields["bond"] = Bond.APART
        else:
            fields["marked"] = known is None or known.resource.fields["marked"]
        seen = Seen(replace(step.desired, fields=fields), outputs)
        return lambda _: Outputs((seen,))

    def _close(self, action: Action, refs: Refs) -> Reply:
        return self._drop(calls.CLOSE, action, refs)

    def _allow(self, action: Action, refs: Refs) -> Reply:
        step, cidrs = action.steps[0], part_of(action).cidrs
        assert step.desired is not None
        reply = self.api.write(
            calls.ALLOW,
            aclid=step.desired.fields["acl"],
            protocol=step.desired.fields["protocol"],
            startport=port_of(step.key),
            endport=port_of(step.key),
            cidrlist=sorted(cidrs),
            action="Allow",
            traffictype="Ingress",
            reason=write_mark(self._mark(step, refs, ip=refs.get(Ref(ADDRESS, "ip")))),
        )
        return self.jobs.accepted(calls.ALLOW, reply, self._filter(refs, step, str(reply["id"]), cidrs))

    def _disallow(self, action: Action, refs: Refs) -> Reply:
        return self._drop(calls.DISALLOW, action, refs)

    def _rename_entry(self, action: Action, refs: Refs) -> Reply:
        """Let go of an entry: what upstream's controller takes for its own stands in the place of our mark."""
        step, entry = action.steps[0], part_of(action).id
        reason = upstreams_reason(balancer_name(min(step.owners).uid))
        reply = self.api.write(calls.RENAME_ENTRY, id=entry, reason=reason, partialupgrade=True)
        left = _without(refs.scope[step.key], entry)
        outputs = Outputs((left,)) if left.outputs else Outputs(gone=(step.key,))
        return self.jobs.accepted(calls.RENAME_ENTRY, reply, lambda _: outputs)

    def _drop(self, command: str, action: Action, refs: Refs) -> Reply:
        """Delete one object of a filter; what is left of the filter stays known."""
        step, part = action.steps[0], part_of(action)
        if not part.id:
            raise Conflict(f"{command}: the id of the firewall rule on port {port_of(step.key)} is not known yet")
        known = refs.scope.get(step.key)
        left = {key: text for key, text in (known.outputs if known else {}).items() if key != part.id}
        if known is None or not left:
            return self._delete(command, part.id, Outputs(gone=(step.key,)))
        cidrs = frozenset(cidr for text in left.values() for cidr in text.split(","))
        fields = {**known.resource.fields, "cidrs": cidrs}
        if step.key.kind == "acl":
            fields["spare"] = spare_entries(left)
        rest = Seen(replace(known.resource, fields=fields), left)
        return self._delete(command, part.id, Outputs((rest,)))

    # -- policies of a rule -----------------------------------------------------------------------------------------

    def _attach(self, action: Action, refs: Refs) -> Reply:
        step = action.steps[0]
        assert step.desired is not None
        rule_id = refs.get(Ref(part_key("rule", step.key)))
        reply = self.api.write(action.call, lbruleid=rule_id, **_policy_parameters(step.desired))
        seen = Seen(step.desired, {"id": str(reply["id"])})
        return self.jobs.accepted(action.call, reply, lambda _: Outputs((seen,)))

    def _detach(self, action: Action, refs: Refs) -> Reply:  # noqa: ARG002 - one signature for all calls
        return self._delete(action.call, part_of(action).id, Outputs(gone=(action.steps[0].key,)))

    # -- all deletes ------------------------------------------------------------------------------------------------

    def _delete(self, command: str, object_id: str, outputs: Outputs) -> Reply:
        """What is gone already is a success."""
        try:
            reply = self.api.write(command, id=object_id)
        except Conflict as error:
            if is_gone(431, error.message):
                return outputs
            raise
        return self.jobs.accepted(command, reply, lambda _: outputs, is_delete=True)


def _policy_parameters(policy: Resource) -> dict[str, object]:
    if policy.key.kind == "health":
        return {"pingpath": policy.fields["path"]}
    pairs = policy.fields["params"]
    params = [{"name": name, "value": value} for name, value in pairs] if isinstance(pairs, tuple) else []
    return {"name": f"lbctl-{policy.key.id}", "methodname": policy.fields["method"], "param": params}


def _owner(step: Step) -> Identity:
    assert step.desired is not None
    return min(step.desired.owners)


def _with(seen: Seen, field: str, *, value: Hashable) -> Seen:
    return replace(seen, resource=replace(seen.resource, fields={**seen.resource.fields, field: value}))


def _without(seen: Seen, output: str) -> Seen:
    return replace(seen, outputs={name: text for name, text in seen.outputs.items() if name != output})


def _members(step: Step, machines: frozenset[str]) -> Outputs:
    resource = step.desired or (step.seen.resource if step.seen else None)
    assert resource is not None
    return Outputs((Seen(replace(resource, fields={"machines": machines})),))


def _present(step: Step) -> frozenset[str]:
    return frozenset(_texts(step.seen.resource.fields["machines"])) if step.seen else frozenset()


def _union(known: Seen | None, cidrs: frozenset[str]) -> frozenset[str]:
    return cidrs | (frozenset(_texts(known.resource.fields["cidrs"])) if known else frozenset())


def _is_given_up(step: Step) -> bool:
    """True for an address that is left with all that others have on it."""
    return any(change.field == "given_up" for change in step.changes)


def _milliseconds(seconds: Hashable) -> int:
    return 1000 * int(str(seconds))


def _texts(value: Hashable) -> Iterable[str]:
    assert isinstance(value, frozenset)
    return (str(item) for item in value)
