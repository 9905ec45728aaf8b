"""Settings of the AWS driver, and how CCM's `cloud.conf` becomes them.

The names follow the flags of LBC and the keys of CCM's `[Global]` section, so that an operator finds what he had.
Read once at start; nothing here talks to AWS. An unknown key of the upstream file is told, with the nearest known one.
"""

from __future__ import annotations

import configparser
import difflib
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from lbctl.errors import InvalidSettings
from lbctl.grammar import GO_FALSE, GO_TRUE

log = logging.getLogger(__name__)
ZONE_OF_REGION = re.compile(r"^([a-zA-Z]+-)+\d+")
LBC_CLASS = "service.k8s.aws/nlb"
OUR_CLASS = "lbctl.io/aws"


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that an operator may decide; the defaults are those of the upstream controllers.

    `cloud_config` is the path of CCM's `cloud.conf`, which decides what is left at its default here.
    `region`, `zone`, `vpc_id` name the place; without them environment, profile and instance metadata (at
    `metadata_endpoint`, if given) are asked.
    `cluster_id` is CCM's id where it differs from the cluster's name. `endpoints` maps a service (`ec2`, `elb`,
    `elbv2`, `iam`, `sts`) to a URL. `role_arn` is assumed with the default credentials. Seconds where a name says so.
    """

    cloud_config: str = ""
    region: str = ""
    zone: str = ""
    vpc_id: str = ""
    vpc_tags: dict[str, str] = {}
    cluster_id: str = ""
    profile: str = ""
    role_arn: str = ""
    source_arn: str = ""
    endpoints: dict[str, str] = {}
    metadata_endpoint: str = ""

    disable_security_group_ingress: bool = False
    elb_security_group: str = ""
    nlb_security_group_mode: str = ""
    health_probe_mode: str = "ServiceNodePort"
    shared_probe_port: int = 10256
    shared_probe_path: str = "/healthz"

    load_balancer_classes: tuple[str, ...] = (LBC_CLASS, OUR_CLASS)
    backend_security_group: str = ""
    enable_backend_security_group: bool = True
    disable_restricted_sg_rules: bool = False
    default_tags: dict[str, str] = {}
    default_ssl_policy: str = "ELBSecurityPolicy-2016-08"
    default_target_type: str = "instance"
    default_load_balancer_scheme: str = "internal"
    target_security_group_tags: dict[str, str] = {}
    max_targets_per_target_group: int = 1000

    non_load_balancer_services: bool = False
    adopt_untagged: bool = False
    follow_subnets: bool = False
    rules_per_security_group: int = 60
    facts_seconds: float = 600.0
    old_balancer_seconds: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, all faults at once."""
        problems = [*_choice_problems(self), *_place_problems(self)]
        if problems:
            raise InvalidSettings("aws: " + "; ".join(problems))

    @property
    def shared_probe(self) -> bool:
        """True when kube-proxy's own health endpoint is probed instead of node ports."""
        return self.health_probe_mode == "Shared"


CHOICES: Mapping[str, tuple[str, ...]] = {
    "nlb_security_group_mode": ("", "Managed"),
    "health_probe_mode": ("ServiceNodePort", "Shared"),
    "default_target_type": ("instance", "ip"),
    "default_load_balancer_scheme": ("internal", "internet-facing"),
}


def _choice_problems(settings: AwsSettings) -> list[str]:
    return [
        f"{name} is {getattr(settings, name)!r}, which is none of {', '.join(word or 'nothing' for word in words)}"
        for name, words in CHOICES.items()
        if getattr(settings, name) not in words
    ]


def _place_problems(settings: AwsSettings) -> list[str]:
    if not settings.zone:
        return []
    region = region_of_zone(settings.zone)
    if not region:
        return [f"zone {settings.zone!r} is no zone of AWS, such as eu-west-1a"]
    if settings.region and settings.region != region:
        return [f"zone {settings.zone} lies in {region}, but region says {settings.region}; remove one"]
    return []


def region_of_zone(zone: str) -> str:
    """The region of an availability or local zone, or empty (CCM, aws.go: zone regular expression)."""
    found = ZONE_OF_REGION.match(zone)
    return found.group(0) if found else ""


DEFAULTS = AwsSettings()


def _boolean(text: str) -> bool:
    if text in GO_TRUE or text in GO_FALSE:
        return text in GO_TRUE
    raise ValueError(f"{text!r} is neither true nor false")


def _health_mode(text: str) -> str:
    return text or "ServiceNodePort"


