"""The service itself: a request in, an answer out, no sockets and no threads.

Kept here: the order of checks that every request goes through, and who answers which question. The server calls
`answer` under its lock; rules live with their types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.clouds.azure import listings, polling
from tests.clouds.azure.access import Access, Principal, check_action, permissions
from tests.clouds.azure.errors import ArmError, bad_request
from tests.clouds.azure.paths import Asked, Counted
from tests.clouds.azure.requests import Reply, Request, check_api_version
from tests.clouds.azure.resources import Resources
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
        self.throttle: Final = throttle
        self.views: Final = Views(cloud)
        self._resources: Final = Resources(self.views)

    def answer(self, request: Request) -> Reply:
        """The answer to a request, errors included."""
        self.cloud.settle()
        headers = {"x-ms-request-id": self.cloud.new_guid(), "x-ms-correlation-request-id": self.cloud.new_guid()}
        try:
            if request.counted is Counted.TOKEN:
                return self._token(request) if request.route.asked is Asked.TOKEN else _authority(request)
            principal = self.access.principal(request.headers)
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
        check_action(principal, request.action, request.path)
        if route.asked is Asked.PERMISSIONS:
            listings.check_group(self.cloud, route.subscription, route.group)
            return Reply(200, permissions(principal))
        if route.asked is Asked.RESOURCE:
            return self._resources.answer(request, principal)
        if request.method not in _METHODS.get(route.asked, _GET):
            raise ArmError(405, "MethodNotAllowed", f"The method {request.method} is not allowed on '{request.path}'.")
        if route.asked in _POLLS:
            return _POLLS[route.asked](self.cloud, request)
        return _READS[route.asked](self.views, request)

    def _token(self, request: Request) -> Reply:
        """A token for the first principal: from the token endpoint, or as a machine's own identity gets one."""
        if request.method == "GET" and request.headers.get("metadata", "").lower() != "true":
            raise bad_request("invalid_request", "Required metadata header not specified")
        # The authority answers with numbers, a machine's own endpoint with texts.
        seconds: int | str = 86400 if request.method == "POST" else "86400"
        token = next(iter(self.access.principals))
        return Reply(
            200,
            {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "expires_on": "4102444800",
                "resource": request.query.get("resource", ""),
            },
        )


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
