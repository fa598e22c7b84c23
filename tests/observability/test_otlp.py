"""Spans as bytes: held to what the installed package sends of the same."""

import contextlib

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
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

from observability.otlp import encoded

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
