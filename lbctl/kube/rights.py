"""The one list of rights on the API server: `lbctl doctor` asks for each of them, `lbctl.deploy` grants them. Pure.

The list is that of service-controller A.19: Services and Nodes are watched, only `services/status` is patched (it takes
finalizers too), Events are made and counted up, one Lease is held. A driver adds what it watches beside,
custom kinds that Services refer to, and single Leases, ConfigMaps and Secrets of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lbctl.driver import DriverInfo
from lbctl.kube.target import ENDPOINT_SLICES, EVENTS, LEASES, NAMESPACES, NODES, PODS, SERVICES, Target, target_of

READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on one resource or object; what fails without it, unless it is `optional`, is everything."""

    verbs: tuple[str, ...]
    target: Target
    optional: bool = False


CLUSTER_WIDE = (
    Right(READ, SERVICES),
    Right(("patch",), Target(resource="services", subresource="status")),
    Right(READ, NODES),
    Right(("create", "patch"), EVENTS),
    # The uid of this namespace is the cluster's id.
    Right(("get",), NAMESPACES.one("kube-system")),
)
WATCHED: Mapping[str, tuple[Right, ...]] = {
    "endpointslices": (Right(READ, ENDPOINT_SLICES),),
    # Without them the Pods that wait for a target stay unready, and everything else goes on.
    "pods": (
        Right(READ, PODS, optional=True),
        Right(("patch",), Target(resource="pods", subresource="status"), optional=True),
    ),
}
"""The rights that come with each of `DriverInfo.watches`."""


def own_lease(namespace: str, name: str) -> tuple[Right, ...]:
    """The Lease that says who leads; making one cannot be bound to a name, everything else is."""
    return Right(("create",), LEASES.within(namespace)), Right(("get", "update"), LEASES.one(name, namespace=namespace))


def other_leases(info: DriverInfo) -> tuple[Right, ...]:
    """Leases that tell whether other controllers run, then the one that is taken before shared objects are written."""
    seen = tuple(_on_lease(key, ("get",)) for key in info.controller_leases if key != info.write_lease)
    return (*seen, _on_lease(info.write_lease, ("get", "update"))) if info.write_lease else seen


def document(key: str) -> Right:
    """Reading one of `DriverInfo.documents`."""
    resource, namespace, name = key.split("/")
    return Right(("get",), Target(resource=resource, namespace=namespace, name=name))


def custom_kinds(info: DriverInfo) -> tuple[Right, ...]:
    """Reading the custom kinds that the driver's Services may refer to; it serves all others without them."""
    targets = map(target_of, info.refers_to)
    return tuple(Right(READ, target, optional=True) for target in targets if target != SERVICES)


def needed_rights(
    infos: Iterable[DriverInfo], *, lease: tuple[str, str], documents: Iterable[str] = ()
) -> Mapping[tuple[str, Target], bool]:
    """Every verb on every target that these drivers need together, and whether it is optional.

    `lease` is namespace and name of our own.
    """
    rights = [*CLUSTER_WIDE, *own_lease(*lease)]
    for info in infos:
        rights += (right for watched in sorted(info.watches) for right in WATCHED[watched])
        rights += custom_kinds(info)
        rights += other_leases(info)
    rights += map(document, documents)
    needed: dict[tuple[str, Target], bool] = {}
    for right in rights:
        for verb in right.verbs:
            needed[verb, right.target] = needed.get((verb, right.target), True) and right.optional
    return needed


def _on_lease(key: str, verbs: tuple[str, ...]) -> Right:
    namespace, _, name = key.partition("/")
    return Right(verbs, LEASES.one(name, namespace=namespace), optional=True)
