"""Forwarding rules that somebody else has put before endpoint groups which stand alone, and their addresses. Pure.

Which rules a Service may name, and by what Events and condition it is told of them, is ingress-gce's
(pkg/l4/controllers, standalone NEG). Here rules of the balancers' own region count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import lbctl_gce.annotations as keys
from lbctl.model.intent import Intent
from lbctl.model.objects import Ingress
from lbctl.model.resource import Observed
from lbctl.model.status import Notice, Severity, Verdict
from lbctl_gce.kinds import ENDPOINT_GROUP
from lbctl_gce.parse import option
from lbctl_gce.shapes import Json, tail

CONDITION = "ExternalIPProgrammed"
NOT_NAMED, UNUSABLE = "NoForwardingRuleRef", "ForwardingRuleUnusable"
WRONG_SCHEME, WRONG = "UnsupportedLBType", "InvalidForwardingRule"
SCHEMES = frozenset({"EXTERNAL", "EXTERNAL_PASSTHROUGH"})
PROTOCOLS = frozenset({"TCP", "UDP", "L3_DEFAULT"})
MOST_RULES = 10


@dataclass(frozen=True, slots=True)
class Front:
    """One forwarding rule of whomever; `groups` are the paths of its backend service's groups."""

    address: str
    scheme: str
    protocol: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fronts:
    """What becomes of the rules that a Service names: addresses to publish, what to tell, and upstream's condition."""

    ingress: tuple[Ingress, ...]
    notices: tuple[Notice, ...]
    verdict: Verdict


def read_fronts(rules: Iterable[Json], backends: Iterable[Json]) -> Mapping[str, Front]:
    """All forwarding rules of the API's form by path; of others' rules no more is looked at than is needed."""
    groups = {tail(body["selfLink"]): frozenset(_groups(body)) for body in backends}
    return {
        tail(body["selfLink"]): Front(
            address=body.get("IPAddress", "").partition("/")[0],
            scheme=body.get("loadBalancingScheme", ""),
            protocol=body.get("IPProtocol", ""),
            groups=groups.get(tail(body.get("backendService", "")), frozenset()),
        )
        for body in rules
    }


def _groups(backend: Json) -> Iterator[str]:
    return (tail(entry["group"]) for entry in backend.get("backends", ()) if entry.get("group"))


def named_fronts(intent: Intent, region: str) -> tuple[str, ...]:
    """Paths of the rules that the Service names, by name or by URL."""
    words = (word.strip() for word in str(option(intent, "front")).split(","))
    return tuple(tail(w) if "/" in w else f"regions/{region}/forwardingRules/{w}" for w in dict.fromkeys(words) if w)


def choose_fronts(intent: Intent, region: str, own: Observed, known: Mapping[str, Front]) -> Fronts:
    """The addresses of those named rules that lead to the Service's groups; `own` is the Service's scope."""
    named = named_fronts(intent, region)
    if not named:
        text = f"the Service names no forwarding rule by {keys.FRONT}, so no address is published"
        return Fronts((), (_warning(NOT_NAMED, text),), Verdict(CONDITION, holds=False, reason=NOT_NAMED, message=text))
    groups = frozenset(seen.outputs["path"] for seen in own.of_kind(ENDPOINT_GROUP))
    # In the order of their names, so that the same ones are left out each time.
    used, left = (named, ()) if len(named) <= MOST_RULES else (sorted(named)[:MOST_RULES], sorted(named)[MOST_RULES:])
    faults = {path: fault for path in used if (fault := _fault(path, known.get(path), groups)) is not None}
    addresses = [known[path].address for path in used if path not in faults]
    texts = [*(text for _, text in faults.values()), *(f"{path}: more than {MOST_RULES} are named" for path in left)]
    notices = tuple(_warning(UNUSABLE, text) for text in texts)
    if addresses:
        verdict = Verdict(
            CONDITION, holds=True, reason="IPProgrammed", message=f"IPs programmed: {', '.join(addresses)}"
        )
    else:
        reason, text = next(iter(faults.values()))
        verdict = Verdict(CONDITION, holds=False, reason=reason, message=text)
    return Fronts(tuple(Ingress(ip=address) for address in addresses), notices, verdict)


def _fault(path: str, front: Front | None, groups: frozenset[str]) -> tuple[str, str] | None:
    if front is None:
        return WRONG, f"{path}: there is no such forwarding rule in the balancers' region"
    if front.scheme not in SCHEMES:
        return WRONG_SCHEME, f"{path} is {front.scheme}, and only rules that are {' or '.join(sorted(SCHEMES))} count"
    if front.protocol not in PROTOCOLS:
        return WRONG, f"{path} is for {front.protocol}, and only rules for {' or '.join(sorted(PROTOCOLS))} count"
    if front.groups.isdisjoint(groups):
        return WRONG, f"{path}: none of the Service's endpoint groups is in its backend service"
    return None


def _warning(reason: str, text: str) -> Notice:
    return Notice(Severity.WARNING, reason, text)
