"""Spans as they leave the process."""

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from observability import metrics
from observability.export import Counted


@pytest.mark.parametrize(("result", "told"), [(SpanExportResult.SUCCESS, "ok"), (SpanExportResult.FAILURE, "failed")])
def test_how_each_export_went_is_counted(result: SpanExportResult, told: str) -> None:
    class Exporter(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
            return result

    count = metrics.SPAN_EXPORTS.labels(told)
    before = count._value.get()
    assert Counted(Exporter()).export([]) is result
    assert count._value.get() == before + 1
