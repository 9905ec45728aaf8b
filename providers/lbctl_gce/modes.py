"""Which of upstream's balancers a Service gets: class, then finalizer, then annotation, then what exists. Pure.

The answers are upstream's, because two controllers that disagree on them fight over the Service
(cloud-provider-gcp, providers/gce/gce_loadbalancer.go; ingress-gce, pkg/annotations and pkg/utils/common).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import lbctl_gce.annotations as keys
from lbctl.model.objects import Service
from lbctl.model.status import Notice, Severity


class Mode(enum.StrEnum):
    """The five kinds of balancers, and what stands behind one that somebody else makes."""

    TARGET_POOL = "netlb-tp"
    EXTERNAL_GROUPS = "netlb-rbs"
    EXTERNAL_ENDPOINTS = "netlb-neg"
    INTERNAL_GROUPS = "ilb-ig"
    INTERNAL_ENDPOINTS = "ilb-neg"
    ENDPOINTS_ALONE = "neg-only"

    @property
    def is_internal(self) -> bool:
        """True for addresses of the network itself."""
        return self in (Mode.INTERNAL_GROUPS, Mode.INTERNAL_ENDPOINTS)

    @property
    def is_legacy(self) -> bool:
        """True for what cloud-provider-gcp makes."""
        return self in (Mode.TARGET_POOL, Mode.INTERNAL_GROUPS)

    @property
    def uses_groups(self) -> bool:
        """True when nodes are reached through the cluster's instance groups."""
        return self in (Mode.EXTERNAL_GROUPS, Mode.INTERNAL_GROUPS)

    @property
    def uses_endpoints(self) -> bool:
        """True when nodes are reached through endpoint groups of the Service's own."""
        return self in (Mode.EXTERNAL_ENDPOINTS, Mode.INTERNAL_ENDPOINTS, Mode.ENDPOINTS_ALONE)

    @property
    def has_balancer(self) -> bool:
        """False for endpoint groups before which somebody else puts a balancer."""
        return self is not Mode.ENDPOINTS_ALONE

    @property
    def scheme(self) -> str:
        """Load balancing scheme of forwarding rule and backend service."""
        return "INTERNAL" if self.is_internal else "EXTERNAL"


FINALIZERS = {
    Mode.TARGET_POOL: "gke.networking.io/l4-netlb-v1",
    Mode.EXTERNAL_GROUPS: "gke.networking.io/l4-netlb-v2",
    Mode.EXTERNAL_ENDPOINTS: "gke.networking.io/l4-netlb-v3",
    Mode.INTERNAL_GROUPS: "gke.networking.io/l4-ilb-v1",
    Mode.INTERNAL_ENDPOINTS: "gke.networking.io/l4-ilb-v2",
}
STRONG_AFFINITY_MODES = frozenset({Mode.EXTERNAL_GROUPS, Mode.EXTERNAL_ENDPOINTS})
"""Kinds for which upstream has it."""
CLASS_PREFIX = "networking.gke.io/l4-regional-"
CLASSES = {
    f"{CLASS_PREFIX}external-legacy": Mode.TARGET_POOL,
    f"{CLASS_PREFIX}external": Mode.EXTERNAL_GROUPS,
    f"{CLASS_PREFIX}internal-legacy": Mode.INTERNAL_GROUPS,
    f"{CLASS_PREFIX}internal": Mode.INTERNAL_ENDPOINTS,
    "networking.gke.io/standalone-passthrough-lb-neg": Mode.ENDPOINTS_ALONE,
}
INTERNAL_WORDS = frozenset({"Internal", "internal"})


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a new Service gets that says nothing."""

    external: Mode = Mode.TARGET_POOL
    internal: Mode = Mode.INTERNAL_GROUPS


@dataclass(frozen=True, slots=True)
class Choice:
    """The mode, and what its author should know about the choice."""

    mode: Mode
    notices: tuple[Notice, ...] = ()


def choose_mode(service: Service, *, defaults: Defaults, existing: Mode | None = None) -> Choice:
    """The mode of a Service; `existing` is that of the forwarding rule which bears its name already."""
    classed = CLASSES.get(service.spec.load_balancer_class or "")
    wants_internal = type_annotation(service) in INTERNAL_WORDS
    if classed is Mode.EXTERNAL_GROUPS and FINALIZERS[Mode.EXTERNAL_ENDPOINTS] in service.metadata.finalizers:
        classed = Mode.EXTERNAL_ENDPOINTS  # upstream serves both kinds under one class
    if classed is not None:
        return Choice(classed, _conflict(classed, wants_internal=wants_internal))
    if wants_internal:
        return Choice(_internal(service, defaults, existing))
    return Choice(_external(service, defaults, existing), _useless_type(service))


def type_annotation(service: Service) -> str:
    """Value of the type annotation: the new key wins, even with a useless value."""
    given = service.metadata.annotations
    return given.get(keys.TYPE, given.get(keys.OLD_TYPE, ""))


def _internal(service: Service, defaults: Defaults, existing: Mode | None) -> Mode:
    marked = _marked(service, (Mode.INTERNAL_GROUPS, Mode.INTERNAL_ENDPOINTS), existing)
    if marked is not None:
        return marked
    return existing if existing is not None and existing.is_internal else defaults.internal


def _external(service: Service, defaults: Defaults, existing: Mode | None) -> Mode:
    marked = _marked(service, (Mode.TARGET_POOL, Mode.EXTERNAL_GROUPS, Mode.EXTERNAL_ENDPOINTS), existing)
    if marked is Mode.TARGET_POOL and service.metadata.annotations.get(keys.MIGRATE, "").strip() == "migrate":
        return Mode.EXTERNAL_GROUPS
    if marked is not None:
        return marked
    if service.metadata.annotations.get(keys.BACKENDS) == "enabled":
        return Mode.EXTERNAL_GROUPS
    return existing if existing is not None and not existing.is_internal else defaults.external


def _marked(service: Service, modes: tuple[Mode, ...], existing: Mode | None) -> Mode | None:
    """The mode that a finalizer names; after a migration there are two, and what exists tells which one holds."""
    marks = [mode for mode in modes if FINALIZERS[mode] in service.metadata.finalizers]
    return existing if existing in marks else next(iter(marks), None)


def _conflict(mode: Mode, *, wants_internal: bool) -> tuple[Notice, ...]:
    if mode.is_internal or not wants_internal:
        return ()
    kind = "an external balancer" if mode.has_balancer else "no balancer"
    text = f"the class asks for {kind} and {keys.TYPE} for an internal one; the class wins"
    return (Notice(Severity.WARNING, "ConflictingConfiguration", text),)


def _useless_type(service: Service) -> tuple[Notice, ...]:
    value = type_annotation(service)
    if value.strip().lower() in ("", "external"):
        return ()
    text = f"{keys.TYPE} {value!r} is not Internal, so the balancer is external"
    return (Notice(Severity.WARNING, "AnnotationIgnored", text),)
