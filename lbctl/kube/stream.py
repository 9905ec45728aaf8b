"""An open watch: lines of JSON from a connection that may go silent, break or be cut from another thread.

`Rest.stream` makes it and a reflector reads it. Also kept here: what urllib3 raises, in words, since a stream and a
plain request fail in the same ways.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Self

from kubernetes.config import ConfigException
from urllib3 import exceptions

from lbctl.errors import InvalidSettings, KubeDenied
from lbctl.kube.answers import UNPROXIED, UNREACHED, UNTRUSTED, unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbctl.kube.target import Target

_READ_BYTES = 1 << 16

# Looked up in this order: the first class that fits.
_WORDS: dict[type[Exception], str] = {
    exceptions.NameResolutionError: "the server's name does not resolve",
    exceptions.NewConnectionError: "no connection to the server",
    exceptions.ConnectTimeoutError: "no connection to the server in time",
    exceptions.ReadTimeoutError: "no answer from the server in time",
    exceptions.ProxyError: "the proxy refused the connection",
}


class Stream:
    """Lines of an open watch; use as a context manager, which gives the connection back."""

    def __init__(self, response: Any, target: Target, where: Callable[[], str]) -> None:  # noqa: ANN401 - urllib3's
        self._response = response
        self._target = target
        self._where = where
        self._silence = -1.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._response.close()

    def lines(self) -> Iterator[bytes]:
        """Each line as it arrives, without its end; an unfinished last line is dropped.

        Raises KubeUnreachable when the connection breaks, or is silent for longer than it may be.
        """
        rest: list[bytes] = []
        with transport_errors("watch", self._target, self._where):
            for chunk in self._response.stream(_READ_BYTES):
                head, *lines = chunk.split(b"\n")
                rest.append(head)
                if lines:
                    yield b"".join(rest)
                    yield from lines[:-1]
                    rest = [lines[-1]]

    def allow_silence(self, seconds: float) -> None:
        """From now on the connection counts as dead when nothing arrives for this long."""
        if seconds == self._silence:
            return
        self._silence = seconds
        sock = self._socket()
        if sock is not None:
            sock.settimeout(seconds)

    def abort(self) -> None:
        """Cut the connection, from any thread: who is reading gets an end or a KubeUnreachable at once."""
        sock = self._socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _socket(self) -> socket.socket | None:
        return getattr(self._response.connection, "sock", None)


@contextlib.contextmanager
def transport_errors(verb: str, target: Target, where: Callable[[], str]) -> Iterator[None]:
    """Turn what the client library raises into a KubeError; an answer's own error passes through.

    `where` gives the server's address, and is asked only for an error.
    """
    try:
        yield
    except exceptions.HTTPError as error:
        raise unreachable(verb, target, f"{_why(error)} ({where()})", hint=_hint(error)) from error
    except OSError as error:
        told = error.strerror or type(error).__name__
        raise unreachable(verb, target, f"{told} ({where()})", hint=UNREACHED) from error
    except (ConfigException, InvalidSettings) as error:
        # Whoever renews a token or a kubeconfig may be writing it just now: the next request looks again.
        why = error.message if isinstance(error, InvalidSettings) else error
        raise KubeDenied(
            f"cannot {verb} {target}: the credentials could not be renewed: {why}",
            hint="Log in again, or mount a valid service account token",
        ) from error


def _why(error: Exception) -> str:
    """The reason in words; urllib3's own text holds memory addresses and would never repeat."""
    if isinstance(error, exceptions.SSLError):
        return f"TLS failed: {error.args[0] if error.args else 'no reason given'}"
    return next((text for kind, text in _WORDS.items() if isinstance(error, kind)), "the connection broke")


def _hint(error: Exception) -> str:
    if isinstance(error, exceptions.SSLError):
        return UNTRUSTED
    return UNPROXIED if isinstance(error, exceptions.ProxyError) else UNREACHED
