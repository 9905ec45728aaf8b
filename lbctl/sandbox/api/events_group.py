"""Shows core Events as events.k8s.io Events and back: two API groups, one storage.

Pure. Field names follow the published conversion between the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbctl.sandbox.api.objects import Obj

CORE_TO_GROUP = {
    "message": "note",
    "involvedObject": "regarding",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
GROUP_TO_CORE = {group: core for core, group in CORE_TO_GROUP.items()}


def to_group(obj: Obj) -> Obj:
    """A stored Event in the words of events.k8s.io."""
    return {CORE_TO_GROUP.get(name, name): value for name, value in obj.items()}


def to_core(obj: Obj) -> Obj:
    """An Event of events.k8s.io as it is stored."""
    return {GROUP_TO_CORE.get(name, name): value for name, value in obj.items()}
