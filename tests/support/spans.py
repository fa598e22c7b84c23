"""Span files as processes write them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TRACE, OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c", "ab" * 16
JOB, OTHER_JOB = "01936b2e-7c1a-7000-8000-0123456789ab", "01936b2e-7c1a-7000-8000-0123456789ac"
BEGAN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def span(
    name: str, number: int, parent: int, start: float, end: float, trace: str = TRACE, **more: Any
) -> dict[str, Any]:
    """Return a span in the form of `ReadableSpan.to_json`; times in seconds."""
    tags = {"ticket_id": "124", "tenant_id": "acme", "job_id": JOB} | more.get("tags", {})
    failed = {"status_code": "ERROR", "description": more.get("raised")}
    return {
        "name": name,
        "context": {"trace_id": f"0x{trace}", "span_id": f"0x{number:016x}", "trace_state": "[]"},
        "parent_id": f"0x{parent:016x}" if parent else None,
        "start_time": _written(start),
        "end_time": _written(end),
        "status": failed if "raised" in more else {"status_code": "UNSET"},
        "attributes": {name: value for name, value in tags.items() if value is not None},
        "events": [],
        "links": [{"context": {"trace_id": f"0x{more['link']}"}}] if "link" in more else [],
    }


def _written(seconds: float) -> str:
    return f"{BEGAN + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"


def line(process: str, *spans: Mapping[str, Any]) -> str:
    resource = {"attributes": {"service.name": process}, "schema_url": ""}
    return "".join("\n" + json.dumps({**one, "resource": resource}) for one in spans)


def kept(folder: Path, **lines: str) -> Path:
    """Write one file of these lines per process."""
    for name, text in lines.items():
        (folder / f"ai-agents-{name}.traces.jsonl").write_text(text, encoding="utf-8")
    return folder


WEBHOOK = span("Webhook", 1, 0, 0, 0.006, link=OTHER_TRACE)
QUEUE = span("Queue", 2, 1, 0.004, 2)
FIRST = span("Worker", 3, 1, 2, 12, tags={"attempt": 1}, raised="GPT-4 timeout; will be retried in 2s")
CONTEXT = span("Context", 4, 3, 2, 3)
TIMED_OUT = span("GPT-4", 5, 3, 3, 12, raised="GPT-4 timeout")
SECOND = span("Worker", 6, 1, 14, 20, tags={"attempt": 2, "outcome": "completed"})
ANSWERED = span("GPT-4", 7, 6, 14, 19)
STORY = {"api": line("ai-agents-api", WEBHOOK), "worker": line("ai-agents-worker", QUEUE, CONTEXT, TIMED_OUT, FIRST)}
STORY["worker"] += line("ai-agents-worker", ANSWERED, SECOND)
