"""Service -> Intent for the `cloudstack` driver, all problems at once. Pure.

What every cloud shares is `lbctl.model.intent.read_intent`; added here are the rules of load balancer rules: one public
port carries one rule whatever its protocol, and the values of upstream's annotations with upstream's leniency.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lbctl.errors import InvalidService
from lbctl.model.capabilities import Affinity, Capabilities
from lbctl.model.intent import Intent, Port, read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.ranges import family_of, normalise_cidr
from lbctl.model.status import Notice, Severity
from lbctl_cloudstack.annotations import ANNOTATIONS
from lbctl_cloudstack.names import ID_ANNOTATION, PREFIX
from lbctl_cloudstack.settings import CloudStackSettings

CAPABILITIES = Capabilities(
    protocols=frozenset({"TCP", "UDP"}),
    mixed_protocols=True,
    families=("IPv4",),
    source_ranges=True,
    affinity=Affinity.CLIENT_IP,
    proxy_protocol=True,
    shared_address=True,
    requested_address=True,
)
ALL = "0.0.0.0/0"
HOSTNAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
PORTMAPPER = 111
COOKIES = ("LbCookie", "AppCookie")

Options = Mapping[str, Any]


def parse_service(service: Service, settings: CloudStackSettings) -> Intent:
    """The wish; `InvalidService` with all problems. `options` holds the table's values, tidied up."""
    values = ANNOTATIONS.read(service.metadata.annotations)
    intent, problems = read_intent(service, capabilities=CAPABILITIES, values=values)
    options: dict[str, Any] = dict(values.by_name)
    options["source_cidrs"], cidr_problems = read_cidrs(str(options["source_cidrs"]), settings.empty_cidrs)
    problems += [
        *cidr_problems,
        *([] if settings.split_ips else _clash_problems(intent)),
        *_range_problems(intent),
        *_address_problems(intent, options),
        *_affinity_problems(service),
        *_stickiness_problems(intent, options),
    ]
    if problems:
        raise InvalidService(problems)
    notices = (*intent.notices, *_notices(intent, options), *_family_notices(service))
    options["proxy_protocol"] = options["proxy_protocol"] == "true"
    options["hostname"] = options["hostname"] if HOSTNAME.fullmatch(options["hostname"]) else ""
    options["network_id"] = options["network_id"] or options["own_network_id"] or settings.network_id
    options["local_endpoints"] = intent.local and settings.local_targets == "endpoints"
    options["sticky_ports"] = frozenset(port.port for port in sticky_ports(intent, options))
    options["stickiness_params"] = tuple(sorted(_either(options, "stickiness_params", {}).items()))
    options["stickiness"] = _either(options, "stickiness", "")
    return replace(intent, options=options, notices=notices)


def read_cidrs(text: str, when_empty: str) -> tuple[frozenset[str], list[Problem]]:
    """The sources of the rule's own filter.

    An empty list means "everybody" on the server, the opposite of what its author has in mind, so it is refused.
    """
    path = f"metadata.annotations[{PREFIX}source-cidrs]"
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts and when_empty == "allow":
        return frozenset({ALL}), []
    if not parts:
        return frozenset(), [Problem(path, "is empty, which the cloud takes for everybody", "write 0.0.0.0/0 for that")]
    cidrs, problems = set(), []
    for part in parts:
        try:
            cidr = normalise_cidr(part)
        except ValueError:
            problems.append(Problem(path, f"{part!r} is not a CIDR", "write it as 10.0.0.0/24"))
            continue
        if family_of(cidr) != "IPv4":
            problems.append(Problem(path, f"{part} is IPv6, and load balancer rules are IPv4"))
        cidrs.add(cidr)
    return frozenset(cidrs), problems


def is_split(intent: Intent) -> bool:
    """True when the Service needs two addresses: the server's check of ports is blind to protocols (issue 4481)."""
    return len({port.port for port in intent.ports}) < len(intent.ports)


def sticky_ports(intent: Intent, options: Options) -> Iterator[Port]:
    """The ports that get the stickiness policy: cookies need HTTP, which upstream's key takes from the appProtocol."""
    needs_http = options["stickiness"] in COOKIES
    for port in intent.ports if _either(options, "stickiness", "") else ():
        if port.protocol == "TCP" and (port.app_protocol.lower() == "http" or not needs_http):
            yield port


