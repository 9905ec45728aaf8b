"""Operations on the wire: the URLs that a write hands out, and what polling them answers.

Used by the writes and by the two routes of operations. Time passes in the cloud, not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.clouds.azure.errors import ArmError
from tests.clouds.azure.requests import Reply, Request
from tests.clouds.azure.views import show

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Cloud, Operation


def polling_headers(cloud: Cloud, request: Request, operation: Operation) -> dict[str, str]:
    """The headers by which a client follows a change."""
    url = operation_url(cloud, request, "operations", operation)
    return {"Azure-AsyncOperation": url, "x-ms-request-id": operation.id, **_retry_after(cloud, operation)}


def accepted(cloud: Cloud, request: Request, operation: Operation) -> Reply:
    """The answer to a removal that has begun."""
    location = operation_url(cloud, request, "operationResults", operation)
    return Reply(202, None, {**polling_headers(cloud, request, operation), "Location": location})


def operation_url(cloud: Cloud, request: Request, kind: str, operation: Operation) -> str:
    """Where an operation, or its result, is asked for."""
    namespace, version = request.route.namespace, request.query.get("api-version", "")
    path = f"/subscriptions/{request.route.subscription}/providers/{namespace}/locations/{cloud.region}"
    return f"{request.base}{path}/{kind}/{operation.id}?api-version={version}"


def _retry_after(cloud: Cloud, operation: Operation) -> dict[str, str]:
    seconds = cloud.timing.retry_after
    return {"Retry-After": str(seconds)} if seconds is not None and operation.status == "InProgress" else {}


def poll(cloud: Cloud, request: Request) -> Reply:
    """The state of an operation."""
    operation = _find_operation(cloud, request)
    error = {"error": operation.error} if operation.error else {}
    return Reply(200, {"status": operation.status, **error}, _retry_after(cloud, operation))


def poll_result(cloud: Cloud, request: Request) -> Reply:
    """The result of an operation: 202 while it runs, then what the call itself would have answered."""
    operation = _find_operation(cloud, request)
    if operation.status == "InProgress":
        location = operation_url(cloud, request, "operationResults", operation)
        return Reply(202, None, {"Location": location, **_retry_after(cloud, operation)})
    if operation.error is not None:
        return Reply(409, {"error": operation.error})
    return Reply(204) if operation.deletes else Reply(200, show(operation.resource, cloud))


def _find_operation(cloud: Cloud, request: Request) -> Operation:
    operation = cloud.operations.get(request.route.name)
    if operation is None:
        raise ArmError(404, "OperationNotFound", f"The operation '{request.route.name}' could not be found.")
    return operation
