"""Spans for whoever collects them: one a piece of work, one a cloud call inside of it.

On when OpenTelemetry's SDK is installed (`pip install 'lbctl[tracing]'`) and its environment names a collector; else
everything here does nothing. The SDK is loaded only then.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import datetime as dt

    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
NAME = "lbctl"
NANOSECONDS = 1_000_000_000
FAILED_STATUS = 400


class Tracing(Protocol):
    """Where spans go."""

    def span(self, name: str, fields: Mapping[str, str]) -> AbstractContextManager[None]:
        """A span around a block; calls that end in it are its children."""

    def call(self, provider: str, operation: str, code: str, *, ended: dt.datetime, seconds: float) -> None:
        """A span for a cloud call that has just ended."""

    def close(self) -> None:
        """Send what is left."""


class NoTracing:
    """Nowhere."""

    def span(self, name: str, fields: Mapping[str, str]) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's
        """Nothing around the block."""
        return nullcontext()

    def call(self, provider: str, operation: str, code: str, *, ended: dt.datetime, seconds: float) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Spans:
    """To a provider of OpenTelemetry."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(NAME)

    @contextmanager
    def span(self, name: str, fields: Mapping[str, str]) -> Iterator[None]:
        """A span around a block; an exception in it marks it as failed."""
        attributes = {f"{NAME}.{key}": value for key, value in fields.items() if value}
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield

    def call(self, provider: str, operation: str, code: str, *, ended: dt.datetime, seconds: float) -> None:
        """A child of the present span, from its beginning to its end."""
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 - only with the SDK there

        end = int(ended.timestamp() * NANOSECONDS)
        attributes = {f"{NAME}.provider": provider, f"{NAME}.operation": operation, f"{NAME}.code": code}
        begin = end - int(seconds * NANOSECONDS)
        span = self._tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes, start_time=begin)
        if _is_failure(code):
            span.set_status(Status(StatusCode.ERROR, code))
        span.end(end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def find_tracing(environ: Mapping[str, str], *, version: str) -> Tracing:
    """Spans when the SDK is here and a collector is named, in the way of every OpenTelemetry program."""
    wanted = any(environ.get(name) for name in ENDPOINTS) and environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
    if not wanted or importlib.util.find_spec("opentelemetry.sdk") is None:
        return NoTracing()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - optional
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - optional
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - optional
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - optional

    provider = TracerProvider(resource=Resource.create({"service.name": NAME, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider)


def _is_failure(code: str) -> bool:
    """Drivers report HTTP's status, a word for success, or a word for what went wrong."""
    if code.isdigit():
        return not 0 < int(code) < FAILED_STATUS
    return code not in ("", "ok")
