"""The resources of one ARM endpoint: what there is, what uses what, and which change is still under way.

Kept here: storing, finding and linking resources, ETags, and operations that take time. The rules of each type of
resource live in the module of that type and reach this one through `Kind`. No HTTP and no clock of its own: `now` is
given. Whoever reads or writes holds `lock`; the server does for each answer, the world builder for each step.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.clouds.azure.errors import ArmError, error_content, missing_reference, retryable
from tests.clouds.azure.ids import MalformedIdError, ResourceId, key_of, top_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Body = dict[str, Any]
SUBSCRIPTION: Final = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Use:
    """One resource's hold on another: by whom, of what, the permission that it needs, and the address that it takes."""

    target: str
    user: str
    action: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A collection inside a resource whose items have paths of their own."""

    model: str
    writable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the service knows of one type of resource."""

    type: str
    model: str
    noun: str
    admit: Callable[[Change], Body]
    render: Callable[[Resource, Cloud], Body]
    uses: Callable[[ResourceId, Body], Iterable[Use]] = lambda _id, _body: ()
    release: Callable[[Resource, Cloud], None] = lambda _resource, _cloud: None
    committed: Callable[[Resource, Cloud], None] = lambda _resource, _cloud: None
    parts: Mapping[str, Part] = field(default_factory=dict)
    patch_model: str = "TagsObject"
    supersedes: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """A write that a rule has to judge: the body as the request wants it, and what is there now."""

    id: ResourceId
    body: Body
    before: Resource | None
    cloud: Cloud

    @property
    def properties(self) -> Body:
        """The wanted properties."""
        found: Body = self.body.get("properties", {})
        return found

    @property
    def earlier(self) -> Body:
        """The properties as they are now; empty for a new resource."""
        found: Body = self.before.body.get("properties", {}) if self.before else {}
        return found

    def child(self, collection: str, name: str) -> str:
        """The id of a part of the resource."""
        return f"{self.id}/{collection}/{name}"


@dataclass(slots=True)
class Resource:
    """A stored resource; the body is replaced, never changed in place."""

    id: ResourceId
    kind: Kind
    body: Body
    guid: str
    revision: int = 0
    state: str = "Succeeded"
    operation: Operation | None = None

    @property
    def properties(self) -> Body:
        """The stored properties."""
        found: Body = self.body.get("properties", {})
        return found

    @property
    def etag(self) -> str:
        """The ETag of the resource and of all its parts."""
        return f'W/"{uuid.UUID(int=(0xA7 << 120) | self.revision)}"'


