"""The small languages that pick things in Neutron, Nova and Barbican: patterns, filters, ids in references. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from lbctl.model.objects import Node

DEVICE = re.compile(r"openstack://[^/]*/(?P<id>[^/]+)|(?P<bare>[0-9a-fA-F-]{36})")


def device_of(node: Node) -> str:
    """Id of a node's instance; `openstack:///ID`, `openstack://REGION/ID` or the bare id, else empty."""
    found = DEVICE.fullmatch(node.spec.provider_id)
    return (found["id"] or found["bare"]) if found else ""


def without_instance(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Names of the nodes whose provider id is none of OpenStack's."""
    return tuple(sorted(node.metadata.name for node in nodes if not device_of(node)))


def tag_query(text: str) -> dict[str, str]:
    """Neutron's filter: `a,b` any of, `&a,b` all of, `!a,b` none of, `!&a,b` not all of."""
    if not text:
        return {}
    negated = text.startswith("!")
    every = text.removeprefix("!").startswith("&")
    tags = text.removeprefix("!").removeprefix("&")
    return {TAG_FILTERS[negated, every]: tags}


TAG_FILTERS = {
    (False, False): "tags-any",
    (False, True): "tags",
    (True, False): "not-tags-any",
    (True, True): "not-tags",
}


def matches(pattern: str, name: str) -> bool:
    """True when a subnet's name matches: a glob, or a regex after `~`, whole names both; `!` before it negates."""
    if not pattern:
        return True
    positive = pattern.removeprefix("!")
    if positive.startswith("~"):
        hit = re.fullmatch(positive[1:], name) is not None
    else:
        hit = fnmatch.fnmatchcase(name, positive)
    return hit is not pattern.startswith("!")


def secret_path(ref: str) -> str:
    """Path of a Barbican reference; empty for one that is not Barbican's, which Octavia judges itself."""
    found = re.fullmatch(r"https?://[^/]+(?:/[^/]+)*?(/v1)?(?P<path>/(?:containers|secrets)/[^/]+)/?", ref)
    return found["path"] if found else ""
