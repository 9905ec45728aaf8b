"""Is this Service ours, and what for? Decided from the object alone. Pure.

The rows are those of service-controller A.1; `lbctl explain` shows them. Unclassed Services use upstream's finalizer,
so that nothing changes when controllers are exchanged; classed ones use our own, so that a default controller beside
us, which strips upstream's finalizer from any Service that is deleted, cannot strip it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from lbctl.model.objects import Service

SHARED_FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
OWN_FINALIZER = "lbctl.io/load-balancer-cleanup"


class Standing(enum.Enum):
    """What a Service is to us."""

    WANTED = "wanted"
    LEAVING = "leaving"
    FOREIGN = "foreign"
    UNCONCERNED = "unconcerned"


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Which Services are taken: `classes` maps a loadBalancerClass to the account that serves it.

    `default_account` serves unclassed Services; None leaves them to another controller.
    """

    default_account: str | None
    classes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """The decision, the account that serves the Service, the finalizer that marks it, and why."""

    standing: Standing
    account: str | None = None
    finalizer: str = SHARED_FINALIZER
    row: int = 0
    why: str = ""


def claim(service: Service, rules: ClaimRules, *, has_objects: str | None = None) -> Claim:
    """Decide about one Service; `has_objects` is the account in which objects proven to be this Service's were seen."""
    if service.spec.type == "LoadBalancer" and service.metadata.deletion_timestamp is None:
        return _claim_living(service, rules, has_objects)
    return _claim_leaving(service, rules, has_objects)


def leave_first(service: Service, wanted: Claim, holder: str) -> Claim:
    """The decision about a wanted Service of which something is left in an account that does not serve it any more."""
    why = f"{wanted.why}, but what it has in account {holder} has to go before account {wanted.account} serves it"
    return Claim(Standing.LEAVING, holder, _mark(service), wanted.row, why)


def marks_of(service: Service) -> frozenset[str]:
    """Which of the two clean-up finalizers the Service carries."""
    return frozenset(service.metadata.finalizers) & {SHARED_FINALIZER, OWN_FINALIZER}


def _claim_living(service: Service, rules: ClaimRules, has_objects: str | None) -> Claim:
    load_balancer_class = service.spec.load_balancer_class
    if load_balancer_class is None:
        if rules.default_account is None:
            return Claim(Standing.FOREIGN, row=2, why="it has no class, and Services without a class are not claimed")
        return Claim(Standing.WANTED, rules.default_account, SHARED_FINALIZER, 2, "it has no class")
    if load_balancer_class in rules.classes:
        account = rules.classes[load_balancer_class]
        return Claim(Standing.WANTED, account, OWN_FINALIZER, 3, f"its class is {load_balancer_class}")
    if has_objects is not None:
        why = f"its class {load_balancer_class} is another controller's, and a balancer of ours is left"
        return Claim(Standing.LEAVING, has_objects, _mark(service), 6, why)
    return Claim(Standing.FOREIGN, row=3, why=f"its class {load_balancer_class} is another controller's")


def _claim_leaving(service: Service, rules: ClaimRules, has_objects: str | None) -> Claim:
    marks = marks_of(service)
    deleted = service.metadata.deletion_timestamp is not None
    row, what = (4, "it is being deleted") if deleted else (5, f"its type is {service.spec.type}")
    if has_objects is not None:
        return Claim(Standing.LEAVING, has_objects, _mark(service), row, f"{what}, and a balancer of ours is left")
    if not marks:
        return Claim(Standing.UNCONCERNED, row=1, why=f"{what} and nothing of ours is on it")
    account = _account_of(service, rules)
    if OWN_FINALIZER in marks:
        return Claim(Standing.LEAVING, account, OWN_FINALIZER, row, f"{what} and carries our finalizer")
    if service.spec.load_balancer_class is None and rules.default_account is not None:
        return Claim(Standing.LEAVING, account, SHARED_FINALIZER, row, f"{what} and carries the clean-up finalizer")
    why = f"{what} and carries the clean-up finalizer of another controller"
    return Claim(Standing.FOREIGN, row=row, why=why)


def _account_of(service: Service, rules: ClaimRules) -> str | None:
    by_class = rules.classes.get(service.spec.load_balancer_class or "")
    return by_class or rules.default_account or next(iter(rules.classes.values()), None)


def _mark(service: Service) -> str:
    return OWN_FINALIZER if OWN_FINALIZER in service.metadata.finalizers else SHARED_FINALIZER
