"""The settings of the GCE driver, and what `gce.conf` adds to them. Pure but for reading that one file.

The file is upstream's, as it is: an INI file with a section `[global]`. Settings win over the file.
"""

from __future__ import annotations

import configparser
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lbctl.errors import InvalidSettings
from lbctl_gce.modes import Defaults, Mode

if TYPE_CHECKING:
    from lbctl_gce.metadata import InstanceMetadata

PUBLIC_HOST = "compute.googleapis.com"
CHECK_RANGES_V4 = ("130.211.0.0/22", "35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22")
INTERNAL_CHECK_RANGES_V6 = ("2600:2d00:1:b029::/64",)
EXTERNAL_CHECK_RANGES_V6 = ("2600:1901:8001::/48",)
KNOWN_KEYS = frozenset(
    {
        "token-url",
        "token-body",
        "project-id",
        "network-project-id",
        "network-name",
        "subnetwork-name",
        "stack-type",
        "secondary-range-name",
        "node-tags",
        "node-instance-prefix",
        "regional",
        "multizone",
        "api-endpoint",
        "container-api-endpoint",
        "local-zone",
        "alpha-features",
    }
)
NO_SERVER = ("", "nil")
"""Values of token-url by which the default credentials are used."""
ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}
SUBSETS, SKIP_GROUPS = "ILBSubsets", "SkipIGsManagement"
USED_FEATURES = frozenset({SUBSETS, SKIP_GROUPS})


class GceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator may choose; empty texts are taken from `config_file` where it has them.

    `ingress_uid` is the id in legacy names; without it the ConfigMap kube-system/ingress-uid tells. `node_tags` are the
    network tags of firewall rules; without any they are found from the instances. `check_ranges_v4` and the two IPv6
    lists are where health checks come from, which differs in sovereign regions. `discrete_ports` forwards up to five
    ports of an external balancer one by one instead of the range that spans them. `subsetting` gives new internal
    balancers endpoint groups. `firewalls` False leaves traffic rules to the operator. `deny_firewalls` shuts everything
    but the Service's own ports by a rule of its own, whatever other rules of the network let through.
    """

    config_file: str = ""
    credentials_file: str = ""
    project: str = ""
    network_project: str = ""
    region: str = ""
    network: str = ""
    subnetwork: str = ""
    ingress_uid: str | None = None
    api_endpoint: str = ""
    node_tags: tuple[str, ...] = ()
    check_ranges_v4: tuple[str, ...] = CHECK_RANGES_V4
    internal_check_ranges_v6: tuple[str, ...] = INTERNAL_CHECK_RANGES_V6
    external_check_ranges_v6: tuple[str, ...] = EXTERNAL_CHECK_RANGES_V6
    backend_service_default: bool = False
    subsetting: bool = False
    discrete_ports: bool = False
    firewalls: bool = True
    deny_firewalls: bool = False


@dataclass(frozen=True, slots=True)
class TokenServer:
    """Who grants tokens, and what it is sent, which may be secret."""

    url: str
    body: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """What holds after file and settings are joined; `network` and `subnetwork` are paths without their project.

    `fills_groups` False leaves instance groups and who is in them to somebody else: they are linked only.
    """

    project: str
    network_project: str
    region: str
    network: str
    subnetwork: str
    host: str
    scheme: str
    node_tags: frozenset[str]
    defaults: Defaults
    settings: GceSettings
    token_server: TokenServer | None = None
    fills_groups: bool = True
    unknown_keys: tuple[str, ...] = ()
    idle_keys: tuple[str, ...] = ()

    @property
    def is_shared_network(self) -> bool:
        """True when the network belongs to another project."""
        return self.project != self.network_project


def read_config(settings: GceSettings, metadata: InstanceMetadata | None = None) -> Config:
    """Settings and file joined; `InvalidSettings` with everything that is missing.

    What neither names of project and region is asked of the metadata server, and the network with them.
    """
    file = _file(settings)
    project, network_project = _projects(settings, file)
    region = settings.region or _region_of(_first(file, "local-zone"))
    network = settings.network or _first(file, "network-name")
    if metadata is not None and not (project and region):
        project = project or metadata.project()
        region = region or _region_of(metadata.zone())
        network = network or metadata.network()
    missing = [name for name, value in (("project", project), ("region", region)) if not value]
    if missing:
        hint = "set them in the driver's settings, or project-id and local-zone in gce.conf"
        raise InvalidSettings(f"gce: {' and '.join(missing)} not known", hint=hint)
    host, scheme = _endpoint(settings.api_endpoint or _first(file, "api-endpoint"))
    return Config(
        project=project,
        network_project=network_project or project,
        region=region,
        network=_path(network or "default", "global/networks"),
        subnetwork=_path(
            settings.subnetwork or _first(file, "subnetwork-name") or "default", f"regions/{region}/subnetworks"
        ),
        host=host,
        scheme=scheme,
        node_tags=frozenset(settings.node_tags or file.get("node-tags", ())),
        defaults=_defaults(settings, file),
        settings=settings,
        token_server=_token_server(settings, file),
        fills_groups=_fills_groups(file),
        unknown_keys=_unknown_keys(file),
        idle_keys=tuple(_idle_keys(settings, file)),
    )


def config_faults(settings: GceSettings) -> Iterator[str]:
    """What is wrong with the gce.conf that the settings name, unknown keys among it; reads it only."""
    try:
        file = _file(settings)
    except InvalidSettings as error:
        yield error.message
        return
    yield from (f"{settings.config_file}: {sentence}" for sentence in _unknown_keys(file))


def named_projects(settings: GceSettings) -> tuple[str, str]:
    """The cluster's project and the network's as far as settings and file name them; empty texts where they do not."""
    return _projects(settings, _file(settings))


def default_modes(settings: GceSettings) -> Defaults:
    """What a new Service gets that says nothing."""
    return _defaults(settings, _file(settings))


def fills_groups(settings: GceSettings) -> bool:
    """False when somebody else fills the cluster's instance groups."""
    return _fills_groups(_file(settings))


