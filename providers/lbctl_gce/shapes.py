"""The fields of resources and the JSON bodies of the API: each kind written and read in one place. Pure.

Fields hold paths without their project (`regions/R/backendServices/NAME`), so that host, version and project number of
a link make no difference.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from lbctl_gce import ports

Json = dict[str, Any]
Fields = Mapping[str, Hashable]
ROOT = "https://www.googleapis.com/compute/v1/projects"
PROJECT = re.compile(r"^(?:.*/)?projects/[^/]+/")
CHECK_PATH = "/healthz"
SMALLEST_RATE = 0.5e-6
ZONAL_OFF = "ZONAL_AFFINITY_DISABLED"
NETWORK_PARTS = ("/networks/", "/subnetworks/")


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links of paths; networks and subnets live in the network's project."""

    project: str
    network_project: str

    def full(self, path: str) -> str:
        """The link of a path."""
        project = self.network_project if any(part in f"/{path}" for part in NETWORK_PARTS) else self.project
        return f"{ROOT}/{project}/{path}"


def tail(link: str) -> str:
    """The path of a link, without its project."""
    return PROJECT.sub("", link)


def plain_ip(text: str) -> str:
    """An address in canonical text; a length is kept only where it says something (`/96` of external IPv6)."""
    network = ipaddress.ip_network(text, strict=False)
    return str(network) if network.num_addresses > 1 else str(network.network_address)


def same_ip(old: Hashable, new: Hashable) -> bool:
    """Equality of addresses as values, with or without a length."""
    if not old or not new:
        return old == new
    one, other = (ipaddress.ip_interface(str(text)) for text in (old, new))
    return one.ip == other.ip


# -- forwarding rules -------------------------------------------------------------------------------------------------


def read_rule(body: Json) -> Fields:
    """Fields of a forwarding rule."""
    listed = ports.discrete(int(port) for port in body.get("ports", ()))
    return {
        "scheme": body.get("loadBalancingScheme", ""),
        "protocol": body.get("IPProtocol", ""),
        "ports": ports.ALL_PORTS if body.get("allPorts") else body.get("portRange") or listed,
        "address": plain_ip(body["IPAddress"]),
        "tier": body.get("networkTier", "PREMIUM"),
        "backend": tail(body.get("backendService") or body.get("target", "")),
        "global_access": bool(body.get("allowGlobalAccess")),
        "subnet": tail(body.get("subnetwork", "")) or None,
        "collection": tail(body.get("ipCollection", "")) or None,
        "family": "IPv6" if ":" in body["IPAddress"] else "IPv4",
    }


def write_rule(name: str, fields: Fields, links: Links) -> Json:
    """Body of a new forwarding rule."""
    backend = str(fields["backend"])
    internal = fields["scheme"] == "INTERNAL"
    body: Json = {
        "name": name,
        "description": fields.get("description") or "",
        "loadBalancingScheme": fields["scheme"],
        "IPProtocol": fields["protocol"],
        "target" if "/targetPools/" in backend else "backendService": links.full(backend),
        **_rule_ports(str(fields["ports"])),
    }
    optional = {
        "IPAddress": fields["address"],
        "networkTier": None if internal else fields["tier"],
        "allowGlobalAccess": fields["global_access"] or None,
        "subnetwork": links.full(str(fields["subnet"])) if fields.get("subnet") else None,
        "network": links.full(str(fields["network"])) if internal and fields.get("network") else None,
        "ipVersion": "IPV6" if fields["family"] == "IPv6" else None,
        "ipCollection": links.full(str(fields["collection"])) if fields.get("collection") else None,
    }
    return {**body, **{key: value for key, value in optional.items() if value is not None}}


def _rule_ports(text: str) -> Json:
    if text == ports.ALL_PORTS:
        return {"allPorts": True}
    return {"portRange": text} if "-" in text else {"ports": text.split(",")}


# -- backend services -------------------------------------------------------------------------------------------------


def read_backend(body: Json) -> Fields:
    """Fields of a backend service."""
    tracking = body.get("connectionTrackingPolicy", {})
    zonal = body.get("networkPassThroughLbTrafficPolicy", {}).get("zonalAffinity", {})
    return {
        "scheme": body.get("loadBalancingScheme", ""),
        "protocol": body.get("protocol", ""),
        "affinity": body.get("sessionAffinity", "NONE"),
        "backends": frozenset(tail(backend["group"]) for backend in body.get("backends", ())),
        "check": tail(next(iter(body.get("healthChecks", ())), "")),
        "draining": int(body.get("connectionDraining", {}).get("drainingTimeoutSec", 0)),
        "locality": body.get("localityLbPolicy", "").replace("MAGLEV", "")
        if _is_default(body)
        else body["localityLbPolicy"],
        "strong_seconds": int(tracking.get("idleTimeoutSec", 0)) if tracking.get("enableStrongAffinity") else 0,
        "same_zone": zonal.get("spillover", ZONAL_OFF) != ZONAL_OFF,
        "description": body.get("description", ""),
        **_read_logging(body.get("logConfig", {})),
    }


