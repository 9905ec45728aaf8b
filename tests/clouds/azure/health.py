"""How the members behind a rule do: a question that takes time, answered for each member of the rule's pool.

Every member answers its probe unless a test has said that it does not. A question changes nothing and has no ETag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.clouds.azure.errors import ArmError, not_found
from tests.clouds.azure.ids import ResourceId, key_of
from tests.clouds.azure.requests import Reply
from tests.clouds.azure.views import part_named

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Body, Cloud
    from tests.clouds.azure.requests import Request
    from tests.clouds.azure.views import Views

SECONDS = 2.0
_FAILURES = {"Tcp": "Down_Probe_TcpProbeTimeout"}


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and when there is an answer."""

    rule: ResourceId
    due: float


@dataclass(slots=True)
class HealthQuestions:
    """Questions under way; `sick` are the addresses and interface configurations that answer no probe."""

    views: Views
    sick: set[str] = field(default_factory=set)
    _asked: dict[str, Question] = field(default_factory=dict)

    def ask(self, request: Request) -> Reply:
        """Begin to answer for one rule."""
        cloud, rule = self.views.cloud, request.route.target
        assert rule is not None
        self._rule(rule)
        name = cloud.new_guid()
        self._asked[name] = Question(rule, cloud.now() + SECONDS)
        return Reply(202, None, {"Location": self._url(request, cloud, name), "Retry-After": str(int(SECONDS))})

    def knows(self, name: str) -> bool:
        """Whether a question of that name was asked."""
        return name in self._asked

    def tell(self, request: Request) -> Reply:
        """The answer, or where to ask again."""
        name, cloud = request.route.name, self.views.cloud
        question = self._asked[name]
        if cloud.now() < question.due:
            return Reply(202, None, {"Location": self._url(request, cloud, name), "Retry-After": "1"})
        shown, rule = self._rule(question.rule)
        members = [self._state(rule, shown, *member) for member in _members(shown, rule, cloud)]
        up = sum(member["state"] == "Up" for member in members)
        return Reply(200, {"up": up, "down": len(members) - up, "loadBalancerBackendAddresses": members})

    def _url(self, request: Request, cloud: Cloud, name: str) -> str:
        path = f"/subscriptions/{request.route.subscription}/providers/Microsoft.Network/locations/{cloud.region}"
        return f"{request.base}{path}/operationResults/{name}?api-version={request.query['api-version']}"

    def _rule(self, rule: ResourceId) -> tuple[Body, Body]:
        shown = self.views.read(rule.parent.key)
        found = part_named(shown, "loadBalancingRules", rule.name) if shown is not None else None
        if shown is None or found is None:
            raise not_found(rule)
        if shown["properties"]["provisioningState"] != "Succeeded":
            raise ArmError(409, "AnotherOperationInProgress", f"Another operation on {rule.parent} is in progress.")
        return shown, found["properties"]

    def _state(self, rule: Body, shown: Body, address: str, configuration: str) -> Body:
        sick = {one.lower() for one in self.sick}
        probe = part_named(shown, "probes", rule.get("probe", {}).get("id", "").rpartition("/")[2])
        is_down = probe is not None and not sick.isdisjoint({address.lower(), configuration.lower()})
        protocol = probe["properties"]["protocol"] if probe is not None else ""
        down = _FAILURES.get(protocol, "Down_Probe_HttpEndpointUnreachable")
        return {
            "ipAddress": address,
            "networkInterfaceIPConfigurationId": configuration,
            "state": "Down" if is_down else "Up",
            "reason": down if is_down else "Up_Probe_Success",
        }


def _members(shown: Body, rule: Body, cloud: Cloud) -> list[tuple[str, str]]:
    """Address and interface configuration of every member; one of the two may be empty."""
    pool = part_named(shown, "backendAddressPools", rule["backendAddressPool"]["id"].rpartition("/")[2])
    assert pool is not None
    return [
        (
            member["properties"].get("ipAddress", ""),
            key_of(member["properties"].get("networkInterfaceIPConfiguration", {}).get("id", "")),
        )
        for member in pool["properties"].get("loadBalancerBackendAddresses", ())
    ]
