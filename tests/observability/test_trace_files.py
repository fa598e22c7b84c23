"""Spans in files: lines of OTLP's JSON, within bounds, and never in the way of a job."""

import io
import json
import os
import resource
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from observability.trace_files import FileExporter
from tests.kit.logs import lines_of

TEXTS = ("gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages")
OK, FAILED = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


def made(**attributes: Any) -> Sequence[ReadableSpan]:
    """Two spans, of which one is the other's child and failed."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("tests")
    link = Link(SpanContext(0xAB, 0xCD, is_remote=True))
    with tracer.start_as_current_span("Worker", kind=SpanKind.CONSUMER, links=[link], attributes=attributes):
        tracer.start_span("Context").end()
        failed = tracer.start_span("GPT-4")
        failed.set_status(Status(StatusCode.ERROR, "GPT-4 timeout"))
        failed.end()
    return kept.get_finished_spans()


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def spans_in(path: Path) -> list[dict[str, Any]]:
    """Each span of each line, as any reader of such files finds it."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    scopes = [scope for line in lines for resource in line["resourceSpans"] for scope in resource["scopeSpans"]]
    return [span for scope in scopes for span in scope["spans"]]


def test_a_line_is_one_export_as_the_file_exporters_specification_says(tmp_path: Path) -> None:
    spans = made(ticket_id="124", attempt=2)
    assert FileExporter(tmp_path, "ai-agents-worker").export(spans) is OK
    (path,) = files_of(tmp_path)
    assert path.name.startswith(f"ai-agents-worker-{os.getpid()}-")
    assert (path.name.endswith(".traces.jsonl"), path.stat().st_mode & 0o777) == (True, 0o600)
    assert path.read_bytes().count(b"\n") == 1
    context, failed, worker = spans_in(path)
    own = spans[2].get_span_context()
    assert own is not None
    assert (worker["traceId"], worker["spanId"]) == (f"{own.trace_id:032x}", f"{own.span_id:016x}")
    assert (context["parentSpanId"], context["traceId"]) == (worker["spanId"], worker["traceId"])
    assert worker["startTimeUnixNano"] == str(spans[2].start_time)
    assert (worker["kind"], failed["status"]) == (5, {"message": "GPT-4 timeout", "code": 2})
    assert [(link["traceId"], link["spanId"]) for link in worker["links"]] == [(f"{0xAB:032x}", f"{0xCD:016x}")]
    assert worker["attributes"] == [
        {"key": "ticket_id", "value": {"stringValue": "124"}},
        {"key": "attempt", "value": {"intValue": "2"}},
    ]


def test_no_prompt_and_no_answer_is_in_a_file_whatever_a_collector_gets(tmp_path: Path) -> None:
    texts = dict.fromkeys(TEXTS, "Jordan's VPN drops")
    FileExporter(tmp_path, "ai-agents-worker").export(made(**texts, ticket_id="124"))
    (path,) = files_of(tmp_path)
    assert "Jordan" not in path.read_text(encoding="utf-8")
    assert [pair["key"] for pair in spans_in(path)[2]["attributes"]] == ["ticket_id"]


def test_a_folder_has_a_size_and_its_oldest_files_go_first(tmp_path: Path) -> None:
    """Whichever process they are of; a file that somebody else has put there stays."""
    others = tmp_path / "measurements.jsonl"
    others.write_text("{}\n")
    spans = made()
    FileExporter(tmp_path, "ai-agents-api").export(spans)
    line = max(path.stat().st_size for path in files_of(tmp_path))
    worker = FileExporter(tmp_path, "ai-agents-worker", file_bytes=2 * line, folder_bytes=5 * line)
    for _ in range(9):
        assert worker.export(spans) is OK
    left = [path for path in files_of(tmp_path) if path != others]
    assert [path.read_bytes().count(b"\n") for path in left] == [2, 2, 1]
    assert all(path.name.startswith("ai-agents-worker-") for path in left)
    assert others.exists()


def test_files_that_are_deleted_under_a_process_are_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "traces"
    exporter = FileExporter(folder, "ai-agents-worker")
    exporter.export(made())
    (path,) = files_of(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    path.unlink()
    assert exporter.export(made()) is OK
    assert len(spans_in(path)) == 3
    shutil.rmtree(folder)
    assert exporter.export(made()) is OK
    assert len(spans_in(path)) == 3


def test_what_cant_be_written_is_one_line_in_the_log(tmp_path: Path, start_log: Callable[[], io.StringIO]) -> None:
    log = start_log()
    full, folder = tmp_path / "full", tmp_path / "full" / "traces"
    full.write_text("no folder")
    exporter = FileExporter(folder, "ai-agents-worker")
    assert [exporter.export(made()) for _ in range(3)] == [FAILED] * 3
    assert len(lines_of(log)) == 1
    assert "Traces not kept in files: " in lines_of(log)[0]
    assert "error" not in lines_of(log)[0].lower()
    full.unlink()
    assert exporter.export(made()) is OK
    (path,) = files_of(folder)
    assert len(spans_in(path)) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_spans_alone(tmp_path: Path, start_log: Callable[[], io.StringIO]) -> None:
    log = start_log()
    exporter = FileExporter(tmp_path, "ai-agents-worker")
    exporter.export(made())
    (path,) = files_of(tmp_path)
    path.unlink()
    path.symlink_to("/dev/full")
    assert exporter.export(made()) is FAILED
    assert "No space left on device" in lines_of(log)[0]


def test_a_line_of_which_only_a_half_has_room_is_not_there(tmp_path: Path) -> None:
    """Nor does the next one stand behind half of one."""
    exporter, spans = FileExporter(tmp_path, "ai-agents-worker"), made()
    exporter.export(spans)
    (path,) = files_of(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size * 3 // 2, limits[1]))
    try:
        result = exporter.export(spans)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (result, exporter.export(spans), len(spans_in(path))) == (FAILED, OK, 6)
