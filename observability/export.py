"""A span exporter that counts its results."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from observability import metrics


class Counted(SpanExporter):
    """Passes spans to another exporter and counts the results."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        # At 0, so that the first failure is an increase.
        for result in ("ok", "failed"):
            metrics.SPAN_EXPORTS.labels(result)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        metrics.SPAN_EXPORTS.labels("ok" if result is SpanExportResult.SUCCESS else "failed").inc()
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