def read_gce_conf(path: str) -> dict[str, tuple[str, ...]]:
    """All keys of the section `[global]`, each with all its values; `InvalidSettings` when there is no such file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidSettings(f"gce: cannot read {path}: {error.strerror}", hint="mend config_file") from None
    return parse_gce_conf(text)


def parse_gce_conf(text: str) -> dict[str, tuple[str, ...]]:
    """Keys in lower case with their values in order; repeated keys add up, quotes and comments are dropped."""
    parser = _Repeating(strict=False, interpolation=None, delimiters=("=",), inline_comment_prefixes=("#", ";"))
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise InvalidSettings(f"gce: gce.conf is not in INI form: {error.message}") from None
    section = next((name for name in parser.sections() if name.lower() == "global"), None)
    if section is None:
        return {}
    return {
        key: tuple(_unquoted(part.strip()) for part in value.split("\n") if part.strip())
        for key, value in parser.items(section)
    }


def _unknown_keys(file: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(unknown_key(key) for key in sorted(set(file) - KNOWN_KEYS))


def _idle_keys(settings: GceSettings, file: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """What upstream would do and is not done here, as sentences; keys that balancers do not depend on say nothing."""
    if _first(file, "token-url") not in NO_SERVER and settings.credentials_file:
        yield "token-url is not asked: credentials_file in the settings wins"
    for feature in file.get("alpha-features", ()):
        if feature not in USED_FEATURES:
            yield f"alpha-features {feature} has no effect here"


def _token_server(settings: GceSettings, file: dict[str, tuple[str, ...]]) -> TokenServer | None:
    url = _first(file, "token-url")
    if url in NO_SERVER or settings.credentials_file:
        return None
    return TokenServer(url, _first(file, "token-body"))


def unknown_key(key: str) -> str:
    """What to say about a key that upstream does not know."""
    nearest = difflib.get_close_matches(key, KNOWN_KEYS, n=1)
    return f"{key} is unknown" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _unquoted(text: str) -> str:
    """A value without its quotes, and with what a backslash stands before as gcfg reads it."""
    return re.sub(r'\\(.)|"', lambda found: ESCAPES.get(found[1], found[1]) if found[1] else "", text)


class _Repeating(configparser.RawConfigParser):
    """Collects the values of a repeated key, as gcfg does, instead of keeping the last."""

    def __init__(self, **options: object) -> None:
        super().__init__(dict_type=_Adding, **options)  # type: ignore[call-overload]  # the stub lists no **options


class _Adding(dict):  # type: ignore[type-arg]  # what configparser puts into it has no one type
    def __setitem__(self, key: object, value: object) -> None:
        known = self.get(key)
        if isinstance(value, list) and isinstance(known, list):
            value = [*known, *value]
        super().__setitem__(key, value)


def _file(settings: GceSettings) -> dict[str, tuple[str, ...]]:
    return read_gce_conf(settings.config_file) if settings.config_file else {}


def _projects(settings: GceSettings, file: dict[str, tuple[str, ...]]) -> tuple[str, str]:
    project = settings.project or _first(file, "project-id")
    return project, settings.network_project or _first(file, "network-project-id")


def _region_of(zone: str) -> str:
    return zone.rpartition("-")[0]


def _defaults(settings: GceSettings, file: dict[str, tuple[str, ...]]) -> Defaults:
    subsetting = settings.subsetting or SUBSETS in file.get("alpha-features", ())
    return Defaults(
        Mode.EXTERNAL_GROUPS if settings.backend_service_default else Mode.TARGET_POOL,
        Mode.INTERNAL_ENDPOINTS if subsetting else Mode.INTERNAL_GROUPS,
    )


def _fills_groups(file: dict[str, tuple[str, ...]]) -> bool:
    return SKIP_GROUPS not in file.get("alpha-features", ())


def _first(file: dict[str, tuple[str, ...]], key: str) -> str:
    return next(iter(file.get(key, ())), "")


def _path(name: str, parent: str) -> str:
    """A name, or a URL of which only what follows the project counts."""
    return name.partition("projects/")[2].partition("/")[2] if "projects/" in name else f"{parent}/{name}"


def _endpoint(text: str) -> tuple[str, str]:
    """Host and scheme of `https://host/compute/v1/`, as gce.conf writes it."""
    if not text:
        return PUBLIC_HOST, "https"
    scheme, found, rest = text.partition("://")
    return (rest if found else scheme).split("/")[0], scheme if found else "https"
