"""Who may do what: bearer tokens, roles, and the links that a write makes to other resources.

Called once per request. A principal without a role may do everything, so that tests about something else need none.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.clouds.azure.errors import ArmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.clouds.azure.cloud import Use


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `actions` are patterns as in a role definition; None means any action. `needed` are those asked for."""

    name: str
    actions: frozenset[str] | None = None
    needed: set[str] = field(default_factory=set, compare=False)

    def may(self, action: str) -> bool:
        """Whether one of the patterns covers the action."""
        self.needed.add(action)
        if self.actions is None:
            return True
        return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in self.actions)


@dataclass(slots=True)
class Access:
    """The tokens that are good, each with its principal; an empty token means no header at all."""

    principals: dict[str, Principal] = field(default_factory=dict)

    def principal(self, headers: Mapping[str, str]) -> Principal:
        """The caller; raises ArmError 401 without a good token."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not token:
            raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        found = self.principals.get(token) if scheme.lower() == "bearer" else None
        if found is None:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")
        return found


def check_action(principal: Principal, action: str, scope: str) -> None:
    """Refuses what the principal's role does not cover, naming action and scope as ARM does."""
    if not principal.may(action):
        raise ArmError(
            403,
            "AuthorizationFailed",
            f"The client '{principal.name}' with object id '{principal.name}' does not have authorization to perform "
            f"action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please "
            "refresh your credentials.",
        )


def permissions(principal: Principal) -> dict[str, object]:
    """What the caller may do, as `Microsoft.Authorization/permissions` lists it."""
    actions = ["*"] if principal.actions is None else sorted(principal.actions)
    return {"value": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}]}


def check_links(principal: Principal, action: str, scope: str, uses: Iterable[Use]) -> None:
    """Refuses a write that takes hold of resources which the principal may not join.

    Every resource that the body names is checked, what was there before as well (Azure/AKS#1945).
    """
    for use in uses:
        if not principal.may(use.action):
            raise ArmError(
                403,
                "LinkedAuthorizationFailed",
                f"The client '{principal.name}' with object id '{principal.name}' has permission to perform action "
                f"'{action}' on scope '{scope}'; however, it does not have permission to perform action(s) "
                f"'{use.action}' on the linked scope(s) '{use.target}' (respectively) or the linked scope(s) are "
                "invalid.",
            )
