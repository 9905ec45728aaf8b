"""The driver's settings, and upstream's cloud-config file, which is read as it is.

Called once when the driver connects. Nothing here knows the client library; secrets are never shown.
"""

from __future__ import annotations

import configparser
import difflib
from pathlib import Path
from typing import Any

import msgspec

from lbctl.errors import InvalidSettings

SECTION = "Global"
TRUE_WORDS = frozenset({"true", "yes", "on", "1", ""})
FALSE_WORDS = frozenset({"false", "no", "off", "0"})
LONGEST_VALIDITY = 900


class CloudStackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator may choose; `cloud_config` is the path of upstream's file, whose keys are these with dashes.

    `timeout` is seconds for one answer, `job_timeout` seconds until a job counts as unknown, `expires` seconds that a
    signature is valid. `max_calls_per_second` 0 follows the server's own limit. `cidr_update` says how the sources of a
    rule change: `auto` in place where the server can and one CIDR is left. `version` is taken for the server's where
    given, so that nothing is asked.
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
    max_calls_per_second: int = 0
    page_size: int = 500
    method: str = "post"
    expires: int = LONGEST_VALIDITY
    tags: bool = True
    cidr_update: str = "auto"
    empty_cidrs: str = "refuse"

    def __repr__(self) -> str:
        return f"CloudStackSettings(api_url={self.api_url!r}, project_id={self.project_id!r}, …)"


CHOICES = {
    "method": ("post", "get"),
    "cidr_update": ("auto", "recreate", "inplace"),
    "empty_cidrs": ("refuse", "allow"),
}
DEFAULTS = CloudStackSettings()


def load_settings(settings: CloudStackSettings) -> CloudStackSettings:
    """The settings with the file's values where they say nothing, keys read from their files, all checked.

    Raises `InvalidSettings` with every problem.
    """
    merged = settings
    if settings.cloud_config:
        values = read_cloud_config(_read(settings.cloud_config))
        given = {f: getattr(settings, f) for f in settings.__struct_fields__}
        changed = {f: v for f, v in given.items() if v != getattr(DEFAULTS, f)}
        merged = CloudStackSettings(**{**values, **changed})
    merged = msgspec.structs.replace(
        merged,
        api_key=merged.api_key or (_read(merged.api_key_file).strip() if merged.api_key_file else ""),
        secret_key=merged.secret_key or (_read(merged.secret_key_file).strip() if merged.secret_key_file else ""),
    )
    problems = _problems(merged)
    if problems:
        raise InvalidSettings(f"cloudstack: {'; '.join(problems)}", hint="see the [Global] section of cloud-config")
    return merged


def read_cloud_config(text: str) -> dict[str, Any]:
    """Values of upstream's file by field name; `InvalidSettings` names unknown keys with the nearest known one."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True, inline_comment_prefixes=("#", ";"))
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise InvalidSettings(f"cloudstack: cloud-config cannot be read: {type(error).__name__}") from None
    problems = [f"unknown section [{name}]" for name in parser.sections() if name.lower() != SECTION.lower()]
    values: dict[str, Any] = {}
    for name in (name for name in parser.sections() if name.lower() == SECTION.lower()):
        for key, raw in parser.items(name):
            try:
                field, value = _read_value(key, (raw or "").strip())
                values[field] = value
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise InvalidSettings(f"cloudstack: cloud-config: {'; '.join(problems)}")
    return values


def _read_value(key: str, raw: str) -> tuple[str, Any]:
    field = key.replace("-", "_")
    if field not in DEFAULTS.__struct_fields__ or field == "cloud_config":
        near = difflib.get_close_matches(field, DEFAULTS.__struct_fields__, n=1)
        raise ValueError(f"unknown key {key}" + (f", did you mean {near[0].replace('_', '-')}" if near else ""))
    text = raw[1:-1].replace('\\"', '"').replace("\\\\", "\\") if raw[:1] == raw[-1:] == '"' and len(raw) > 1 else raw
    default = getattr(DEFAULTS, field)
    if isinstance(default, bool):
        if text.lower() not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError(f"{key}: {text!r} is neither true nor false")
        return field, text.lower() in TRUE_WORDS
    if isinstance(default, int):
        if not text.isdigit():
            raise ValueError(f"{key}: {text!r} is not a whole number")
        return field, int(text)
    return field, text


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
    if "~" in settings.api_key:
        problems.append("api-key has a ~, which no client can sign")
    return problems


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidSettings(f"cloudstack: cannot read {path}: {error.strerror}") from None
