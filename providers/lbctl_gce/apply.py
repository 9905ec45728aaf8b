"""One action -> one call, and what became of the operation that it started.

Nothing waits here: a call whose operation runs on gives `Pending`, and `Writer.poll` asks for all operations at once.
A create whose name is taken is looked at again rather than repeated; "not found" is success for a delete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lbctl.driver import Outcome, Pending, Refs
from lbctl.errors import CloudError, Conflict, LbctlError, NotReady, OwnedByOther
from lbctl.model.resource import Key, Outputs, Resource, Seen
from lbctl.plan.actions import Action
from lbctl_gce.checks import first
from lbctl_gce.client import Client
from lbctl_gce.errors import ApiError, translated
from lbctl_gce.firewalls import ManualRules
from lbctl_gce.kinds import (
    ADDRESS,
    BACKEND,
    ENDPOINT_GROUP,
    ENDPOINTS,
    FIREWALL,
    GROUP,
    MEMBERS,
    POOL,
    POOL_MEMBERS,
    RULE,
    home_of,
    link_of,
    path_of,
)
from lbctl_gce.names import described_service
from lbctl_gce.observe import outputs_of
from lbctl_gce.place import Place
from lbctl_gce.requests import Request, build_request, merged_backends
from lbctl_gce.shapes import READERS, Json, same_ip

POLL_SECONDS = 1.0
BUSY_SECONDS = 2.0
FEW_OPERATIONS = 3
REFUSED = frozenset({400, 409, 412})
"""How the API refuses to reserve what is reserved already: external, internal, external IPv6."""
NAMES_PER_FILTER = 40
TOGETHER = {GROUP: MEMBERS, POOL: POOL_MEMBERS, ENDPOINT_GROUP: ENDPOINTS}


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that was accepted: what it is for, and what it will have made."""

    action: Action
    request: Request


