"""The one place where what the API server says, or fails to say, becomes a `KubeError`.

Pure: an answer goes in, an error comes out. The sentence has four parts: what was tried, on what, what came back and
what to do. It holds no addresses of Python objects, no ports of ours and no request ids, so that repeated failures read
alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import msgspec

from lbctl.errors import KubeConflict, KubeDenied, KubeError, KubeGone, KubeThrottled, KubeUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbctl.kube.target import Target

_LONGEST_TEXT = 500
_DEFAULT_RETRY_AFTER_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `retry_after` is the header's value, empty without one."""

    status: int
    body: bytes = b""
    retry_after: str = ""


class Cause(msgspec.Struct, frozen=True):
    """One cause of a refusal; `field` is a path such as `metadata.uid`."""

    reason: str = ""
    message: str = ""
    field: str = ""


class Details(msgspec.Struct, frozen=True, rename="camel"):
    """The machine-readable half of a `Status`."""

    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True):
    """The `metav1.Status` with which the server explains itself."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: Details | None = None

    @property
    def fields(self) -> frozenset[str]:
        """Paths of the fields that were refused."""
        return frozenset(cause.field for cause in self.details.causes) if self.details else frozenset()

    @property
    def retry_after_seconds(self) -> float:
        """Pause that the server asks for in the body; 0 without one."""
        return float(self.details.retry_after_seconds) if self.details else 0.0


_STATUS = msgspec.json.Decoder(Status)

# A field that may not be what we sent says how old our view of the object is (measured on 1.36).
_STALE_FIELDS: dict[str, type[KubeError]] = {
    "metadata.uid": KubeGone,
    "metadata.finalizers": KubeConflict,
    "status.loadBalancer.ingress": KubeConflict,
}

_CLASSES: dict[int, type[KubeError]] = {
    401: KubeDenied,
    403: KubeDenied,
    404: KubeGone,
    409: KubeConflict,
    429: KubeThrottled,
}

_HINTS: dict[type[KubeError], str] = {
    KubeConflict: "The object changed meanwhile: it is read and decided again",
    KubeGone: "The object is gone or was made anew: nothing is left to do for this one",
    KubeThrottled: "The server asks for a pause: wait, or lower kube.qps",
    KubeUnreachable: "Check the server's health and the network",
}

UNREACHED = "Check the server's health and the network, and that it is the server you mean (--kubeconfig, --context)"
"""Whether it is tried again is the caller's affair: the controller does, a command at the desk ends."""
UNTRUSTED = "Check certificate-authority of the kubeconfig, and that its context is the one of this server (--context)"
UNPROXIED = "Check HTTPS_PROXY, NO_PROXY and proxy-url of the kubeconfig"


def error_of(verb: str, target: Target, answer: Answer) -> KubeError:
    """The error that an answer outside of 2xx means."""
    return _error(verb, target, answer, status_of(answer.body))


def error_of_event(verb: str, target: Target, status: Status) -> KubeError:
    """The error that an ERROR event inside of a watch means."""
    return _error(verb, target, Answer(status.code), status)


def _error(verb: str, target: Target, answer: Answer, status: Status) -> KubeError:
    kind = _class_of(answer.status, status)
    said = (status.message or _text(answer.body) or "no explanation")[:_LONGEST_TEXT]
    return kind(
        f"cannot {verb} {target}: the API server answered {answer.status}: {said.rstrip('.')}",
        status=answer.status,
        hint=_hint(kind, verb=verb, target=target, code=answer.status),
        after_seconds=_pause(kind, answer, status),
    )


def unreachable(verb: str, target: Target, why: str, *, hint: str = "") -> KubeUnreachable:
    """The error of a request that got no complete answer; after a write it is unknown whether it was done."""
    return KubeUnreachable(f"cannot {verb} {target}: {why}", hint=hint or _HINTS[KubeUnreachable], after_seconds=0.0)


@contextlib.contextmanager
def decoding(verb: str, target: Target) -> Iterator[None]:
    """Turn a body that is not what was asked for, such as a proxy's page, into the error of no answer."""
    try:
        yield
    except msgspec.MsgspecError as error:
        raise unreachable(verb, target, f"the answer cannot be read: {error}") from error


def status_of(body: bytes) -> Status:
    """The body read as a `Status`; an empty one when the body is something else, such as a proxy's page."""
    try:
        return _STATUS.decode(body)
    except msgspec.MsgspecError:
        return Status()


def _class_of(code: int, status: Status) -> type[KubeError]:
    if code == 422:  # noqa: PLR2004 - HTTP's own number, as in the tables above
        return next((kind for field, kind in _STALE_FIELDS.items() if field in status.fields), KubeError)
    return _CLASSES.get(code, KubeUnreachable if code >= 500 else KubeError)  # noqa: PLR2004 - 5xx


def _pause(kind: type[KubeError], answer: Answer, status: Status) -> float | None:
    asked = float(answer.retry_after) if answer.retry_after.isdigit() else status.retry_after_seconds
    if kind is KubeThrottled:
        return asked or _DEFAULT_RETRY_AFTER_SECONDS
    return asked if kind is KubeUnreachable else None


def _hint(kind: type[KubeError], *, verb: str, target: Target, code: int) -> str:
    if code == 401:  # noqa: PLR2004 - HTTP's own number
        return "Renew the credentials: log in again, or mount a valid service account token"
    if code == 403:  # noqa: PLR2004 - HTTP's own number
        where = f" in namespace {target.namespace}" if target.namespace else ""
        return f"Grant the verb {verb} on {target.right}{where} to the identity that runs lbctl"
    return _HINTS.get(kind, "")


def _text(body: bytes) -> str:
    return " ".join(body[: 2 * _LONGEST_TEXT].decode(errors="replace").split())
