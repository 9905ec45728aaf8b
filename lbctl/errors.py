"""Every error that crosses a module boundary, drawn as a tree.

    LbctlError
    ├─ InvalidService        the Service's author      again when the Service changes
    ├─ InvalidSettings       the operator              never: the process ends
    ├─ OwnedByOther          the operator              every 5 minutes
    ├─ LostLease             nobody                    the new leader goes on
    ├─ KubeError             the API server            see its subclasses
    │  ├─ KubeConflict         stale resourceVersion     read again, decide again, at most 5 times
    │  ├─ KubeGone             the object is gone or was recreated
    │  ├─ KubeDenied           the operator              every 5 minutes
    │  ├─ KubeThrottled        nobody                    after what the server says
    │  └─ KubeUnreachable      the network               with back-off
    └─ CloudError
       ├─ NotAuthenticated   the operator              the whole driver waits, one probe each 30 s
       ├─ PermissionDenied   the operator              every 5 minutes
       ├─ QuotaExceeded      the operator              every 5 minutes
       ├─ MissingFact        the operator              every minute
       ├─ NotReady           nobody: being built       after what the driver says
       ├─ Throttled          nobody                    the whole account waits
       ├─ Conflict           nobody: our view was old  at once after a new look, at most 5 times
       ├─ Rejected           the Service or us         bisected; alone: as InvalidService
       ├─ Unreachable        the network               with back-off, after a new look
       └─ CloudBug           the cloud or us           with back-off; keeps the request id

The class carries who is to blame, when to try again and the `reason` that events, conditions and metrics show, so that
nobody above a driver needs to know which error it is. An SDK's exception never leaves its driver. Any other exception
is a bug of ours.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbctl.model.problem import Problem


class Retry(enum.Enum):
    """When work that failed is tried again."""

    WHEN_CHANGED = "when the Service changes"
    NEVER = "never"
    AFTER = "after a fixed time"
    BACKOFF = "with growing pauses"
    AT_ONCE = "at once, after a new look"
    BISECT = "in halves, until the culprit is alone"


class Blame(enum.Enum):
    """Whose move it is."""

    AUTHOR = "the Service's author"
    OPERATOR = "the operator"
    NOBODY = "nobody"
    US = "lbctl"


class Exit(enum.IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILURE = 1
    CHANGES = 2
    INVALID_INPUT = 3
    CONFIGURATION = 4
    OWNED_BY_OTHER = 5
    NOT_READY = 6
    INTERRUPTED = 130


class LbctlError(Exception):
    """Base of all expected errors; `str()` is one stable sentence, without request ids, so that events merge.

    `hint` says what to do next. `after_seconds` is the pause of `Retry.AFTER`.
    """

    reason: ClassVar[str] = "Error"
    retry: ClassVar[Retry] = Retry.BACKOFF
    blame: ClassVar[Blame] = Blame.US
    exit: ClassVar[Exit] = Exit.FAILURE
    after_seconds: float = 300.0

    def __init__(self, message: str, *, hint: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.request_id = request_id

    @property
    def is_failure(self) -> bool:
        """False for answers that only mean "later"; those count no failure and raise no warning."""
        return True

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class InvalidService(LbctlError):
    """The Service asks for something that cannot be; carries all problems, not the first."""

    reason = "InvalidService"
    retry = Retry.WHEN_CHANGED
    blame = Blame.AUTHOR
    exit = Exit.INVALID_INPUT

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class InvalidSettings(LbctlError):
    """Settings, kubeconfig or a cloud's configuration file cannot be used."""

    reason = "InvalidSettings"
    retry = Retry.NEVER
    blame = Blame.OPERATOR
    exit = Exit.CONFIGURATION


class OwnedByOther(LbctlError):
    """The object exists and carries somebody else's mark; the message names the owner."""

    reason = "NotOurs"
    retry = Retry.AFTER
    blame = Blame.OPERATOR
    exit = Exit.OWNED_BY_OTHER


class LostLease(LbctlError):
    """This process is no longer certain to be the leader, so it may not write."""

    reason = "LostLease"
    retry = Retry.NEVER
    blame = Blame.NOBODY


