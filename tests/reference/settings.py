"""The page of all settings, from the types that decode them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import msgspec

from lbctl.registry import find_provider, known_providers
from lbctl.settings import ENV_PREFIX, AccountSettings, Settings
from tests.reference.markdown import code, page, prose, table

ORIGINS = """Settings come from four sources; later ones win: defaults, a YAML file (`--config FILE` or the variable
`LBCTL_CONFIG`), `LBCTL_*` variables, flags. A value is known by its path, such as `queue.workers`: the file nests by
the dots, the variable is `LBCTL_QUEUE_WORKERS`, the flag is `--set queue.workers=8`. An unknown key is an error that
names the nearest known one. `lbctl config show` prints every value and where it came from; secrets are not shown."""


def settings_page() -> str:
    """The core's settings by area, then those of each driver."""
    return page(
        "Settings",
        ORIGINS,
        *(block for name, area in _areas() for block in _area(name, area)),
        "## accounts",
        "`accounts` maps names of your choice to driver accounts; the first serves Services without a class unless "
        "`claim.unclassed` says otherwise. `--provider NAME` keeps those of that driver and no other, or makes one of "
        "that name.",
        prose(inspect.getdoc(AccountSettings)),
        table(("key", "default"), ((code(name), _default(value)) for name, value in _fields(AccountSettings))),
        *(block for name in known_providers() for block in _driver(name)),
    )


def _areas() -> Iterator[tuple[str, Any]]:
    for name, value in _fields(Settings):
        if isinstance(value, msgspec.Struct):
            yield name, value


def _area(name: str, area: Any) -> Iterator[str]:
    yield f"## {name}"
    yield prose(inspect.getdoc(type(area)))
    rows = (
        (code(f"{name}.{key}"), _default(getattr(area, key)), code(f"{ENV_PREFIX}{name}_{key}".upper()))
        for key in area.__struct_fields__
    )
    yield table(("setting", "default", "variable"), rows)


def _driver(name: str) -> Iterator[str]:
    kind = find_provider(name).settings
    yield f"## accounts.NAME.settings of {name}"
    yield prose(inspect.getdoc(kind))
    yield table(("key", "default"), ((code(key), _default(value)) for key, value in _fields(kind)))


def _fields(kind: Any) -> Iterator[tuple[str, Any]]:
    if dataclasses.is_dataclass(kind):
        yield from ((field.name, field.default) for field in dataclasses.fields(kind))
        return
    for field in msgspec.structs.fields(kind):
        made = None if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        required = field.default is msgspec.NODEFAULT and made is None
        yield field.name, "(required)" if required else made if made is not None else field.default


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, (tuple, list, dict)):
        return code(", ".join(map(str, value)))
    return code(value)
