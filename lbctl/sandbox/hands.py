"""What a person with kubectl does to the sandbox: apply, patch, delete, and look.

The demo uses it, so that it needs no kubectl. Every call is one request to the API server and sees only what the API
shows; it must not know the controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from lbctl.errors import KubeGone
from lbctl.kube.rest import MERGE_PATCH, Rest
from lbctl.kube.target import NAMESPACES, SERVICES, Target
from lbctl.model.objects import Service

APPLY = "application/apply-patch+yaml"
MANAGER = "sandbox-hands"
KINDS = {"Namespace": NAMESPACES, "Service": SERVICES}

_SERVICE = msgspec.json.Decoder(Service)


class Hands:
    """A user of the API server."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def apply(self, document: Mapping[str, Any], *, dry_run: bool = False) -> bytes:
        """The object as the server has it after a server-side apply; with `dry_run` it stores nothing."""
        meta = document["metadata"]
        target = KINDS[document["kind"]].one(meta["name"], namespace=meta.get("namespace", ""))
        query = {"fieldManager": MANAGER, "force": "true"} | _dry(dry_run=dry_run)
        return self._rest.send("patch", target, body=document, content_type=APPLY, query=query)

    def patch(self, key: str, change: Mapping[str, Any], *, dry_run: bool = False) -> Service:
        """The Service after a merge patch; with `dry_run` as it would be."""
        reply = self._rest.send(
            "patch", _target(key), body=change, content_type=MERGE_PATCH, query=_dry(dry_run=dry_run)
        )
        return _SERVICE.decode(reply)

    def delete(self, key: str) -> None:
        """Ask for a Service's deletion; its finalizers decide when it ends."""
        self._rest.send("delete", _target(key))

    def delete_namespace(self, name: str) -> None:
        """Ask for a Namespace's deletion."""
        self._rest.send("delete", NAMESPACES.one(name))

    def get(self, key: str) -> Service | None:
        """The Service, None when there is none."""
        try:
            return _SERVICE.decode(self._rest.get(_target(key)))
        except KubeGone:
            return None


def _target(key: str) -> Target:
    namespace, _, name = key.partition("/")
    return replace(SERVICES, namespace=namespace, name=name)


def _dry(*, dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
