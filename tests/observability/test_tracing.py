"""Spans: files within size limits, export to a collector, and never in the way of a job."""

import io
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from observability.tracing import FOLDER_BYTES, FileExporter
from tests.kit.logs import lines_of

TEXTS = [f"gen_ai.{name}" for name in ("system_instructions", "input.messages", "output.messages")]
TEXTS += ["gen_ai.retrieval.documents"]
OK, FAILED = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


def made(**attributes: Any) -> Sequence[ReadableSpan]:
    """Return two spans: a parent and its failed child."""
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
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def test_a_line_is_a_span_as_the_sdk_writes_it(tmp_path: Path) -> None:
    spans = made(ticket_id="124", attempt=2)
    assert FileExporter(tmp_path, "ai-agents-worker").export(spans) is OK
    (path,) = files_of(tmp_path)
    assert path.name.startswith(f"ai-agents-worker-{os.getpid()}-")
    assert (path.name.endswith(".traces.jsonl"), path.stat().st_mode & 0o777) == (True, 0o600)
    assert spans_in(path) == [json.loads(span.to_json()) for span in spans]
    worker = spans_in(path)[2]
    own = spans[2].get_span_context()
    assert own is not None
    assert worker["context"]["trace_id"] == f"0x{own.trace_id:032x}"
    assert worker["attributes"] == {"ticket_id": "124", "attempt": 2}


def test_no_prompt_and_no_answer_is_in_a_file_whatever_a_collector_gets(tmp_path: Path) -> None:
    texts = dict.fromkeys(TEXTS, "Jordan's VPN drops")
    FileExporter(tmp_path, "ai-agents-worker").export(made(**texts, ticket_id="124"))
    (path,) = files_of(tmp_path)
    assert spans_in(path)[2]["attributes"] == {"ticket_id": "124"}
    assert "Jordan" not in path.read_text(encoding="utf-8")


def test_a_span_folder_is_limited_and_its_oldest_files_are_deleted(tmp_path: Path) -> None:
    others = tmp_path / "measurements.jsonl"
    others.write_text("{}\n")
    FileExporter(tmp_path, "ai-agents-api").export(made())
    worker = FileExporter(tmp_path, "ai-agents-worker")
    large = made(text="x" * 1_500_000)
    for _ in range(26):
        assert worker.export(large) is OK
    left = [path for path in files_of(tmp_path) if path != others]
    assert [path.read_bytes().count(b"Context") for path in left] == [3, 3, 3, 3, 3, 3, 2]
    assert sum(path.stat().st_size for path in left[:-1]) <= FOLDER_BYTES
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
    (line,) = lines_of(log)
    assert "Traces not written to files: " in line
    assert "error" not in line.lower()
    full.unlink()
    assert exporter.export(made()) is OK
    (path,) = files_of(folder)
    assert len(spans_in(path)) == 3
    if Path("/dev/full").exists():
        path.unlink()
        path.symlink_to("/dev/full")
        assert exporter.export(made()) is FAILED
        assert "No space left on device" in lines_of(log)[1]


def test_a_line_of_which_only_a_half_has_room_costs_no_other(tmp_path: Path) -> None:
    exporter, spans = FileExporter(tmp_path, "ai-agents-worker"), made()
    exporter.export(spans)
    (path,) = files_of(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size * 3 // 2, limits[1]))
    try:
        result = exporter.export(spans)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (result, exporter.export(spans)) == (FAILED, OK)
    lines = path.read_text(encoding="utf-8").splitlines()
    cut = [line for line in lines if line and not line.endswith("}")]
    assert (len(cut), sum(line.endswith("}") for line in lines) >= 6) == (1, True)


# More spans than the queue holds, and more batches than fit the time.
PROGRAM = """
from config.settings import set_library_defaults
set_library_defaults()
import json, time
from config.settings import LogSettings
from observability import metrics, tracing
from observability.logging import start_logging
start_logging(LogSettings())
traces = tracing.Tracing("ai-agents-worker")
began = time.monotonic()
for _ in range(5000):
    with tracing.span("Worker"):
        pass
made = time.monotonic()
traces.close()
failed = metrics.SPAN_EXPORTS.labels("failed").collect()[0].samples[0].value
print(json.dumps({"took": made - began, "made": made, "failed": failed}))
"""


@pytest.mark.parametrize("collector", ["refusing", "silent"])
def test_a_collector_that_takes_no_spans_costs_one_line_and_seconds_at_the_end(collector: str) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        port = deaf.getsockname()[1]
        if collector == "refusing":
            deaf.close()
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        program = [sys.executable, "-W", "error", "-c", PROGRAM]
        done = subprocess.run(program, env=kept | settings, capture_output=True, text=True, timeout=60, check=False)
        ended = time.monotonic()
    assert (done.returncode, done.stderr) == (0, "")
    line, shown_lines = done.stdout.splitlines()
    assert line.endswith("warning Trace export failing: the collector does not take spans")
    assert "error" not in line.lower()
    # An export gives up after 3 s, and none was waited for.
    times = json.loads(shown_lines)
    assert (times["took"] < 2, times["failed"] > 0, ended - times["made"] < 8) == (True, True, True), times