GLOBAL_KEYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "zone": ("zone", str),
    "region": ("region", str),
    "vpc": ("vpc_id", str),
    "rolearn": ("role_arn", str),
    "sourcearn": ("source_arn", str),
    "kubernetesclustertag": ("cluster_id", str),
    "kubernetesclusterid": ("cluster_id", str),
    "disablesecuritygroupingress": ("disable_security_group_ingress", _boolean),
    "elbsecuritygroup": ("elb_security_group", str),
    "clusterserviceloadbalancerhealthprobemode": ("health_probe_mode", _health_mode),
    "clusterservicesharedloadbalancerhealthprobeport": ("shared_probe_port", int),
    "clusterservicesharedloadbalancerhealthprobepath": ("shared_probe_path", str),
    "nlbsecuritygroupmode": ("nlb_security_group_mode", str),
}
# Read so that an upstream file is accepted as it is; they decide nothing for balancers here.
WITHOUT_EFFECT = frozenset({"subnetid", "routetableid", "nodeipfamilies", "disablestrictzonecheck"})
SERVICE_NAMES: Mapping[str, str] = {
    "ec2": "ec2",
    "elasticloadbalancing": "elb",
    "sts": "sts",
}


def with_cloud_config(settings: AwsSettings) -> AwsSettings:
    """The settings, completed from the file that they name; what the file has in vain is logged."""
    if not settings.cloud_config:
        return settings
    found, warnings = read_cloud_config(_read(settings.cloud_config))
    for sentence in warnings:
        log.warning("%s: %s", settings.cloud_config, sentence)
    endpoints = {**found.pop("endpoints", {}), **settings.endpoints}
    left_open = {name: value for name, value in found.items() if getattr(settings, name) == getattr(DEFAULTS, name)}
    return msgspec.structs.replace(settings, endpoints=endpoints, **left_open)


def file_faults(settings: AwsSettings) -> list[str]:
    """What is wrong with the file that the settings name, unknown keys among it."""
    if not settings.cloud_config:
        return []
    try:
        return read_cloud_config(_read(settings.cloud_config))[1]
    except InvalidSettings as error:
        return [error.message]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        hint = "give an existing file in the setting `cloud_config`"
        raise InvalidSettings(f"aws: cannot read {path}: {error.strerror}", hint=hint) from None


def read_cloud_config(text: str) -> tuple[dict[str, Any], list[str]]:
    """Settings that CCM's `cloud.conf` names, and warnings about keys that it does not know.

    Keys are case-blind and values may be quoted, as gcfg has it. A `[ServiceOverride "1"]` section becomes an endpoint.
    Raises `InvalidSettings` for a file that cannot be read or a value that is none.
    """
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, inline_comment_prefixes=(";",), comment_prefixes=("#", ";"), delimiters=("=",)
    )
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise InvalidSettings(f"aws: cloud.conf cannot be read: {error}") from error
    found: dict[str, Any] = {}
    warnings: list[str] = []
    for section in parser.sections():
        values = {key: value.strip().strip('"') for key, value in parser.items(section)}
        if section.lower() == "global":
            _read_global(values, found, warnings)
        elif section.lower().startswith("serviceoverride"):
            _read_override(values, found)
        else:
            warnings.append(f"cloud.conf: section [{section}] is unknown and has no effect")
    return found, warnings


def _read_global(values: Mapping[str, str], found: dict[str, Any], warnings: list[str]) -> None:
    for key, text in values.items():
        if key in WITHOUT_EFFECT or not text:
            continue
        if key not in GLOBAL_KEYS:
            warnings.append(_unknown(key))
            continue
        name, convert = GLOBAL_KEYS[key]
        try:
            found[name] = convert(text)
        except ValueError as error:
            raise InvalidSettings(f"aws: cloud.conf: {key} = {text}: {error}") from None


def _unknown(key: str) -> str:
    nearest = difflib.get_close_matches(key, GLOBAL_KEYS, n=1)
    suggestion = f"; did you mean {nearest[0]}?" if nearest else " and has no effect"
    return f"cloud.conf: [Global] {key} is unknown{suggestion}"


def _read_override(values: Mapping[str, str], found: dict[str, Any]) -> None:
    service, url = values.get("service", "").lower(), values.get("url", "")
    if service not in SERVICE_NAMES or not url:
        raise InvalidSettings(
            f"aws: cloud.conf: a ServiceOverride needs URL and a Service of {', '.join(sorted(SERVICE_NAMES))}; "
            f"it has {service!r} and {url!r}"
        )
    endpoints = found.setdefault("endpoints", {})
    endpoints[SERVICE_NAMES[service]] = url
    if SERVICE_NAMES[service] == "elb":  # upstream names both generations of the API alike
        endpoints["elbv2"] = url
