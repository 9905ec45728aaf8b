"""What sets a kind apart from "stored as it is": one `Rules` object a storage, looked up by the resources module.

The base class is the rule for everything without behaviour. Pure but for the Services' pools, which are settled only
after a write was accepted.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from lbctl.sandbox.api import names
from lbctl.sandbox.api.objects import Obj, clone, drop_empty, metadata, name_of, section
from lbctl.sandbox.api.service_checks import check_ingress, check_service, check_service_update
from lbctl.sandbox.api.service_defaults import (
    carry_allocated,
    default_ingress,
    drop_type_fields,
    set_defaults,
    sync_cluster_ips,
)
from lbctl.sandbox.api.service_families import settle_families
from lbctl.sandbox.api.service_pools import Pools, allocate

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbctl.sandbox.api.status import Problems


class Rules:
    """Stored as it is: names are subdomains, status is written through its own path, nothing else is looked at."""

    name_fault: Callable[[str], str] = staticmethod(names.subdomain_fault)
    keeps_status_on_create = False
    needs_revision = False
    put_creates = False
    answers_deleted_object = False

    def default(self, obj: Obj) -> None:
        """Fill in what the kind gets without asking."""

    def complete(self, new: Obj, old: Obj | None, problems: Problems) -> None:
        """Fill in what depends on the former state or on the cluster; `old` is None at creation."""

    def check(self, problems: Problems, new: Obj, old: Obj | None) -> None:
        """Note what is wrong; metadata is looked at elsewhere."""

    def check_status(self, problems: Problems, new: Obj) -> None:
        """Note what is wrong with a status that was written through its own path."""

    def settle(self, old: Obj | None, new: Obj | None) -> None:
        """Take note of an accepted write; None stands for not there."""


class ServiceRules(Rules):
    """Services: defaults, addresses, ports, and what may change."""

    name_fault = staticmethod(names.label_fault)
    put_creates = True
    answers_deleted_object = True

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def default(self, obj: Obj) -> None:
        """Fill in every default that depends on the Service alone."""
        set_defaults(obj.setdefault("spec", {}))
        default_ingress(obj)
        obj["status"].setdefault("loadBalancer", {})

    def complete(self, new: Obj, old: Obj | None, problems: Problems) -> None:
        """Carry over or allocate addresses and ports."""
        spec, former = new["spec"], clone(old["spec"]) if old else {}
        if old:
            drop_type_fields(spec, former)
            carry_allocated(spec, former)
            if spec["type"] != "LoadBalancer":
                new["status"]["loadBalancer"] = {}
        sync_cluster_ips(spec, former or None)
        settle_families(spec, old=former, cluster=tuple(self._pools.networks), problems=problems)
        if not problems.causes:
            allocate(self._pools, spec, old=former, problems=problems)

    def check(self, problems: Problems, new: Obj, old: Obj | None) -> None:
        """Note everything that is wrong with the Service."""
        check_service(problems, new)
        if old:
            check_service_update(problems, new, old)

    def check_status(self, problems: Problems, new: Obj) -> None:
        """Note what is wrong with the addresses."""
        check_ingress(problems, new)

    def settle(self, old: Obj | None, new: Obj | None) -> None:
        """Take what the new state holds, free what only the old one held."""
        self._pools.replace(section(old or {}, "spec"), section(new or {}, "spec"))


class NodeRules(Rules):
    """Nodes: created with the status as given; the provider id is written once."""

    keeps_status_on_create = True

    def default(self, obj: Obj) -> None:
        """Fill in the members that a Node always shows."""
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {"Port": 0})
        info = status.setdefault("nodeInfo", {})
        for name in NODE_INFO:
            info.setdefault(name, "")

    def check(self, problems: Problems, new: Obj, old: Obj | None) -> None:
        """Note a provider id that changed, and taints that are wrong."""
        fresh = section(new, "spec").get("providerID", "")
        former = section(old or {}, "spec").get("providerID", "")
        if former and fresh != former:
            problems.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
        for index, taint in enumerate(section(new, "spec").get("taints", ())):
            _check_taint(problems, taint, f"metadata.taints[{index}]")


NODE_INFO = (
    *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"),
    *("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"),
)
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _check_taint(problems: Problems, taint: Obj, path: str) -> None:
    if fault := names.qualified_name_fault(taint.get("key", "")):
        problems.invalid(f"{path}.key", taint.get("key", ""), fault)
    if taint.get("effect") not in TAINT_EFFECTS:
        problems.unsupported(f"{path}.effect", taint.get("effect", ""), TAINT_EFFECTS)


class PodRules(Rules):
    """Pods: pending until somebody runs them."""

    def default(self, obj: Obj) -> None:
        """Show a phase."""
        obj.setdefault("status", {}).setdefault("phase", "Pending")


class NamespaceRules(Rules):
    """Namespaces: born active, held by a finalizer until their contents are gone."""

    name_fault = staticmethod(names.label_fault)
    answers_deleted_object = True

    def default(self, obj: Obj) -> None:
        """Fill in finalizer, phase and the label that selects by name."""
        spec = obj.setdefault("spec", {})
        if "deletionTimestamp" not in metadata(obj):
            spec.setdefault("finalizers", ["kubernetes"])
        obj.setdefault("status", {}).setdefault("phase", "Active")
        if name_of(obj):
            metadata(obj).setdefault("labels", {})["kubernetes.io/metadata.name"] = name_of(obj)


class LeaseRules(Rules):
    """Leases: never overwritten blindly."""

    needs_revision = True

    def default(self, obj: Obj) -> None:
        """Always show a spec."""
        obj.setdefault("spec", {})

    def check(self, problems: Problems, new: Obj, old: Obj | None) -> None:  # noqa: ARG002 - the former state decides nothing
        """Note durations and transitions that are out of range."""
        spec = section(new, "spec")
        if spec.get("leaseDurationSeconds", 1) <= 0:
            problems.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
        if spec.get("leaseTransitions", 0) < 0:
            problems.invalid("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")


class EventRules(Rules):
    """Events: beside the object that they are about."""

    def default(self, obj: Obj) -> None:
        """Show the members that an Event always has, empty ones included."""
        drop_empty(obj, "count", "series", "related", "action")
        obj.setdefault("involvedObject", {})
        obj.setdefault("source", {})
        for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(name, None)
        for name in ("reportingComponent", "reportingInstance"):
            obj.setdefault(name, "")

    def check(self, problems: Problems, new: Obj, old: Obj | None) -> None:  # noqa: ARG002 - the former state decides nothing
        """Note an event in another namespace than its object; cluster objects have theirs in `default`."""
        about = section(new, "involvedObject").get("namespace", "")
        here = section(new, "metadata").get("namespace", "")
        if about != here and not (not about and here == "default"):
            problems.invalid("involvedObject.namespace", about, "does not match event.namespace")


class SecretRules(Rules):
    """Secrets: text is folded into data, the type is fixed."""

    def default(self, obj: Obj) -> None:
        """Encode `stringData` into `data`."""
        obj.setdefault("type", "Opaque")
        for key, text in obj.pop("stringData", {}).items():
            obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()

    def check(self, problems: Problems, new: Obj, old: Obj | None) -> None:
        """Note a changed type and keys that are no file names."""
        if old and new["type"] != old["type"]:
            problems.invalid("type", new["type"], "field is immutable")
        _check_frozen_data(problems, new, old)


class ConfigMapRules(Rules):
    """ConfigMaps: keys are file names, and immutable ones stay as they are."""

    def check(self, problems: Problems, new: Obj, old: Obj | None) -> None:
        """Note a change of what was frozen."""
        _check_frozen_data(problems, new, old)


def _check_frozen_data(problems: Problems, new: Obj, old: Obj | None) -> None:
    for key in section(new, "data"):
        if not _is_file_name(key):
            problems.invalid(
                f"data[{key}]", key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            )
    if not old or not old.get("immutable"):
        return
    for name in ("immutable", "data", "binaryData"):
        if new.get(name) != old.get(name):
            problems.forbidden(name, "field is immutable when `immutable` is set")


def _is_file_name(key: str) -> bool:
    return bool(key) and all(char.isalnum() or char in "-_." for char in key) and key not in (".", "..")


class RoleRules(Rules):
    """RBAC objects: names may hold colons, as those of the system's roles do."""

    name_fault = staticmethod(names.path_segment_fault)


STORED = Rules()


def rules_of(pools: Pools) -> dict[str, Rules]:
    """The kinds with behaviour, by the name of their storage."""
    roles = RoleRules()
    return {
        "services": ServiceRules(pools),
        "nodes": NodeRules(),
        "pods": PodRules(),
        "namespaces": NamespaceRules(),
        "leases.coordination.k8s.io": LeaseRules(),
        "events": EventRules(),
        "secrets": SecretRules(),
        "configmaps": ConfigMapRules(),
        **{
            f"{name}.rbac.authorization.k8s.io": roles
            for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
        },
    }
