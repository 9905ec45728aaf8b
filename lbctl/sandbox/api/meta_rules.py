"""Rules for metadata that every kind shares: system fields at creation, what may change, what labels may hold.

Source of the rules: kube-apiserver 1.36, `registry/rest` and `api/validation/objectmeta.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbctl.sandbox.api import names
from lbctl.sandbox.api.objects import Obj, metadata, section

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbctl.sandbox.api.status import Problems

STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
ANNOTATION_BYTES = 256 * 1024
OWNER_FIELDS = ("apiVersion", "kind", "name", "uid")
SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def stamp(obj: Obj, *, uid: str, created: str) -> None:
    """Fill the fields that belong to the server; what the client gave for them is dropped."""
    meta = metadata(obj)
    for name in (*SYSTEM_FIELDS, "resourceVersion", "generation", "selfLink"):
        meta.pop(name, None)
    meta.update(uid=uid, creationTimestamp=created)


def carry_over(new: Obj, old: Obj) -> None:
    """Keep the server's fields of `old` where the client left them out; what it gave is checked afterwards."""
    fresh, former = metadata(new), metadata(old)
    fresh.pop("selfLink", None)
    # Grace and deletion are never a client's to change, not even to clear.
    for name in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        fresh.pop(name, None)
        if name in former:
            fresh[name] = former[name]
    for name in ("uid", "namespace", "name", "generateName"):
        if name in former:
            fresh.setdefault(name, former[name])


def check(problems: Problems, obj: Obj, name_fault: Callable[[str], str]) -> None:
    """Note everything that is wrong with the metadata of a complete object."""
    meta = metadata(obj)
    if not meta.get("name"):
        problems.required("metadata.name", "name or generateName is required")
    elif fault := name_fault(meta["name"]):
        problems.invalid("metadata.name", meta["name"], fault)
    _check_labels(problems, section(meta, "labels"))
    _check_annotations(problems, section(meta, "annotations"))
    _check_owners(problems, meta)
    for index, finalizer in enumerate(meta.get("finalizers", ())):
        _check_finalizer(problems, finalizer, f"metadata.finalizers[{index}]")


def check_update(problems: Problems, new: Obj, old: Obj) -> None:
    """Note every metadata field that changed and may not."""
    fresh, former = metadata(new), metadata(old)
    for name in IMMUTABLE:
        if fresh.get(name) != former.get(name):
            problems.invalid(f"metadata.{name}", fresh.get(name, ""), "field is immutable")
    if "deletionTimestamp" in former:
        _check_no_new_finalizers(problems, fresh, former)


def _check_no_new_finalizers(problems: Problems, fresh: Obj, former: Obj) -> None:
    added = sorted(set(fresh.get("finalizers", ())) - set(former.get("finalizers", ())))
    if added:
        listed = ", ".join(f'"{name}"' for name in added)
        why = (
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{"
            + listed
            + "}"
        )
        problems.forbidden("metadata.finalizers", why)


def _check_labels(problems: Problems, labels: Obj) -> None:
    for key, value in labels.items():
        if fault := names.qualified_name_fault(key):
            problems.invalid("metadata.labels", key, fault)
        if fault := names.label_value_fault(value):
            problems.invalid("metadata.labels", value, fault)


def _check_annotations(problems: Problems, annotations: Obj) -> None:
    for key in annotations:
        if fault := names.qualified_name_fault(key.lower()):
            problems.invalid("metadata.annotations", key, fault)
    if sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATION_BYTES:
        problems.too_long("metadata.annotations", ANNOTATION_BYTES)


def _check_owners(problems: Problems, meta: Obj) -> None:
    for index, owner in enumerate(meta.get("ownerReferences", ())):
        for name in OWNER_FIELDS:
            if not owner.get(name):
                problems.invalid(
                    f"metadata.ownerReferences[{index}].{name}", owner.get(name, ""), f"{name} must not be empty"
                )


def _check_finalizer(problems: Problems, finalizer: str, path: str) -> None:
    if fault := names.qualified_name_fault(finalizer):
        problems.invalid(path, finalizer, fault)
    elif "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
        why = "name is neither a standard finalizer name nor is it fully qualified"
        problems.invalid(path, finalizer, why)
