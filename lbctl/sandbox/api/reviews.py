"""Answers the questions that a client asks about itself: what it may do, and who it is. Nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbctl.sandbox.api.auth import Ask, User
from lbctl.sandbox.api.objects import Obj, section

if TYPE_CHECKING:
    from collections.abc import Callable


def _access(obj: Obj, user: User) -> Obj:
    wanted = section(obj, "spec", "resourceAttributes")
    ask = Ask(
        *(str(wanted.get(name, "")) for name in ("verb", "group", "resource", "namespace", "name", "subresource"))
    )
    return {"allowed": user.may(ask)}


def _rules(_obj: Obj, user: User) -> Obj:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    held = (
        [everything]
        if user.rules is None
        else [
            {
                "verbs": sorted(rule.verbs),
                "apiGroups": sorted(rule.groups),
                "resources": sorted(rule.resources),
                "resourceNames": sorted(rule.names),
            }
            for rule in user.rules
        ]
    )
    return {"resourceRules": held, "nonResourceRules": [], "incomplete": False}


def _self(_obj: Obj, user: User) -> Obj:
    groups = ["system:authenticated"] if user.rules is not None else ["system:masters", "system:authenticated"]
    return {"userInfo": {"username": user.name, "groups": groups}}


ANSWERS: dict[str, Callable[[Obj, User], Obj]] = {
    "SelfSubjectAccessReview": _access,
    "SelfSubjectRulesReview": _rules,
    "SelfSubjectReview": _self,
}


def review(kind: str, obj: Obj, user: User) -> Obj:
    """The object with its status filled in."""
    return {"metadata": {"creationTimestamp": None}, "spec": obj.get("spec", {}), "status": ANSWERS[kind](obj, user)}
