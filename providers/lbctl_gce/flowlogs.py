"""Logging of a balancer's traffic, as an `L4LBConfig` object in the Service's namespace asks for it. Pure.

What such an object says, its defaults and what is wrong with it are ingress-gce's (pkg/l4lbconfig), and so are Events
and the condition that tells whether logging is managed. What is missing or wrong leaves logging as it is, and the rest
of the balancer goes on; a Service that names no object any more leaves it as it is too.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import lbctl_gce.annotations as keys
from lbctl.model.objects import CustomObject, Service
from lbctl.model.reference import Reference
from lbctl.model.status import Notice, Severity, Verdict

CONFIGS = "l4lbconfigs.v1.networking.gke.io"
CONDITION = "LoggingConfigManaged"
NOT_FOUND, INVALID = "L4LBConfigNotFound", "L4LBConfigInvalidMode"
EXCLUDE, INCLUDE, CUSTOM = "EXCLUDE_ALL_OPTIONAL", "INCLUDE_ALL_OPTIONAL", "CUSTOM"
WHOLE = 1_000_000
"""The sample rate at which everything is logged."""
NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
UNMANAGED: Mapping[str, Hashable] = dict.fromkeys(("logging", "sample_rate", "log_mode", "log_fields"))
"""Fields of a backend service whose logging stays as it is."""


@dataclass(frozen=True, slots=True)
class Flowlogs:
    """What becomes of a balancer's logging: fields of the backend service, what to tell, and upstream's condition."""

    fields: Mapping[str, Hashable] = field(default_factory=lambda: UNMANAGED, hash=False)
    notices: tuple[Notice, ...] = ()
    verdict: Verdict | None = None


def references(service: Service) -> frozenset[Reference]:
    """The object that the Service names."""
    name = _named(service)
    usable = service.spec.type == "LoadBalancer" and NAME.fullmatch(name)
    return frozenset({Reference(CONFIGS, service.metadata.namespace, name)}) if usable else frozenset()


def choose_flowlogs(service: Service, referred: Mapping[Reference, Any]) -> Flowlogs:
    """What the object that the Service names says, as far as there is one and it can be followed."""
    name = _named(service)
    if not name:
        was_told = any(condition.type == CONDITION for condition in service.status.conditions)
        return Flowlogs(verdict=_unmanaged("no object is named") if was_told else None)
    found = next((referred.get(reference) for reference in references(service)), None)
    if not isinstance(found, CustomObject):
        return _unusable(NOT_FOUND, "Missing", f"there is no L4LBConfig {name} in {service.metadata.namespace}")
    wanted = found.spec.get("logging")
    if wanted is None:
        return Flowlogs(verdict=_unmanaged(f"L4LBConfig {name} says nothing of logging"))
    faults = _faults(wanted)
    if faults:
        return _unusable(INVALID, "Error", f"L4LBConfig {name}: {'; '.join(faults)}")
    return Flowlogs(
        _fields(wanted), verdict=Verdict(CONDITION, holds=True, reason="Reconciled", message=f"as {name} says")
    )


def _named(service: Service) -> str:
    return service.metadata.annotations.get(keys.LOGGING, "").strip()


def _unmanaged(why: str) -> Verdict:
    return Verdict(CONDITION, holds=False, reason="Unmanaged", message=f"{why}, so logging stays as it is")


def _unusable(event: str, reason: str, text: str) -> Flowlogs:
    notice = Notice(Severity.WARNING, event, f"{text}; logging stays as it is")
    return Flowlogs(notices=(notice,), verdict=Verdict(CONDITION, holds=False, reason=reason, message=text))


def _faults(wanted: Any) -> list[str]:  # noqa: ANN401 - whatever the object holds
    """All that is wrong; a cluster whose definition of the kind has no rules lets anything through."""
    if not isinstance(wanted, dict):
        return ["spec.logging is no object"]
    rate, mode, names = wanted.get("sampleRate", WHOLE), wanted.get("optionalMode") or EXCLUDE, _names(wanted)
    checks = {
        "spec.logging.enabled is neither true nor false": not isinstance(wanted.get("enabled", False), bool),
        f"spec.logging.sampleRate is not within 0 to {WHOLE}": not _is_rate(rate),
        f"spec.logging.optionalMode is none of {EXCLUDE}, {INCLUDE} and {CUSTOM}": mode
        not in (EXCLUDE, INCLUDE, CUSTOM),
        "spec.logging.optionalFields is no list of names": names is None,
        f"spec.logging.optionalFields needs the mode {CUSTOM}": bool(names) and mode != CUSTOM,
        f"spec.logging.optionalMode {CUSTOM} needs optionalFields": mode == CUSTOM and names == [],
    }
    return [text for text, is_wrong in checks.items() if is_wrong]


def _is_rate(rate: object) -> bool:
    return isinstance(rate, int) and not isinstance(rate, bool) and 0 <= rate <= WHOLE


def _names(wanted: Mapping[str, Any]) -> list[str] | None:
    names = wanted.get("optionalFields") or []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _fields(wanted: Mapping[str, Any]) -> Mapping[str, Hashable]:
    if not wanted.get("enabled", False):
        return {**UNMANAGED, "logging": False}
    return {
        "logging": True,
        "sample_rate": wanted.get("sampleRate", WHOLE) / WHOLE,
        "log_mode": wanted.get("optionalMode") or EXCLUDE,
        "log_fields": frozenset(_names(wanted) or ()),
    }
