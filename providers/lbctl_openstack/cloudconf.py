"""cloud.conf of cloud-provider-openstack, read as it is: an INI file in the gcfg dialect. Pure.

Values may be quoted, keys are case-blind, a key without a value is true, sections may have a quoted name. Unknown keys
are collected rather than raised: `settings.py` decides what they mean. Source: pkg/openstack/openstack.go (Config).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_type_hints

import msgspec

from lbctl.model.resource import nothing

SECTION = re.compile(r'\[\s*(?P<name>[A-Za-z][\w-]*)\s*(?:"(?P<sub>[^"]*)"\s*)?\]\s*(?:[;#].*)?')
VARIABLE = re.compile(r"(?P<key>[A-Za-z][\w-]*)\s*(?:=\s*(?P<value>.*))?")
ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


class Section(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Base of all sections: `floating-subnet-id` in the file is `floating_subnet_id` here."""


class Networks(Section, frozen=True):
    """Where balancers and floating IPs live; also what a `[LoadBalancerClass "x"]` may say."""

    floating_network_id: str = ""
    floating_subnet_id: str = ""
    floating_subnet: str = ""
    floating_subnet_tags: str = ""
    network_id: str = ""
    subnet_id: str = ""
    member_subnet_id: str = ""


class Balancing(Networks, frozen=True):
    """`[LoadBalancer]`; durations are seconds."""

    enabled: bool = True
    lb_version: str = ""
    use_octavia: bool = True
    lb_provider: str = "amphora"
    lb_method: str = "ROUND_ROBIN"
    create_monitor: bool = False
    monitor_delay: float = 5
    monitor_timeout: float = 3
    monitor_max_retries: int = 1
    monitor_max_retries_down: int = 3
    manage_security_groups: bool = False
    internal_lb: bool = False
    node_selector: str = ""
    cascade_delete: bool = True
    flavor_id: str = ""
    availability_zone: str = ""
    enable_ingress_hostname: bool = False
    ingress_hostname_suffix: str = "nip.io"
    max_shared_lb: int = 2
    default_tls_container_ref: str = ""
    container_store: str = "barbican"
    provider_requires_serial_api_calls: bool = False


class Access(Section, frozen=True):
    """`[Global]`: how to log in, and where."""

    auth_url: str = ""
    username: str = ""
    user_id: str = ""
    password: str = ""
    tenant_id: str = ""
    tenant_name: str = ""
    domain_id: str = ""
    domain_name: str = ""
    tenant_domain_id: str = ""
    tenant_domain_name: str = ""
    user_domain_id: str = ""
    user_domain_name: str = ""
    region: str = ""
    os_endpoint_type: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    tls_insecure: bool = False
    token: str = ""
    trust_id: str = ""
    trustee_id: str = ""
    trustee_password: str = ""
    application_credential_id: str = ""
    application_credential_name: str = ""
    application_credential_secret: str = ""
    use_clouds: bool = False
    clouds_file: str = ""
    cloud: str = ""


class Metadata(Section, frozen=True):
    """`[Metadata]`; `request_timeout` is the time-out of every call that is made."""

    search_order: str = ""
    request_timeout: float = 60


class Networking(Section, frozen=True):
    """`[Networking]`: about node addresses, which are not our business; accepted because upstream's file has it."""

    ipv6_support_disabled: bool = False
    public_network_name: tuple[str, ...] = ()
    internal_network_name: tuple[str, ...] = ()
    address_sort_order: str = ""


class Routes(Section, frozen=True):
    """`[Route]`: of another controller; accepted."""

    router_id: str = ""


class Volumes(Section, frozen=True):
    """`[BlockStorage]`: of another controller; accepted."""

    bs_version: str = ""
    trust_device_path: bool = False
    ignore_volume_az: bool = False
    node_volume_attach_limit: int = 0
    rescan_on_resize: bool = False


@dataclass(frozen=True, slots=True)
class CloudConf:
    """The whole file. `faults` are what cannot be used, `unknown` the keys that mean nothing here, as sentences."""

    access: Access = field(default_factory=Access)
    balancing: Balancing = field(default_factory=Balancing)
    classes: Mapping[str, Networks] = field(default_factory=nothing, hash=False)
    metadata: Metadata = field(default_factory=Metadata)
    faults: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


