"""Writes of the rarer kinds: interfaces, instances and models that join pools, and private link services.

Each is one call on condition of the ETag, after a read of the object as it is now: these objects are other people's as
much as ours, so only the part that is ours is changed.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from lbctl.driver import Pending, Refs
from lbctl.errors import NotReady
from lbctl.model.resource import Observed, Outputs, Seen
from lbctl.plan.actions import Action, Step, Verb
from lbctl_azure import membership, private_links
from lbctl_azure.account import Account
from lbctl_azure.body import writable
from lbctl_azure.client import Client
from lbctl_azure.ids import parent_of
from lbctl_azure.operations import Following, Operations, outputs_of
from lbctl_azure.owners import Owners
from lbctl_azure.reading import Document

WRITE_SECONDS = 2.0


class Joiner:
    """Joins interfaces to pools, and private links to frontends."""

    def __init__(self, account: Account, client: Client, operations: Operations) -> None:
        self._account = account
        self._client = client
        self._operations = operations
        self._moved: set[str] = set()

    def take_moved(self, balancer: str) -> bool:
        """True once after what joined or left has given the balancer another ETag, as far as that is known here."""
        known = balancer.lower() in self._moved
        self._moved.discard(balancer.lower())
        return known

    def _note(self, *pools: membership.Pools) -> None:
        self._moved.update(parent_of(pool) for some in pools for pool in some)

    # -- private link services --------------------------------------------------------------------------------------

    def put_link(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Make or change a private link service; the subnet of its addresses is opened for it first."""
        (step,) = action.steps
        assert step.desired is not None
        path = private_links.path_of(step, self._account)
        subnet = str(step.desired.fields["subnet"])
        self._allow_links(subnet)
        present = self._client.find(path)
        balancer = self._account.balancer_id(refs.scope.scope)
        document = private_links.next_link(present, step.desired, balancer=balancer, config=self._account)
        reply = self._client.put(path, document, etag=(present or {}).get("etag", ""))
        self._moved.add(balancer.lower())
        return self._operations.outcome(reply, self._following_link(path, step, refs), WRITE_SECONDS)

    def _allow_links(self, subnet: str) -> None:
        """Addresses of a private link service need a subnet without network policies for them."""
        document = self._client.get(subnet)
        if document["properties"].get("privateLinkServiceNetworkPolicies") == "Disabled":
            return
        document["properties"]["privateLinkServiceNetworkPolicies"] = "Disabled"
        self._client.put(subnet, writable(document), etag=document.get("etag", ""))
        raise NotReady(f"subnet {document['name']} is being opened for private links", after_seconds=WRITE_SECONDS)

    def delete_link(self, action: Action, refs: Refs) -> Outputs | Pending:
        """Cut the connections of a private link service, then remove it."""
        (step,) = action.steps
        path = private_links.path_of(step, self._account)
        connections = f"{path}/privateEndpointConnections"
        for connection in self._client.list(connections):
            self._client.delete(connection["id"])
            raise NotReady(f"connections of private link {step.name} are being removed", after_seconds=WRITE_SECONDS)
        following = replace(self._following_link(path, step, refs), gone=True)
        self._moved.add(self._account.balancer_id(refs.scope.scope).lower())
        return self._operations.outcome(self._client.delete(path), following, WRITE_SECONDS)

    def _following_link(self, path: str, step: Step, refs: Refs) -> Following:
        owners = Owners.of(refs.world)
        return Following(path, (step,), lambda document: [private_links.read_link(document, owners, self._account)])

    # -- members ----------------------------------------------------------------------------------------------------

    def put_model(self, action: Action, refs: Refs) -> Outputs | Pending:  # noqa: ARG002 - every call has this shape
        """Bring a scale set's model into the pools; nothing is written when it is there already."""
        (step,) = action.steps
        path = step.key.id
        document = self._client.get(path)
        profile = self._profile(document, membership.wanted_pools(step))
        following = Following(path, (step,), lambda found: [membership.read_scale_set(found, self._account)])
        self._note(membership.pools_in(document), membership.pools_in(profile))
        if membership.pools_in(document) == membership.pools_in(profile):
            return outputs_of(following, document)
        reply = self._client.patch(path, profile, etag=document.get("etag", ""))
        return self._operations.outcome(reply, following, WRITE_SECONDS)

    def detach_model(self, scale_set: str) -> None:
        """Take a scale set's model out of every pool of ours: one that no node stands for keeps a balancer alive."""
        document = self._client.find(scale_set)
        if document is None:
            return
        profile = self._profile(document, frozenset())
        if membership.pools_in(document) != membership.pools_in(profile):
            self._client.patch(scale_set, profile, etag=document.get("etag", ""))

    def leave(self, balancer: str, members: Observed, refs: Refs) -> None:
        """Take every machine out of the pools of one balancer, models before their instances; asks for no outcome."""
        writes = ((membership.SCALE_SET, self.put_model), (membership.MEMBER, self._put_member))
        for kind, write in writes:
            for seen in members.of_kind(kind):
                pools = membership.pools_of(seen.resource)
                left = frozenset(pool for pool in pools if not pool.startswith(f"{balancer.lower()}/"))
                if left != pools:
                    desired = replace(seen.resource, fields={**seen.resource.fields, "pools": left})
                    step = Step(Verb.UPDATE, seen.key, seen.resource.name, desired=desired, seen=seen)
                    write(Action(f"leave {seen.key.id}", "", (step,)), refs)

    def _put_member(self, action: Action, refs: Refs) -> Outputs | Pending:
        is_instance = "/virtualmachinescalesets/" in action.steps[0].key.id
        return self.put_instance(action, refs) if is_instance else self.put_interface(action, refs)

    def put_instance(self, action: Action, refs: Refs) -> Outputs | Pending:  # noqa: ARG002 - as above
        """Bring an instance into the pools; one that was born from a joined model is there already."""
        (step,) = action.steps
        path = step.key.id
        document = self._client.find(path)
        following = Following(path, (step,), self._read_instance)
        if document is None:
            self._note(membership.pools_of(step.seen.resource) if step.seen is not None else frozenset())
            return Outputs(gone=(step.key,))
        profile = self._profile(document, membership.wanted_pools(step))
        self._note(membership.pools_in(document), membership.pools_in(profile))
        if membership.pools_in(document) == membership.pools_in(profile):
            # Born from a model that is in the pool already.
            return outputs_of(following, document)
        wanted = {**writable(document), "properties": profile["properties"]}
        reply = self._client.put(path, wanted, etag=document.get("etag", ""))
        return self._operations.outcome(reply, following, WRITE_SECONDS)

    def _read_instance(self, document: Document) -> list[Seen]:
        seen = membership.read_instance(document, self._account)
        return [seen] if seen else []

    def _profile(self, document: Document, wanted: membership.Pools) -> dict[str, Any]:
        """The interfaces of a model or an instance with the wanted pools, and nothing else of the document."""
        profile = copy.deepcopy(dict(membership.network_profile(document)))
        listed = profile.get("networkInterfaceConfigurations") or []
        primary = next((item for item in listed if item["properties"].get("primary")), listed[0])
        configurations = primary["properties"].get("ipConfigurations") or []
        primary["properties"]["ipConfigurations"] = membership.with_pools(configurations, wanted, self._account)
        if "virtualMachineProfile" in document["properties"]:
            return {"properties": {"virtualMachineProfile": {"networkProfile": profile}}}
        return {"properties": {"networkProfileConfiguration": profile}}

    def put_interface(self, action: Action, refs: Refs) -> Outputs | Pending:  # noqa: ARG002 - as above
        """Bring a machine's own interface into the pools."""
        (step,) = action.steps
        path = membership.interface_of(step)
        document = self._client.get(path)
        wanted = writable(document)
        wanted["properties"]["ipConfigurations"] = membership.with_pools(
            document["properties"]["ipConfigurations"], membership.wanted_pools(step), self._account
        )
        self._note(membership.pools_in(document), membership.pools_in(wanted))
        reply = self._client.put(path, wanted, etag=document.get("etag", ""))

        def read(found: Document) -> list[Seen]:
            seen = membership.read_interface(step.key.id, found, self._account)
            return [seen] if seen else []

        return self._operations.outcome(reply, Following(path, (step,), read), WRITE_SECONDS)