def _read_logging(config: Json) -> Fields:
    if not config.get("enable"):
        return {"logging": False, "sample_rate": None, "log_mode": None, "log_fields": None}
    return {
        "logging": True,
        "sample_rate": float(config.get("sampleRate", 1.0)),
        "log_mode": config.get("optionalMode", "EXCLUDE_ALL_OPTIONAL"),
        "log_fields": frozenset(config.get("optionalFields", ())),
    }


def _write_logging(fields: Fields) -> Json:
    """What of it may be said of logging that is off, is that it is off."""
    if not fields["logging"]:
        return {"enable": False}
    names = fields["log_fields"]
    assert isinstance(names, frozenset)
    config: Json = {"enable": True, "sampleRate": fields["sample_rate"], "optionalMode": fields["log_mode"]}
    return {**config, **({"optionalFields": sorted(names)} if names else {})}


def same_rate(old: Hashable, new: Hashable) -> bool:
    """Equality of sample rates, which the API keeps with fewer digits."""
    return old == new or (isinstance(old, float) and isinstance(new, float) and abs(old - new) < SMALLEST_RATE)


def _is_default(body: Json) -> bool:
    return body.get("localityLbPolicy", "") in ("", "MAGLEV")


def write_backend(name: str, fields: Fields, links: Links) -> Json:
    """Body of a backend service, without foreign backends."""
    groups = fields.get("backends") or frozenset()
    assert isinstance(groups, frozenset)
    body: Json = {
        "name": name,
        "description": fields["description"],
        "loadBalancingScheme": fields["scheme"],
        "protocol": fields["protocol"],
        "sessionAffinity": fields["affinity"],
        "healthChecks": [links.full(str(fields["check"]))],
        "backends": [backend_entry(links.full(group)) for group in sorted(groups)],
        "connectionDraining": {"drainingTimeoutSec": fields["draining"]},
    }
    if fields["locality"]:
        body["localityLbPolicy"] = fields["locality"]
    if fields["strong_seconds"]:
        body["connectionTrackingPolicy"] = {
            "enableStrongAffinity": True,
            "trackingMode": "PER_SESSION",
            "idleTimeoutSec": fields["strong_seconds"],
        }
    if fields["same_zone"]:
        body["networkPassThroughLbTrafficPolicy"] = zonal_policy(on=True)
    if fields["logging"] is not None:
        body["logConfig"] = _write_logging(fields)
    return body


def zonal_policy(*, on: bool) -> Json:
    """Keeps traffic in its zone as long as anything there is healthy, or not."""
    return {"zonalAffinity": {"spillover": "ZONAL_AFFINITY_SPILL_CROSS_ZONE" if on else ZONAL_OFF, "spilloverRatio": 0}}


def backend_entry(group: str) -> Json:
    """A group among a backend service's backends."""
    return {"group": group, "balancingMode": "CONNECTION"}


# -- health checks ----------------------------------------------------------------------------------------------------


def read_check(body: Json) -> Fields:
    """Fields of a health check of either collection."""
    http = body.get("httpHealthCheck", body)
    return {
        "port": int(http.get("port", 80)),
        "path": http.get("requestPath", "/"),
        "interval": int(body.get("checkIntervalSec", 5)),
        "timeout": int(body.get("timeoutSec", 5)),
        "healthy": int(body.get("healthyThreshold", 2)),
        "unhealthy": int(body.get("unhealthyThreshold", 2)),
        "description": body.get("description", ""),
    }


def write_check(name: str, fields: Fields, _links: Links) -> Json:
    """Body of a health check."""
    http = {"port": fields["port"], "requestPath": fields["path"]}
    return {"name": name, "type": "HTTP", "httpHealthCheck": http, **_check_numbers(fields)}


def write_http_check(name: str, fields: Fields, _links: Links) -> Json:
    """Body of a legacy HTTP health check."""
    return {"name": name, "port": fields["port"], "requestPath": fields["path"], **_check_numbers(fields)}


