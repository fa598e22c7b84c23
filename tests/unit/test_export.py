"""Spans as they leave the process: no message of a library, since Postgres quotes rows in its own."""

from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode, Tracer

from observability import metrics
from observability.export import WithoutMessages

SECRET = "Key (subject)=(text of a person) already exists"


class Tracing:
    """A provider whose spans are looked at where they leave."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(WithoutMessages(self._exporter)))

    def tracer(self, name: str) -> Tracer:
        return self.provider.get_tracer(name)

    @property
    def span(self) -> ReadableSpan:
        (only,) = self._exporter.get_finished_spans()
        return only


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    made = Tracing()
    yield made
    made.provider.shutdown()


@pytest.mark.parametrize("library", ["sqlalchemy", "httpx"])
def test_a_librarys_failed_span_keeps_its_type_and_loses_its_message(library: str, tracing: Tracing) -> None:
    with tracing.tracer(f"opentelemetry.instrumentation.{library}").start_as_current_span("INSERT") as span:
        span.set_attribute("ticket_id", "12345")
        span.record_exception(ValueError(SECRET))
        span.set_status(Status(StatusCode.ERROR, SECRET))
    assert SECRET not in tracing.span.to_json()
    assert tracing.span.status.status_code is StatusCode.ERROR
    assert tracing.span.attributes == {"ticket_id": "12345"}
    (event,) = tracing.span.events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "ValueError"


def test_a_span_of_our_own_passes_with_our_own_words(tracing: Tracing) -> None:
    with tracing.tracer("ai-agents").start_as_current_span("GPT-4") as span:
        span.set_status(Status(StatusCode.ERROR, "GPT-4 timeout"))
    assert tracing.span.status.description == "GPT-4 timeout"


def test_a_librarys_span_that_went_well_passes(tracing: Tracing) -> None:
    with tracing.tracer("opentelemetry.instrumentation.httpx").start_as_current_span("GET"):
        pass
    assert (tracing.span.name, tracing.span.status.status_code) == ("GET", StatusCode.UNSET)


@pytest.mark.parametrize(("result", "told"), [(SpanExportResult.SUCCESS, "ok"), (SpanExportResult.FAILURE, "failed")])
def test_how_each_export_went_is_counted(result: SpanExportResult, told: str) -> None:
    class Collector(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
            return result

    count = metrics.SPAN_EXPORTS.labels(told)
    before = count._value.get()
    assert WithoutMessages(Collector()).export([]) is result
    assert count._value.get() == before + 1