SECTIONS: Mapping[str, type[Section]] = {
    "global": Access,
    "loadbalancer": Balancing,
    "loadbalancerclass": Networks,
    "metadata": Metadata,
    "networking": Networking,
    "route": Routes,
    "blockstorage": Volumes,
}


def parse_cloud_conf(text: str) -> CloudConf:
    """The file's contents with defaults filled in; never raises, what is wrong is in `faults` and `unknown`."""
    faults: list[str] = []
    unknown: list[str] = []
    raw: dict[tuple[str, str], dict[str, Any]] = {}
    for number, section, key, value in _variables(text, faults):
        if section[0] not in SECTIONS:
            unknown.append(f"line {number}: section [{section[0]}] is unknown{_nearest(section[0], SECTIONS)}")
            continue
        _take(raw.setdefault(section, {}), SECTIONS[section[0]], (number, key, value), faults, unknown)
    made = {section: SECTIONS[section[0]](**values) for section, values in raw.items()}
    conf = CloudConf(
        access=cast("Access", made.get(("global", ""), Access())),
        balancing=cast("Balancing", made.get(("loadbalancer", ""), Balancing())),
        classes={sub: cast("Networks", nets) for (name, sub), nets in made.items() if name == "loadbalancerclass"},
        metadata=cast("Metadata", made.get(("metadata", ""), Metadata())),
        unknown=tuple(dict.fromkeys(unknown)),
    )
    if conf.balancing.lb_version not in {"", "v2"}:
        faults.append(f"[LoadBalancer] lb-version={conf.balancing.lb_version} is not supported, only v2 is")
    return replace(conf, faults=tuple(faults))


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as `1m30s`; a bare number is seconds. ValueError when it is none."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("is not a duration such as 60s")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def unquote(text: str) -> str:
    """A gcfg value: quotes and escapes resolved, a comment after it dropped."""
    out: list[str] = []
    quoted, kept = False, 0
    characters = iter(text)
    for character in characters:
        if character == "\\":
            out.append(ESCAPES.get(next(characters, ""), ""))
        elif character == '"':
            quoted, kept = not quoted, len(out)
        elif character in ";#" and not quoted:
            break
        else:
            out.append(character)
    return "".join(out[:kept]) + "".join(out[kept:]).rstrip()


Line = tuple[int, tuple[str, str], str, str]


def _variables(text: str, faults: list[str]) -> Iterator[Line]:
    section = ("", "")
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in ";#":
            continue
        if found := SECTION.fullmatch(stripped):
            section = (found["name"].lower(), found["sub"] or "")
        elif found := VARIABLE.fullmatch(stripped):
            value = "true" if found["value"] is None else unquote(found["value"])
            yield number, section, found["key"].lower(), value
        else:
            faults.append(f"line {number}: {stripped!r} is neither a section nor key=value")


def _take(
    into: dict[str, Any], kind: type[Section], variable: tuple[int, str, str], faults: list[str], unknown: list[str]
) -> None:
    number, key, text = variable
    hints = get_type_hints(kind)
    name = key.replace("-", "_")
    if name not in hints:
        known = [hint.replace("_", "-") for hint in hints]
        unknown.append(f"line {number}: key {key} is unknown{_nearest(key, known)}")
        return
    try:
        value = READERS[hints[name]](text)
    except ValueError as error:
        faults.append(f"line {number}: {key}={text} {error}")
        return
    into[name] = (*into.get(name, ()), text) if hints[name] == tuple[str, ...] else value


def _read_bool(text: str) -> bool:
    if text.lower() in {"true", "yes", "on", "1"}:
        return True
    if text.lower() in {"false", "no", "off", "0"}:
        return False
    raise ValueError("is neither true nor false")


def _read_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("is not a whole number") from None


READERS: Mapping[Any, Any] = {
    str: str,
    bool: _read_bool,
    int: _read_int,
    float: parse_duration,
    tuple[str, ...]: str,
}


def _nearest(key: str, known: Any) -> str:  # noqa: ANN401 - any collection of texts
    near = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