def _check_numbers(fields: Fields) -> Json:
    return {
        "checkIntervalSec": fields["interval"],
        "timeoutSec": fields["timeout"],
        "healthyThreshold": fields["healthy"],
        "unhealthyThreshold": fields["unhealthy"],
        "description": fields["description"],
    }


# -- firewall rules ---------------------------------------------------------------------------------------------------


def read_firewall(body: Json) -> Fields:
    """Fields of a firewall rule."""
    return {
        "sources": frozenset(plain_ip(cidr) for cidr in body.get("sourceRanges", ())),
        "destinations": frozenset(plain_ip(cidr) for cidr in body.get("destinationRanges", ())),
        "tags": frozenset(body.get("targetTags", ())),
        "allowed": ports.read_entries(body.get("allowed", ())),
        "denied": ports.read_entries(body.get("denied", ())),
        "priority": int(body.get("priority", 1000)),
        "network": tail(body.get("network", "")),
        "description": body.get("description", ""),
    }


def write_firewall(name: str, fields: Fields, links: Links) -> Json:
    """Body of a firewall rule."""
    sets = {key: fields[key] for key in ("sources", "destinations", "tags", "allowed", "denied")}
    texts = {key: value for key, value in sets.items() if isinstance(value, frozenset)}
    body: Json = {
        "name": name,
        "description": fields["description"],
        "network": links.full(str(fields["network"])),
        "direction": "INGRESS",
        "priority": fields["priority"],
        "sourceRanges": sorted(texts["sources"]),
        "targetTags": sorted(texts["tags"]),
    }
    lists = {
        "destinationRanges": sorted(texts["destinations"]),
        "allowed": ports.write_entries(texts["allowed"]),
        "denied": ports.write_entries(texts["denied"]),
    }
    return {**body, **{key: value for key, value in lists.items() if value}}


# -- addresses, pools, groups -----------------------------------------------------------------------------------------


def read_address(body: Json) -> Fields:
    """Fields of a reserved address."""
    length = f"/{body['prefixLength']}" if body.get("prefixLength") and "/" not in body["address"] else ""
    return {
        "address": plain_ip(body["address"] + length),
        "scheme": body.get("addressType", "EXTERNAL"),
        "tier": body.get("networkTier", "PREMIUM"),
    }


def write_address(name: str, fields: Fields, links: Links) -> Json:
    """Body of an address that turns one in use into a reserved one."""
    internal = fields["scheme"] == "INTERNAL"
    address, _, length = str(fields["address"]).partition("/")
    body: Json = {
        "name": name,
        "description": fields["description"],
        "address": address,
        "addressType": fields["scheme"],
    }
    if length:
        body |= {"prefixLength": int(length), "ipVersion": "IPV6", "ipv6EndpointType": "NETLB"}
    if internal:
        body["subnetwork"] = links.full(str(fields["subnet"]))
    else:
        body["networkTier"] = fields["tier"]
    return body


def read_pool(body: Json) -> Fields:
    """Fields of a target pool, without its instances."""
    return {
        "affinity": body.get("sessionAffinity", "NONE"),
        "check": tail(next(iter(body.get("healthChecks", ())), "")),
    }


def write_pool(name: str, fields: Fields, links: Links) -> Json:
    """Body of a target pool without instances."""
    return {
        "name": name,
        "description": fields["description"],
        "sessionAffinity": fields["affinity"],
        "healthChecks": [links.full(str(fields["check"]))],
    }


def write_group(name: str, _fields: Fields, _links: Links) -> Json:
    """Body of an instance group."""
    return {"name": name}


def write_endpoint_group(name: str, fields: Fields, links: Links) -> Json:
    """Body of a group of instances' own addresses."""
    return {
        "name": name,
        "description": fields["description"],
        "networkEndpointType": "GCE_VM_IP",
        "network": links.full(str(fields["network"])),
        "subnetwork": links.full(str(fields["subnet"])),
    }


WRITERS: dict[str, Callable[[str, Fields, Links], Json]] = {
    "forwarding-rule": write_rule,
    "backend-service": write_backend,
    "health-check": write_check,
    "http-health-check": write_http_check,
    "firewall": write_firewall,
    "address": write_address,
    "target-pool": write_pool,
    "instance-group": write_group,
    "endpoint-group": write_endpoint_group,
}
READERS: dict[str, Callable[[Json], Fields]] = {
    "forwarding-rule": read_rule,
    "backend-service": read_backend,
    "health-check": read_check,
    "http-health-check": read_check,
    "firewall": read_firewall,
    "address": read_address,
    "target-pool": read_pool,
    "instance-group": lambda _body: {},
    "endpoint-group": lambda _body: {},
}
