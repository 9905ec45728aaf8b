"""Settings of the process, and where each of them came from.

Four sources, later ones win: defaults, a YAML file, `LBCTL_*` variables, flags. Every value is known by its path, such
as `queue.workers`; the variable is `LBCTL_QUEUE_WORKERS`, the file nests by the dots. An unknown key is an error that
names the nearest known one. What a driver needs is decoded by the driver's own type.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import yaml

from lbctl.errors import InvalidSettings
from lbctl.misread import form_of, misread

ENV_PREFIX = "LBCTL_"
REDACTED = "(secret)"
SECRET_WORDS = ("secret", "password", "token", "api_key", "private")
"""A setting whose path holds one of these is a secret, unless it only says where one is."""
PLACES = ("_file", "_path")


class Area(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all groups of settings."""


class ClusterSettings(Area, frozen=True):
    """The cluster that is served; an empty `id` is the uid of the namespace kube-system."""

    name: str = "kubernetes"
    id: str = ""


class KubeSettings(Area, frozen=True):
    """Access to the API server; empty `kubeconfig` means the usual places, then the Pod's service account."""

    kubeconfig: str = ""
    context: str = ""
    qps: Annotated[float, msgspec.Meta(gt=0)] = 20.0
    burst: Annotated[int, msgspec.Meta(ge=1)] = 30


class LeaseSettings(Area, frozen=True):
    """Leader election, with upstream's times."""

    enabled: bool = True
    name: str = "lbctl"
    namespace: str = "kube-system"
    duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


class QueueSettings(Area, frozen=True):
    """How much is done at once, and how often everything is compared with the cloud."""

    workers: Annotated[int, msgspec.Meta(ge=1)] = 4
    drift_seconds: Annotated[float, msgspec.Meta(gt=0)] = 600.0


class PolicySettings(Area, frozen=True):
    """What may be done without asking; see `lbctl.plan.policy`."""

    mode: str = "sync"
    highest_hazard: str = "interrupts"


class ClaimSettings(Area, frozen=True):
    """`unclassed` is the account that serves Services without a class: `auto` is the first, `none` leaves them."""

    unclassed: str = "auto"


class ObsSettings(Area, frozen=True):
    """Logs, metrics and health; an empty address turns the HTTP server off."""

    address: str = "0.0.0.0:10258"
    log_format: str = "auto"
    verbosity: int = 0


class AccountSettings(Area, frozen=True):
    """One driver account; empty `classes` means the driver's own."""

    provider: str
    classes: tuple[str, ...] = ()
    settings: dict[str, Any] = {}


class Settings(Area, frozen=True):
    """Everything."""

    cluster: ClusterSettings = ClusterSettings()
    kube: KubeSettings = KubeSettings()
    lease: LeaseSettings = LeaseSettings()
    queue: QueueSettings = QueueSettings()
    policy: PolicySettings = PolicySettings()
    claim: ClaimSettings = ClaimSettings()
    obs: ObsSettings = ObsSettings()
    accounts: dict[str, AccountSettings] = {}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from."""

    path: str
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings together with the origin of every value that is not a default."""

    settings: Settings
    origins: Mapping[str, str]

    def describe(self) -> Iterator[Origin]:
        """Every value with its origin, secrets redacted, sorted by path."""
        flat = dict(_flatten(msgspec.to_builtins(self.settings)))
        for path in sorted(flat):
            value = REDACTED if flat[path] and _is_secret(path) else flat[path]
            yield Origin(path, value, self.origins.get(path, "default"))

    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown, whoever would show them."""
        flat = _flatten(msgspec.to_builtins(self.settings))
        return tuple(str(value) for path, value in flat if value and _is_secret(path))


def load(
    *, file: Path | None, environ: Mapping[str, str], flags: Mapping[str, object], provider: str | None = None
) -> Loaded:
    """Settings from all sources; `flags` maps paths to values, None meaning "not given".

    With a `provider`, only its accounts are left; one with the driver's defaults when no source has any.

    Raises `InvalidSettings` naming the file or variable, the key, and the nearest known key.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        merged.update(read_file(file))
        origins.update((path, str(file)) for path, _ in _flatten(merged))
    for path, (name, value) in _from_environ(environ).items():
        _put(merged, path, value)
        origins[path] = name
    for path, given in flags.items():
        if given is not None:
            _put(merged, path, given)
            origins[path] = "flag"
    if provider:
        origins.update(dict.fromkeys(_leave_only(provider, merged), "flag"))
    return Loaded(_convert(merged, Settings, where="settings"), origins)


def decode(section: Mapping[str, Any], kind: type, *, where: str) -> Any:  # noqa: ANN401 - the driver's own type
    """A driver's section as its own settings type; `InvalidSettings` names the key and the nearest known one."""
    return _convert(dict(section), kind, where=where)