@dataclass(slots=True)
class Operation:
    """A change that takes time; `error` is set when it ends badly."""

    id: str
    name: str
    resource: Resource
    due: float
    deletes: bool = False
    planned_error: dict[str, object] | None = None
    status: str = "InProgress"
    error: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long changes take, in seconds: by type of resource, else `otherwise`; and what Retry-After a poll advises."""

    otherwise: float = 0.0
    by_type: Mapping[str, float] = field(default_factory=dict)
    retry_after: int | None = None

    def seconds(self, kind: str) -> float:
        """The time that a change of this type takes."""
        return self.by_type.get(kind.rpartition("/")[2], self.otherwise)


@dataclass(slots=True)
class Quotas:
    """The limits of a subscription and of its resources; tests lower them."""

    public_ips: int = 1000
    rules_per_balancer: int = 1500
    frontends_per_balancer: int = 600
    members_per_pool: int = 1000
    rules_per_security_group: int = 1000
    prefixes_per_security_group: int = 4000
    private_links_per_balancer: int = 8


class Cloud:
    """All resources of one subscription and region."""

    def __init__(
        self, *, now: Callable[[], float], subscription: str = SUBSCRIPTION, region: str = "westeurope"
    ) -> None:
        self.now: Final = now
        self.lock: Final = threading.RLock()
        self.subscription: Final = subscription
        self.region: Final = region
        self.zones: tuple[str, ...] = ("1", "2", "3")
        self._groups: dict[tuple[str, str], str] = {}
        self.tenants: dict[str, str] = {}
        self.registered: set[str] = {"microsoft.network", "microsoft.compute"}
        self.timing = Timing()
        self.quotas = Quotas()
        self.operations: dict[str, Operation] = {}
        self._running: dict[str, Operation] = {}
        self._resources: dict[str, Resource] = {}
        self._users: defaultdict[str, dict[str, Use]] = defaultdict(dict)
        self._held: dict[str, tuple[Use, ...]] = {}
        self._revisions: Final = itertools.count(1)
        self._numbers: Final = itertools.count(1)
        self._planned_failures: dict[str, list[dict[str, object]]] = {}

    # Finding

    def find(self, reference: str | ResourceId) -> Resource | None:
        """The top-level resource with that id."""
        return self._resources.get(key_of(str(reference)))

    def of_type(self, kind: str) -> Iterator[Resource]:
        """The resources of one type, in the order in which they were made."""
        wanted = kind.lower()
        return (resource for resource in self._resources.values() if resource.kind.type.lower() == wanted)

    def all(self) -> list[Resource]:
        """Every resource, in the order in which they were made."""
        return list(self._resources.values())

    def need(self, reference: Body, *, by: object) -> Resource:
        """The resource that a reference names; raises ArmError when it is not there or is just being changed."""
        resource = self.find(reference.get("id", ""))
        if resource is None:
            raise missing_reference(reference.get("id", ""), by)
        if resource.state == "Failed":
            raise ArmError(400, "ReferencedResourceNotProvisioned", _not_provisioned(resource, by))
        if resource.state != "Succeeded":
            raise retryable("ReferencedResourceNotProvisioned", _not_provisioned(resource, by))
        return resource

    def has_part(self, reference: str) -> bool:
        """Whether a part with that id exists in its resource."""
        try:
            wanted = ResourceId.parse(reference)
        except MalformedIdError:
            return False
        owner = self.find(top_key(reference))
        parts = owner.properties.get(wanted.types[-1], ()) if owner else ()
        return any(part["name"].lower() == wanted.name.lower() for part in parts)

    def users(self, target: str) -> list[str]:
        """The ids of all that hold on to a resource or to a part of one."""
        return list(self._users.get(key_of(target), ()))

    def addresses(self, subnet: str) -> dict[str, str]:
        """The addresses that are taken in a subnet, with the id of each holder."""
        return {use.address: use.user for use in self._users.get(key_of(subnet), {}).values() if use.address}

    def add_group(self, name: str, *, subscription: str = "") -> None:
        """Makes a resource group; its subscription is known from then on."""
        self._groups[(subscription or self.subscription).lower(), name.lower()] = name

    def group(self, subscription: str, name: str) -> str | None:
        """The name of a resource group as it was made."""
        return self._groups.get((subscription.lower(), name.lower()))

    def groups(self, subscription: str) -> list[str]:
        """The names of all groups of a subscription."""
        return [name for (owner, _), name in self._groups.items() if owner == subscription.lower()]

    def knows(self, subscription: str) -> bool:
        """Whether there is such a subscription."""
        return subscription.lower() in {self.subscription.lower(), *(owner for owner, _ in self._groups)}

    def tenant_of(self, subscription: str) -> str:
        """The tenant of a subscription; empty where tenants do not matter."""
        return self.tenants.get(subscription.lower(), "")

    # Changing

    def new_guid(self) -> str:
        """A number that is given out once."""
        return str(uuid.UUID(int=(0x5E << 120) | next(self._numbers)))

    def store(self, change: Change, kind: Kind, body: Body) -> Resource:
        """The resource with its new body, linked to all it uses; everything it now holds or lets go gets a new ETag."""
        resource = change.before or Resource(change.id, kind, body, self.new_guid())
        resource.body = body
        self._resources[resource.id.key] = resource
        self._relink(resource, tuple(kind.uses(resource.id, body)))
        self.touch(resource)
        kind.committed(resource, self)
        return resource

    def remove(self, resource: Resource) -> None:
        """Takes the resource away."""
        self._relink(resource, ())
        self._resources.pop(resource.id.key, None)
        resource.body = {}
        resource.kind.committed(resource, self)

    def replace_properties(self, resource: Resource, properties: Body) -> None:
        """Changes a resource as the service does by itself: no operation, a new ETag."""
        body = {**resource.body, "properties": properties}
        resource.body = body
        self._relink(resource, tuple(resource.kind.uses(resource.id, body)))
        self.touch(resource)

    def touch(self, resource: Resource) -> None:
        """Gives the resource a new ETag."""
        resource.revision = next(self._revisions)

    def seed(self, kind: Kind, identity: ResourceId, body: Body) -> Resource:
        """Puts a resource there as a write would, rules included, but in no time and uncounted."""
        change = Change(identity, body, self.find(identity), self)
        return self.store(change, kind, kind.admit(change))

    def _relink(self, resource: Resource, uses: tuple[Use, ...]) -> None:
        held = self._held.get(resource.id.key, ())
        for use in set(held) - set(uses):
            self._users[key_of(use.target)].pop(use.user, None)
        for use in uses:
            self._users[key_of(use.target)][use.user] = use
        self._held[resource.id.key] = uses
        for owner in {top_key(key_of(use.target)) for use in set(held) ^ set(uses)}:
            if (found := self._resources.get(owner)) is not None and found is not resource:
                self.touch(found)

    # Operations

    def plan_failure(self, kind: str, *, code: str, message: str) -> None:
        """Lets the next operation on a resource of that type end in Failed."""
        self._planned_failures.setdefault(kind.lower(), []).append(error_content(code, message))

    def start(self, resource: Resource, *, deletes: bool = False) -> Operation:
        """The operation that the change of a resource is carried out by; it supersedes one still under way."""
        name = f"{'Delete' if deletes else 'Put'}{resource.kind.noun}Operation"
        failures = self._planned_failures.get(resource.kind.type.rpartition("/")[2].lower(), [])
        due = self.now() + self.timing.seconds(resource.kind.type)
        operation = Operation(self.new_guid(), name, resource, due, deletes)
        operation.planned_error = failures.pop(0) if failures else None
        if resource.operation is not None and resource.operation.status == "InProgress":
            self._cancel(resource.operation, by=operation)
        created = resource.operation is None
        resource.state = "Deleting" if deletes else ("Creating" if created else "Updating")
        resource.operation = operation
        self.operations[operation.id] = self._running[operation.id] = operation
        self.settle()
        return operation

    def settle(self) -> None:
        """Ends every operation whose time has come."""
        now = self.now()
        for operation in [running for running in self._running.values() if running.due <= now]:
            del self._running[operation.id]
            self._end(operation)

    def _end(self, operation: Operation) -> None:
        resource = operation.resource
        if operation.planned_error is not None:
            operation.status, operation.error = "Failed", operation.planned_error
            resource.state = "Failed"
        else:
            operation.status = "Succeeded"
            resource.state = "Succeeded"
        if operation.deletes and operation.error is None:
            self.remove(resource)
        else:
            self.touch(resource)

    def _cancel(self, operation: Operation, *, by: Operation) -> None:
        self._running.pop(operation.id, None)
        operation.status = "Canceled"
        reason = (
            f"Operation {operation.name} ({operation.id}) was canceled and superseded by operation {by.name} ({by.id})."
        )
        details = (("CanceledAndSupersededDueToAnotherOperation", reason),)
        operation.error = error_content("Canceled", "Operation was canceled.", details)


def _not_provisioned(resource: Resource, by: object) -> str:
    return (
        f"Cannot proceed with operation because resource {resource.id} used by resource {by} is not in Succeeded "
        f"state. Resource is in {resource.state} state and the last operation that updated/is updating the resource is "
        f"{resource.operation.name if resource.operation else 'unknown'}."
    )
