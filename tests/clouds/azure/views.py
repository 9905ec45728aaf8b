"""Resources as answers: ids, types, ETags and provisioning states added, members of our own left out.

Also kept here: eventual visibility. While a lag is set, reads show a resource as it was before its last write for that
long, as reads of ARM do now and then; ETag checks always see the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.compute import INSTANCE
from tests.clouds.azure.schema import describes

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Body, Cloud, Resource


@dataclass(frozen=True, slots=True)
class _Shadow:
    until: float
    shown: Body | None


class Views:
    """What reads show."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud: Final = cloud
        self.lag_seconds = 0.0
        self._shadows: dict[str, _Shadow] = {}

    def keep(self, key: str) -> None:
        """Notes how the resource looks now, before a write; reads see that until the lag is over."""
        if self.lag_seconds and not self._in_shadow(key):
            resource = self.cloud.find(key)
            shown = show(resource, self.cloud) if resource else None
            self._shadows[key] = _Shadow(self.cloud.now() + self.lag_seconds, shown)

    def read(self, key: str) -> Body | None:
        """The resource as a read shows it; None when there is none to see."""
        if self._in_shadow(key):
            return self._shadows[key].shown
        resource = self.cloud.find(key)
        return show(resource, self.cloud) if resource else None

    def read_all(self, kind: str, *, subscription: str, group: str = "") -> list[Body]:
        """All resources of a type in a subscription, of one group if given, as a list shows them."""
        scope = f"/subscriptions/{subscription}/resourcegroups/{group}{'/' if group else ''}".lower()
        shown = [
            body
            for resource in self.cloud.of_type(kind)
            if resource.id.key.startswith(scope) and (body := self.read(resource.id.key)) is not None
        ]
        return shown + self._hidden_removals(kind, scope)

    def _hidden_removals(self, kind: str, scope: str) -> list[Body]:
        """Resources that are gone but whose removal is not to be seen yet."""
        return [
            shadow.shown
            for key, shadow in self._shadows.items()
            if shadow.shown is not None
            and self._in_shadow(key)
            and self.cloud.find(key) is None
            and shadow.shown["type"].lower() == kind.lower()
            and key.startswith(scope)
        ]

    def _in_shadow(self, key: str) -> bool:
        shadow = self._shadows.get(key)
        return shadow is not None and shadow.until > self.cloud.now()


def show(resource: Resource, cloud: Cloud) -> Body:
    """The resource as an answer."""
    model = resource.kind.model
    own = {"provisioningState": resource.state, "resourceGuid": resource.guid}
    own = {name: value for name, value in own.items() if describes(model, name, among_properties=True)}
    properties = {**resource.kind.render(resource, cloud), **own}
    for collection in resource.kind.parts:
        if collection in properties:
            properties[collection] = [show_part(resource, collection, part) for part in properties[collection]]
    envelope = {name: value for name, value in resource.body.items() if not name.startswith("_")}
    extra = {"instanceId": resource.id.name} if resource.kind.type == INSTANCE else {}
    return {
        "name": _shown_name(resource),
        "id": str(resource.id),
        "type": resource.kind.type,
        **({"etag": resource.etag} if describes(model, "etag") else {}),
        **extra,
        **envelope,
        "properties": properties,
    }


def _shown_name(resource: Resource) -> str:
    """An instance is called after its scale set as well."""
    return "_".join(resource.id.names) if resource.kind.type == INSTANCE else resource.id.name


def show_part(resource: Resource, collection: str, part: Body) -> Body:
    """A part of a resource as an answer; it shares the ETag of the whole."""
    return {
        **part,
        "id": f"{resource.id}/{collection}/{part['name']}",
        "etag": resource.etag,
        "type": f"{resource.kind.type}/{collection}",
        "properties": {**part.get("properties", {}), "provisioningState": resource.state},
    }


def part_named(shown: Body, collection: str, name: str) -> Body | None:
    """One part out of a shown resource."""
    parts = shown["properties"].get(collection, ())
    return next((part for part in parts if part["name"].lower() == name.lower()), None)
