"""Spans as they may leave the process: without what a library wrote into them about a failure.

The instrumentations put a library's message into the status of a failed span, and Postgres quotes rows in its
messages. Types stay; our own spans have our own words and pass as they are.
"""

from collections.abc import Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from observability import metrics

_LIBRARIES = "opentelemetry.instrumentation"
_MESSAGES = ("exception.message", "exception.stacktrace")


class WithoutMessages(SpanExporter):
    """Passes spans on to another exporter, those of libraries without their messages."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans, and count how that went."""
        result = self._exporter.export([_clean(span) for span in spans])
        metrics.SPAN_EXPORTS.labels("ok" if result is SpanExportResult.SUCCESS else "failed").inc()
        return result

    def shutdown(self) -> None:
        """Close the other exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have the other exporter send what it holds."""
        return self._exporter.force_flush(timeout_millis)


def _clean(span: ReadableSpan) -> ReadableSpan:
    scope = span.instrumentation_scope
    has_text = span.status.description or span.events
    if scope is None or not scope.name.startswith(_LIBRARIES) or not has_text:
        return span
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=[_without_text(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=scope,
    )


def _without_text(event: Event) -> Event:
    kept = {name: value for name, value in (event.attributes or {}).items() if name not in _MESSAGES}
    return Event(event.name, kept, event.timestamp)
