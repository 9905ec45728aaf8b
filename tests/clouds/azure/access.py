"""Who may do what: bearer tokens, roles, and the links that a write makes to other resources.

Called once per request. A principal without a role may do everything, so that tests about something else need none.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.clouds.azure.errors import ArmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.clouds.azure.cloud import Use


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `actions` are patterns as in a role definition; None means any action. `needed` are those asked for.

    `tenant` is that of the token, empty for one that is good in all; `more_tenants` are those of the tokens beside it.
    `audience` is who the token is for, empty for one that everybody takes.
    """

    name: str
    actions: frozenset[str] | None = None
    needed: set[str] = field(default_factory=set, compare=False)
    tenant: str = ""
    more_tenants: frozenset[str] = frozenset()
    audience: str = ""

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
        return replace(found, more_tenants=self._beside(headers))

    def _beside(self, headers: Mapping[str, str]) -> frozenset[str]:
        """The tenants of the auxiliary tokens."""
        texts = headers.get("x-ms-authorization-auxiliary", "").split(",")
        tokens = (text.strip().removeprefix("Bearer ") for text in texts)
        return frozenset(self.principals[token].tenant for token in tokens if token in self.principals)


def check_audience(principal: Principal, allowed: str) -> None:
    """Refuses a token that was made for somebody else."""
    if principal.audience and principal.audience.rstrip("/") != allowed.rstrip("/"):
        raise ArmError(
            401,
            "InvalidAuthenticationTokenAudience",
            f"The access token has been obtained for wrong audience or resource '{principal.audience}'. It should "
            f"exactly match with one of the allowed audiences '{allowed}'.",
        )


def check_tenant(principal: Principal, tenant: str) -> None:
    """Refuses a token of another tenant than the subscription's."""
    if tenant and principal.tenant and principal.tenant != tenant:
        raise ArmError(
            401,
            "InvalidAuthenticationTokenTenant",
            f"The access token is from the wrong issuer 'https://sts.windows.net/{principal.tenant}/'. It must match "
            f"the tenant 'https://sts.windows.net/{tenant}/' associated with this subscription.",
        )


def check_linked_tenant(principal: Principal, action: str, scope: str, linked: Iterable[tuple[str, str]]) -> None:
    """Refuses a write that refers to a subscription of a tenant of which the call carries no token."""
    for subscription, tenant in linked:
        if tenant and principal.tenant and tenant not in (principal.tenant, *principal.more_tenants):
            raise ArmError(
                403,
                "LinkedAuthorizationFailed",
                f"The client '{principal.name}' has permission to perform action '{action}' on scope '{scope}', "
                f"however the current tenant '{principal.tenant}' is not authorized to access linked subscription "
                f"'{subscription}'.",
            )


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
