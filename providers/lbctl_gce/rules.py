"""How the differ compares the fields of each kind, and what a difference does to traffic. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from lbctl.plan.actions import Hazard
from lbctl.plan.rules import FieldRule, KindRule, Rules
from lbctl_gce.kinds import (
    ADDRESS,
    BACKEND,
    CHECK,
    ENDPOINT_GROUP,
    ENDPOINTS,
    FIREWALL,
    GROUP,
    HTTP_CHECK,
    MEMBERS,
    POOL,
    POOL_MEMBERS,
    RULE,
)
from lbctl_gce.ports import same_ports
from lbctl_gce.shapes import same_ip, same_rate

MOVES, CUTS = Hazard.MOVES_ADDRESS, Hazard.INTERRUPTS


def never_differs(_old: Hashable, _new: Hashable) -> bool:
    """For what is written once and never compared."""
    return True


def at_least(old: Hashable, new: Hashable) -> bool:
    """Equality of numbers that an operator may have raised by hand."""
    return isinstance(old, int) and isinstance(new, int) and old >= new


def same_or_shared(old: Hashable, new: Hashable) -> bool:
    """Equality of descriptions, but for the sentence of shared firewall rules, which upstream does not compare."""
    return old == new or "shared by all L4" in str(new)


LOGGING = ("logging", "sample_rate", "log_mode", "log_fields")
CHECK_FIELDS = {name: FieldRule(equal=at_least) for name in ("interval", "timeout", "healthy", "unhealthy")}
RULES = Rules(
    {
        RULE: KindRule(
            "forwarding rule",
            {
                "scheme": FieldRule(MOVES, replaces=True, asked=True),
                "protocol": FieldRule(CUTS, replaces=True),
                "ports": FieldRule(CUTS, replaces=True, equal=same_ports),
                "address": FieldRule(MOVES, replaces=True, asked=True, ignore_unset=True, equal=same_ip),
                "tier": FieldRule(MOVES, replaces=True),
                "backend": FieldRule(CUTS, replaces=True),
                "subnet": FieldRule(MOVES, replaces=True, ignore_unset=True),
                "collection": FieldRule(MOVES, replaces=True, ignore_unset=True),
                "network": FieldRule(equal=never_differs),
                "static": FieldRule(equal=never_differs),
                "description": FieldRule(equal=never_differs),
            },
            on_delete=Hazard.LOSES_ADDRESS,
        ),
        BACKEND: KindRule(
            "backend service",
            {
                "scheme": FieldRule(CUTS, replaces=True),
                "draining": FieldRule(equal=at_least),
                "backends": FieldRule(ignore_unset=True),
                "same_zone": FieldRule(ignore_unset=True),
                **{name: FieldRule(ignore_unset=True) for name in LOGGING},
                "sample_rate": FieldRule(ignore_unset=True, equal=same_rate),
            },
            on_delete=Hazard.NONE,
        ),
        CHECK: KindRule("health check", CHECK_FIELDS),
        HTTP_CHECK: KindRule("legacy health check", CHECK_FIELDS),
        FIREWALL: KindRule(
            "firewall rule",
            {
                "network": FieldRule(replaces=True),
                "tags": FieldRule(ignore_unset=True),
                "waits_for": FieldRule(equal=never_differs),
                "description": FieldRule(equal=same_or_shared),
            },
        ),
        GROUP: KindRule("instance group"),
        MEMBERS: KindRule("members of an instance group", {"instances": FieldRule(ignore_unset=True)}),
        POOL: KindRule(
            "target pool",
            {
                "affinity": FieldRule(CUTS, replaces=True),
                "check": FieldRule(),
                "description": FieldRule(equal=never_differs),
            },
        ),
        POOL_MEMBERS: KindRule("instances of a target pool", {"instances": FieldRule(ignore_unset=True)}),
        ENDPOINT_GROUP: KindRule(
            "endpoint group",
            {name: FieldRule(equal=never_differs) for name in ("network", "subnet", "description")},
        ),
        ENDPOINTS: KindRule("endpoints"),
        ADDRESS: KindRule("held address"),
    }
)
