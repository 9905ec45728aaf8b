"""Tags: which ones say whose an address is, and how wanted tags meet those that are there. Pure.

Used by `model`, which computes the whole tag set an object should have, and by `observe`, which reads owners.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

SERVICE = "k8s-azure-service"
CLUSTER = "k8s-azure-cluster-name"
DNS_OWNER = "k8s-azure-dns-label-service"
LINK_OWNER = "k8s-azure-owner-service"
LEGACY_SERVICE = "service"
LEGACY_CLUSTER = "kubernetes-cluster-name"
LEGACY_DNS_OWNER = "kubernetes-dns-label-service"
VALUE_LIMIT = 256
OURS = (SERVICE, CLUSTER, DNS_OWNER, LEGACY_SERVICE, LEGACY_CLUSTER, LEGACY_DNS_OWNER)

Tags = Mapping[str, str]


def tags_of(fields: Mapping[str, Hashable]) -> dict[str, str]:
    """The tags among a resource's fields."""
    value = fields.get("tags")
    return dict(value) if isinstance(value, frozenset) else {}


def parse_tags(text: str) -> tuple[dict[str, str], list[str]]:
    """Tags of a `k=v,k=v` text, and the pieces that are none (azure_utils.go: parseTags)."""
    tags: dict[str, str] = {}
    bad: list[str] = []
    for piece in filter(None, (part.strip() for part in text.split(","))):
        key, found, value = piece.partition("=")
        if not found or "=" in value or not key.strip():
            bad.append(piece)
            continue
        tags[key.strip()] = trimmed(value)
    return tags, bad


def trimmed(value: str) -> str:
    """The value without blanks around it, except that ARM reserves the bare word null: there they stay."""
    return value if value.strip().lower() == "null" else value.strip()


def find(tags: Tags, key: str) -> str | None:
    """Value of a tag whose key is compared without regard to case."""
    lowered = key.lower()
    return next((value for name, value in tags.items() if name.lower() == lowered), None)


def service_list(tags: Tags) -> tuple[str, ...]:
    """The `namespace/name` of every Service that uses a managed address; empty for a user's own.

    The legacy key `service` counts only together with the legacy cluster tag: users have tags of that name.
    """
    value = find(tags, SERVICE)
    if value is None and find(tags, LEGACY_CLUSTER) is not None:
        value = find(tags, LEGACY_SERVICE)
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def is_managed(tags: Tags) -> bool:
    """True when a controller made the address: it then carries a service tag, even an empty one."""
    return find(tags, SERVICE) is not None or (
        find(tags, LEGACY_SERVICE) is not None and find(tags, LEGACY_CLUSTER) is not None
    )


def cluster_of(tags: Tags) -> str:
    """Name of the cluster that the address belongs to; empty when no tag says so."""
    return find(tags, CLUSTER) or find(tags, LEGACY_CLUSTER) or ""


def is_of_cluster(tags: Tags, cluster: str) -> bool:
    """True for a managed address of this cluster; an absent cluster tag counts as ours, as upstream has it."""
    return is_managed(tags) and cluster_of(tags).lower() in ("", cluster.lower())


def merged(present: Tags, wanted: Tags, *, system: str = "", keep: Iterable[str] = ()) -> dict[str, str]:
    """The tags that an object should have (azure_utils.go: reconcileTags).

    Keys and values compare without regard to case, and what is equal so stays as it is. Nothing is removed unless
    `system` (comma list) is set: then every key that is neither wanted, nor in `keep`, nor starts with one of its
    items goes.
    """
    prefixes = tuple(part.strip().lower() for part in system.split(",") if part.strip())
    lowered = {key.lower(): (key, value) for key, value in wanted.items()}
    kept = {key.lower() for key in keep}
    result: dict[str, str] = {}
    for key, value in present.items():
        name, new = lowered.pop(key.lower(), (key, None))
        if new is not None:
            result[key] = value if value.lower() == new.lower() else new
        elif not prefixes or name.lower() in kept or name.lower().startswith(prefixes):
            result[key] = value
    return result | dict(lowered.values())
