"""Log lines for people on a terminal and for programs elsewhere, from the standard logging module.

`-v N` and `--logging-format` mean what they mean for upstream's controllers. Fields given as `extra` are part of the
line, as are those of the present piece of work (`lbctl.obs.context`) and the request id of a cloud's error. Text that
looks like a credential, and every secret of the settings, never gets out, whoever logs it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
from collections import deque
from collections.abc import Iterable
from typing import TextIO

from lbctl.errors import CloudError, InvalidSettings
from lbctl.obs.context import current

DEBUG_VERBOSITY = 3
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
KEY = r"(?:password|passwd|secret|token|signature|credential|api_?key|access_?key|private_?key)[\w-]*"
SECRET = re.compile(
    r"(?is)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|$)"
    r"|(authorization[\"']?\s*[:=]\s*[\"']?(?:[a-z][\w-]*\s+)?)[^\s\"',]+"
    r"|(bearer\s+)[^\s\"',]+"
    r"|(://[^/\s:@]*:)[^/\s@]+(?=@)"
    rf"|({KEY}[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"',&;)}}]+)"
)
SECRET_NAME = re.compile(KEY, re.IGNORECASE)
HIDDEN = "(hidden)"
SHORTEST_SECRET = 4
FORMS = ("auto", "text", "json")
KLOG_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


_known_secrets: list[str] = []


def set_up(*, form: str, verbosity: int, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send all logs to `stream`, by default standard error; `form` `auto` is `text` on a terminal and else `json`.

    `secrets` are never written, whatever is written around them. `InvalidSettings` for another form.
    """
    if form not in FORMS:
        raise InvalidSettings(f"the log format {form!r} is unknown", hint=f"use one of {', '.join(FORMS)}")
    hide(secrets)
    stream = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(KlogFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= DEBUG_VERBOSITY else logging.INFO)
    for chatty in ("urllib3", "botocore", "boto3", "azure", "google", "keystoneauth", "openstack", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def hide(secrets: Iterable[str]) -> None:
    """Keep these, and no others, out of every line from now on; what is shorter than four characters is no secret."""
    _known_secrets[:] = sorted({one for one in secrets if len(one) >= SHORTEST_SECRET}, key=len, reverse=True)


def without_secrets(text: str) -> str:
    """The text with everything that is or looks like a credential replaced."""
    for secret in _known_secrets:
        text = text.replace(secret, HIDDEN)
    return SECRET.sub(lambda found: (found.group(found.lastindex) if found.lastindex else "") + HIDDEN, text)


class Recent(logging.Handler):
    """Keeps the last lines of the log in memory, for commands that show them only when something went wrong."""

    def __init__(self, count: int = 40) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=count)
        self.setFormatter(KlogFormatter())

    @classmethod
    def set_up(cls) -> Recent:
        """Send all logs to a new one of these."""
        handler = cls()
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self._lines.append(self.format(record))

    def lines(self) -> tuple[str, ...]:
        """The newest lines, oldest first."""
        return tuple(self._lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        fields = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            fields["traceback"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


class KlogFormatter(logging.Formatter):
    """The line form of Kubernetes components: `I1123 06:15:00.123456 module] message`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        letter = KLOG_LETTERS.get(record.levelno, "I")
        head = f"{letter}{_time(record):%m%d %H:%M:%S.%f} {record.name.removeprefix('lbctl.')}]"
        line = f"{head} {without_secrets(record.getMessage())}"
        line += "".join(f' {key}="{value}"' for key, value in _fields(record).items())
        if record.exc_info:
            line += "\n" + without_secrets(self.formatException(record.exc_info))
        return line


def _fields(record: logging.LogRecord) -> dict[str, str]:
    """What the line is about: its piece of work, the cloud's request, and what was given with it."""
    fields = {**current(), **_request(record)}
    fields |= {key: str(value) for key, value in vars(record).items() if key not in STANDARD}
    return {key: HIDDEN if SECRET_NAME.search(key) else without_secrets(value) for key, value in fields.items()}


def _request(record: logging.LogRecord) -> dict[str, str]:
    arguments = record.args if isinstance(record.args, tuple) else ()
    raised = record.exc_info[1] if record.exc_info else None
    for error in (*arguments, raised):
        if isinstance(error, CloudError) and error.request_id:
            return {"request": error.request_id}
    return {}


def _time(record: logging.LogRecord) -> dt.datetime:
    return dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
