"""Log lines for people on a terminal and for programs elsewhere, from the standard logging module.

`-v N` and `--logging-format` mean what they mean for upstream's controllers. Fields given as `extra` become members of
the JSON line. Text that looks like a credential never gets out, whoever logs it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
from collections import deque
from typing import TextIO

DEBUG_VERBOSITY = 3
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
SECRET = re.compile(
    r"(?i)(authorization:\s*\S+\s+|bearer\s+|(?:password|secret|token|signature|apikey|api_key)[\"']?\s*[=:]\s*[\"']?)"
    r"([^\s\"',&]+)"
)
HIDDEN = r"\1(hidden)"
KLOG_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


def set_up(*, form: str, verbosity: int, stream: TextIO | None = None) -> None:
    """Send all logs to `stream`, by default standard error; `form` `auto` is `text` on a terminal and else `json`."""
    stream = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(KlogFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= DEBUG_VERBOSITY else logging.INFO)
    for chatty in ("urllib3", "botocore", "boto3", "azure", "google", "keystoneauth", "openstack", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def without_secrets(text: str) -> str:
    """The text with everything that looks like a credential replaced."""
    return SECRET.sub(HIDDEN, text)


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
            **{key: str(value) for key, value in vars(record).items() if key not in STANDARD},
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
        if record.exc_info:
            line += "\n" + without_secrets(self.formatException(record.exc_info))
        return line


def _time(record: logging.LogRecord) -> dt.datetime:
    return dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