def read_file(file: Path) -> dict[str, Any]:
    """What a settings file says, unchecked; `InvalidSettings` when it cannot be read or is no mapping."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "give an existing file with --config"
        raise InvalidSettings(f"cannot read settings file {file}: {error.strerror}", hint=hint) from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"settings file {file} is not text in UTF-8", hint="save it as UTF-8") from None
    except yaml.YAMLError as error:
        hint = "correct that line; `lbctl config show --config /dev/null` lists all settings"
        raise InvalidSettings(f"settings file {file} is not YAML: {misread(error)}", hint=hint) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        hint = (
            "begin with a group, such as queue: {workers: 4}; `lbctl config show --config /dev/null` lists all settings"
        )
        raise InvalidSettings(f"settings file {file} holds a {form_of(data)}, not a mapping", hint=hint)
    return data


def _from_environ(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    known = {ENV_PREFIX + path.replace(".", "_").upper(): path for path in _paths(Settings)}
    found: dict[str, tuple[str, str]] = {}
    for name in sorted(environ):
        if name in known:
            found[known[name]] = (name, environ[name])
        elif name.startswith(ENV_PREFIX):
            # The prefix that all have in common would make any two names alike.
            names = [one.removeprefix(ENV_PREFIX) for one in known]
            nearest = difflib.get_close_matches(name.removeprefix(ENV_PREFIX), names, n=1)
            way = "unset it; `lbctl config show` then lists the settings: LBCTL_QUEUE_WORKERS sets queue.workers"
            hint = f"did you mean {ENV_PREFIX}{nearest[0]}?" if nearest else way
            raise InvalidSettings(f"the variable {name} is unknown", hint=hint)
    return found


def _convert(data: Any, kind: type, *, where: str) -> Any:  # noqa: ANN401 - any settings type
    _check_keys(data, kind, where)
    try:
        return msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        path = path.strip(".`")
        place = ".".join(part for part in ("" if kind is Settings and path else where, path) if part)
        raise InvalidSettings(f"{place}: {reason}", hint=_expected(kind, path, place)) from None


FORMS: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _expected(kind: Any, path: str, place: str) -> str:  # noqa: ANN401 - walks any settings type
    """What belongs at the path of a settings type, with the default as an example."""
    default: object = None
    for part in path.replace("[...]", "[]").split("."):
        name, *levels = part.split("[")
        default = _defaults(kind).get(name)
        kind = get_type_hints(kind).get(name) if _has_fields(kind) else None
        for _ in levels:
            kind = next((one for one in reversed(get_args(kind)) if one is not Ellipsis), None)
    form = FORMS.get(kind) or ("a list" if get_origin(kind) in (list, tuple) else "a mapping" if _nests(kind) else "")
    is_example = isinstance(default, (int, float, str)) and (default or isinstance(default, bool))
    example = f"{place}: {json.dumps(default)}" if is_example else ""
    if form:
        return f"give {form}, such as {example}, which is the default" if example else f"give {form}"
    return f"the default is {example}" if example else "docs/reference/settings.md has the form of every setting"


def _nests(kind: Any) -> bool:  # noqa: ANN401 - as above
    return get_origin(kind) is dict or _has_fields(kind)


def _defaults(kind: Any) -> dict[str, object]:  # noqa: ANN401 - as above
    if not _has_fields(kind):
        return {}
    fields = msgspec.structs.fields(kind) if issubclass(kind, msgspec.Struct) else dataclasses.fields(kind)
    return {field.name: field.default for field in fields}


def _check_keys(data: Any, kind: Any, where: str) -> None:  # noqa: ANN401 - walks any settings type
    if isinstance(data, dict) and _has_fields(kind):
        hints = get_type_hints(kind)
        for key, value in data.items():
            if key not in hints:
                nearest = difflib.get_close_matches(str(key), hints, n=1)
                hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(sorted(hints))}"
                raise InvalidSettings(f"{where}: the key {key} is unknown", hint=hint)
            _check_keys(value, hints[key], f"{where}.{key}")
    elif isinstance(data, dict) and get_origin(kind) is dict:
        for key, value in data.items():
            _check_keys(value, get_args(kind)[1], f"{where}.{key}")


def _has_fields(kind: Any) -> bool:  # noqa: ANN401 - as above
    return isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind))


def _paths(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _paths(hint, f"{prefix}{name}.")
        elif get_origin(hint) is not dict:
            yield prefix + name


def _flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _put(into: dict[str, Any], path: str, value: object) -> None:
    *areas, name = path.split(".")
    for area in areas:
        into = into.setdefault(area, {})
    into[name] = value


def _leave_only(provider: str, merged: dict[str, Any]) -> Iterator[str]:
    """Leave out the accounts of other drivers; yields the paths of what had to be set for this one to serve."""
    accounts = merged.get("accounts") or {}
    if not isinstance(accounts, dict) or not all(isinstance(one, dict) for one in accounts.values()):
        return
    kept = {name: account for name, account in accounts.items() if account.get("provider", provider) == provider}
    merged["accounts"] = kept or {provider: {}}
    for name, account in merged["accounts"].items():
        if "provider" not in account:
            account["provider"] = provider
            yield f"accounts.{name}.provider"
    claim = merged.get("claim")
    if isinstance(claim, dict) and claim.get("unclassed") in accounts.keys() - merged["accounts"].keys():
        claim["unclassed"] = ClaimSettings().unclassed
        yield "claim.unclassed"


def _is_secret(path: str) -> bool:
    return any(word in path.lower() for word in SECRET_WORDS) and not path.lower().endswith(PLACES)
