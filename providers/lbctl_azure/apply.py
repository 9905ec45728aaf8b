"""One action -> one cloud call, and the outcome of what ARM accepted but has not finished. Writes.

Documents are built from the server's own as last confirmed (`Observed.body`, or kept with a public address), and
written on condition of its ETag. What a finished operation left behind is read once, and only the resources of the
action's steps are reported from it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from lbctl.clock import Clock
from lbctl.driver import Outcome, Pending, Refs
from lbctl.errors import CloudError, MissingFact, NotReady
from lbctl.model.resource import Key, Outputs, Seen
from lbctl.plan.actions import Action, Step, Verb
from lbctl_azure import membership, private_links, public_ips
from lbctl_azure.account import Account, public_ip_key
from lbctl_azure.body import next_balancer
from lbctl_azure.client import Client, Reply
from lbctl_azure.elements import BALANCER, COLLECTIONS, FRONTEND, write_fields
from lbctl_azure.groups import Evidence, next_group, read_group
from lbctl_azure.ids import parent_of
from lbctl_azure.owners import Owners
from lbctl_azure.reading import Document, read_balancer, read_public_ip

PIP_SECONDS = 1.0
WRITE_SECONDS = 2.0
GATHER_SECONDS = 10.0
NO_DOCUMENT: Mapping[str, Any] = MappingProxyType({})
"""Takes the place of a document that is gone; None would mean that the old one is still valid."""


@dataclass(frozen=True, slots=True)
class Following:
    """What has to be known to finish an operation: the object, how to read it, and which steps were in it.

    `before` are the keys of an object that holds the whole scope: all of it is reported then, with `more` beside it.
    """

    path: str
    steps: tuple[Step, ...]
    read: Callable[[Document], list[Seen]]
    gone: bool = False
    before: frozenset[Key] | None = None
    more: tuple[Seen, ...] = ()
    collection: str = ""
    since: float = 0.0


class Writer:
    """Carries out actions of one account."""

    def __init__(
        self, account: Account, client: Client, clock: Clock, node_ranges: Callable[[], tuple[str, ...]]
    ) -> None:
        self._node_ranges = node_ranges
        self._account = account
        self._client = client
        self._clock = clock
        self._calls: Mapping[str, Callable[[Action, Refs], Outputs | Pending]] = {
            "loadBalancers/write": self._put_balancer,
            "loadBalancers/delete": self._delete_balancer,
            "backendAddressPools/write": self._put_pool,
            "publicIPAddresses/write": self._put_public_ip,
            "publicIPAddresses/delete": self._delete_public_ip,
            "networkSecurityGroups/write": self._put_group,
            "privateLinkServices/write": self._put_link,
            "privateLinkServices/delete": self._delete_link,
            "virtualMachineScaleSets/write": self._put_model,
            "virtualMachines/write": self._put_instance,
            "networkInterfaces/write": self._put_interface,
        }

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """One call."""
        return self._calls[action.call](action, refs)

    # -- load balancers ---------------------------------------------------------------------------------------------

    def _put_balancer(self, action: Action, refs: Refs) -> Outputs | Pending:
        scope = refs.scope.scope
        path = self._account.balancer_id(scope)
        body = _body(refs)
        document = next_balancer(body, action.steps, shell=self._shell(), id=path)
        reply = self._client.put(path, document, etag=(body or {}).get("etag", ""), is_new=body is None)
        more = (*_touched_addresses(action, refs), *self._guest_addresses(action, refs))
        following = Following(path, action.steps, self._reader(refs), before=_elements_of(refs), more=more)
        return self._outcome(reply, following, WRITE_SECONDS)

    def _guest_addresses(self, action: Action, refs: Refs) -> list[Seen]:
        """Users' addresses that a frontend begins to use: the only time they are read one by one."""
        wanted = {
            str(step.desired.fields["public_ip"])
            for step in action.steps
            if step.key.kind == FRONTEND and step.desired is not None and step.desired.fields.get("public_ip")
        }
        unknown = sorted(path for path in wanted if refs.scope.get(public_ip_key(path)) is None)
        owners = Owners.of(refs.world)
        return [read_public_ip(self._client.get(path), owners, self._account) for path in unknown]

    def _delete_balancer(self, action: Action, refs: Refs) -> Outputs | Pending:
        path = self._account.balancer_id(refs.scope.scope)
        more = tuple(_touched_addresses(action, refs))
        following = Following(path, action.steps, self._reader(refs), gone=True, before=_elements_of(refs), more=more)
        return self._outcome(self._client.delete(path), following, WRITE_SECONDS)

    def _put_pool(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Members alone: the pool is written as a child, and the balancer is read back because the two share an ETag."""
        step = action.steps[0]
        balancer = self._account.balancer_id(refs.scope.scope)
        element = _element(_body(refs) or {}, "backendAddressPools", step.name)
        document = write_fields(step.key.kind, element, {c.field: c.new for c in step.changes}, balancer)
        etag = str((_body(refs) or {}).get("etag", ""))
        reply = self._client.put(f"{balancer}/backendAddressPools/{step.name}", _writable(document), etag=etag)
        following = Following(balancer, action.steps, self._reader(refs), before=_elements_of(refs))
        return self._outcome(replace(reply, document=None), following, WRITE_SECONDS)

    def _shell(self) -> dict[str, Any]:
        config = self._account.config
        shell: dict[str, Any] = {"location": config.location, "sku": {"name": "Standard"}, "properties": {}}
        if config.extended_location:
            shell["extendedLocation"] = {"name": config.extended_location, "type": config.extended_location_type}
        return shell

    def _reader(self, refs: Refs) -> Callable[[Document], list[Seen]]:
        known = {*refs.world.services, *refs.world.intents, *(o for o in refs.scope.owners() if o.name)}
        owners = Owners.among(known)
        return lambda document: read_balancer(document, owners, self._account)

    # -- public addresses -------------------------------------------------------------------------------------------

    def _put_public_ip(self, action: Action, refs: Refs) -> Outputs | Pending:
        (step,) = action.steps
        path = self._path_of_address(step)
        document = self._present_address(step, path)
        wanted = public_ips.next_public_ip(document, step, self._account.config)
        etag = document.get("etag", "") if document else ""
        reply = self._client.put(path, wanted, etag=etag, is_new=document is None)
        return self._outcome(reply, self._following_address(path, step, refs), PIP_SECONDS)

    def _present_address(self, step: Step, path: str) -> dict[str, Any] | None:
        if step.seen is None:
            return None
        kept: dict[str, Any] = json.loads(step.seen.outputs["document"])
        # A write of the balancer changes the ETag of the addresses that it attaches: then the kept one is void.
        return kept if step.seen.outputs.get("etag") else self._client.get(path)

    def _delete_public_ip(self, action: Action, refs: Refs) -> Outputs | Pending:
        (step,) = action.steps
        path = self._path_of_address(step)
        following = replace(self._following_address(path, step, refs), gone=True, collection="")
        return self._outcome(self._client.delete(path), following, PIP_SECONDS)

    def _following_address(self, path: str, step: Step, refs: Refs) -> Following:
        owners = Owners.of(refs.world)
        return Following(
            path,
            (step,),
            lambda document: [read_public_ip(document, owners, self._account)],
            collection=parent_of(path + "/x"),
            since=self._clock.monotonic(),
        )

    def _path_of_address(self, step: Step) -> str:
        if step.seen is not None:
            return step.seen.outputs["id"]
        group, _, _ = step.key.id.partition("/")
        present = self._account.config.group.name
        return self._account.address_group(present if group == present.lower() else group).network(
            "publicIPAddresses", step.name
        )

    # -- the security group -----------------------------------------------------------------------------------------

    def _put_group(self, action: Action, refs: Refs) -> Outputs | Pending:
        path, body = self._account.config.security_group_id, _body(refs)
        if body is None:
            name = self._account.config.security_group or "(none is named)"
            raise MissingFact(
                f"network security group {name} does not exist", hint="set securityGroupName in azure.json"
            )
        evidence = Evidence(refs.world, self._account, self._node_ranges)
        reply = self._client.put(path, next_group(body, action.steps), etag=body.get("etag", ""))
        following = Following(
            path, action.steps, lambda document: read_group(document, evidence), before=frozenset(refs.scope.resources)
        )
        return self._outcome(reply, following, WRITE_SECONDS)

    # -- private link services --------------------------------------------------------------------------------------

    def _put_link(self, action: Action, refs: Refs) -> Outputs | Pending:
        (step,) = action.steps
        assert step.desired is not None
        path = private_links.path_of(step, self._account)
        subnet = str(step.desired.fields["subnet"])
        self._allow_links(subnet)
        present = self._client.find(path)
        balancer = self._account.balancer_id(refs.scope.scope)
        document = private_links.next_link(present, step.desired, balancer=balancer, config=self._account)
        reply = self._client.put(path, document, etag=(present or {}).get("etag", ""))
        return self._outcome(reply, self._following_link(path, step, refs), WRITE_SECONDS)

    def _allow_links(self, subnet: str) -> None:
        """Addresses of a private link service need a subnet without network policies for them."""
        document = self._client.get(subnet)
        if document["properties"].get("privateLinkServiceNetworkPolicies") == "Disabled":
            return
        document["properties"]["privateLinkServiceNetworkPolicies"] = "Disabled"
        self._client.put(subnet, _writable(document), etag=document.get("etag", ""))
        raise NotReady(f"subnet {document['name']} is being opened for private links", after_seconds=WRITE_SECONDS)

    def _delete_link(self, action: Action, refs: Refs) -> Outputs | Pending:
        (step,) = action.steps
        path = private_links.path_of(step, self._account)
        connections = f"{path}/privateEndpointConnections"
        for connection in self._client.list(connections):
            self._client.delete(connection["id"])
            raise NotReady(f"connections of private link {step.name} are being removed", after_seconds=WRITE_SECONDS)
        following = replace(self._following_link(path, step, refs), gone=True)
        return self._outcome(self._client.delete(path), following, WRITE_SECONDS)

    def _following_link(self, path: str, step: Step, refs: Refs) -> Following:
        owners = Owners.of(refs.world)
        return Following(path, (step,), lambda document: [private_links.read_link(document, owners, self._account)])

    # -- members ----------------------------------------------------------------------------------------------------

    def _put_model(self, action: Action, refs: Refs) -> Outputs | Pending:  # noqa: ARG002 - every call has this shape
        (step,) = action.steps
        path = step.key.id
        document = self._client.get(path)
        profile = self._profile(document, step)
        following = Following(path, (step,), lambda found: [membership.read_scale_set(found, self._account)])
        if membership.pools_in(document) == membership.pools_in(profile):
            return outputs_of(following, document)
        reply = self._client.patch(path, profile, etag=document.get("etag", ""))
        return self._outcome(reply, following, WRITE_SECONDS)

    def _put_instance(self, action: Action, refs: Refs) -> Outputs | Pending:  # noqa: ARG002 - as above
        (step,) = action.steps
        path = step.key.id
        document = self._client.find(path)
        following = Following(path, (step,), self._read_instance)
        if document is None:
            return Outputs(gone=(step.key,))
        profile = self._profile(document, step)
        if membership.pools_in(document) == membership.pools_in(profile):
            # Born from a model that is in the pool already.
            return outputs_of(following, document)
        wanted = {**_writable(document), "properties": profile["properties"]}
        reply = self._client.put(path, wanted, etag=document.get("etag", ""))
        return self._outcome(reply, following, WRITE_SECONDS)

    def _read_instance(self, document: Document) -> list[Seen]:
        seen = membership.read_instance(document, self._account)
        return [seen] if seen else []

    def _profile(self, document: Document, step: Step) -> dict[str, Any]:
        """The interfaces of a model or an instance with the wanted pools, and nothing else of the document."""
        profile = copy.deepcopy(dict(membership.network_profile(document)))
        listed = profile.get("networkInterfaceConfigurations") or []
        primary = next((item for item in listed if item["properties"].get("primary")), listed[0])
        configurations = primary["properties"].get("ipConfigurations") or []
        wanted = membership.wanted_pools(step)
        primary["properties"]["ipConfigurations"] = membership.with_pools(configurations, wanted, self._account)
        if "virtualMachineProfile" in document["properties"]:
            return {"properties": {"virtualMachineProfile": {"networkProfile": profile}}}
        return {"properties": {"networkProfileConfiguration": profile}}

    def _put_interface(self, action: Action, refs: Refs) -> Outputs | Pending:  # noqa: ARG002 - as above
        (step,) = action.steps
        path = membership.interface_of(step)
        document = self._client.get(path)
        wanted = _writable(document)
        wanted["properties"]["ipConfigurations"] = membership.with_pools(
            document["properties"]["ipConfigurations"], membership.wanted_pools(step), self._account
        )
        reply = self._client.put(path, wanted, etag=document.get("etag", ""))

        def read(found: Document) -> list[Seen]:
            seen = membership.read_interface(step.key.id, found, self._account)
            return [seen] if seen else []

        return self._outcome(reply, Following(path, (step,), read), WRITE_SECONDS)

    # -- operations -------------------------------------------------------------------------------------------------

    def _outcome(self, reply: Reply, following: Following, seconds: float) -> Outputs | Pending:
        if reply.operation:
            return Pending(reply.operation, reply.retry_after or seconds, payload=following)
        if following.gone:
            return outputs_of(following, None)
        return outputs_of(following, reply.document or self._client.get(following.path))

    def poll(self, pending: Iterable[Pending]) -> dict[str, Outcome]:
        """Outcomes of what is over. Addresses of one group are asked for with one list, whatever their number."""
        outcomes: dict[str, Outcome] = {}
        by_collection: dict[str, list[Pending]] = {}
        for item in pending:
            following = item.payload
            assert isinstance(following, Following)
            by_collection.setdefault(following.collection or item.operation, []).append(item)
        for items in by_collection.values():
            found = self._poll_one(items[0]) if len(items) == 1 else self._poll_addresses(items)
            outcomes.update(found)
        return outcomes

    def _poll_one(self, item: Pending) -> dict[str, Outcome]:
        following = item.payload
        assert isinstance(following, Following)
        try:
            state = self._client.ask(item.operation)
            if state["status"] in ("Failed", "Canceled"):
                return {item.operation: self._client.error_of(following.path.rpartition("/")[2], state)}
            if state["status"] != "Succeeded":
                return {}
            document = None if following.gone else self._client.get(following.path)
        except CloudError as error:
            return {item.operation: error} if not isinstance(error, NotReady) else {}
        return {item.operation: outputs_of(following, document)}

    def _poll_addresses(self, items: list[Pending]) -> dict[str, Outcome]:
        """All of one group at once. What is ready waits a little for its neighbours, so that one write serves all."""
        first = items[0].payload
        assert isinstance(first, Following)
        present = {document["id"].lower(): document for document in self._client.list(first.collection)}
        outcomes: dict[str, Outcome] = {}
        late = False
        for item in items:
            following = item.payload
            assert isinstance(following, Following)
            document = present.get(following.path.lower())
            state = (document or {}).get("properties", {}).get("provisioningState", "")
            if state == "Succeeded":
                outcomes[item.operation] = outputs_of(following, document)
            elif state in ("Failed", "Canceled"):
                outcomes.update(self._poll_one(item))
            else:
                late = late or self._clock.monotonic() - following.since < GATHER_SECONDS
        return {op: outcome for op, outcome in outcomes.items() if not (late and isinstance(outcome, Outputs))}


def outputs_of(following: Following, document: Document | None) -> Outputs:
    """What the finished operation confirmed of the action's resources."""
    if following.gone or document is None:
        if following.before is not None:
            return Outputs(following.more, tuple(following.before), NO_DOCUMENT)
        return Outputs(gone=tuple(step.key for step in following.steps))
    steps = {step.key: step for step in following.steps}
    seen = [_owned(item, steps.get(item.key)) for item in following.read(document)]
    if following.before is None:
        found = tuple(item for item in seen if item.key in steps)
        return Outputs(found, tuple(steps.keys() - {item.key for item in found}))
    present = {item.key for item in seen}
    return Outputs((*seen, *following.more), tuple(following.before - present), document)


def _owned(seen: Seen, step: Step | None) -> Seen:
    """The owners that the plan knew are those of the object; names alone may tell fewer."""
    if step is None or step.desired is None or step.verb is Verb.DELETE:
        return seen
    owners = step.desired.owners or seen.resource.owners
    return replace(seen, resource=replace(seen.resource, owners=owners), ours=True)


def _body(refs: Refs) -> dict[str, Any] | None:
    body = refs.scope.body
    return body if isinstance(body, dict) and body else None


def _element(document: Mapping[str, Any], collection: str, name: str) -> dict[str, Any]:
    for element in document.get("properties", {}).get(collection) or []:
        if element["name"].lower() == name.lower():
            found: dict[str, Any] = element
            return found
    return {"name": name}


def _writable(document: Mapping[str, Any]) -> dict[str, Any]:
    properties = {k: v for k, v in (document.get("properties") or {}).items() if k != "provisioningState"}
    return {**{k: v for k, v in document.items() if k != "etag"}, "properties": properties}


def _elements_of(refs: Refs) -> frozenset[Key]:
    return frozenset(key for key in refs.scope.resources if key.kind == BALANCER or key.kind in COLLECTIONS)


def _touched_addresses(action: Action, refs: Refs) -> list[Seen]:
    """Public addresses whose frontends come or go: their ETag and attachment change with the balancer's write."""
    touched = []
    for step in action.steps:
        if step.key.kind != FRONTEND:
            continue
        old = step.seen.resource.needs if step.seen else frozenset()
        new = step.desired.needs if step.desired is not None and step.verb is not Verb.DELETE else frozenset()
        for need in sorted(old ^ new):
            seen = refs.scope.get(need)
            if seen is not None:
                outputs = {**seen.outputs, "etag": "", "attached": step.name if need in new else ""}
                touched.append(replace(seen, outputs=outputs))
    return touched
