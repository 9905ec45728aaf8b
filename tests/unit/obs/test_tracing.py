"""Spans, with OpenTelemetry's own SDK and an exporter that keeps them in memory."""

from __future__ import annotations

import datetime as dt

import pytest

from lbctl.obs.tracing import NoTracing, Spans, find_tracing

trace = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra `tracing` is not installed")
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def kept():
    """Where finished spans are kept, and the tracing that fills it."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Spans(provider)
    yield exporter, tracing
    tracing.close()


def test_a_cloud_call_is_a_child_of_its_piece_of_work(kept):
    """One span a reconcile, one a call in it, with their times and what they are about."""
    exporter, tracing = kept
    with tracing.span("reconcile", {"service": "shop/web", "scope": ""}):
        tracing.call("aws", "elbv2.CreateListener", "", ended=NOON, seconds=2)
    call, work = exporter.get_finished_spans()
    assert call.parent.span_id == work.context.span_id
    assert dict(work.attributes) == {"lbctl.service": "shop/web"}
    assert call.attributes["lbctl.operation"] == "elbv2.CreateListener"
    assert call.end_time == int(NOON.timestamp()) * 10**9
    assert call.end_time - call.start_time == 2 * 10**9


@pytest.mark.parametrize(
    ("code", "ok"), [("", True), ("ok", True), ("204", True), ("404", False), ("0", False), ("Throttling", False)]
)
def test_a_call_that_failed_is_marked(kept, code, ok):
    """HTTP's status, a word for success, or a word for what went wrong."""
    exporter, tracing = kept
    tracing.call("any", "call", code, ended=NOON, seconds=1)
    (call,) = exporter.get_finished_spans()
    assert call.status.is_ok is ok or call.status.is_unset is ok


def test_work_that_raises_is_marked_and_still_raises(kept):
    """The span never swallows anything."""
    exporter, tracing = kept
    with pytest.raises(KeyError), tracing.span("reconcile", {}):
        raise KeyError("x")
    (work,) = exporter.get_finished_spans()
    assert not work.status.is_ok


def test_traces_are_off_unless_a_collector_is_named():
    """In the way of every OpenTelemetry program: its own variables decide."""
    assert isinstance(find_tracing({}, version="1"), NoTracing)
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert isinstance(find_tracing({**there, "OTEL_SDK_DISABLED": "true"}, version="1"), NoTracing)
    found = find_tracing(there, version="1")
    assert isinstance(found, Spans)
    found.close()
