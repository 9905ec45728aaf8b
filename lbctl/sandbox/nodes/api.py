"""The few requests that the fleet makes to the Kubernetes API, and mirrors of what it reads.

`Api` speaks plain HTTP with a bearer token; `Mirror` keeps one resource by key with list and watch. The controller's
own access in `lbctl.kube` is synchronous; here thousands of sockets and the watches share one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import aiohttp
import msgspec

from lbctl.errors import KubeError, KubeGone, KubeUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from lbctl.sandbox.nodes.manifests import Manifest

log = logging.getLogger(__name__)

_COLLECTIONS = {
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
}
_CONCURRENT_WRITES = 16
_WATCH_SECONDS = 300
_READ_SECONDS = _WATCH_SECONDS + 10
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_NOT_FOUND = 404
_CONFLICT = 409
_GONE = 410
_FIRST_ERROR = 400


class Keyed(Protocol):
    """An object with a key."""

    @property
    def key(self) -> str:
        """`namespace/name`, or the name of a cluster-wide object."""


V = TypeVar("V", bound=Keyed)


class Api:
    """One API server; `ca` is the PEM certificate to trust, the system's when empty."""

    def __init__(self, url: str, *, token: str, ca: str = "") -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._trust = ssl.create_default_context(cadata=ca or None)
        self._writing = asyncio.Semaphore(_CONCURRENT_WRITES)
        self._session: aiohttp.ClientSession | None = None

    async def close(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Cut all connections, and end the tasks that use them."""
        session, ending = self._session, tuple(tasks)
        connector = session.connector if session is not None else None
        # Before any task has its turn: one that ends within a request takes leave by TLS, which outlives the loop. The
        # base class cuts at once, the connector's own method only when it is awaited.
        cut = aiohttp.BaseConnector.close(connector, abort_ssl=True) if connector is not None else None
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if cut is not None:
            await cut
        if session is not None:
            await session.close()

    async def put_in_place(self, manifest: Manifest) -> Manifest:
        """The object as created, or as it replaced the one of its name; its status is written too. 1 to 3 requests."""
        collection = collection_of(manifest)
        path = path_of(manifest)
        try:
            stored = await self._write("POST", collection, manifest)
        except KubeError as error:
            if error.status != _CONFLICT:
                raise
            stored = await self._write("PUT", path, manifest)
        # A real API server leaves the status of a created Pod out, the embedded one does not.
        if "status" in manifest and not _holds(stored.get("status"), manifest["status"]):
            await self.patch_status(path, manifest["status"])
        return stored

    async def replace(self, manifest: Manifest) -> None:
        """Replace an object that was written before, whatever its version; created when it is gone."""
        try:
            await self._write("PUT", path_of(manifest), manifest)
        except KubeGone:
            await self._write("POST", collection_of(manifest), manifest)

    async def patch(self, path: str, change: Manifest) -> None:
        """Merge `change` into the object at `path`."""
        await self._write("PATCH", path, change)

    async def patch_status(self, path: str, status: Manifest) -> None:
        """Merge `status` into the status of the object at `path`."""
        await self._write("PATCH", f"{path}/status", {"status": status})

    async def remove(self, path: str) -> None:
        """Delete the object at `path` at once; fine when it is gone."""
        try:
            await self._write("DELETE", path, {"gracePeriodSeconds": 0})
        except KubeGone:
            return

    async def read(self, path: str) -> bytes:
        """The answer to a GET of `path`."""
        async with self._request("GET", path) as response:
            return await _body(response)

    async def watch(self, collection: str, resource_version: str) -> AsyncIterator[bytes]:
        """The lines of a watch that starts after `resource_version`, until the server ends it."""
        query = (
            f"?watch=true&allowWatchBookmarks=true&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={resource_version}"
        )
        rest = b""
        async with self._request("GET", collection + query) as response:
            if response.status >= _FIRST_ERROR:
                await _body(response)
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line

    async def _write(self, verb: str, path: str, body: Manifest) -> Manifest:
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        async with (
            self._writing,
            self._request(verb, path, data=msgspec.json.encode(body), headers={"Content-Type": kind}) as response,
        ):
            stored: Manifest = msgspec.json.decode(await _body(response))
            return stored

    def _request(self, verb: str, path: str, **options: Any) -> _Exchange:  # noqa: ANN401 - handed to aiohttp as they are
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self._token}", "User-Agent": "lbctl-sandbox-nodes"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_READ_SECONDS),
                connector=aiohttp.TCPConnector(limit=0, ssl=self._trust),
            )
        return _Exchange(self._session.request(verb, self._url + path, **options))


class _Exchange:
    """One request; the failures of the network become `KubeUnreachable`."""

    def __init__(self, request: Any) -> None:  # noqa: ANN401 - aiohttp keeps this type to itself
        self._request = request

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            response: aiohttp.ClientResponse = await self._request.__aenter__()
        except (aiohttp.ClientError, OSError) as error:
            raise KubeUnreachable(f"the API server does not answer: {error}") from error
        return response

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._request.__aexit__(kind, error, trace)
        if isinstance(error, aiohttp.ClientError | OSError):
            raise KubeUnreachable(f"the API server stopped answering: {error}") from error


class Mirror(Generic[V]):
    """The objects of one resource by key, as of the newest event.

    `changed(old, new)` is called for each object that appeared, changed in a way that its view shows, or went.
    """

    def __init__(
        self, api: Api, collection: str, *, kind: type[V], changed: Callable[[V | None, V | None], None]
    ) -> None:
        self.items: dict[str, V] = {}
        self.synced = asyncio.Event()
        self._api = api
        self._collection = collection
        self._changed = changed
        self._decode_object = msgspec.json.Decoder(kind).decode

    async def run(self) -> None:
        """Follow the resource until cancelled; lost connections and expired versions start a new list."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                version = await self._list()
                pause = _FIRST_PAUSE_SECONDS
                while version:
                    version = await self._watch(version)
            except KubeError as error:
                log.debug("%s: %s; listing again in %.1f s", self._collection, error, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _list(self) -> str:
        listed = _LIST.decode(await self._api.read(self._collection))
        found = {item.key: item for item in map(self._decoded, listed.items or ()) if item is not None}
        for key in self.items.keys() - found.keys():
            self._set(key, None)
        for key, item in found.items():
            self._set(key, item)
        self.synced.set()
        return listed.metadata.resource_version

    async def _watch(self, version: str) -> str:
        """The version to go on from, empty when it has expired and only a new list helps."""
        async for line in self._api.watch(self._collection, version):
            if not line.strip():
                continue
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                return ""
            version = _META.decode(event.object).metadata.resource_version
            item = None if event.type == "BOOKMARK" else self._decoded(event.object)
            if item is not None:
                self._set(item.key, None if event.type == "DELETED" else item)
        return version

    def _decoded(self, raw: msgspec.Raw) -> V | None:
        """None for an object that no view can be made of: it must not keep the others from being followed."""
        try:
            return self._decode_object(raw)
        except msgspec.ValidationError as error:
            log.warning("%s: an object is skipped: %s", self._collection, error)
            return None

    def _set(self, key: str, new: V | None) -> None:
        old = self.items.get(key)
        if new is None:
            self.items.pop(key, None)
        else:
            self.items[key] = new
        if old is not None or new is not None:
            self._changed(old, new)


class _Version(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Meta(msgspec.Struct):
    metadata: _Version


class _List(msgspec.Struct):
    metadata: _Version
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_EVENT = msgspec.json.Decoder(_Event)
_LIST = msgspec.json.Decoder(_List)
_META = msgspec.json.Decoder(_Meta)


def collection_of(manifest: Manifest) -> str:
    """Path of the collection that the object belongs to."""
    return _COLLECTIONS[manifest["kind"]].format(namespace=manifest["metadata"].get("namespace", ""))


def path_of(manifest: Manifest) -> str:
    """Path of the object."""
    return f"{collection_of(manifest)}/{manifest['metadata']['name']}"


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = await response.read()
    if response.status < _FIRST_ERROR:
        return body
    where = f"{response.method} {response.url.path}"
    message = f"{where}: {response.status} {body[:500].decode(errors='replace')}"
    kind = KubeGone if response.status in {_NOT_FOUND, _GONE} else KubeError
    raise kind(message, status=response.status)


def _holds(stored: object, wanted: object) -> bool:
    """True when everything in `wanted` is in `stored`."""
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(_holds(stored.get(key), value) for key, value in wanted.items())
    return stored == wanted
