"""A Service, read into a `Wish`; everything that is wrong with it at once. Pure.

Called by the driver's `parse`. What needs facts of the cloud (does that address exist, is that port taken) is decided
by `model`. The rules are those of cloud-provider-azure 7b31c76 except where a notice or problem says more than a log.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lbctl.errors import InvalidService
from lbctl.model.capabilities import Affinity, Capabilities
from lbctl.model.intent import Intent, read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.ranges import SOURCE_RANGES_ANNOTATION, family_of, normalise_cidr
from lbctl.model.status import Notice, Severity
from lbctl_azure.annotations import ANNOTATIONS, PREFIX
from lbctl_azure.probes import ProbeMode, ProbeReader
from lbctl_azure.settings import CloudConfig, Settings
from lbctl_azure.wish import Access, Forward, Front, PrivateLink, Probe, Wish

CAPABILITIES = Capabilities(
    protocols=frozenset({"TCP", "UDP", "SCTP"}),
    mixed_protocols=True,
    families=("IPv4", "IPv6"),
    dual_stack=True,
    source_ranges=True,
    affinity=Affinity.CLIENT_IP,
    needs_node_ports=False,
    shared_address=True,
    requested_address=True,
)
RANGE_PATHS = ("spec.loadBalancerSourceRanges", f"metadata.annotations[{SOURCE_RANGES_ANNOTATION}]")
PLATFORM_ADDRESS = "168.63.129.16"
SHARED_ADDRESSES = ipaddress.ip_network("100.64.0.0/10")
LINK_OPTIONS = {
    "name": "name",
    "group": "resource_group",
    "subnet": "ip_configuration_subnet",
    "count": "ip_configuration_ip_address_count",
    "addresses": "ip_configuration_ip_address",
    "fqdns": "fqdns",
    "proxy_protocol": "proxy_protocol",
    "visibility": "visibility",
    "auto_approval": "auto_approval",
}


def parse_service(service: Service, *, config: CloudConfig, settings: Settings) -> Wish:
    """What the Service asks for; `InvalidService` with every problem."""
    values = ANNOTATIONS.read(service.metadata.annotations)
    intent, found = read_intent(service, capabilities=CAPABILITIES, values=values)
    problems = [problem for problem in found if problem.path not in RANGE_PATHS]
    notices = [*intent.notices, *_notices(service, values.by_name)]
    access = _access(service, values.by_name, problems=problems, notices=notices)
    fronts = _fronts(intent, values.by_name, problems)
    link = _private_link(values.by_name)
    reader = ProbeReader(
        intent,
        values.by_name,
        _probe_mode(config, settings),
        is_local=intent.local and not (link is not None and link.proxy_protocol),
        problems=problems,
        notices=notices,
    )
    wish = _wish(intent, values.by_name, forwards=reader.forwards(), fronts=fronts, access=access, link=link)
    if config.balancers:
        wish = replace(wish, labels=dict(service.metadata.labels))
    problems.extend(_contradictions(wish, config))
    if problems:
        raise InvalidService(sorted(set(problems)))
    return _with_notices(wish, notices)


def _probe_mode(config: CloudConfig, settings: Settings) -> ProbeMode:
    shared = Probe("", "Http", config.shared_probe_port, config.shared_probe_path) if config.shares_probe else None
    return ProbeMode(shared, from_app_protocol=settings.probe_from_app_protocol)


def _wish(
    intent: Intent,
    values: Mapping[str, Any],
    *,
    forwards: tuple[Forward, ...],
    fronts: tuple[Front, ...],
    access: Access,
    link: PrivateLink | None,
) -> Wish:
    ip_tags = values["pip_ip_tags"]
    return Wish(
        identity=intent.identity,
        ports=intent.ports,
        families=intent.families,
        source_ranges=access.ranges,
        local=intent.local,
        health_port=intent.health_port,
        affinity_seconds=intent.affinity_seconds,
        requested_address=intent.requested_address,
        load_balancer_class=intent.load_balancer_class,
        options=intent.options,
        internal=values["internal"],
        subnet=values["subnet"] if values["internal"] else "",
        fronts=fronts,
        forwards=forwards,
        access=access,
        address_group=values["resource_group"] or "",
        dns_label=values["dns_label_name"],
        address_tags=values["pip_tags"][0],
        ip_tags=None if ip_tags is None else tuple(sorted(ip_tags[0].items())),
        more_addresses=values["additional_public_ips"],
        idle_minutes=values["tcp_idle_timeout"],
        tcp_reset=not values["disable_tcp_reset"],
        floating_ip=not values["disable_floating_ip"],
        configurations=tuple(name.lower() for name in values["configurations"]),
        private_link=link,
    )


def _with_notices(wish: Wish, notices: Iterable[Notice]) -> Wish:
    return replace(wish, notices=tuple(dict.fromkeys(notices)))


def _fronts(intent: Intent, values: Mapping[str, Any], problems: list[Problem]) -> tuple[Front, ...]:
    single = len(intent.families) == 1
    fronts = tuple(_front(family, intent, values, single=single) for family in intent.families)
    for front in fronts:
        problems.extend(_address_problems(front, internal=values["internal"]))
    return fronts


def _front(family: str, intent: Intent, values: Mapping[str, Any], *, single: bool) -> Front:
    suffix = "_ipv6" if family == "IPv6" else ""
    plain = "" if suffix and not single else "pip_name"
    prefix = "" if suffix and not single else "pip_prefix_id"
    requested = intent.requested_address
    fallback = requested if requested and _family(requested) == family else ""
    return Front(
        family=family,
        address=values["ipv6" if suffix else "ipv4"] or fallback,
        public_ip=values[f"pip_name{suffix}"] or (values[plain] if plain else ""),
        prefix_id=values[f"pip_prefix_id{suffix}"] or (values[prefix] if prefix else ""),
    )


def _family(address: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return "IPv4"


def _address_problems(front: Front, *, internal: bool) -> list[Problem]:
    if not front.address:
        return []
    try:
        address = ipaddress.ip_address(front.address)
    except ValueError:
        return [Problem("spec.loadBalancerIP", f"{front.address!r} is not an IP address")]
    if internal or (address.is_global and str(address) != PLATFORM_ADDRESS and not _is_shared(address)):
        return []
    hint = "name a public address of yours, or make the Service internal"
    return [Problem(f"the {front.family} address", f"{address} is not a public address", hint)]


def _is_shared(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return isinstance(address, ipaddress.IPv4Address) and address in SHARED_ADDRESSES


def _access(service: Service, values: Mapping[str, Any], *, problems: list[Problem], notices: list[Notice]) -> Access:
    field = service.spec.load_balancer_source_ranges
    texts = f"{values['allowed_ip_ranges']},{values['source_ranges']}".split(",")
    annotated = [text.strip() for text in texts if text.strip()]
    if field and annotated:
        hint = "keep one of the two"
        problems.append(Problem(RANGE_PATHS[0], "is given together with an annotation of ranges", hint))
    ranges, bad = _ranges(list(field) or annotated)
    if bad:
        text = f"unreadable source ranges {', '.join(bad)}: everybody outside the readable ones is denied"
        notices.append(Notice(Severity.WARNING, "InvalidSourceRanges", text))
    tags = tuple(dict.fromkeys(values["allowed_service_tags"]))
    if tags and field:
        text = "kube-proxy applies spec.loadBalancerSourceRanges too, so the service tags beside it may not get in"
        notices.append(Notice(Severity.WARNING, "ConflictingSources", text))
    return Access(
        open=not values["disable_nsg_rule"],
        ranges=ranges,
        tags=tags,
        broken=bool(bad),
        sealed=bool(bad) or (values["deny_all"] and bool(ranges)),
    )


def _ranges(texts: list[str]) -> tuple[frozenset[str], list[str]]:
    good: dict[str, list[Any]] = {"IPv4": [], "IPv6": []}
    bad = []
    for text in texts:
        try:
            cidr = normalise_cidr(text)
        except ValueError:
            bad.append(text)
            continue
        good[family_of(cidr)].append(ipaddress.ip_network(cidr))
    merged = (str(net) for family in good.values() for net in ipaddress.collapse_addresses(family))
    return frozenset(merged), bad


def _private_link(values: Mapping[str, Any]) -> PrivateLink | None:
    if not values["pls_create"]:
        return None
    return PrivateLink(**{name: values[f"pls_{option}"] for name, option in LINK_OPTIONS.items()})


def _notices(service: Service, values: Mapping[str, Any]) -> list[Notice]:
    raw = service.metadata.annotations
    internal = raw.get(PREFIX + "azure-load-balancer-internal", "true")
    config = service.spec.session_affinity_config
    texts = {
        f"azure-load-balancer-internal is {internal!r} and read as true; write it as true": values["internal"]
        and internal != "true",
        "high availability ports need an internal Service and are ignored": values["enable_high_availability_ports"]
        and not values["internal"],
        "azure-load-balancer-mode has no effect on Standard load balancers": bool(values["mode"]),
        "azure-shared-securityrule has no effect: rules are always shared": bool(values["shared_securityrule"]),
        "the time-out of session affinity cannot be set on Azure": config is not None
        and config.client_ip is not None
        and bool(config.client_ip.timeout_seconds),
    }
    for name in ("pip_tags", "pip_ip_tags"):
        bad = values[name][1] if values[name] else ()
        texts[f"azure-{name.replace('_', '-')} has pieces that are not key=value: {', '.join(bad)}"] = bool(bad)
    return [Notice(Severity.WARNING, "AnnotationIgnored", text) for text, applies in texts.items() if applies]


def _contradictions(wish: Wish, config: CloudConfig) -> list[Problem]:
    return [*_port_problems(wish), *_link_problems(wish, config), *_placement_problems(wish, config)]


def _port_problems(wish: Wish) -> list[Problem]:
    problems = []
    sctp = [port for port in wish.ports if port.protocol == "SCTP"]
    if sctp and not wish.internal:
        problems.append(Problem("spec.ports", "SCTP is supported on internal Services only", "make it internal"))
    elif sctp and len(wish.ports) > 1:
        problems.append(Problem("spec.ports", "SCTP takes all ports of the address", "make a Service for SCTP alone"))
    delivers_to_node_port = any(not wish.floats(front.family) for front in wish.fronts)
    if delivers_to_node_port:
        hint = "set allocateLoadBalancerNodePorts to true or give a nodePort"
        problems.extend(
            Problem(f"spec.ports[{forward.port}]", "traffic goes to the node port and there is none", hint)
            for forward in wish.forwards
            if forward.port.node_port == 0 and not forward.everything
        )
    return problems


def _link_problems(wish: Wish, config: CloudConfig) -> list[Problem]:
    link, path = wish.private_link, f"metadata.annotations[{PREFIX}azure-pls-create]"
    if link is None:
        return []
    checks = {
        "needs an internal Service or floating IP off": not wish.internal and wish.floating_ip,
        "needs an IPv4 address": all(front.family != "IPv4" for front in wish.fronts),
        "does not work with pools of node addresses": config.uses_node_ips,
        f"has {len(link.addresses)} addresses and room for {link.count}": len(link.addresses) > link.count,
    }
    return [Problem(path, f"a private link service {text}") for text, wrong in checks.items() if wrong]


def _placement_problems(wish: Wish, config: CloudConfig) -> list[Problem]:
    path = f"metadata.annotations[{PREFIX}azure-load-balancer-configurations]"
    if not config.balancers or not wish.configurations:
        return []
    known = {entry.name.lower() for entry in config.balancers}
    problems = []
    if known.isdisjoint(wish.configurations):
        problems.append(Problem(path, f"names none of {', '.join(sorted(known))}"))
    if any(front.is_pinned for front in wish.fronts):
        problems.append(Problem(path, "cannot be combined with a pinned address", "its address decides the balancer"))
    return problems
