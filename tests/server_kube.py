"""Services on an API server, for the worlds of `tests.world`.

lbctl's own writes go through its writer and its live reads, a person's through plain REST. After each write the server
is asked what it holds now, and the listeners are told at once, so that a world needs no watch and no thread. Nodes and
Events stay in memory.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from lbctl.errors import KubeConflict, KubeGone
from lbctl.kube.reads import Cluster
from lbctl.kube.rest import MERGE_PATCH
from lbctl.kube.target import NAMESPACES, SERVICES
from lbctl.kube.writes import ServiceWriter
from tests.world import NAMESPACE, Backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lbctl.kube.patches import Clearing
    from lbctl.kube.rest import Rest
    from lbctl.kube.target import Target
    from lbctl.model.objects import Condition, Ingress, Service

SOMEBODY = {"fieldManager": "someone-else"}
SERVERS_OWN = "default/kubernetes"


class ServerKube(Backend):
    """The Services of an API server, which is emptied first: node ports are the cluster's, whatever the namespace.

    A person's writes go through `rest`, lbctl's own through `lbctl` where it comes in as somebody else.
    """

    def __init__(self, rest: Rest, *, lbctl: Rest | None = None) -> None:
        super().__init__()
        self._rest = rest
        self._writer = ServiceWriter(lbctl or rest)
        self._reads = Cluster(lbctl or rest)
        self._told: dict[str, Service] = {}
        self._empty()

    @property
    def services(self) -> dict[str, Service]:
        return {one.key: one for one in self.list_services() if one.metadata.namespace == NAMESPACE}

    def put(self, service: Service) -> Service:
        live = self.get_service(service.metadata.namespace, service.metadata.name)
        if live is None:
            self._create(service)
        else:
            self._patch(_target(service), _difference(_authored(live), _authored(service)))
        return self._deliver(service)

    def overwrite(self, service: Service) -> Service:
        live = self.services[service.key]
        self._patch(_target(service), _difference(_authored(live), _authored(service)))
        self._patch(_target(service, "status"), _difference(_status(live), _status(service)))
        return self._deliver(service)

    def delete(self, key: str) -> None:
        old = self.services[key]
        self._rest.send("delete", _target(old))
        self._deliver(old)

    def get_service(self, namespace: str, name: str) -> Service | None:
        return self._reads.get_service(namespace, name)

    def list_services(self) -> Sequence[Service]:
        return list(self._reads.list_services())

    def get_ingress_owner(self, service: Service) -> str:
        return self._reads.get_ingress_owner(service)

    def add_finalizers(self, service: Service, names: Sequence[str]) -> Service:
        return self._write("add-finalizers", lambda: self._writer.add_finalizers(service, names))

    def remove_finalizers(self, service: Service, names: Sequence[str], *, clearing: Clearing | None = None) -> Service:
        return self._write(
            "remove-finalizers", lambda: self._writer.remove_finalizers(service, names, clearing=clearing)
        )

    def write_status(
        self,
        service: Service,
        *,
        ingress: Sequence[Ingress],
        conditions: Sequence[Condition],
        annotations: Mapping[str, str | None] | None = None,
    ) -> Service:
        def write() -> Service:
            return self._writer.write_status(service, ingress=ingress, conditions=conditions, annotations=annotations)

        return self._write("write-status", write)

    def _write(self, what: str, write: Callable[[], Service]) -> Service:
        def write_and_tell() -> Service:
            answer = write()
            self._deliver(answer)
            return answer

        return self._count(what, write_and_tell)

    def _create(self, service: Service) -> None:
        body = _difference({}, _authored(service))
        body.setdefault("metadata", {})["name"] = service.metadata.name
        if service.spec.type == "ExternalName":
            body["spec"]["externalName"] = "elsewhere.example"  # required, and nothing that lbctl looks at
        self._rest.send("create", SERVICES.within(service.metadata.namespace), body=body)
        self._patch(_target(service, "status"), _difference({}, _status(service)))

    def _patch(self, target: Target, body: dict[str, Any]) -> None:
        if body:
            self._rest.send("patch", target, body=body, content_type=MERGE_PATCH, query=SOMEBODY)

    def _deliver(self, about: Service) -> Service:
        """Tell the listeners what has become of a Service; `about` itself when it is gone."""
        old = self._told.pop(about.key, None)
        new = self.get_service(about.metadata.namespace, about.metadata.name)
        if new is not None:
            self._told[about.key] = new
        if new != old:
            self._tell(old, new)
        return new or about

    def _empty(self) -> None:
        with suppress(KubeConflict):  # it is there from the test before
            self._rest.send("create", NAMESPACES, body={"metadata": {"name": NAMESPACE}})
        for left in self.list_services():
            if left.key != SERVERS_OWN:
                self._remove(left)

    def _remove(self, service: Service) -> None:
        with suppress(KubeGone):  # it only waited for its finalizers
            self._patch(_target(service), {"metadata": {"finalizers": None}})
            self._rest.send("delete", _target(service))


def _target(service: Service, subresource: str = "") -> Target:
    meta = service.metadata
    return SERVICES.one(meta.name, namespace=meta.namespace, subresource=subresource)


def _authored(service: Service) -> dict[str, Any]:
    """What the author of a Service writes."""
    meta = msgspec.to_builtins(service.metadata)
    written = {name: meta[name] for name in ("labels", "annotations", "finalizers") if name in meta}
    return {"metadata": written, "spec": msgspec.to_builtins(service.spec)}


def _status(service: Service) -> dict[str, Any]:
    return {"status": msgspec.to_builtins(service.status)}


def _difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that makes `new` of `old`."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        former = old.get(name, {})
        if not isinstance(value, dict) or not isinstance(former, dict):
            patch |= {name: value} if name not in old or former != value else {}
        elif inner := _difference(former, value):
            patch[name] = inner
    return patch
