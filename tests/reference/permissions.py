"""The page of permissions: the smallest role of each driver, as the driver itself makes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from lbctl.driver import DriverInfo
from lbctl.registry import find_provider, known_providers
from tests.reference.markdown import fenced, page

NONE = "The driver names no rights in a cloud."


def permissions_page() -> str:
    """The role of each driver for everything that it can do with its default settings."""
    infos = [find_provider(name) for name in known_providers()]
    return page(
        "Permissions",
        "The smallest role of each driver, for everything that it can do and with its default settings.",
        *(block for info in infos for block in _driver(info)),
    )


def _driver(info: DriverInfo) -> Iterator[str]:
    role = info.permissions(_defaults(info), None)
    yield f"## {info.name}"
    yield fenced("json", json.dumps(msgspec.to_builtins(role), indent=2)) if role else NONE


def _defaults(info: DriverInfo) -> Any:
    return info.settings()
