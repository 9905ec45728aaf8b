"""Service -> Intent for the `local` driver, all problems at once. Pure.

What every cloud shares is `lbctl.model.intent.read_intent`; added here is what only a look at the address pools and at
the target type can tell.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lbctl.errors import InvalidService
from lbctl.model.capabilities import Affinity, Capabilities
from lbctl.model.intent import Intent, read_intent
from lbctl.model.objects import Service
from lbctl.model.problem import Problem
from lbctl.model.status import Notice, Severity
from lbctl_local.annotations import ANNOTATIONS
from lbctl_local.settings import Network

CAPABILITIES = Capabilities(
    protocols=frozenset({"TCP", "UDP"}),
    mixed_protocols=True,
    families=("IPv4", "IPv6"),
    dual_stack=True,
    source_ranges=True,
    affinity=Affinity.CLIENT_IP,
    needs_node_ports=False,
    proxy_protocol=True,
    requested_address=True,
)


def parse_service(service: Service, *, pools: tuple[Network, ...]) -> Intent:
    """The wish, with its families narrowed to those that a pool has; `InvalidService` with all problems."""
    values = ANNOTATIONS.read(service.metadata.annotations)
    intent, problems = read_intent(service, capabilities=CAPABILITIES, values=values)
    served = tuple(family for family in intent.families if family in {f"IPv{pool.version}" for pool in pools})
    problems += [
        *_node_port_problems(intent, values.by_name),
        *_family_problems(service, intent, served),
        *_address_problems(intent, served, pools),
    ]
    if problems:
        raise InvalidService(problems)
    return replace(intent, families=served, notices=(*intent.notices, *_notices(intent, served, values.by_name)))


def _node_port_problems(intent: Intent, options: Any) -> Iterator[Problem]:  # noqa: ANN401 - values of a table
    for port in intent.ports:
        if options["target_type"] == "node" and port.node_port == 0:
            hint = "set allocateLoadBalancerNodePorts to true, or lbctl.io/target-type to ip"
            yield Problem(f"spec.ports[{port}]", "needs a node port and has none", hint)


def _family_problems(service: Service, intent: Intent, served: tuple[str, ...]) -> Iterator[Problem]:
    missing = [family for family in intent.families if family not in served]
    if missing and (not served or service.spec.ip_family_policy == "RequireDualStack"):
        hint = "add a range of this family to the setting `addresses` of the local driver"
        yield Problem("spec.ipFamilies", f"no address pool has {' or '.join(missing)}", hint)


def _address_problems(intent: Intent, served: tuple[str, ...], pools: tuple[Network, ...]) -> Iterator[Problem]:
    if not intent.requested_address:
        return
    path = "spec.loadBalancerIP"
    try:
        address = ipaddress.ip_address(intent.requested_address)
    except ValueError:
        yield Problem(path, f"{intent.requested_address!r} is not an IP address")
        return
    if f"IPv{address.version}" not in served:
        yield Problem(path, f"{address} is not of a family that the Service has")
    elif not any(address in pool for pool in pools):
        ranges = ", ".join(str(pool) for pool in pools)
        yield Problem(path, f"{address} is in no address pool", f"choose one of {ranges}, or leave the field out")


def _notices(intent: Intent, served: tuple[str, ...], options: Any) -> Iterator[Notice]:  # noqa: ANN401 - as above
    for family in intent.families:
        if family not in served:
            yield _limit(f"{family} is left out: no address pool has it")
    if intent.affinity_seconds is not None and options["algorithm"] not in {"round-robin", "maglev"}:
        yield _limit(f"ClientIP affinity wins over lbctl.io/algorithm {options['algorithm']}")
    if options["proxy_protocol"] and "UDP" in intent.protocols:
        yield _limit("lbctl.io/proxy-protocol has no effect on UDP ports")
    if options["max_connections"] and "UDP" in intent.protocols:
        yield _limit("lbctl.io/max-connections has no effect on UDP ports")


def _limit(message: str) -> Notice:
    return Notice(Severity.WARNING, "LimitedByDriver", message)
