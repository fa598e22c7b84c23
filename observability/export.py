"""Spans as they leave the process, counted."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from observability import metrics


class Counted(SpanExporter):
    """Passes spans on to another exporter, and counts how that went."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        # At 0, so that the first that fails is seen as an increase.
        for result in ("ok", "failed"):
            metrics.SPAN_EXPORTS.labels(result)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        result = self._exporter.export(spans)
        metrics.SPAN_EXPORTS.labels("ok" if result is SpanExportResult.SUCCESS else "failed").inc()
        return result

    def shutdown(self) -> None:
        """Close the other exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have the other exporter send what it holds."""
        return self._exporter.force_flush(timeout_millis)
