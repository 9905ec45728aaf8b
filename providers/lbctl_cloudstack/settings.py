"""The driver's settings: what the operator chose, over what upstream's cloud-config says.

Called once when the driver connects. Nothing here knows the client library; secrets are never shown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lbctl.errors import InvalidSettings
from lbctl_cloudstack.cloudconfig import CloudConfig, parse_cloud_config

log = logging.getLogger(__name__)

LONGEST_VALIDITY = 900


class CloudStackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator may choose; `cloud_config` is the path of upstream's file, whose keys are these with dashes.

    `timeout` is seconds for one answer, `job_timeout` seconds until a job counts as unknown, `expires` seconds that a
    signature is valid. `max_calls_per_second` 0 follows the server's own limit. `cidr_update` says how the sources of a
    rule change: `auto` in place where the server can and one CIDR is left. `version` is taken for the server's where
    given. `job_poll_min` and `job_poll_max` bound the seconds until a job is first asked for. `split_ips` serves the
    UDP ports of a Service that has a port with both protocols on a second address. `local_targets` says which nodes
    are targets with traffic policy Local: all `nodes`, of which the router's own check finds those that answer, or only
    those with `endpoints`.
    """

    cloud_config: str = ""
    api_url: str = ""
    api_key: str = ""
    secret_key: str = ""
    api_key_file: str = ""
    secret_key_file: str = ""
    ssl_no_verify: bool = False
    ca_file: str = ""
    project_id: str = ""
    zone: str = ""
    region: str = ""
    version: str = ""
    network_id: str = ""
    timeout: int = 60
    job_timeout: int = 300
    job_poll_min: int = 1
    job_poll_max: int = 10
    max_calls_per_second: int = 0
    page_size: int = 500
    method: str = "post"
    expires: int = LONGEST_VALIDITY
    tags: bool = True
    cidr_update: str = "auto"
    empty_cidrs: str = "refuse"
    split_ips: bool = False
    local_targets: str = "nodes"

    def __repr__(self) -> str:
        return f"CloudStackSettings(api_url={self.api_url!r}, project_id={self.project_id!r}, …)"


CHOICES = {
    "method": ("post", "get"),
    "cidr_update": ("auto", "recreate", "inplace"),
    "empty_cidrs": ("refuse", "allow"),
    "local_targets": ("nodes", "endpoints"),
}
DEFAULTS = CloudStackSettings()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be used, and sentences about what cloud-config says in vain."""

    settings: CloudStackSettings
    unknown: tuple[str, ...] = ()


def load_settings(settings: CloudStackSettings) -> Loaded:
    """The settings with the file's values where they say nothing, keys read from their files, all checked.

    Raises `InvalidSettings` with every problem. What is unknown in the file is logged and does not stop anything.
    """
    file = _read_cloud_config(settings.cloud_config)
    merged = _merged(settings, file)
    merged = msgspec.structs.replace(
        merged,
        api_key=merged.api_key or (_read(merged.api_key_file).strip() if merged.api_key_file else ""),
        secret_key=merged.secret_key or (_read(merged.secret_key_file).strip() if merged.secret_key_file else ""),
    )
    problems = [*(f"{settings.cloud_config}: {fault}" for fault in file.faults), *_problems(merged)]
    if problems:
        raise InvalidSettings(f"cloudstack: {'; '.join(problems)}", hint="see the [Global] section of cloud-config")
    for sentence in file.unknown:
        log.warning("%s: %s, and has no effect", settings.cloud_config, sentence)
    return Loaded(merged, file.unknown)


def with_cloud_config(settings: CloudStackSettings) -> CloudStackSettings:
    """The settings with the file's values where they say nothing, not checked and without keys from files."""
    return _merged(settings, _read_cloud_config(settings.cloud_config))


def config_faults(settings: CloudStackSettings) -> Iterator[str]:
    """What is wrong with the cloud-config that the settings name, what means nothing in it included; reads it only."""
    try:
        file = _read_cloud_config(settings.cloud_config)
    except InvalidSettings as error:
        yield error.message
        return
    yield from (f"{settings.cloud_config}: {sentence}" for sentence in (*file.faults, *file.unknown))


def _merged(settings: CloudStackSettings, file: CloudConfig) -> CloudStackSettings:
    given = {f: getattr(settings, f) for f in settings.__struct_fields__}
    changed = {f: v for f, v in given.items() if v != getattr(DEFAULTS, f)}
    return CloudStackSettings(**{**file.values, **changed})


def _read_cloud_config(path: str) -> CloudConfig:
    defaults = {f: getattr(DEFAULTS, f) for f in DEFAULTS.__struct_fields__}
    return parse_cloud_config(_read(path), defaults) if path else CloudConfig({})


def _problems(settings: CloudStackSettings) -> list[str]:
    missing = [f for f in ("api_url", "api_key", "secret_key") if not getattr(settings, f)]
    problems = [f"{name.replace('_', '-')} is missing" for name in missing]
    for name, words in CHOICES.items():
        if getattr(settings, name) not in words:
            problems.append(f"{name.replace('_', '-')} is none of {', '.join(words)}")
    if not 0 < settings.expires <= LONGEST_VALIDITY:
        problems.append(f"expires is not between 1 and {LONGEST_VALIDITY} seconds")
    if settings.page_size < 1:
        problems.append("page-size is less than 1")
    if not 1 <= settings.job_poll_min <= settings.job_poll_max:
        problems.append("job-poll-min is not between 1 and job-poll-max")
    if "~" in settings.api_key:
        problems.append("api-key has a ~, which no client can sign")
    return problems


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidSettings(f"cloudstack: cannot read {path}: {error.strerror}") from None
