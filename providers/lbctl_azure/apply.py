"""One action -> one cloud call. Writes.

Documents are built from the server's own as last confirmed (`Observed.body`, or kept with a public address), and
written on condition of its ETag. What ARM accepts but has not finished is followed by `operations`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lbctl.driver import Pending, Refs
from lbctl.errors import Conflict, MissingFact, NotReady
from lbctl.model.resource import Key, Observed, Outputs, Seen
from lbctl.plan.actions import Action, Step, Verb
from lbctl_azure import public_ips
from lbctl_azure.account import PUBLIC_IP, Account, public_ip_key
from lbctl_azure.body import next_balancer, writable
from lbctl_azure.client import Client
from lbctl_azure.elements import BALANCER, COLLECTIONS, FRONTEND, write_fields
from lbctl_azure.groups import Evidence, next_group, read_group
from lbctl_azure.ids import parent_of
from lbctl_azure.joining import Joiner
from lbctl_azure.membership import is_kept_by_strangers, scale_set_key
from lbctl_azure.operations import Following, Operations
from lbctl_azure.owners import Owners
from lbctl_azure.reading import Document, read_balancer, read_public_ip
from lbctl_azure.releasing import FORGET, forgotten
from lbctl_azure.tags import tags_of

SCALE_SET = re.compile(
    r"/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/Microsoft\.Compute/virtualMachineScaleSets/[\w-]+",
    re.IGNORECASE,
)
"""What a refusal names that says who still holds a pool; a set without nodes is known in no other way."""
PIP_SECONDS = 1.0
WRITE_SECONDS = 2.0


class Writer:
    """Carries out actions of one account."""

    def __init__(
        self, account: Account, client: Client, operations: Operations, node_ranges: Callable[[], tuple[str, ...]]
    ) -> None:
        self._node_ranges = node_ranges
        self._account = account
        self._client = client
        self._operations = operations
        self._joiner = joiner = Joiner(account, client, operations)
        self._calls: Mapping[str, Callable[[Action, Refs], Outputs | Pending]] = {
            "loadBalancers/write": self._put_balancer,
            "loadBalancers/delete": self._delete_balancer,
            "backendAddressPools/write": self._put_pool,
            "publicIPAddresses/write": self._put_public_ip,
            "publicIPAddresses/delete": self._delete_public_ip,
            "networkSecurityGroups/write": self._put_group,
            "privateLinkServices/write": joiner.put_link,
            "privateLinkServices/delete": joiner.delete_link,
            "virtualMachineScaleSets/write": joiner.put_model,
            "virtualMachines/write": joiner.put_instance,
            "networkInterfaces/write": joiner.put_interface,
            FORGET: lambda action, _refs: forgotten(action),
        }

    def apply(self, action: Action, refs: Refs) -> Outputs | Pending:
        """One call."""
        return self._calls[action.call](action, refs)

    # -- load balancers ---------------------------------------------------------------------------------------------

    def _put_balancer(self, action: Action, refs: Refs) -> Outputs | Pending:
        scope = refs.scope.scope
        path = self._account.balancer_id(scope)
        body = self._current(path, refs)
        document = next_balancer(body, action.steps, shell=self._shell(), id=path)
        reply = self._client.put(path, document, etag=(body or {}).get("etag", ""), is_new=body is None)
        more = (*_touched_addresses(action, refs), *self._guest_addresses(action, refs))
        following = Following(path, action.steps, self._reader(refs), before=_elements_of(refs), more=more)
        return self._operations.outcome(reply, following, WRITE_SECONDS)

    def _current(self, path: str, refs: Refs) -> dict[str, Any] | None:
        """The document to build on: read anew after machines joined, which moves its ETag and nothing that is planned.

        `Conflict` when somebody has changed more than that since it was planned.
        """
        body = _body(refs)
        if body is None or not self._joiner.take_moved(path):
            return body
        fresh = self._client.get(path)
        known = {key: refs.scope[key].resource.fields for key in _elements_of(refs)}
        if {seen.key: seen.resource.fields for seen in self._reader(refs)(fresh)} != known:
            raise Conflict(f"load balancer {fresh['name']} is not what it was when this was planned")
        return fresh

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
        try:
            reply = self._client.delete(path)
        except NotReady as error:
            self._empty_pools(error.message, refs)
            raise
        return self._operations.outcome(reply, following, WRITE_SECONDS)

    def _empty_pools(self, refusal: str, refs: Refs) -> None:
        """Take out of the pools what the scope of the members leaves in: it knows its own order for all the rest."""
        members = refs.world.observed.get(self._account.membership, Observed(self._account.membership))
        if is_kept_by_strangers(refs.scope.scope, refs.world, self._account):
            self._joiner.leave(self._account.balancer_id(refs.scope.scope), members, refs)
        for scale_set in SCALE_SET.findall(refusal):
            seen = members.get(scale_set_key(scale_set))
            if seen is None or not seen.resource.fields.get("pools"):
                self._joiner.detach_model(scale_set)

    def _put_pool(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Members alone: the pool is written as a child; the balancer is read back because the two share an ETag."""
        step = action.steps[0]
        balancer = self._account.balancer_id(refs.scope.scope)
        element = _element(_body(refs) or {}, "backendAddressPools", step.name)
        document = write_fields(step.key.kind, element, {c.field: c.new for c in step.changes}, balancer)
        etag = str((_body(refs) or {}).get("etag", ""))
        reply = self._client.put(f"{balancer}/backendAddressPools/{step.name}", writable(document), etag=etag)
        following = Following(balancer, action.steps, self._reader(refs), before=_elements_of(refs))
        return self._operations.outcome(replace(reply, document=None), following, WRITE_SECONDS)

    def _shell(self) -> dict[str, Any]:
        config = self._account.config
        shell: dict[str, Any] = {"location": config.location, "sku": {"name": "Standard"}, "properties": {}}
        if config.extended_location:
            shell["extendedLocation"] = {"name": config.extended_location, "type": config.extended_location_type}
        return shell

    def _reader(self, refs: Refs) -> Callable[[Document], list[Seen]]:
        known = {*refs.world.services, *refs.world.intents, *(o for o in refs.scope.owners() if o.name)}
        told = ((seen.resource.name, tags_of(seen.resource.fields)) for seen in refs.scope.of_kind(PUBLIC_IP))
        owners = Owners.among(known).with_strangers(told, self._account.cluster)
        return lambda document: read_balancer(document, owners, self._account)

    # -- public addresses -------------------------------------------------------------------------------------------

    def _put_public_ip(self, action: Action, refs: Refs) -> Outputs | Pending:
        (step,) = action.steps
        path = self._path_of_address(step)
        document = self._present_address(step, path)
        wanted = public_ips.next_public_ip(document, step, self._account.config)
        etag = document.get("etag", "") if document else ""
        reply = self._client.put(path, wanted, etag=etag, is_new=document is None)
        return self._operations.outcome(reply, self._following_address(path, step, refs), PIP_SECONDS)

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
        return self._operations.outcome(self._client.delete(path), following, PIP_SECONDS)

    def _following_address(self, path: str, step: Step, refs: Refs) -> Following:
        owners = Owners.of(refs.world)
        return Following(
            path,
            (step,),
            lambda document: [read_public_ip(document, owners, self._account)],
            collection=parent_of(path + "/x"),
            since=self._operations.now(),
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
        return self._operations.outcome(reply, following, WRITE_SECONDS)


def _body(refs: Refs) -> dict[str, Any] | None:
    body = refs.scope.body
    return body if isinstance(body, dict) and body else None


def _element(document: Mapping[str, Any], collection: str, name: str) -> dict[str, Any]:
    for element in document.get("properties", {}).get(collection) or []:
        if element["name"].lower() == name.lower():
            found: dict[str, Any] = element
            return found
    return {"name": name}


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
