"""Who may do what: bearer tokens, and users that hold exactly the rules of some Roles.

The HTTP side asks for an identity and then for a permission; tests and the demo add users. Users without roles may
do everything, as members of system:masters.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbctl.sandbox.api.objects import Obj, namespace_of
from lbctl.sandbox.api.status import Refusal, unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that somebody wants to do."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """The resource as rules name it: `services/status`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a Role; an empty namespace means everywhere."""

    namespace: str
    groups: frozenset[str]
    resources: frozenset[str]
    verbs: frozenset[str]
    names: frozenset[str]

    def allows(self, ask: Ask) -> bool:
        """Whether the rule covers the request."""
        wide = f"*/{ask.subresource}" if ask.subresource else "*"
        return (
            self.namespace in ("", ask.namespace)
            and not self.groups.isdisjoint(("*", ask.group))
            and not self.resources.isdisjoint(("*", wide, ask.path))
            and not self.verbs.isdisjoint(("*", ask.verb))
            and (not self.names or ask.name in self.names)
        )


@dataclass(frozen=True, slots=True)
class User:
    """A name and the rules that it holds; None stands for everything."""

    name: str
    rules: tuple[Rule, ...] | None = None

    def may(self, ask: Ask) -> bool:
        """Whether the user may do what is asked."""
        return self.rules is None or any(rule.allows(ask) for rule in self.rules)


ANONYMOUS = User("system:anonymous", ())


@dataclass(slots=True)
class Users:
    """Everybody who may come in, by bearer token."""

    by_token: dict[str, User] = field(default_factory=dict)

    def add(self, name: str, roles: Iterable[Obj] | None = None, *, token: str = "") -> str:
        """A token for a new user that holds the rules of `roles` (Role or ClusterRole objects), or all rights."""
        token = token or secrets.token_urlsafe(24)
        rules = None if roles is None else tuple(rule for role in roles for rule in _rules_of(role))
        self.by_token[token] = User(name, rules)
        return token

    def identify(self, authorization: str) -> User:
        """The user of an Authorization header, nobody's without one; raises Refusal 401 for a wrong one."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        user = self.by_token.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user


def check_document(user: User, path: str) -> None:
    """Raise Refusal 403 unless the user may read what is no resource: everybody who logged in may."""
    if user is ANONYMOUS:
        raise Refusal(403, "Forbidden", f'forbidden: User "{user.name}" cannot get path "{path}"', details={})


def check_allowed(user: User, ask: Ask) -> None:
    """Raise Refusal 403 in the words of RBAC unless the user may do what is asked."""
    if user.may(ask):
        return
    shown = f"{ask.resource}.{ask.group}" if ask.group else ask.resource
    subject = f'{shown} "{ask.name}"' if ask.name else shown
    scope = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
    text = f'User "{user.name}" cannot {ask.verb} resource "{ask.path}" in API group "{ask.group}" {scope}'
    details = {"name": ask.name} if ask.name else {}
    details |= ({"group": ask.group} if ask.group else {}) | {"kind": ask.resource}
    raise Refusal(403, "Forbidden", f"{subject} is forbidden: {text}", details=details)


def _rules_of(role: Obj) -> list[Rule]:
    namespace = namespace_of(role) if role.get("kind") == "Role" else ""
    return [
        Rule(
            namespace=namespace,
            groups=frozenset(rule.get("apiGroups", ())),
            resources=frozenset(rule.get("resources", ())),
            verbs=frozenset(rule.get("verbs", ())),
            names=frozenset(rule.get("resourceNames", ())),
        )
        for rule in role.get("rules") or ()
    ]
