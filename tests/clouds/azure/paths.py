"""Routes: what a method and a path ask for, and which permission and which count that is.

Called by the answering service. Nothing is looked up here; a route may name what does not exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from tests.clouds.azure.ids import MalformedIdError, ResourceId

if TYPE_CHECKING:
    from collections.abc import Mapping


class Asked(Enum):
    """The kinds of question that the endpoint answers."""

    RESOURCE = "resource"
    COLLECTION = "collection"
    OPERATION = "operation"
    OPERATION_RESULT = "operation result"
    SERVICE_TAGS = "service tags"
    USAGES = "usages"
    PERMISSIONS = "permissions"
    PROVIDER = "provider"
    REGISTER = "register"
    GROUP = "resource group"
    GROUPS = "resource groups"
    HEALTH = "health of a rule"
    VAULT = "key vault"
    SECRET = "secret of a key vault"
    TOKEN = "token"
    AUTHORITY = "authority"
    ENDPOINTS = "endpoints"
    UNKNOWN = "unknown"


class Counted(Enum):
    """What a call counts as, in the journal and against the limits."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    POLL = "poll"
    TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Route:
    """What a call asks for: the question, the subscription and group, and the resource, collection or name."""

    asked: Asked
    subscription: str = ""
    group: str = ""
    namespace: str = ""
    kind: str = ""
    name: str = ""
    target: ResourceId | None = None


_SUBSCRIPTION: Final = r"^/subscriptions/(?P<subscription>[^/]+)"
_LOCATION: Final = _SUBSCRIPTION + r"/providers/(?P<namespace>[^/]+)/locations/[^/]+"
# In this order: the first that fits wins.
_PATTERNS: Final = tuple(
    (asked, re.compile(pattern, re.IGNORECASE))
    for asked, pattern in (
        (Asked.ENDPOINTS, r"^/metadata/endpoints$"),
        (Asked.TOKEN, r"^/metadata/identity/oauth2/token$"),
        (Asked.TOKEN, r"^/(?P<name>[^/]+)/oauth2/v2\.0/token$"),
        (Asked.AUTHORITY, r"^/(?P<name>[^/]+)/v2\.0/\.well-known/openid-configuration$"),
        (Asked.SECRET, r"^/vaults/(?P<name>[^/]+)/secrets/(?P<kind>[^/]+)$"),
        (
            Asked.VAULT,
            _SUBSCRIPTION
            + r"/resourceGroups/(?P<group>[^/]+)/providers/(?P<namespace>Microsoft\.KeyVault)/vaults/(?P<name>[^/]+)$",
        ),
        (Asked.OPERATION, _LOCATION + r"/operations/(?P<name>[^/]+)$"),
        (Asked.OPERATION_RESULT, _LOCATION + r"/operationResults/(?P<name>[^/]+)$"),
        (Asked.SERVICE_TAGS, _LOCATION + r"/serviceTags$"),
        (Asked.USAGES, _LOCATION + r"/usages$"),
        (
            Asked.PERMISSIONS,
            _SUBSCRIPTION
            + r"/resourceGroups/(?P<group>[^/]+)/providers/(?P<namespace>Microsoft\.Authorization)/permissions$",
        ),
        (Asked.REGISTER, _SUBSCRIPTION + r"/providers/(?P<namespace>[^/]+)/register$"),
        (Asked.PROVIDER, _SUBSCRIPTION + r"/providers/(?P<namespace>[^/]+)$"),
        (Asked.GROUPS, _SUBSCRIPTION + r"/resourceGroups$"),
        (Asked.GROUP, _SUBSCRIPTION + r"/resourceGroups/(?P<group>[^/]+)$"),
        (Asked.COLLECTION, _SUBSCRIPTION + r"/providers/(?P<namespace>[^/]+)/(?P<kind>[^/]+)$"),
        (
            Asked.COLLECTION,
            _SUBSCRIPTION + r"/resourceGroups/(?P<group>[^/]+)/providers/(?P<namespace>[^/]+)/(?P<kind>[^/]+)$",
        ),
    )
)
_CATEGORY: Final = {"GET": Counted.READ, "HEAD": Counted.READ, "DELETE": Counted.DELETE}
_VERB: Final = {"GET": "read", "HEAD": "read", "DELETE": "delete"}


def route_of(path: str) -> Route:
    """What the path asks for."""
    for asked, pattern in _PATTERNS:
        if (match := pattern.match(path)) is not None:
            return _route(asked, match.groupdict())
    owner, _, last = path.rpartition("/")
    if last.lower() == "health" and "/loadbalancingrules/" in owner.lower():
        return _health_of(owner)
    try:
        target = ResourceId.parse(path)
    except MalformedIdError:
        return _collection_in(path)
    return Route(Asked.RESOURCE, target.subscription, target.group, target.namespace, target.type, target=target)


def _route(asked: Asked, found: Mapping[str, str]) -> Route:
    return Route(
        asked,
        subscription=found.get("subscription", ""),
        group=found.get("group", ""),
        namespace=found.get("namespace", ""),
        kind=found.get("kind", ""),
        name=found.get("name", ""),
    )


def _health_of(rule: str) -> Route:
    try:
        target = ResourceId.parse(rule)
    except MalformedIdError:
        return Route(Asked.UNKNOWN)
    return Route(Asked.HEALTH, target.subscription, target.group, target.namespace, target.type, target=target)


def _collection_in(path: str) -> Route:
    """The collection of parts of a resource, which has one name less than it has types."""
    owner, _, kind = path.rpartition("/")
    try:
        target = ResourceId.parse(owner)
    except MalformedIdError:
        return Route(Asked.UNKNOWN)
    return Route(Asked.COLLECTION, target.subscription, target.group, target.namespace, kind, target=target)


def counted_as(method: str, route: Route) -> Counted:
    """What the call counts as."""
    if route.asked in (Asked.OPERATION, Asked.OPERATION_RESULT):
        return Counted.POLL
    if route.asked in (Asked.TOKEN, Asked.AUTHORITY, Asked.ENDPOINTS):
        return Counted.TOKEN
    return _CATEGORY.get(method, Counted.WRITE)


def action_of(method: str, route: Route) -> str:
    """The permission that the call needs, such as `Microsoft.Network/loadBalancers/write`."""
    verb = _VERB.get(method, "write")
    if route.asked is Asked.RESOURCE:
        return f"{route.kind}/{verb}"
    if route.asked is Asked.HEALTH:
        return f"{route.kind}/health/action"
    if route.asked is Asked.COLLECTION and route.target is not None:
        return f"{route.target.type}/{route.kind}/{verb}"
    if route.asked is Asked.COLLECTION:
        return f"{route.namespace}/{route.kind}/{verb}"
    return _OTHER_ACTIONS.get(route.asked, "").format(namespace=route.namespace, verb=verb)


_OTHER_ACTIONS: Final = {
    Asked.OPERATION: "{namespace}/locations/operations/read",
    Asked.OPERATION_RESULT: "{namespace}/locations/operationResults/read",
    Asked.SERVICE_TAGS: "{namespace}/locations/serviceTags/read",
    Asked.USAGES: "{namespace}/locations/usages/read",
    Asked.PERMISSIONS: "{namespace}/permissions/read",
    Asked.VAULT: "{namespace}/vaults/{verb}",
    Asked.PROVIDER: "Microsoft.Resources/subscriptions/providers/read",
    Asked.REGISTER: "{namespace}/register/action",
    Asked.GROUP: "Microsoft.Resources/subscriptions/resourceGroups/{verb}",
    Asked.GROUPS: "Microsoft.Resources/subscriptions/resourceGroups/read",
}
