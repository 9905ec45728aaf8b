"""The service itself: a request in, an answer out, no sockets and no threads.

Kept here: the order of checks that every request goes through, and who answers which question. The server calls
`answer` under its lock; rules live with their types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.clouds.azure import listings, polling
from tests.clouds.azure.access import (
    Access,
    Principal,
    check_action,
    check_audience,
    check_tenant,
    permissions,
)
from tests.clouds.azure.directory import Directory
from tests.clouds.azure.errors import ArmError
from tests.clouds.azure.health import HealthQuestions
from tests.clouds.azure.paths import Asked, Counted
from tests.clouds.azure.requests import Reply, Request, check_api_version
from tests.clouds.azure.resources import Resources
from tests.clouds.azure.vaults import Vaults
from tests.clouds.azure.views import Views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.clouds.azure.cloud import Cloud
    from tests.clouds.azure.limits import Throttle


class Arm:
    """The endpoint: one cloud, its callers, limits and views."""

    def __init__(self, cloud: Cloud, access: Access, throttle: Throttle) -> None:
        self.cloud: Final = cloud
        self.access: Final = access
        self.directory: Final = Directory()
        self.vaults: Final = Vaults()
        self.throttle: Final = throttle
        self.views: Final = Views(cloud)
        self.health: Final = HealthQuestions(self.views)
        self._resources: Final = Resources(self.views)

    def answer(self, request: Request) -> Reply:
        """The answer to a request, errors included."""
        self.cloud.settle()
        headers = {"x-ms-request-id": self.cloud.new_guid(), "x-ms-correlation-request-id": self.cloud.new_guid()}
        try:
            if request.counted is Counted.TOKEN:
                return self._sign_in(request)
            principal = self.access.principal(request.headers)
            if request.route.asked is Asked.SECRET:
                return self.vaults.tell(request, principal)
            check_audience(principal, self.directory.audience_of(request))
            headers |= self.throttle.admit(principal.name, request.counted, self.cloud.now())
            reply = self._answer_admitted(request, principal)
        except ArmError as error:
            reply = Reply(error.status, error.body(), dict(error.headers))
        reply.headers = headers | reply.headers
        return reply

    def _answer_admitted(self, request: Request, principal: Principal) -> Reply:
        route = request.route
        if route.asked is Asked.UNKNOWN:
            raise ArmError(404, "InvalidResourceType", f"No route fits '{request.path}'.")
        check_api_version(request)
        if not self.cloud.knows(route.subscription):
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{route.subscription}' could not be found.")
        check_tenant(principal, self.cloud.tenant_of(route.subscription))
        check_action(principal, request.action, request.path)
        if route.asked is Asked.PERMISSIONS:
            listings.check_group(self.cloud, route.subscription, route.group)
            return Reply(200, permissions(principal))
        if route.asked is Asked.RESOURCE:
            return self._resources.answer(request, principal)
        if request.method not in _METHODS.get(route.asked, _GET):
            raise ArmError(405, "MethodNotAllowed", f"The method {request.method} is not allowed on '{request.path}'.")
        return self._answer_question(request)

    def _answer_question(self, request: Request) -> Reply:
        asked = request.route.asked
        if asked is Asked.VAULT:
            return self.vaults.show(request)
        if asked is Asked.HEALTH:
            return self.health.ask(request)
        if asked is Asked.OPERATION_RESULT and self.health.knows(request.route.name):
            return self.health.tell(request)
        if asked in _POLLS:
            return _POLLS[asked](self.cloud, request)
        return _READS[asked](self.views, request)

    def _sign_in(self, request: Request) -> Reply:
        """What authorities and machines answer to those who have no token yet."""
        asked = request.route.asked
        if asked is Asked.ENDPOINTS:
            return self.directory.describe(request)
        if asked is Asked.AUTHORITY:
            return _authority(request)
        if request.method == "POST":
            return self.directory.sign_in(request, self.access)
        return self.directory.machine_token(request, self.access)


def _authority(request: Request) -> Reply:
    """Where an authority issues tokens, as the SDK asks before it gets one."""
    authority = f"{request.base}/{request.route.name}"
    return Reply(
        200,
        {
            "issuer": f"{authority}/v2.0",
            "token_endpoint": f"{authority}/oauth2/v2.0/token",
            "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
        },
    )


_GET: Final = frozenset({"GET"})
# Whatever is not named here can only be read.
_METHODS: Final[Mapping[Asked, frozenset[str]]] = {
    Asked.REGISTER: frozenset({"POST"}),
    Asked.HEALTH: frozenset({"POST"}),
    Asked.GROUP: frozenset({"GET", "HEAD"}),
}
_POLLS: Final[Mapping[Asked, Callable[[Cloud, Request], Reply]]] = {
    Asked.OPERATION: polling.poll,
    Asked.OPERATION_RESULT: polling.poll_result,
}
_READS: Final[Mapping[Asked, Callable[[Views, Request], Reply]]] = {
    Asked.COLLECTION: listings.list_collection,
    Asked.SERVICE_TAGS: listings.list_service_tags,
    Asked.USAGES: listings.list_usages,
    Asked.PROVIDER: listings.show_provider,
    Asked.REGISTER: listings.register,
    Asked.GROUP: listings.show_group,
    Asked.GROUPS: listings.list_groups,
}
