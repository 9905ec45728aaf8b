"""The resources that we watch: where they are, how they decode, which objects of them concern us.

A reflector is generic over this table's entries. It must not know which finalizers a controller uses: whoever makes
the entry for Services says so.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from lbctl.kube.target import ENDPOINT_SLICES, NODES, PODS, SERVICES, Target, target_of
from lbctl.model.objects import CustomObject, EndpointSlice, Node, Pod, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lbctl.model.objects import ObjectMeta


class Watched(Protocol):
    """What a store and a reflector need to know of a view."""

    @property
    def metadata(self) -> ObjectMeta:
        """Identity and version."""

    @property
    def key(self) -> str:
        """`namespace/name`, or the name of an object without namespace."""

    def same_as(self, other: Self) -> bool:
        """True when the two differ in nothing that decides anything."""


T = TypeVar("T", bound=Watched)


def _concerns_us(_view: object) -> bool:
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Generic[T]):
    """A watched resource.

    `field_selector` narrows the watch at the server. `keeps` says which views belong into the store; it is wider than
    the selector where an object that the selector has lost still concerns us. `gather_seconds` is how long news may
    gather after a quiet moment before the next is read: one waking for several costs a fraction of one for each.
    """

    view: type[T]
    target: Target
    field_selector: str = ""
    gather_seconds: float = 0.0
    keeps: Callable[[T], bool] = _concerns_us

    @property
    def is_whole(self) -> bool:
        """True when every object of the server is kept, so that the server's count is that of the store."""
        return self.keeps is _concerns_us

    def target_of(self, view: T) -> Target:
        """The one object that `view` shows."""
        return self.target.one(view.metadata.name, namespace=view.metadata.namespace)


# Thousands of kubelets write what decides nothing, and what does decide waits for a quiet second or a health check.
GATHER_SECONDS = 0.25
NODE_RESOURCE = Resource(view=Node, target=NODES, gather_seconds=GATHER_SECONDS)
ENDPOINT_SLICE_RESOURCE = Resource(view=EndpointSlice, target=ENDPOINT_SLICES)


def service_resource(finalizers: Iterable[str]) -> Resource[Service]:
    """Services of type LoadBalancer, and those of another type that still carry one of our `finalizers`."""
    ours = frozenset(finalizers)

    def keeps(service: Service) -> bool:
        return service.spec.type == "LoadBalancer" or not ours.isdisjoint(service.metadata.finalizers)

    return Resource(view=Service, target=SERVICES, field_selector="spec.type=LoadBalancer", keeps=keeps)


def pod_resource(prefixes: Iterable[str]) -> Resource[Pod]:
    """Pods that carry a readiness gate whose type begins with one of `prefixes`.

    No selector tells them from the others, so each Pod of the cluster is decoded, into the few fields of its view, and
    dropped on the spot.
    """
    starts = tuple(prefixes)

    def keeps(pod: Pod) -> bool:
        return any(gate.condition_type.startswith(starts) for gate in pod.spec.readiness_gates)

    return Resource(view=Pod, target=PODS, gather_seconds=GATHER_SECONDS, keeps=keeps)


def referred_resource(name: str) -> Resource[Any]:
    """What Services may refer to, `name` as in `Reference`: a custom kind, or the Services that no cloud serves.

    Those of type LoadBalancer are watched anyway, as `service_resource`.
    """
    if target_of(name) != SERVICES:
        return Resource(view=CustomObject, target=target_of(name))

    def keeps(service: Service) -> bool:
        return service.spec.type != "LoadBalancer"

    return Resource(view=Service, target=SERVICES, field_selector="spec.type!=LoadBalancer", keeps=keeps)
