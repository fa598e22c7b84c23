"""Spans as bytes: held to what the installed package sends of the same."""

import contextlib
import gc
import tracemalloc

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from observability import metrics
from observability.export import Counted
from observability.otlp import QuickExporter, encoded

REMOTE = SpanContext(2**127 + 1, 2**63 + 1, is_remote=True, trace_flags=TraceFlags(1))
STATED = SpanContext(7, 7, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")]))


@pytest.fixture
def made() -> list[ReadableSpan]:
    """Spans of each kind, with what an ordinary one may have."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "ai-agents-api", "host.name": "a"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("ai-agents", "1.0")
    for kind in SpanKind:
        with tracer.start_as_current_span("Webhook", kind=kind, attributes={"ticket_id": "12345", "nothing": ""}):
            tracer.start_span("HTTP €", attributes={"status": 202, "zero": 0, "largest": 2**63 - 1}).end()
    remote = set_span_in_context(NonRecordingSpan(REMOTE))
    tracer.start_span("x" * 128, context=remote, attributes={"text": "é" * 20_000}).end()
    tracer.start_span("without attributes").end()
    return list(kept.get_finished_spans())


def of_the_package(spans: list[ReadableSpan]) -> bytes:
    return encode_spans(spans).SerializeToString()


def test_an_ordinary_span_has_the_packages_own_bytes(made: list[ReadableSpan]) -> None:
    assert encoded(made) == of_the_package(made)
    for span in made:
        assert encoded([span]) == of_the_package([span])


def one_span(
    name: str, limits: SpanLimits | None = None, links: list[Link] | None = None, text: str = ""
) -> list[ReadableSpan]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.get_tracer("ai-agents").start_span(name, links=links, attributes={"text": text}).end()
    return list(kept.get_finished_spans())


def other_spans() -> list[ReadableSpan]:
    """What the package encodes: a span of each thing that an ordinary one has not."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=8))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("ai-agents")
    for value in (True, -1, 0.5, 2**63 - 1.0, ("a", "b"), b"bytes", {"a": 1}, "\ud800"):
        tracer.start_span("of another value", attributes={"value": value, "text": "1"}).end()
    tracer.start_span("of too many", attributes={str(number): number for number in range(9)}).end()
    tracer.start_span("with a link", links=[Link(REMOTE)]).end()
    tracer.start_span("with a state", context=set_span_in_context(NonRecordingSpan(STATED))).end()
    with contextlib.suppress(KeyError), tracer.start_as_current_span("failed"):
        raise KeyError
    provider.get_tracer("of a library").start_span("elsewhere").end()
    return list(kept.get_finished_spans())


def test_one_that_is_not_is_encoded_by_the_package(made: list[ReadableSpan]) -> None:
    others = other_spans()
    assert encoded(others) == of_the_package(others)
    found, meant = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    found.ParseFromString(encoded([*made, *others]))
    meant.ParseFromString(of_the_package(others) + of_the_package(made))
    assert found == meant


def test_links_that_a_limit_left_out_are_counted() -> None:
    spans = one_span("without its link", SpanLimits(max_links=0), [Link(REMOTE)])
    assert spans[0].dropped_links == 1
    assert encoded(spans) == of_the_package(spans)


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        (one_span("of no text: \ud800"), "Failed to encode"),
        (one_span("of much text", text="a" * 200), "exceeds max_request_size"),
    ],
)
def test_what_cannot_be_sent_is_told_as_the_package_tells_it_and_counted(
    spans: list[ReadableSpan], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = Counted(QuickExporter(endpoint="http://127.0.0.1:9/v1/traces", timeout=0.1, max_request_size=200))
    failed = metrics.SPAN_EXPORTS.labels("failed")
    before = failed._value.get()
    assert exporter.export(spans) is SpanExportResult.FAILURE
    assert failed._value.get() == before + 1
    assert why in caplog.text


def test_prompts_are_not_kept() -> None:
    def encode_each() -> None:
        for number in range(100):
            encoded(one_span("GPT-4", text=f"{number} " * 10_000))

    encoded(one_span("GPT-4"))
    tracemalloc.start()
    try:
        encode_each()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
