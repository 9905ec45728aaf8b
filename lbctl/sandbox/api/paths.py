"""Which resource a URL path names. Pure; the HTTP side asks once a request."""

from __future__ import annotations

from dataclasses import dataclass

from lbctl.sandbox.api.kinds import BY_PATH, GROUP_VERSIONS, Kind
from lbctl.sandbox.api.status import unknown_path

GROUPS = frozenset(group for group, _ in GROUP_VERSIONS)


@dataclass(frozen=True, slots=True)
class Target:
    """A collection or, with a name, one object; `subresource` is a part of it."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watch: bool = False


class UnknownGroup(Exception):
    """A path under no API group that is served: answered in plain text, not by a Status."""


def parse_path(path: str) -> Target:
    """The target of a path below a group's version.

    Raises Refusal 404 for an unknown resource of a known group, UnknownGroup for everything else.
    """
    parts = path.strip("/").split("/")
    group, version, rest = _group_version(parts)
    watch = rest[:1] == ["watch"]
    rest = rest[1:] if watch else rest
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):  # noqa: PLR2004 - /namespaces/NAME/x
        namespace, rest = rest[1], rest[2:]
    kind = BY_PATH.get((group, version, rest[0])) if rest else None
    if kind is None or (namespace and not kind.namespaced):
        raise unknown_path()
    return _target(kind, namespace, rest[1:], watch=watch)


def _group_version(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[0] == "api" and parts[1:2] == ["v1"]:
        return "", "v1", parts[2:]
    if parts[0] == "apis" and len(parts) > 2 and (parts[1], parts[2]) in GROUP_VERSIONS:  # noqa: PLR2004 - apis/GROUP/VERSION
        return parts[1], parts[2], parts[3:]
    raise UnknownGroup


def _target(kind: Kind, namespace: str, rest: list[str], *, watch: bool) -> Target:
    name, subresource, more = [*rest, "", "", ""][:3]
    known = ("", "status") if kind.status else ("",)
    if more or subresource not in (*known, "finalize" if kind.resource == "namespaces" else ""):
        raise unknown_path()
    if name and kind.namespaced and not namespace:
        raise unknown_path()
    return Target(kind, namespace, name, subresource, watch)
