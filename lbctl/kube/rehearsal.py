"""Asks the API server what it would store, without storing it: `dryRun=All`.

For `lbctl plan -f --server-dry-run`, where defaults, allocations and admission have to be the cluster's own. Needs the
rights of whoever would apply the file: create and update on Services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lbctl.errors import KubeGone
from lbctl.kube.answers import decoding
from lbctl.kube.target import SERVICES
from lbctl.model.objects import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbctl.kube.rest import Rest

_SERVICE = msgspec.json.Decoder(Service)
_DRY_RUN = {"dryRun": "All", "fieldManager": "lbctl-plan"}


class Rehearsal:
    """Reads Services whole and rehearses their writes; each call costs one request."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def find(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Service with every field that the server has, None when there is none."""
        target = SERVICES.one(name, namespace=namespace)
        try:
            with decoding("get", target):
                found: dict[str, Any] = msgspec.json.decode(self._rest.get(target))
        except KubeGone:
            return None
        return found

    def create(self, body: Mapping[str, Any]) -> Service:
        """The Service as the server would create it; `KubeError` as it would refuse it."""
        target = SERVICES.within(body["metadata"]["namespace"])
        with decoding("create", target):
            return _SERVICE.decode(self._rest.send("create", target, body=body, query=_DRY_RUN))

    def update(self, body: Mapping[str, Any]) -> Service:
        """The Service as the server would have it after this update."""
        meta = body["metadata"]
        target = SERVICES.one(meta["name"], namespace=meta["namespace"])
        with decoding("update", target):
            return _SERVICE.decode(self._rest.send("update", target, body=body, query=_DRY_RUN))
