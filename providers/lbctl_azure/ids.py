"""ARM resource ids: built in one place, compared without regard to case.

ARM echoes ids in whatever case it likes and treats names as case-insensitive, so no other module compares or cuts ids
by hand. Pure; knows no resource type's meaning.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

NETWORK = "Microsoft.Network"
COMPUTE = "Microsoft.Compute"
SEGMENTS_OF_ID = 8


@dataclass(frozen=True, slots=True)
class Group:
    """A resource group of a subscription."""

    subscription: str
    name: str

    def id(self) -> str:
        """The group's own id."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.name}"

    def network(self, kind: str, name: str = "") -> str:
        """Id of a Microsoft.Network resource of this group, or of the collection without a name."""
        return self._of(NETWORK, kind, name)

    def compute(self, kind: str, name: str = "") -> str:
        """Id of a Microsoft.Compute resource of this group, or of the collection without a name."""
        return self._of(COMPUTE, kind, name)

    def _of(self, provider: str, kind: str, name: str) -> str:
        collection = f"{self.id()}/providers/{provider}/{kind}"
        return f"{collection}/{name}" if name else collection


def last_segment(resource_id: str) -> str:
    """The name at the end of an id."""
    return resource_id.rstrip("/").rpartition("/")[2]


def segment_after(resource_id: str, word: str) -> str:
    """The segment that follows `word` in the id, in any case; empty when there is none."""
    parts = resource_id.split("/")
    lowered = [part.lower() for part in parts]
    position = lowered.index(word.lower()) + 1 if word.lower() in lowered else len(parts)
    return parts[position] if position < len(parts) else ""


def group_of(resource_id: str) -> Group:
    """Subscription and resource group named in an id."""
    return Group(segment_after(resource_id, "subscriptions"), segment_after(resource_id, "resourceGroups"))


def parent_of(resource_id: str) -> str:
    """The id without its last type and name."""
    return resource_id.rstrip("/").rpartition("/")[0].rpartition("/")[0]


def same_id(old: Hashable, new: Hashable) -> bool:
    """True when both name the same object; None equals only None and the empty text."""
    return str(old or "").casefold() == str(new or "").casefold()


def is_resource_id(text: str, kind: str) -> bool:
    """True when the text has the form of an id of this kind, such as `publicIPPrefixes`."""
    parts = text.strip("/").split("/")
    shape = ("subscriptions", "resourcegroups", "providers")
    return (
        len(parts) == SEGMENTS_OF_ID
        and tuple(part.lower() for part in parts[0:6:2]) == shape
        and parts[6].lower() == kind.lower()
    )
