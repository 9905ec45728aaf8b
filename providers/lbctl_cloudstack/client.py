"""The API client: signing and sending by `cs`; pages, pace, short retries of reads, errors and redaction by us.

The only module that imports the client library. Every command is a POST with signature version 3, because the text of
a failed GET holds key and signature. Writes are never sent twice.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import cs
import requests
import tenacity

from lbctl.clock import Clock
from lbctl.driver import Setup
from lbctl.errors import CloudBug, CloudError, MissingFact, NotAuthenticated, Throttled, Unreachable
from lbctl.silence import Silence
from lbctl_cloudstack.errors import error_for
from lbctl_cloudstack.settings import CloudStackSettings

Row = dict[str, Any]
READ_ATTEMPTS = 3
SHARE_OF_LIMIT = 0.8
LONGEST_PACE = 10.0
ROUNDING = 0.001
POOL_SIZE = 8
TOLERATED_SKEW_SECONDS = 60.0
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(slots=True)
class Pace:
    """A token bucket: so many calls an interval for all threads together; 0 calls mean no limit."""

    clock: Clock
    calls: float = 0.0
    seconds: float = 1.0
    _tokens: float = 0.0
    _at: float = 0.0

    def limit(self, calls: float, seconds: float) -> None:
        """Allow this many calls in this many seconds from now on."""
        self.calls, self.seconds = calls, seconds
        self._tokens, self._at = calls, self.clock.monotonic()

    def take(self) -> float:
        """Take a token; seconds to wait first, 0 when it may go at once."""
        if not self.calls:
            return 0.0
        now = self.clock.monotonic()
        # The bucket holds half a limit, so that a full one and its refill stay below the limit in any interval.
        most = max(1.0, self.calls / 2)
        self._tokens = min(most, self._tokens + (now - self._at) * self.calls / 2 / self.seconds)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) * 2 * self.seconds / self.calls + ROUNDING


UNANSWERED = "check api-url and the way to it: name service, proxy, firewall, ca-file"


class Api:
    """One account's API; safe for several threads."""

    def __init__(self, settings: CloudStackSettings, setup: Setup) -> None:
        session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_connections=POOL_SIZE, pool_maxsize=POOL_SIZE)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.trust_env = True
        self._session = session
        self._settings = settings
        self._clock = setup.clock
        self._record = setup.record
        self._lock = threading.Lock()
        self._project_id = settings.project_id
        self.pace = Pace(setup.clock)
        if settings.max_calls_per_second:
            self.pace.limit(settings.max_calls_per_second, 1.0)
        self._cs = cs.CloudStack(
            endpoint=settings.api_url,
            key=settings.api_key,
            secret=settings.secret_key,
            timeout=settings.timeout,
            method=settings.method,
            verify=settings.ca_file or None,
            dangerous_no_tls_verify=settings.ssl_no_verify,
            expiration=settings.expires,
            retry=0,
            headers={"User-Agent": setup.user_agent},
            session=session,
        )

    def write(self, command: str, **parameters: object) -> Row:
        """The answer to a command that changes something; one call, never repeated."""
        return self._send(command, parameters)

    def read(self, command: str, **parameters: object) -> Row:
        """The answer to a command that changes nothing; up to three calls when the server cannot be reached."""
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(READ_ATTEMPTS),
            wait=tenacity.wait_exponential(multiplier=0.2, max=2.0),
            retry=tenacity.retry_if_exception_type(Unreachable),
            sleep=self._wait,
            reraise=True,
        )
        result: Row = retrying(self._send, command, parameters)
        return result

    def rows(self, command: str, key: str, **parameters: object) -> list[Row]:
        """All rows of a list, one call a page; rows that a shift between pages repeats are given once."""
        return list(self._pages(command, key, parameters).values())

    def scoped(self) -> Row:
        """Parameters that show everything of the account or of the project."""
        return {"listall": True, **self.project()}

    def project(self) -> Row:
        """The parameter that names the project, if any; the id of one that is given by name is asked for once."""
        with self._lock:
            project_id = self._project_id
        if project_id and not UUID.fullmatch(project_id):
            named = self.rows("listProjects", "project", name=project_id, listall=True)
            if len(named) != 1:
                raise MissingFact(f"{len(named)} projects have the name {project_id}", hint="give the id in project-id")
            project_id = str(named[0]["id"])
            with self._lock:
                self._project_id = project_id
        return {"projectid": project_id} if project_id else {}

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _pages(self, command: str, key: str, parameters: Row) -> dict[str, Row]:
        found: dict[str, Row] = {}
        page = 1
        while True:
            answer = self.read(command, **parameters, page=page, pagesize=self._settings.page_size)
            rows = answer.get(key) or next((v for v in answer.values() if isinstance(v, list)), [])
            found.update((str(row.get("id") or row.get("jobid") or len(found)), row) for row in rows)
            if not rows or len(found) >= int(answer.get("count", 0)):
                return found
            page += 1

    def _send(self, command: str, parameters: Row) -> Row:
        self._keep_pace(command)
        started = self._clock.monotonic()
        code = "ok"
        try:
            return self._call(command, parameters)
        except CloudError as error:
            code = error.reason
            raise
        finally:
            self._record(command, code, self._clock.monotonic() - started)

    def _call(self, command: str, parameters: Row) -> Row:
        call: Callable[..., Row] = getattr(self._cs, command)
        try:
            answer = call(**{name: _signable(value) for name, value in parameters.items()})
        except cs.CloudStackApiException as failure:
            raise self._refused(command, failure) from None
        except cs.CloudStackException as failure:
            raise _unreadable(command, failure.response) from None
        except requests.RequestException as failure:
            raise Silence.of(failure, url=self._settings.api_url).error(command, hint=UNANSWERED) from None
        return answer or {}

    def _refused(self, command: str, failure: Any) -> CloudError:  # noqa: ANN401 - the library is untyped
        error = failure.error if isinstance(failure.error, dict) else {}
        code = int(error.get("errorcode") or failure.response.status_code)
        translated = error_for(command, code, str(error.get("errortext", "")))
        skew = self._skew(failure.response) if isinstance(translated, NotAuthenticated) else 0.0
        if abs(skew) > TOLERATED_SKEW_SECONDS:
            return NotAuthenticated(
                f"{translated.message}; the server's clock is {skew:+.0f} s from ours", hint="set both clocks by NTP"
            )
        return translated

    def _skew(self, response: Any) -> float:  # noqa: ANN401 - the library is untyped
        try:
            server = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError, TypeError):
            return 0.0
        return (server - self._clock.now()).total_seconds()

    def _keep_pace(self, command: str) -> None:
        while wait := self._take_token():
            if wait > LONGEST_PACE or not command.startswith(("list", "query")):
                raise Throttled(f"{command}: as many calls as the server allows were made", after_seconds=wait)
            self._wait(wait)

    def _take_token(self) -> float:
        with self._lock:
            return self.pace.take()

    def _wait(self, seconds: float) -> None:
        self._clock.wait(seconds)


def _signable(value: object) -> object:
    """The server escapes `~` where clients do not, so that a signature over it never fits."""
    return value.replace("~", "-") if isinstance(value, str) else value


def _unreadable(command: str, response: Any) -> CloudError:  # noqa: ANN401 - the library is untyped
    status = getattr(response, "status_code", 0)
    if status >= 500:  # noqa: PLR2004 - server errors
        return Unreachable(f"{command}: the server or a proxy before it answers HTTP {status}")
    return CloudBug(f"{command}: HTTP {status} without JSON", hint="check api-url: it usually ends in /client/api")
