"""Ways to ask the endpoint outside of the SDK's methods, and to look at what came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from tests.clouds.azure.client import send
from tests.clouds.azure.server import TOKEN

if TYPE_CHECKING:
    from tests.clouds.azure.cloud import Body
    from tests.clouds.azure.server import ArmServer
    from tests.clouds.azure.world import World

VERSION = "?api-version=2025-05-01"


def refused(client: Any, world: World, kind: str, name: str, body: Body) -> tuple[int, str]:
    """The status and the innermost code of a refused write, having checked that nothing changed."""
    before = world.state()
    response = send(client, "PUT", f"{world.id(kind, name)}{VERSION}", body=body)
    assert world.state() == before
    error = response.json()["error"]
    inner = error.get("details") or [error]
    return response.status_code, inner[0]["code"]


def code_of(response: Any) -> tuple[int, str]:
    """The status and code of a refusal."""
    return response.status_code, response.json()["error"]["code"]


def get(arm: ArmServer, path: str, *, token: str = TOKEN) -> requests.Response:
    """The answer to a GET that no SDK has touched; without a header when the token is empty."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(f"{arm.url}{path}", headers=headers, timeout=5)
