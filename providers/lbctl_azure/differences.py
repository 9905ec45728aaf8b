"""Which differences between what is wanted and what is there matter, and what each does to traffic. Pure.

Data for the core's differ; `plan` folds the steps that come of it into calls.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from lbctl.plan.actions import Hazard, Step, Verb
from lbctl.plan.rules import FieldRule, KindRule, Rules, same_any_case
from lbctl_azure.account import PUBLIC_IP, SECURITY_RULE
from lbctl_azure.elements import BALANCER, FRONTEND, POOL, PROBE, RULE
from lbctl_azure.ids import same_id
from lbctl_azure.membership import MEMBER
from lbctl_azure.security import OPENING


def never(_old: Hashable, _new: Hashable) -> bool:
    """For what is chosen once, when the object is made."""
    return True


def same_words(old: Hashable, new: Hashable) -> bool:
    """Sets of texts whose case means nothing."""
    if isinstance(old, frozenset) and isinstance(new, frozenset):
        return {str(item).casefold() for item in old} == {str(item).casefold() for item in new}
    return old == new


MOVES = FieldRule(Hazard.MOVES_ADDRESS, equal=same_id)
NAMED = FieldRule(Hazard.MOVES_ADDRESS, asked=True, equal=same_id)
CUTS = FieldRule(Hazard.INTERRUPTS)
BY_NAME = FieldRule(equal=same_any_case)
AT_BIRTH = FieldRule(equal=never)

PUBLIC_IP_RULE = KindRule(
    "public address",
    {
        "version": FieldRule(Hazard.MOVES_ADDRESS, replaces=True),
        "ip_tags": FieldRule(Hazard.MOVES_ADDRESS, replaces=True, ignore_unset=True),
        "dns_label": FieldRule(ignore_unset=True),
        "prefix": AT_BIRTH,
        "zones": AT_BIRTH,
    },
    on_delete=Hazard.LOSES_ADDRESS,
)
RULES = Rules(
    {
        BALANCER: KindRule("load balancer"),
        POOL: KindRule("backend pool", {"network": FieldRule(equal=same_id), "addresses": FieldRule(Hazard.DRAINS)}),
        FRONTEND: KindRule(
            "frontend",
            {
                "public_ip": NAMED,
                "subnet": MOVES,
                "private_ip": FieldRule(Hazard.MOVES_ADDRESS, asked=True, ignore_unset=True),
                "version": FieldRule(equal=never),
                "zones": AT_BIRTH,
            },
            on_delete=Hazard.INTERRUPTS,
        ),
        PROBE: KindRule("health probe"),
        RULE: KindRule(
            "rule",
            {
                "frontend": FieldRule(Hazard.INTERRUPTS, equal=same_any_case),
                "pool": FieldRule(Hazard.INTERRUPTS, equal=same_any_case),
                "probe": BY_NAME,
                "protocol": CUTS,
                "backend_port": CUTS,
                "frontend_port": CUTS,
                "floating_ip": CUTS,
            },
            on_delete=Hazard.INTERRUPTS,
        ),
        PUBLIC_IP: PUBLIC_IP_RULE,
        SECURITY_RULE: KindRule("security rule", {"sources": FieldRule(equal=same_words), "protocol": BY_NAME}),
        OPENING: KindRule("destination"),
        MEMBER: KindRule("machine", {"pools": FieldRule(Hazard.DRAINS), "interface": AT_BIRTH}),
    }
)
MUTABLE_TAGS = Rules(
    {
        **RULES.kinds,
        PUBLIC_IP: replace(PUBLIC_IP_RULE, fields={**PUBLIC_IP_RULE.fields, "ip_tags": FieldRule(ignore_unset=True)}),
    }
)


def gentle(step: Step) -> Step:
    """Members that only join take no connection away from those that are there."""
    if step.verb is not Verb.UPDATE or step.key.kind not in (POOL, MEMBER):
        return step
    leaving = any(isinstance(c.old, frozenset) and isinstance(c.new, frozenset) and c.old - c.new for c in step.changes)
    return step if leaving else replace(step, hazard=Hazard.NONE, unasked=Hazard.NONE)
