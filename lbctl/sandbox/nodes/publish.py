"""Brings the objects that the fleet owns in the API to what it wants them to be, by writing the differences.

`Cluster` hands in all wanted objects after each change; this class remembers what it wrote and writes what differs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lbctl.errors import KubeError
from lbctl.sandbox.nodes.api import path_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbctl.sandbox.nodes.api import Api
    from lbctl.sandbox.nodes.manifests import Manifest

log = logging.getLogger(__name__)


class Published:
    """The objects written so far, by path."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._written: dict[str, Manifest] = {}

    def take_over(self, path: str) -> None:
        """Count an object of an earlier run as ours, so that it is replaced or deleted."""
        self._written.setdefault(path, {})

    def forget(self, path: str) -> bool:
        """True when an object that we wrote was deleted by somebody else; it is written again."""
        return self._written.pop(path, None) is not None

    async def bring(self, wanted: Iterable[Manifest]) -> bool:
        """Write what differs, delete what is not wanted any more; False when a write failed and is to be tried again.

        One request for each object that changed, two for a new Pod on a server that keeps status apart.
        """
        by_path = {path_of(manifest): manifest for manifest in wanted}
        changed = [path for path, manifest in by_path.items() if self._written.get(path) != manifest]
        unwanted = [path for path in self._written if path not in by_path]
        outcomes = await asyncio.gather(
            *(self._write(path, by_path[path]) for path in changed), *(self._delete(path) for path in unwanted)
        )
        return all(outcomes)

    async def _write(self, path: str, manifest: Manifest) -> bool:
        before = self._written.get(path)
        try:
            if before and before | {"status": None} == manifest | {"status": None}:
                await self._api.patch_status(path, manifest["status"])
            elif before:
                await self._api.replace(manifest)
            else:
                await self._api.put_in_place(manifest)
        except KubeError as error:
            log.warning("%s is not written: %s", path, error)
            return False
        self._written[path] = manifest
        return True

    async def _delete(self, path: str) -> bool:
        # Forgotten first: the watch tells of the deletion too, and must not take it for somebody else's.
        before = self._written.pop(path)
        try:
            await self._api.remove(path)
        except KubeError as error:
            log.warning("%s is not deleted: %s", path, error)
            self._written[path] = before
            return False
        return True
