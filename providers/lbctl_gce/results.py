"""What the Service's annotations tell of the objects that were made for it, as upstream writes them. Pure.

Tools read them, and ingress-gce deletes objects of a family that a Service has dropped only by them (pkg/annotations,
pkg/l4annotations). Nothing here is ever read back: names and descriptions prove what is whose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lbctl.model.intent import Intent
from lbctl.model.resource import Observed, Seen
from lbctl_gce.kinds import BACKEND, FIREWALL, POOL, RULE
from lbctl_gce.parse import mode_of
from lbctl_gce.place import Place

PREFIX = "service.kubernetes.io/"
BACKEND_KEY = f"{PREFIX}backend-service"
CHECK_KEY = f"{PREFIX}healthcheck"
TRAFFIC, DENY, CHECKS = f"{PREFIX}firewall-rule", f"{PREFIX}firewall-rule-deny", f"{PREFIX}firewall-rule-for-hc"
RULE_KEYS = {
    protocol: f"{PREFIX}{word}-forwarding-rule"
    for protocol, word in (("TCP", "tcp"), ("UDP", "udp"), ("L3_DEFAULT", "l3"))
}
SUFFIXES = {"IPv4": "", "IPv6": "-ipv6"}
LEGACY_KEYS = {BACKEND: "networking.gke.io/backend-service", POOL: "networking.gke.io/target-pool"}
RESULT_ANNOTATIONS = frozenset(
    {BACKEND_KEY, CHECK_KEY, *LEGACY_KEYS.values()}
    | {f"{key}{suffix}" for key in (TRAFFIC, DENY, CHECKS, *RULE_KEYS.values()) for suffix in SUFFIXES.values()}
)


def results_of(
    intent: Intent, place: Place, own: Observed, shared: Observed, present: Mapping[str, str]
) -> Mapping[str, str]:
    """Names of the Service's objects by annotation; `present` are the annotations that it has.

    cloud-provider-gcp writes its two only with a flag that is off by default: they are kept true where they are.
    """
    mine = [seen for seen in own.resources.values() if seen.ours and intent.identity in seen.resource.owners]
    if mode_of(intent).is_legacy:
        told = {key: seen.key.id for seen in mine if (key := LEGACY_KEYS.get(seen.key.kind))}
        return {key: name for key, name in told.items() if key in present}
    firewalls = {seen.key.id for seen in (*mine, *shared.of_kind(FIREWALL)) if seen.key.kind == FIREWALL}
    ours = {key: name for key, name in _firewall_keys(intent, place) if name in firewalls}
    return {**dict(_balancer_keys(mine)), **ours}


def _balancer_keys(mine: list[Seen]) -> Iterator[tuple[str, str]]:
    for seen in mine:
        fields = seen.resource.fields
        if seen.key.kind == RULE:
            yield f"{RULE_KEYS[str(fields['protocol'])]}{SUFFIXES[str(fields['family'])]}", seen.key.id
        elif seen.key.kind == BACKEND:
            yield BACKEND_KEY, seen.key.id
            yield CHECK_KEY, str(fields["check"]).rpartition("/")[2]


def _firewall_keys(intent: Intent, place: Place) -> Iterator[tuple[str, str]]:
    labels = place.labels(intent.identity, mode_of(intent))
    for family in intent.families:
        suffix = SUFFIXES[family]
        yield f"{TRAFFIC}{suffix}", labels.firewall(family)
        yield f"{DENY}{suffix}", labels.deny_firewall(family)
        yield (
            f"{CHECKS}{suffix}",
            labels.check_firewall(family) if intent.local else place.l4.shared_check_firewall(family),
        )
