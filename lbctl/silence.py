"""Why a server gave no answer: which one, and the operating system's own words.

SDKs wrap these in texts with addresses of Python objects, which never read alike, or leave them out. What they were
raised from holds both. Pure; knows the exceptions of no SDK.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from lbctl.errors import Unreachable

HINT = "check the address and the way to it: name service, proxy, firewall, certificates"
IN_VAIN = "no answer in time"


@dataclass(frozen=True, slots=True)
class Silence:
    """A server that gave no answer; `endpoint` is its address without path and credentials, empty when unknown."""

    endpoint: str
    cause: str

    @classmethod
    def of(cls, error: BaseException, *, url: str = "") -> Silence:
        """What is behind an exception of an SDK; `url` is where the request went, if the SDK says it elsewhere."""
        chain = list(_chain(error))
        urls = (getattr(getattr(one, "request", None), "url", None) for one in chain)
        found = url or next((str(one) for one in urls if one), "")
        causes = [cause for one in chain if (cause := _words(one))]
        return cls(_endpoint(found), causes[-1] if causes else type(error).__name__)

    def __str__(self) -> str:
        return f"no answer from {self.endpoint or 'the server'}: {self.cause}"

    def error(self, call: str, *, hint: str = HINT) -> Unreachable:
        """The error of a call that this server did not answer."""
        return Unreachable(f"{call}: {self}", hint=hint, endpoint=self.endpoint)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return IN_VAIN
    return str(error.strerror or "") if isinstance(error, OSError) else ""


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
