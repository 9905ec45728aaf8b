"""The only module that imports boto3: one call is one HTTP exchange, or a few when AWS throttles.

Made once by `DriverInfo.connect`; shared by all workers (clients are thread-safe, sessions are not). It knows nothing
of balancers: it counts, slows down, converts errors and pages.
"""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import botocore
import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.parsers
import botocore.session
import tenacity

from lbctl.driver import Figure, Setup
from lbctl.errors import CloudError, InvalidSettings, Throttled, Unreachable
from lbctl.silence import Silence
from lbctl_aws.errors import Failure, build_error
from lbctl_aws.limiter import Limiter
from lbctl_aws.metadata import InstanceMetadata
from lbctl_aws.settings import AwsSettings, region_of_zone

SERVICES = ("ec2", "elb", "elbv2")
CONNECT_SECONDS, READ_SECONDS = 5, 30
ATTEMPTS = 5
LONGEST_PAUSE = 20.0
READS = ("describe_", "get_", "simulate_")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The SDK's name of the way the credentials were found, and when they expire, if ever."""

    method: str
    until: dt.datetime | None = None


class AwsClient:
    """Calls AWS as `call("elbv2", "CreateListener", {...})`; every failure is a `CloudError`."""

    def __init__(self, setup: Setup) -> None:
        settings: AwsSettings = setup.settings
        self._clock = setup.clock
        self._random = setup.random
        self._record = setup.record
        self._show = setup.show
        self._limiter = Limiter()
        self._lock = threading.Lock()
        self.metadata = InstanceMetadata(settings.metadata_endpoint)
        session = _session(settings, self.metadata)
        self._session = session
        self._endpoints = settings.endpoints
        self._config = botocore.config.Config(
            user_agent_extra=setup.user_agent,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            # The queue and the buckets above retry; the SDK must not do it a second time.
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=16,
        )
        self._clients = {name: self._make(name) for name in SERVICES}
        self.region: str = session.region_name

    def credentials(self) -> Credentials:
        """Where the credentials in use came from; no call beyond what it takes to get them."""
        found = self._session.get_credentials()
        if found is None:
            return Credentials("nowhere")
        # The SDK tells the time in no other way, and not for keys that never expire.
        return Credentials(found.method or "", getattr(found, "_expiry_time", None))

    def _make(self, service: str) -> Any:  # noqa: ANN401 - boto3 has no types
        return self._session.client(service, config=self._config, endpoint_url=self._endpoints.get(service))

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3 has no types
        """The client of a service; those that only `check` asks are made when it does."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, ignore: Iterable[str] = ()
    ) -> dict[str, Any] | None:
        """The reply, or None when AWS answers with one of the `ignore`d codes.

        A throttled call is repeated with growing pauses, reads also after a lost answer; a write whose answer is lost
        raises `Unreachable`, because it may have happened.
        """
        method = getattr(self._client(service), _snake(operation))
        is_read = method.__name__.startswith(READS) if hasattr(method, "__name__") else False
        again = (Throttled, Unreachable) if is_read else (Throttled,)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            retry=tenacity.retry_if_exception_type(again),
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        ignored = frozenset(ignore)
        reply: dict[str, Any] | None = retrying(self._once, f"{service}.{operation}", method, parameters, ignored)
        return reply

    def pages(self, service: str, operation: str, parameters: Mapping[str, Any], *, items: str) -> Iterator[Any]:
        """Every item of a list, page by page; the marker's name is that of the service."""
        marker = MARKERS[service]
        request = dict(parameters)
        while True:
            reply = self.call(service, operation, request) or {}
            yield from reply.get(items, ())
            position = reply.get(marker[1])
            if not position:
                return
            request[marker[0]] = position

    def _once(
        self, call: str, method: Callable[..., Any], parameters: Mapping[str, Any], ignored: frozenset[str]
    ) -> dict[str, Any] | None:
        bucket = self._limiter.bucket(call)
        with self._lock:
            pause = bucket.take(self._clock.monotonic())
            self._show(Figure.BUDGET_LEFT, bucket.name, max(0.0, bucket.tokens))
        self._sleep(pause)
        started = self._clock.monotonic()
        try:
            reply: dict[str, Any] = method(**parameters)
        except FAILURES as error:
            failure = _failure(call, error)
            self._record(call, failure.code, self._clock.monotonic() - started)
            if failure.code in ignored:
                return None
            raise self._converted(failure, call) from error
        self._record(call, "", self._clock.monotonic() - started)
        with self._lock:
            bucket.succeeded()
        return reply

    def _converted(self, failure: Failure, call: str) -> CloudError:
        error = build_error(failure)
        if isinstance(error, Throttled):
            with self._lock:
                self._limiter.bucket(call).throttled()
        return error

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Full jitter: anywhere between nothing and the doubled pause, so that callers spread."""
        return float(self._random() * min(LONGEST_PAUSE, 2.0**state.attempt_number))

    def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._clock.wait(seconds)


MARKERS: Mapping[str, tuple[str, str]] = {
    "elb": ("Marker", "NextMarker"),
    "elbv2": ("Marker", "NextMarker"),
    "ec2": ("NextToken", "NextToken"),
}


def _session(settings: AwsSettings, metadata: InstanceMetadata) -> Any:  # noqa: ANN401 - boto3 has no types
    region = settings.region or region_of_zone(settings.zone) or None
    session = boto3.session.Session(
        botocore_session=_bare_session(), region_name=region, profile_name=settings.profile or None
    )
    if session.region_name is None:
        found = metadata.region()
        if not found:
            raise InvalidSettings("aws: the region is not known", hint="set region in the settings, or AWS_REGION")
        session = boto3.session.Session(
            botocore_session=_bare_session(), region_name=found, profile_name=settings.profile or None
        )
    return _assumed(session, settings) if settings.role_arn else session


@functools.cache
def _loader() -> botocore.loaders.Loader:
    """The API models, read once a process: a session of its own reads megabytes of JSON again for each account."""
    return botocore.loaders.create_loader()


def _bare_session() -> Any:  # noqa: ANN401 - botocore has no types
    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return session


def _assumed(session: Any, settings: AwsSettings) -> Any:  # noqa: ANN401 - boto3 has no types
    """A session that assumes the role with the session's own credentials and renews them before they expire."""
    base = session._session  # noqa: SLF001 - boto3 offers no other way to chain credentials
    fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
        client_creator=_sts_creator(base, settings),
        source_credentials=session.get_credentials(),
        role_arn=settings.role_arn,
        extra_args={"RoleSessionName": "lbctl"},
    )
    inner = _bare_session()
    inner._credentials = botocore.credentials.DeferredRefreshableCredentials(  # noqa: SLF001 - as above
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    return boto3.session.Session(botocore_session=inner, region_name=session.region_name)


def _sts_creator(base: Any, settings: AwsSettings) -> Callable[..., Any]:  # noqa: ANN401 - botocore has no types
    def create(service: str, **arguments: Any) -> Any:  # noqa: ANN401 - botocore has no types
        client = base.create_client(service, endpoint_url=settings.endpoints.get("sts"), **arguments)
        if settings.source_arn:
            client.meta.events.register("before-sign.sts.*", _source_headers(settings.source_arn))
        return client

    return create


def _source_headers(source_arn: str) -> Callable[..., None]:
    """Adds the headers that a role's trust policy may ask for against a confused deputy (CCM: SourceARN)."""
    account = source_arn.split(":")[4]

    def add(request: Any, **_: Any) -> None:  # noqa: ANN401 - botocore has no types
        request.headers["x-amz-source-arn"] = source_arn
        request.headers["x-amz-source-account"] = account

    return add


def _failure(call: str, error: Exception) -> Failure:
    if not isinstance(error, botocore.exceptions.ClientError):
        code = "NoCredentials" if isinstance(error, CREDENTIAL_ERRORS) else "ServiceUnavailable"
        if isinstance(error, botocore.exceptions.ParamValidationError):
            code = "ValidationError"
        url = str(error.kwargs.get("endpoint_url", "")) if isinstance(error, UNANSWERED) else ""
        return Failure(call, code, str(error), silence=Silence.of(error, url=url) if url else None)
    metadata = error.response.get("ResponseMetadata", {})
    return Failure(
        call,
        error.response.get("Error", {}).get("Code", "Unknown"),
        error.response.get("Error", {}).get("Message", ""),
        metadata.get("HTTPStatusCode", 0),
        metadata.get("RequestId", ""),
    )


# An answer that is no XML comes from something between us and AWS, and says nothing of what was done.
FAILURES = (
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
    botocore.parsers.ResponseParserError,
)
UNANSWERED = (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError)
CREDENTIAL_ERRORS = (botocore.exceptions.NoCredentialsError, botocore.exceptions.CredentialRetrievalError)


def _snake(operation: str) -> str:
    name: str = botocore.xform_name(operation)
    return name
