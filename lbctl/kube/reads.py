"""Live reads outside of the watches: single objects, facts of the cluster, and what we are allowed to do.

For decisions that may not rest on a cached view (before the first create and the first delete of a balancer), and for
the commands at the desk. Each function tells what it costs.
"""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
from typing import TYPE_CHECKING, Any

import msgspec

from lbctl.errors import KubeGone
from lbctl.kube.answers import decoding
from lbctl.kube.lease import Lease, LeaseSpec
from lbctl.kube.resources import T
from lbctl.kube.target import (
    ACCESS_REVIEWS,
    ENDPOINT_SLICES,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    VERSION,
    Target,
    target_of,
)
from lbctl.kube.wire import Codec
from lbctl.model.objects import CustomObject, EndpointSlice, Node, Pod, Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lbctl.kube.rest import Rest
    from lbctl.model.reference import Reference

_PAGE_SIZE = "500"
_SERVICES = Codec(Service)
_NODES = Codec(Node)
_SLICES = Codec(EndpointSlice)
_PODS = Codec(Pod)
_CUSTOM = Codec(CustomObject)


class _Uid(msgspec.Struct, frozen=True):
    uid: str


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Uid


class _Document(msgspec.Struct, frozen=True):
    data: dict[str, str] = {}


class _FieldsEntry(msgspec.Struct, frozen=True, rename="camel"):
    manager: str = ""
    subresource: str = ""
    time: str = ""
    fields: dict[str, Any] = msgspec.field(default_factory=dict, name="fieldsV1")

    @property
    def owns_ingress(self) -> bool:
        return self.subresource == "status" and "f:loadBalancer" in self.fields.get("f:status", {})


class _Owners(msgspec.Struct, frozen=True, rename="camel"):
    managed_fields: list[_FieldsEntry] = []


class _Owned(msgspec.Struct, frozen=True):
    metadata: _Owners


class _Verdict(msgspec.Struct, frozen=True):
    allowed: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _Verdict


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    git_version: str


class EventView(msgspec.Struct, frozen=True, rename="camel"):
    """An Event, as far as people read it."""

    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 1
    last_timestamp: str | None = None


class _Events(msgspec.Struct, frozen=True):
    items: list[EventView] | None = None


_LEASE = msgspec.json.Decoder(Lease)
_EVENTS = msgspec.json.Decoder(_Events)


