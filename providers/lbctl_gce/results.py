"""What the Service's annotations tell of the objects that were made for it, as upstream writes them. Pure.

Tools read them, and ingress-gce deletes objects of a family that a Service has dropped only by them (pkg/annotations,
pkg/l4annotations). Nothing here is ever read back: names and descriptions prove what is whose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from lbctl.model.intent import Intent
from lbctl.model.objects import Service
from lbctl.model.resource import Observed, Seen
from lbctl.model.status import Status, published
from lbctl_gce.fronts import Fronts
from lbctl_gce.kinds import BACKEND, ENDPOINT_GROUP, ENDPOINTS, FIREWALL, POOL, RULE
from lbctl_gce.parse import mode_of
from lbctl_gce.place import Place

PREFIX = "service.kubernetes.io/"
BACKEND_KEY = f"{PREFIX}backend-service"
CHECK_KEY = f"{PREFIX}healthcheck"
TRAFFIC, DENY, CHECKS = f"{PREFIX}firewall-rule", f"{PREFIX}firewall-rule-deny", f"{PREFIX}firewall-rule-for-hc"
ASKS_FOR_GROUPS, GROUPS_KEY = "cloud.google.com/neg", "cloud.google.com/neg-status"
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


def status_of_endpoints(service: Service, own: Observed, fronts: Fronts) -> Status:
    """What is told of endpoint groups that stand alone: addresses of rules before them, and their name and zones.

    Upstream's NEG controller (pkg/neg/controller.go) names zones with nodes, and 0 for the port, since nodes have none.
    Where the Service asks it for groups of its own kind, it is the one that writes.
    """
    groups = [seen.key for seen in own.of_kind(ENDPOINT_GROUP)]
    if not groups:
        return Status(waiting_for="the endpoint groups do not exist yet")
    families = tuple(service.spec.ip_families) or ("IPv4",)
    status = Status(published(fronts.ingress, families=families), conditions=(fronts.verdict,))
    if ASKS_FOR_GROUPS in service.metadata.annotations:
        return status
    filled = [seen.key.id for seen in own.of_kind(ENDPOINTS) if seen.resource.fields["endpoints"]]
    zones = sorted({key.partition("/")[0] for key in filled or [key.id for key in groups]})
    told = {"network_endpoint_groups": {"0": groups[0].id.rpartition("/")[2]}, "zones": zones}
    return replace(status, annotations={GROUPS_KEY: json.dumps(told, separators=(",", ":"))})


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