@dataclass
class Writer:
    """Writes of one account."""

    client: Client
    place: Place
    manual: ManualRules

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Make the call of one action; for a changed backend service one read goes before it."""
        request = build_request(action, refs, self.place.links)
        try:
            operation = self._send(action, request)
            if operation.get("status") == "DONE":
                return self._finished(Sent(action, request), operation)
        except ApiError as error:
            return self._settled(action, request, error)
        handle = operation["selfLink"].partition("/projects/")[2]
        return Pending(handle, poll_after=POLL_SECONDS, payload=Sent(action, request))

    def poll(self, pending: Iterable[Pending]) -> Mapping[str, Outcome]:
        """Outcomes of operations that are over: one call each for a few, else one list call for forty."""
        outcomes: dict[str, Outcome] = {}
        sent = {entry.operation: entry.payload for entry in pending}
        for handle, operation in self._operations(list(sent)):
            accepted = sent[handle]
            assert isinstance(accepted, Sent)
            if operation.get("status") == "DONE":
                outcomes[handle] = self._outcome(accepted, operation)
        return outcomes

    # -- sending ----------------------------------------------------------------------------------------------------

    def _send(self, action: Action, request: Request) -> Json:
        body = request.body
        if action.steps[0].key.kind == BACKEND and action.call.endswith((".patch", ".update")):
            body = self._with_fingerprint(action, request)
        return self.client.call(request.method, request.path, body=body, request_id=self.client.new_request_id())

    def _with_fingerprint(self, action: Action, request: Request) -> Json:
        live = self.client.call("regionBackendServices.get", path_of(action.steps[0].key))
        assert request.body is not None
        seen = action.steps[0].seen
        own = seen.resource.fields["backends"] if seen else frozenset()
        wanted = request.fields["backends"] or frozenset()
        assert isinstance(own, frozenset)
        assert isinstance(wanted, frozenset)
        body = merged_backends(request.body, live, own | wanted)
        return {**live, **body} if action.call.endswith(".update") else body

    def _operations(self, handles: list[str]) -> Iterable[tuple[str, Json]]:
        if len(handles) <= FEW_OPERATIONS:
            for handle in handles:
                found = self._operation(handle)
                yield handle, found
            return
        for start in range(0, len(handles), NAMES_PER_FILTER):
            yield from self._listed(handles[start : start + NAMES_PER_FILTER])

    def _operation(self, handle: str) -> Json:
        project, place, *rest = handle.split("/")
        name = handle.rpartition("/")[2]
        collection = {"global": "globalOperations", "regions": "regionOperations", "zones": "zoneOperations"}[place]
        where = {"zone": rest[0]} if place == "zones" else {}
        return self._translated(f"{collection}.get", {"project": project, "operation": name, **where})

    def _listed(self, handles: list[str]) -> Iterable[tuple[str, Json]]:
        by_project: dict[str, list[str]] = {}
        for handle in handles:
            by_project.setdefault(handle.partition("/")[0], []).append(handle)
        for project, mine in sorted(by_project.items()):
            wanted = " OR ".join(f'name = "{handle.rpartition("/")[2]}"' for handle in sorted(mine))
            for body in self.client.items("globalOperations.aggregatedList", {"project": project}, matching=wanted):
                handle = body["selfLink"].partition("/projects/")[2]
                if handle in mine:
                    yield handle, body

    def _translated(self, method: str, path: Mapping[str, str]) -> Json:
        try:
            return self.client.call(method, path)
        except ApiError as error:
            raise translated(error, method) from None

    # -- what became of it ------------------------------------------------------------------------------------------

    def _outcome(self, sent: Sent, operation: Json) -> Outcome:
        try:
            return self._finished(sent, operation)
        except ApiError as error:
            try:
                return self._settled(sent.action, sent.request, error)
            except LbctlError as failure:
                return _as_outcome(failure)
        except LbctlError as failure:
            return _as_outcome(failure)

    def _finished(self, sent: Sent, operation: Json) -> Outputs:
        failures = operation.get("error", {}).get("errors", [])
        if failures:
            status = int(operation.get("httpErrorStatusCode", 400))
            raise ApiError(status, failures[0].get("code", ""), failures[0].get("message", ""))
        if sent.action.call.endswith(".delete"):
            return _gone(sent.action)
        return Outputs(seen=(self._seen(sent), *_instances(sent.action)))

    def _seen(self, sent: Sent) -> Seen:
        step = sent.action.steps[0]
        assert step.desired is not None
        if step.key.kind == RULE:
            return self._read_back(step.desired, sent.request)
        path = link_of(step.key, self.place.config.region)
        # A firewall rule only waits for the address: it does not refer to the forwarding rule, which may go before it.
        needs = frozenset() if step.key.kind == FIREWALL else step.desired.needs
        outputs = {"path": path} | first(step.key.kind, sent.request.fields)
        return Seen(replace(step.desired, fields=sent.request.fields, needs=needs), outputs)

    def _read_back(self, desired: Resource, request: Request) -> Seen:
        """The forwarding rule as it is, because the cloud may have chosen its address."""
        body = self.client.call("forwardingRules.get", path_of(desired.key))
        fields = READERS[RULE](body)
        asked = request.fields["address"]
        if asked and not same_ip(fields["address"], asked):
            raise Conflict(f"forwarding rule {desired.name} has {fields['address']} and not {asked}")
        return Seen(replace(desired, fields=fields), outputs_of(RULE, body))

    def _settled(self, action: Action, request: Request, error: ApiError) -> Outputs:
        """What an error means for this action: success after all, or the core's error raised."""
        step = action.steps[0]
        if action.call.endswith(".delete") and error.is_missing:
            return _gone(action)
        if error.word == "memberalreadyexists" or (_removes(action) and error.is_missing):
            assert step.desired is not None
            return Outputs(seen=(Seen(replace(step.desired, fields=request.fields), {"path": ""}),))
        if action.call.endswith(".insert") and error.is_duplicate:
            raise self._taken(step.key)
        if action.call == "addresses.insert" and error.status in REFUSED and self._is_reserved(request):
            # It counts as held, which tells the new forwarding rule its address; its release finds nothing to delete.
            assert step.desired is not None
            return Outputs(seen=(Seen(replace(step.desired, fields=request.fields), {"path": ""}),))
        if step.key.kind == FIREWALL and error.word in ("forbidden", "permissiondenied") and self.manual.applies:
            return self.manual.note(action, request)
        raise translated(error, f"{action.call} {step.name or step.key.id}")

    def _is_reserved(self, request: Request) -> bool:
        """True when somebody reserved the address meanwhile, so that it stays without being held; one list call.

        Compared as a value: the API's filter takes a regular expression, in which a dot is any character.
        """
        wanted = request.fields
        try:
            found = [READERS[ADDRESS](body) for body in self.client.items("addresses.list") if body.get("address")]
        except ApiError as error:
            raise translated(error, "addresses.list") from None
        alike = (f for f in found if (f["scheme"], f["tier"]) == (wanted["scheme"], wanted["tier"]))
        return any(same_ip(fields["address"], wanted["address"]) for fields in alike)

    def _taken(self, key: Key) -> CloudError | OwnedByOther:
        """The name is taken: by what an earlier attempt made, which a new look will find, or by somebody else."""
        try:
            found = self.client.find(f"{home_of(key).collection}.get", path_of(key))
        except ApiError as error:
            return translated(error, f"{home_of(key).collection}.get {key.id}")
        if found is None:
            return NotReady(f"{key} is still being made", after_seconds=BUSY_SECONDS)
        claimed = described_service(found.get("description", ""))
        text = f"{key} exists already" + (f" for {claimed}" if claimed else "")
        return Conflict(text)


def _instances(action: Action) -> tuple[Seen, ...]:
    """Instances with which a target pool was made."""
    step = action.steps[0]
    if step.key.kind != POOL or not action.call.endswith(".insert"):
        return ()
    assert isinstance(action.payload, tuple)
    fields = {"instances": frozenset(action.payload)}
    needs = frozenset({step.key})
    return (Seen(Resource(Key(POOL_MEMBERS, step.key.id), step.key.id, fields, step.owners, needs)),)


def _gone(action: Action) -> Outputs:
    key = action.steps[0].key
    together = (Key(TOGETHER[key.kind], key.id),) if key.kind in TOGETHER else ()
    return Outputs(gone=(key, *together))


def _removes(action: Action) -> bool:
    return action.call.endswith((".removeInstances", ".removeInstance", ".detachNetworkEndpoints"))


def _as_outcome(error: LbctlError) -> Outcome:
    if isinstance(error, CloudError):
        return error
    return Conflict(error.message, hint=error.hint)