class KubeError(LbctlError):
    """The Kubernetes API server answered with an error, or not at all."""

    reason = "KubeError"

    def __init__(self, message: str, *, status: int = 0, hint: str = "", after_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        if after_seconds is not None:
            self.after_seconds = after_seconds


class KubeConflict(KubeError):
    """The object changed since it was read (409)."""

    reason = "KubeConflict"
    retry = Retry.AT_ONCE
    blame = Blame.NOBODY

    @property
    def is_failure(self) -> bool:
        """Somebody else wrote first, which is their right."""
        return False


class KubeGone(KubeError):
    """The object does not exist any more, or another one has its name (404, or 422 on a changed uid)."""

    reason = "KubeGone"
    retry = Retry.AT_ONCE
    blame = Blame.NOBODY


class KubeDenied(KubeError):
    """A right is missing or the credentials are refused (401, 403); names verb, resource and namespace."""

    reason = "KubePermissionDenied"
    retry = Retry.AFTER
    blame = Blame.OPERATOR


class KubeThrottled(KubeError):
    """The server asks to slow down (429)."""

    reason = "KubeThrottled"
    retry = Retry.AFTER
    blame = Blame.NOBODY

    @property
    def is_failure(self) -> bool:
        """Being asked to wait is no failure."""
        return False


class KubeUnreachable(KubeError):
    """No connection, a time-out, or a server error (5xx)."""

    reason = "KubeUnreachable"
    blame = Blame.NOBODY


class CloudError(LbctlError):
    """Base of what a cloud may answer."""

    reason = "CloudError"


class NotAuthenticated(CloudError):
    """Credentials are missing, expired or refused: everything of this driver account waits."""

    reason = "NotAuthenticated"
    retry = Retry.AFTER
    blame = Blame.OPERATOR
    after_seconds = 30.0


class PermissionDenied(CloudError):
    """The identity may not make this call; names call, object and permission."""

    reason = "PermissionDenied"
    retry = Retry.AFTER
    blame = Blame.OPERATOR


class QuotaExceeded(CloudError):
    """A limit of the account is reached; names the quota, what is used and the limit where the cloud tells them."""

    reason = "QuotaExceeded"
    retry = Retry.AFTER
    blame = Blame.OPERATOR


class MissingFact(CloudError):
    """Something that the operator must provide is not there, such as a tagged subnet."""

    reason = "MissingFact"
    retry = Retry.AFTER
    blame = Blame.OPERATOR
    after_seconds = 60.0


class NotReady(CloudError):
    """The cloud is still building or removing something; not a failure."""

    reason = "NotReady"
    retry = Retry.AFTER
    blame = Blame.NOBODY

    def __init__(self, message: str, *, after_seconds: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.after_seconds = after_seconds

    @property
    def is_failure(self) -> bool:
        """Waiting is no failure."""
        return False


class Throttled(CloudError):
    """The cloud asks the account to slow down; `after_seconds` pauses every writer of the driver account."""

    reason = "Throttled"
    retry = Retry.AFTER
    blame = Blame.NOBODY

    def __init__(self, message: str, *, after_seconds: float = 5.0, request_id: str = "") -> None:
        super().__init__(message, request_id=request_id)
        self.after_seconds = after_seconds

    @property
    def is_failure(self) -> bool:
        """Being asked to wait is no failure."""
        return False


class Conflict(CloudError):
    """Our view of the cloud was old: a version did not match, or an object that we saw is gone."""

    reason = "Conflict"
    retry = Retry.AT_ONCE
    blame = Blame.NOBODY


class Rejected(CloudError):
    """The cloud calls the request invalid; with several changed Services in it, one of them is the culprit."""

    reason = "Rejected"
    retry = Retry.BISECT
    blame = Blame.AUTHOR


class Unreachable(CloudError):
    """No answer, a time-out or a server error; after a write it is unknown whether the write happened.

    `endpoint` is the address that gave no answer at all, empty when there was one.
    """

    reason = "Unreachable"
    blame = Blame.NOBODY

    def __init__(self, message: str, *, hint: str = "", request_id: str = "", endpoint: str = "") -> None:
        super().__init__(message, hint=hint, request_id=request_id)
        self.endpoint = endpoint


class CloudBug(CloudError):
    """An answer that neither the cloud's documentation nor we foresaw."""

    reason = "CloudBug"
