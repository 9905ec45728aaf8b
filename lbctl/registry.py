"""Finds drivers by entry point and loads one by name; a missing SDK becomes a sentence that says what to install."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from lbctl.driver import Driver, DriverInfo, Setup
from lbctl.errors import InvalidSettings

GROUP = "lbctl.providers"


def known_providers() -> tuple[str, ...]:
    """Names of all installed drivers; loads none."""
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def find_provider(name: str) -> DriverInfo:
    """The driver of this name; imports its package, which loads no SDK. `InvalidSettings` when there is none."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    if not points:
        raise InvalidSettings("no driver is installed", hint="run `pip install -e .` in the checkout")
    if name not in points:
        nearest = difflib.get_close_matches(name, points, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"installed are {', '.join(sorted(points))}"
        raise InvalidSettings(f"there is no provider {name!r}", hint=hint)
    return _load(points[name])


def connect(info: DriverInfo, setup: Setup) -> Driver:
    """A connected driver; loads the SDK. `InvalidSettings` names the extra to install when the SDK is missing."""
    try:
        return info.connect(setup)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        hint = f"pip install 'lbctl[{info.extra or info.name}]'"
        raise InvalidSettings(f"provider {info.name} needs the package {missing}", hint=hint) from error


def _load(point: EntryPoint) -> DriverInfo:
    info = point.load()
    if not isinstance(info, DriverInfo):
        raise InvalidSettings(f"the entry point {point.value} of provider {point.name} is not a DriverInfo")
    return info
