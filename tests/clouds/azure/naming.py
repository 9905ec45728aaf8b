"""Checks that every tracked resource shares: names, tags, location, zones, SKU.

Called by the rules of each type. Nothing here knows a particular type of resource.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.errors import ArmError, bad_request, invalid_format

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.clouds.azure.cloud import Body, Change

_NAME: Final = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.\-]{0,78}[A-Za-z0-9_])?$")
_LONGEST_TAG_VALUE: Final = 256
_LONGEST_TAG_NAME: Final = 512
_MOST_TAGS: Final = 50


def check_envelope(change: Change) -> None:
    """Refuses what ARM refuses of any tracked resource: a bad name, no or another location, too many or long tags."""
    check_name(change.id.name)
    location = change.body.get("location")
    if not location:
        raise bad_request("LocationRequired", "The location property is required for this definition.")
    before = change.before.body["location"] if change.before else location
    if _region(before) != _region(location):
        raise ArmError(
            409,
            "InvalidResourceLocation",
            f"The resource '{change.id.name}' already exists in location '{before}' in resource group "
            f"'{change.id.group}'. A resource with the same name cannot be created in location '{location}'. "
            "Please select a new resource name.",
        )
    _check_tags(change.body.get("tags", {}))


def check_name(name: str) -> None:
    """Refuses a name that ARM refuses."""
    if not _NAME.match(name):
        raise bad_request(
            "InvalidResourceName",
            f"Resource name {name} is invalid. The name can be up to 80 characters long. It must begin with a word "
            "character, and it must end with a word character or with '_'. The name may contain word characters or "
            "'.', '-', '_'.",
        )


def check_part_names(change: Change, collection: str, parts: Iterable[Body]) -> None:
    """Refuses parts without a name, with a bad one, or with one that another part has."""
    seen: set[str] = set()
    for part in parts:
        name = part.get("name")
        if not name:
            raise invalid_format("MissingNameOnSubResource", f"A part in {change.id}/{collection} has no name.")
        check_name(name)
        if name.lower() in seen:
            raise invalid_format(
                "DuplicateResourceName",
                f"Resource {change.id}/{collection}/ has two child resources with the same name ({name}).",
            )
        seen.add(name.lower())


def sku_of(change: Change, *, default: str = "Basic") -> Body:
    """The SKU of the resource as it will be; raises ArmError when an existing one is changed."""
    sku: Body = {"name": default, "tier": "Regional"} | change.body.get("sku", {})
    before = change.before.body.get("sku") if change.before else None
    if before is not None and before != sku:
        raise bad_request(
            "SkuPropertyCannotBeChanged",
            f"Sku property is set at creation time and cannot be changed from {before['name']} to {sku['name']} on "
            f"resource update for resource {change.id}.",
        )
    return sku


def check_zones(change: Change, *, name: str, before: Body | None, after: Body) -> None:
    """Refuses new zones on something that exists."""
    if before is None or before.get("zones", []) == after.get("zones", []):
        return
    raise bad_request(
        "ResourceAvailabilityZonesCannotBeModified",
        f"Resource {name} has an existing availability zone constraint {_zones(before)} and the request has "
        f"availability zone constraint {_zones(after)}, which do not match. Zones cannot be added/updated/removed once "
        "the resource is created. The resource cannot be updated from regional to zonal or vice-versa.",
    )


def _zones(body: Body) -> str:
    return ", ".join(body.get("zones", ())) or "NoZone"


def _region(location: str) -> str:
    return location.replace(" ", "").lower()


def _check_tags(tags: Body) -> None:
    if len(tags) > _MOST_TAGS:
        raise bad_request("TooManyTags", f"The resource has {len(tags)} tags. At most {_MOST_TAGS} are allowed.")
    for name, value in tags.items():
        if len(name) > _LONGEST_TAG_NAME:
            raise bad_request("InvalidTagName", f"The tag name '{name[:20]}...' is longer than {_LONGEST_TAG_NAME}.")
        if len(value) > _LONGEST_TAG_VALUE:
            raise bad_request(
                "InvalidTagValueLength",
                f"The value of tag '{name}' has {len(value)} characters. At most {_LONGEST_TAG_VALUE} are allowed.",
            )
