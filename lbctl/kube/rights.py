"""The rights on the API server that a controller needs, one by one; `lbctl doctor` asks for each of them.

The list is that of service-controller A.19: no `patch` on Services, only on their status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lbctl.kube.target import ENDPOINT_SLICES, EVENTS, LEASES, NAMESPACES, NODES, PODS, SERVICES, Target

READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource; what fails without it, unless it is `optional`, is everything."""

    verb: str
    target: Target
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.target}"


def needed_rights(
    *,
    lease: str,
    slices: bool,
    write_leases: Iterable[str] = (),
    other_leases: Iterable[str] = (),
    documents: Iterable[str] = (),
) -> Iterator[Right]:
    """Every right; Leases are `namespace/name`, `slices` when some driver targets pods.

    `write_leases` are taken before shared cloud objects are written, `other_leases` only tell whether their holders
    run. `documents` are the ConfigMaps and Secrets that drivers read, as `secrets/namespace/name`.
    """
    yield from (Right(verb, SERVICES) for verb in READ)
    yield Right("patch", Target(resource="services", subresource="status"))
    yield from (Right(verb, NODES) for verb in READ)
    yield from (Right(verb, EVENTS) for verb in ("create", "patch"))
    yield Right("get", NAMESPACES.one("kube-system"))
    namespace, _, name = lease.partition("/")
    yield Right("create", LEASES.within(namespace))
    yield from (Right(verb, LEASES.one(name, namespace=namespace)) for verb in ("get", "update"))
    if slices:
        yield from (Right(verb, ENDPOINT_SLICES) for verb in READ)
    for other in write_leases:
        namespace, _, name = other.partition("/")
        target = LEASES.one(name, namespace=namespace)
        yield from (Right(verb, target, optional=True) for verb in ("get", "update"))
    for other in other_leases:
        namespace, _, name = other.partition("/")
        yield Right("get", LEASES.one(name, namespace=namespace), optional=True)
    for document in documents:
        resource, namespace, name = document.split("/")
        yield Right("get", Target(resource=resource, namespace=namespace, name=name))


def gate_rights() -> Iterator[Right]:
    """What opening the readiness gates of Pods takes; without them the Pods that have some stay unready."""
    yield from (Right(verb, PODS, optional=True) for verb in READ)
    yield Right("patch", Target(resource="pods", subresource="status"), optional=True)