class Cluster:
    """Live reads of one cluster."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def get_service(self, namespace: str, name: str) -> Service | None:
        """The Service as the server holds it now, None when there is none; one GET."""
        target = SERVICES.one(name, namespace=namespace)
        try:
            with decoding("get", target):
                return _SERVICES.view(self._rest.get(target))
        except KubeGone:
            return None

    def list_services(self) -> Iterator[Service]:
        """All Services of every type, read consistently; one GET per 500, of which one page is held at a time.

        This finds Services that are no LoadBalancer any more and still carry a finalizer. What cannot be decoded is
        left out. Raises KubeError(status 410) when the list took longer than the server keeps its history.
        """
        return self._list(SERVICES, _SERVICES)

    def get_custom(self, reference: Reference) -> CustomObject | None:
        """The object of a custom kind that is referred to, None when there is no such object or kind; one GET."""
        target = target_of(reference.resource).one(reference.name, namespace=reference.namespace)
        try:
            with decoding("get", target):
                return _CUSTOM.view(self._rest.get(target))
        except KubeGone:
            return None

    def list_nodes(self) -> Iterator[Node]:
        """All Nodes, read consistently; one GET per 500."""
        return self._list(NODES, _NODES)

    def list_slices(self) -> Iterator[EndpointSlice]:
        """All EndpointSlices, read consistently; one GET per 500."""
        return self._list(ENDPOINT_SLICES, _SLICES)

    def list_pods(self, namespace: str) -> Iterator[Pod]:
        """All Pods of a namespace, read consistently; one GET per 500, of which one page is held at a time."""
        return self._list(PODS.within(namespace), _PODS)

    def _list(self, target: Target, codec: Codec[T]) -> Iterator[T]:
        token = ""
        while True:
            query = {"limit": _PAGE_SIZE} | ({"continue": token} if token else {})
            with decoding("list", target):
                page = codec.page(self._rest.list(target, query))
            yield from page.views
            token = page.continue_token
            if not token:
                return

    def get_cluster_uid(self) -> str:
        """The uid of the namespace `kube-system`, which lives as long as the cluster; one GET."""
        target = NAMESPACES.one("kube-system")
        with decoding("get", target):
            return msgspec.json.decode(self._rest.get(target), type=_Namespace).metadata.uid

    def get_document(self, key: str) -> Mapping[str, str] | None:
        """Data of `configmaps/NAMESPACE/NAME` or `secrets/NAMESPACE/NAME` as text, None when there is none; one GET."""
        resource, namespace, name = key.split("/")
        target = Target(resource=resource, namespace=namespace, name=name)
        try:
            with decoding("get", target):
                data = msgspec.json.decode(self._rest.get(target), type=_Document).data
        except KubeGone:
            return None
        if resource == "configmaps":
            return data
        return {entry: base64.b64decode(value).decode(errors="replace") for entry, value in data.items()}

    def get_ingress_owner(self, service: Service) -> str:
        """Name of the field manager that wrote `status.loadBalancer` last, empty when unknown; one GET."""
        target = SERVICES.one(service.metadata.name, namespace=service.metadata.namespace)
        with decoding("get", target):
            entries = msgspec.json.decode(self._rest.get(target), type=_Owned).metadata.managed_fields
        owners = [entry for entry in entries if entry.owns_ingress]
        return max(owners, key=lambda entry: entry.time).manager if owners else ""

    def can_i(self, verb: str, target: Target) -> bool:
        """Whether the server would let us do this; one POST, which stores nothing."""
        attributes = {
            "verb": verb,
            "group": target.group,
            "resource": target.resource,
            "subresource": target.subresource,
            "namespace": target.namespace,
            "name": target.name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {name: value for name, value in attributes.items() if value}},
        }
        with decoding("create", ACCESS_REVIEWS):
            body = self._rest.send("create", ACCESS_REVIEWS, body=review)
            return msgspec.json.decode(body, type=_Review).status.allowed

    def get_lease(self, name: str, *, namespace: str) -> LeaseSpec | None:
        """The record of a Lease, None when there is none; one GET."""
        target = LEASES.one(name, namespace=namespace)
        try:
            with decoding("get", target):
                return _LEASE.decode(self._rest.get(target)).spec
        except KubeGone:
            return None

    def get_lease_holder(self, name: str, *, namespace: str, now: dt.datetime) -> str:
        """Who holds a Lease that has not run out by the wall clock, empty for nobody; one GET."""
        spec = self.get_lease(name, namespace=namespace)
        return spec.holder_at(now) if spec is not None else ""

    def get_clock(self) -> dt.datetime | None:
        """The server's time to the second, None when it does not tell; one GET."""
        text = self._rest.get_date()
        return email.utils.parsedate_to_datetime(text) if text else None

    def list_events(self, service: Service) -> tuple[EventView, ...]:
        """The Events about a Service, oldest first; one GET."""
        meta = service.metadata
        query = {"fieldSelector": f"involvedObject.name={meta.name},involvedObject.uid={meta.uid}"}
        target = EVENTS.within(meta.namespace)
        with decoding("list", target):
            events = _EVENTS.decode(self._rest.list(target, query)).items or ()
        return tuple(sorted(events, key=lambda event: event.last_timestamp or ""))

    def get_version(self) -> str:
        """The server's version, such as `v1.36.2`; one GET."""
        with decoding("get", VERSION):
            return msgspec.json.decode(self._rest.get(VERSION), type=_Version).git_version