def named_address(service: Service) -> str:
    """The address that a Service names, by annotation before field, canonical; empty when it names none."""
    annotation = service.metadata.annotations.get(f"{PREFIX}address", "")
    text = (annotation or service.spec.load_balancer_ip or "").strip()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def named_id(service: Service) -> str:
    """The id of the address that a Service names by upstream's annotation, in lower case; empty when it names none."""
    return service.metadata.annotations.get(ID_ANNOTATION, "").strip().lower()


def _clash_problems(intent: Intent) -> Iterator[Problem]:
    counts = Counter(port.port for port in intent.ports)
    for number, count in sorted(counts.items()):
        if count > 1:
            ports = " and ".join(str(port) for port in intent.ports if port.port == number)
            hint = "make a second Service, or set split_ips for a second address"
            yield Problem("spec.ports", f"{ports} cannot share one address: a port carries one rule", hint)


def _range_problems(intent: Intent) -> Iterator[Problem]:
    for cidr in sorted(intent.source_ranges):
        if family_of(cidr) != "IPv4":
            yield Problem("spec.loadBalancerSourceRanges", f"{cidr} is IPv6, and load balancer rules are IPv4")


def _address_problems(intent: Intent, options: Options) -> Iterator[Problem]:
    if options["address"] or not intent.requested_address:
        return
    try:
        version = ipaddress.ip_address(intent.requested_address).version
    except ValueError:
        yield Problem("spec.loadBalancerIP", f"{intent.requested_address!r} is not an IP address")
        return
    if version != 4:  # noqa: PLR2004 - the IP version
        yield Problem("spec.loadBalancerIP", f"{intent.requested_address} is IPv6, and load balancer rules are IPv4")


def _affinity_problems(service: Service) -> Iterator[Problem]:
    if service.spec.session_affinity not in {"None", "ClientIP"}:
        yield Problem("spec.sessionAffinity", f"{service.spec.session_affinity} is not supported here", "use ClientIP")


def _stickiness_problems(intent: Intent, options: Options) -> Iterator[Problem]:
    method = _either(options, "stickiness", "")
    if options["stickiness_params"] and not method:
        path = f"metadata.annotations[{PREFIX}stickiness-method-param]"
        yield Problem(path, "has no effect without a stickiness method", f"set {PREFIX}stickiness-method-name")
    if options["own_stickiness_params"] and not method:
        path = "metadata.annotations[lbctl.io/cloudstack-stickiness-params]"
        yield Problem(path, "has no effect without a stickiness method", "set lbctl.io/cloudstack-stickiness")
    if options["stickiness"] in COOKIES and not any(sticky_ports(intent, options)):
        path = f"metadata.annotations[{PREFIX}stickiness-method-name]"
        yield Problem(path, f"{method} needs a TCP port whose appProtocol is http", "set appProtocol: http on it")


def _either(options: Options, name: str, default: Any) -> Any:  # noqa: ANN401 - the option's own type
    """Upstream's key wins over ours."""
    return options[name] or options[f"own_{name}"] or default


def _notices(intent: Intent, options: Options) -> Iterator[Notice]:
    if options["proxy_protocol"] not in {"true", "false"}:
        yield _ignored(
            f"{PREFIX}proxy-protocol: {options['proxy_protocol']!r} is neither true nor false: taken as false"
        )
    if options["hostname"] and not HOSTNAME.fullmatch(options["hostname"]):
        yield _ignored(f"{PREFIX}hostname: {options['hostname']!r} is not a host name: the address is published")
    if options["proxy_protocol"] == "true" and "UDP" in intent.protocols:
        yield _limit("the PROXY protocol has no effect on UDP ports")
    if intent.local and options["proxy_protocol"] != "true":
        yield _limit("the router is a proxy: targets see the client's address only with the PROXY protocol")
    if any(port.port == PORTMAPPER for port in intent.ports):
        yield _limit("the router's own services may use port 111, and then no rule of it works")


def _family_notices(service: Service) -> Iterator[Notice]:
    if "IPv6" in service.spec.ip_families:
        yield _limit("load balancer rules are IPv4: the Service is not served on IPv6")


def _ignored(message: str) -> Notice:
    return Notice(Severity.WARNING, "AnnotationIgnored", message)


def _limit(message: str) -> Notice:
    return Notice(Severity.WARNING, "LimitedByDriver", message)
