"""The documents by which clients find out what is served: /version, /api, /apis and one list a group version.

Made from the table of kinds; pure. Only the classic form: newer clients fall back to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbctl.sandbox.api.kinds import ALL_VERBS, GROUP_VERSIONS, KINDS, Kind

if TYPE_CHECKING:
    from lbctl.sandbox.api.objects import Obj

RELEASE = ("1", "37")


def version() -> Obj:
    """The release whose behaviour is served; the build says whose server it is."""
    major, minor = RELEASE
    return {"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0-lbctl", "platform": "lbctl/sandbox"}


def core_versions() -> Obj:
    """/api."""
    return {"kind": "APIVersions", "versions": ["v1"]}


def groups() -> Obj:
    """/apis."""
    found = [_group(group, version) for group, version in GROUP_VERSIONS if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(name: str) -> Obj | None:
    """/apis/GROUP; None for a group that is not served."""
    served = [_group(group, version) for group, version in GROUP_VERSIONS if group == name and name]
    return {"kind": "APIGroup", "apiVersion": "v1"} | served[0] if served else None


def resources(group: str, version: str) -> Obj | None:
    """/api/v1 and /apis/GROUP/VERSION; None for a version that is not served."""
    if (group, version) not in GROUP_VERSIONS:
        return None
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    found = [entry for kind in kinds for entry in _resource_entries(kind)]
    api_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": found}


def _group(name: str, version: str) -> Obj:
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def _resource_entries(kind: Kind) -> list[Obj]:
    entry: Obj = {
        "name": kind.resource,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
    }
    entry["verbs"] = ["create"] if kind.create_only else list(ALL_VERBS)
    if kind.short:
        entry["shortNames"] = list(kind.short)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if not kind.status:
        return [entry]
    part = {"name": f"{kind.resource}/status", "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind}
    return [entry, part | {"verbs": ["get", "patch", "update"]}]
