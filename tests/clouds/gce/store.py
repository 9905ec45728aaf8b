"""What the cloud holds: objects by path, counters for ids and addresses, and who refers to whom.

A path is `projects/P/regions/R/COLLECTION/NAME` (or `zones/Z`, `global`). References are kept as full links, as the API
returns them, and compared as paths.
"""

from __future__ import annotations

import copy
import ipaddress
import itertools
import re
from collections.abc import Iterator
from typing import Any

ROOT = "https://www.googleapis.com/compute/v1/"
LINK = re.compile(r"^https?://[^/]+/compute/[^/]+/(.*)$")
HOLDERS = (
    "forwardingRules",
    "backendServices",
    "targetPools",
    "healthChecks",
    "httpHealthChecks",
    "instanceGroups",
    "networkEndpointGroups",
)

GROUPS = ("instanceGroups", "networkEndpointGroups", "targetPools")

Body = dict[str, Any]


def path_of(link: str, *, base: str = "") -> str:
    """The path that a full link, a path from `projects/`, or one relative to the project stands for."""
    found = LINK.match(link)
    path = found.group(1) if found else link
    return path if path.startswith("projects/") or not base else f"{base}/{path}"


class Store:
    """All objects of all projects."""

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self.members: dict[str, list[Any]] = {}
        self._ids = itertools.count(1000)
        self._external = itertools.count(1)
        self._internal = itertools.count(50)

    def put(self, path: str, body: Body) -> Body:
        """Store an object with what the server fills in."""
        old = self.objects.get(path, {})
        *_, collection, name = path.split("/")
        kind = f"compute#{collection.removesuffix('s')}"
        filled = {"id": old.get("id") or str(next(self._ids)), "creationTimestamp": "2026-01-01T00:00:00.000-08:00"}
        if collection in ("forwardingRules", "backendServices"):
            filled["fingerprint"] = f"f{next(self._ids):011d}"
        place = path.split("/")
        if place[2] in ("regions", "zones"):
            filled[place[2][:-1]] = ROOT + "/".join(place[:4])
        self.objects[path] = {"kind": kind, **body, "name": name, "selfLink": ROOT + path, **filled}
        if collection in GROUPS:
            self.members.setdefault(path, [path_of(link) for link in body.get("instances", ())])
        return self.objects[path]

    def get(self, path: str) -> Body | None:
        found = self.objects.get(path)
        return copy.deepcopy(found) if found is not None else None

    def drop(self, path: str) -> None:
        self.objects.pop(path, None)
        self.members.pop(path, None)

    def set_members(self, path: str, members: list[Any]) -> None:
        """Members of a group; those of a target pool are part of its body too."""
        self.members[path] = list(dict.fromkeys(members))
        if "/targetPools/" in path:
            self.objects[path]["instances"] = [ROOT + member for member in self.members[path]]

    def of(self, collection: str, project: str | None = None) -> Iterator[tuple[str, Body]]:
        for path, body in sorted(self.objects.items()):
            parts = path.split("/")
            if parts[-2] == collection and project in (None, parts[1]):
                yield path, body

    def users_of(self, path: str) -> Iterator[str]:
        """Objects that refer to this one; which address uses an IP is no reference."""
        for other, body in self.objects.items():
            if other.split("/")[-2] in HOLDERS and any(path_of(link) == path for link in _links(body)):
                yield other

    def new_external(self) -> str:
        return self._unused(lambda: f"203.0.113.{next(self._external)}")

    def new_external_v6(self) -> str:
        return self._unused(lambda: f"2600:1900:4000:{next(self._external):x}::/96")

    def new_internal(self, cidr: str) -> str:
        network = ipaddress.ip_network(cidr)
        return self._unused(lambda: str(network[next(self._internal)]))

    def _unused(self, make: Any) -> str:
        taken = {body.get("IPAddress") or body.get("address") for body in self.objects.values()}
        return next(address for address in iter(make, None) if address not in taken)

    def picture(self) -> list[tuple[str, Any]]:
        """Everything without what the server numbers: two histories with one end give the same picture."""
        volatile = {"id", "fingerprint", "creationTimestamp"}
        objects = [(p, _plain({k: v for k, v in b.items() if k not in volatile})) for p, b in self.objects.items()]
        members = [(f"{path} members", sorted(map(str, items))) for path, items in self.members.items() if items]
        return sorted([*objects, *members])


def _plain(value: Any) -> str:
    return repr(sorted((k, str(v)) for k, v in value.items()))


def _links(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name != "selfLink":
                yield from _links(item)
    elif isinstance(value, list):
        for item in value:
            yield from _links(item)
    elif isinstance(value, str) and "/" in value:
        yield value
