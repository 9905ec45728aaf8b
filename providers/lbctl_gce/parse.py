"""Service -> Intent for Google Cloud, all problems at once. Pure.

What every cloud shares is `lbctl.model.intent.read_intent`; added here are the mode and what it cannot do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

import lbctl_gce.annotations as keys
from lbctl.errors import InvalidService
from lbctl.model.capabilities import Affinity, Capabilities
from lbctl.model.intent import Intent, read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.status import Notice, Severity
from lbctl_gce.modes import STRONG_AFFINITY_MODES, Defaults, Mode, choose_mode

CAPABILITIES = Capabilities(
    protocols=frozenset({"TCP", "UDP"}),
    mixed_protocols=True,
    families=("IPv4", "IPv6"),
    dual_stack=True,
    affinity=Affinity.CLIENT_IP_WITH_TIMEOUT,
    shared_address=True,
    requested_address=True,
)
NETWORK, OWN_NETWORK = "networking.gke.io/network", "default"
"""The key in a selector that names one of several networks of the cluster, and the name of the nodes' own."""
STRONG_AFFINITY_SECONDS = range(60, 57601)
MOST_ADDRESSES = 2
TOLD_APART = frozenset({"target_pool"})
"""Annotations of some kinds that have had their effect once it is over."""
SAME_ZONE = frozenset({"PreferSameZone", "PreferClose"})


def parse_service(service: Service, *, defaults: Defaults, existing: Mode | None = None) -> Intent:
    """The wish with its mode under `options["mode"]`; `InvalidService` with all problems."""
    service = _with_protocols(service)
    values = keys.ANNOTATIONS.read(service.metadata.annotations)
    intent, problems = read_intent(service, capabilities=CAPABILITIES, values=values)
    choice = choose_mode(service, defaults=defaults, existing=existing)
    same_zone = service.spec.traffic_distribution in SAME_ZONE
    options = {**values.by_name, "mode": choice.mode, "same_zone": same_zone}
    families = intent.families[:1] if choice.mode.is_legacy else intent.families
    intent = replace(intent, options=options, families=families)
    problems += [*_network_problems(service), *_mode_problems(intent, choice.mode)]
    problems += _option_problems(intent, options, choice.mode)
    # What a Service that goes away asks for no longer matters, but its scopes do: the API takes its node ports first.
    if problems and not is_leaving(service):
        raise InvalidService(problems)
    notices = (*intent.notices, *choice.notices, *_notices(options, choice.mode, local=intent.local))
    if not choice.mode.has_balancer:
        notices += tuple(_left_to_others(intent))
    return replace(intent, notices=notices)


def is_leaving(service: Service) -> bool:
    """True for a Service that is being deleted, or is no balancer any more."""
    return service.spec.type != "LoadBalancer" or service.metadata.deletion_timestamp is not None


def _with_protocols(service: Service) -> Service:
    """The Service with TCP where a port names no protocol, as stored objects of old API servers have it."""
    if all(port.protocol for port in service.spec.ports):
        return service
    ports = tuple(msgspec.structs.replace(port, protocol=port.protocol or "TCP") for port in service.spec.ports)
    return msgspec.structs.replace(service, spec=msgspec.structs.replace(service.spec, ports=ports))


def mode_of(intent: Intent) -> Mode:
    """The mode that parsing chose."""
    return Mode(str((intent.options or {})["mode"]))


def option(intent: Intent, name: str) -> Any:  # noqa: ANN401 - each annotation has its own type
    """Value of an annotation, or its default."""
    return (intent.options or {})[name]


def _network_problems(service: Service) -> Iterator[Problem]:
    """A Service for pods in another network than the cluster's, by which it would be served in the wrong one.

    Upstream finds network and subnet in `Network` and `GKENetworkParamSet` objects (ingress-gce, pkg/network).
    """
    network = service.spec.selector.get(NETWORK, "")
    if network not in ("", OWN_NETWORK):
        text = f"balancers in another network ({network}) than the nodes' own are not made"
        yield Problem(
            f"spec.selector[{NETWORK}]", text, "leave such a Service to ingress-gce, or take the selector out"
        )


def _mode_problems(intent: Intent, mode: Mode) -> Iterator[Problem]:
    if mode.is_legacy and len(intent.protocols) > 1:
        hint = f"make one Service for each, or set {keys.BACKENDS} to enabled on a new Service"
        yield Problem("spec.ports", "several protocols in one Service are not supported by this kind of balancer", hint)
    if mode.is_legacy and intent.families[:1] == ("IPv6",):
        yield Problem("spec.ipFamilies", f"a balancer of kind {mode} has no IPv6", "use IPv4")


def _option_problems(intent: Intent, options: Mapping[str, Any], mode: Mode) -> Iterator[Problem]:
    if options["strong_affinity"] and mode in STRONG_AFFINITY_MODES:
        yield from _affinity_problems(intent)
    if options["collection"] and options["subnet"]:
        path = f"metadata.annotations[{keys.COLLECTION}]"
        yield Problem(path, f"a prefix and a subnet ({keys.SUBNET}) exclude each other", "take one of the two out")
    if options["tier"] == "Standard" and "IPv6" in intent.families and not mode.is_internal:
        yield Problem(f"metadata.annotations[{keys.TIER}]", "tier Standard has no IPv6", "use Premium, or IPv4 alone")


def _affinity_problems(intent: Intent) -> Iterator[Problem]:
    path = f"metadata.annotations[{keys.STRONG_AFFINITY}]"
    if intent.affinity_seconds is None:
        yield Problem(path, "needs session affinity", "set spec.sessionAffinity to ClientIP")
    elif intent.affinity_seconds not in STRONG_AFFINITY_SECONDS:
        hint = "set spec.sessionAffinityConfig.clientIP.timeoutSeconds within 60 to 57600"
        yield Problem(path, f"cannot last {intent.affinity_seconds} s", hint)


def _notices(options: Mapping[str, Any], mode: Mode, *, local: bool) -> Iterator[Notice]:
    if len(options["addresses"]) > MOST_ADDRESSES:
        left = ", ".join(options["addresses"][MOST_ADDRESSES:])
        yield _warning("AnnotationIgnored", f"{keys.ADDRESSES} names more than two addresses; {left} is not used")
    if options["weighted"] == "pods-per-node" and not local:
        yield _warning("UnsupportedConfiguration", f"{keys.WEIGHTED} has an effect with traffic policy Local only")
    for annotation in keys.ANNOTATIONS:
        asks = options[annotation.name] not in (annotation.default, "false")
        if asks and annotation.modes and mode not in annotation.modes and annotation.name not in TOLD_APART:
            yield _warning("AnnotationIgnored", f"{annotation.key} has no effect on a balancer of kind {mode}")
    if options["backends"] == "enabled" and mode is Mode.TARGET_POOL:
        text = f"{keys.BACKENDS} has no effect on a balancer that has a target pool"
        yield _warning("CanNotMigrateTargetPoolToRBS", text)


def _left_to_others(intent: Intent) -> Iterator[Notice]:
    """Wishes about a balancer of a Service that gets endpoint groups alone."""
    asked = {"loadBalancerSourceRanges": intent.source_ranges, "loadBalancerIP": intent.requested_address}
    for field in (field for field, value in asked.items() if value):
        text = f"{field} has no effect: the class asks for endpoint groups without a balancer"
        yield _warning("UnsupportedConfiguration", text)


def _warning(reason: str, text: str) -> Notice:
    return Notice(Severity.WARNING, reason, text)
