"""Where azure.json comes from: a file, a Secret, or both, with the environment's overrides. Reads.

The order is upstream's (cloud-provider-azure 7b31c76, pkg/azclient/configloader): the file's `cloudConfigType` says
whether the file holds alone (`file`), the Secret holds alone (`secret`), or each key that the Secret has wins over the
file's (`merge`, the default). Of the two one is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lbctl.errors import InvalidSettings, KubeError
from lbctl.model.problem import Problem
from lbctl_azure.azure_json import decode, merged, read_keys, value_of
from lbctl_azure.settings import CloudConfig, Settings, balancer_faults, config_faults

log = logging.getLogger(__name__)

SECRET_KEY = "cloud-config"  # noqa: S105 - upstream's name for the entry of the Secret
FILE, SECRET, MERGE = "file", "secret", "merge"
TYPES = (MERGE, FILE, SECRET)
HINT = "set cloud_config or cloud_config_secret of the account"
ReadDocument = Callable[[str], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration, the keys in it that nobody knows, and where it was read."""

    config: CloudConfig
    unknown: tuple[Problem, ...] = ()
    origin: str = ""


def load(settings: Settings, *, cluster: str, read: ReadDocument, environment: Mapping[str, str]) -> Source:
    """The configuration with the environment's overrides; `InvalidSettings` with all faults at once.

    One GET of a Secret, unless the file says that it holds alone.
    """
    file = _read_file(settings.cloud_config)
    kind = _kind_of(file, settings)
    secret = None if kind == FILE else _read_secret(settings, read, is_needed=file is None or kind == SECRET)
    origin = " and ".join(_places(settings, kind, file=file is not None, secret=secret is not None))
    if not origin:
        secret_hint = f" and no Secret {settings.cloud_config_secret}" if settings.cloud_config_secret else ""
        raise InvalidSettings(f"there is no {settings.cloud_config}{secret_hint}", hint=HINT)
    below = {} if kind == SECRET else file or {}
    config, faults, unknown = read_keys(merged(below, secret or {}))
    config = with_environment(config, environment)
    every = (*faults, *config_faults(config), *balancer_faults(config, cluster))
    if every:
        raise InvalidSettings(f"{origin}: " + "; ".join(str(fault) for fault in every))
    return Source(config, unknown, origin)


def warn_of_unknown(source: Source) -> None:
    """Tell of keys that nobody knows: a newer upstream file must not stop a running controller."""
    for problem in source.unknown:
        log.warning("%s: %s", source.origin, problem)


def config_of_file(path: str) -> CloudConfig | None:
    """What a file says, whatever is wrong with it; None when there is none to read."""
    try:
        data = decode(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_keys(data)[0]


def faults_of_file(settings: Settings) -> tuple[Problem, ...]:
    """What is wrong in the file, unknown keys among it; nothing when there is no file: a Secret may have it all."""
    data = _read_file(settings.cloud_config)
    if data is None:
        return ()
    config, faults, unknown = read_keys(data)
    may_be_elsewhere = _kind_of(data, settings) != FILE
    missing = () if may_be_elsewhere else config_faults(config)
    return (*faults, *missing, *unknown)


def _read_file(path: str) -> dict[str, Any] | None:
    try:
        return decode(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}", hint=HINT) from None
    except ValueError as error:
        raise InvalidSettings(f"{path} {error}") from None


def _kind_of(file: Mapping[str, Any] | None, settings: Settings) -> str:
    kind = value_of(file or {}, "cloudConfigType") or MERGE
    if kind not in TYPES:
        raise InvalidSettings(
            f"{settings.cloud_config}: cloudConfigType {kind!r} is not supported", hint=f"use {' or '.join(TYPES)}"
        )
    return kind


def _read_secret(settings: Settings, read: ReadDocument, *, is_needed: bool) -> dict[str, Any] | None:
    """The Secret's keys; one that may not be read counts as not there where the file says enough."""
    name = settings.cloud_config_secret
    if not name:
        return None
    try:
        data = read(f"secrets/{name}")
    except KubeError as error:
        if is_needed:
            raise
        log.warning("the Secret %s cannot be read, so the file counts alone: %s", name, error)
        return None
    if data is None:
        return None
    if SECRET_KEY not in data:
        raise InvalidSettings(f"the Secret {name} has no key {SECRET_KEY}", hint="put azure.json under this key")
    try:
        return decode(data[SECRET_KEY])
    except ValueError as error:
        raise InvalidSettings(f"{SECRET_KEY} of the Secret {name} {error}") from None


def _places(settings: Settings, kind: str, *, file: bool, secret: bool) -> list[str]:
    places = [settings.cloud_config] if file and kind != SECRET else []
    return [*places, f"the Secret {settings.cloud_config_secret}"] if secret else places


ENVIRONMENT = {
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_FEDERATED_TOKEN_FILE": "federated_token_file",
}


def with_environment(config: CloudConfig, environment: Mapping[str, str]) -> CloudConfig:
    """The configuration with the overrides that the workload identity webhook sets; a token file turns that way on."""
    found = {attribute: environment[name] for name, attribute in ENVIRONMENT.items() if environment.get(name)}
    if "federated_token_file" in found:
        return replace(config, workload_identity=True, **found)  # type: ignore[arg-type]  # every value is text
    return replace(config, **found)  # type: ignore[arg-type]  # as above
