"""Files of spans, as processes leave them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TRACE, OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c", "ab" * 16
JOB, OTHER_JOB = "01936b2e-7c1a-7000-8000-0123456789ab", "01936b2e-7c1a-7000-8000-0123456789ac"
BEGAN = 1_772_357_400_000_000_000
"""2026-03-01 09:30:00 UTC, in nanoseconds."""


def span(
    name: str, number: int, parent: int, start: float, end: float, trace: str = TRACE, **more: Any
) -> dict[str, Any]:
    """A span as OTLP's JSON has it; times in seconds, `tags` and `raised` (an exception's message) beside the ids."""
    tags = {"ticket_id": "124", "tenant_id": "acme", "job_id": JOB} | more.get("tags", {})
    told: dict[str, Any] = {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "name": name,
        "startTimeUnixNano": str(BEGAN + round(start * 1e9)),
        "endTimeUnixNano": str(BEGAN + round(end * 1e9)),
        "attributes": [_pair(key, value) for key, value in tags.items() if value is not None],
        "status": {},
    }
    if parent:
        told["parentSpanId"] = f"{parent:016x}"
    if "raised" in more:
        told["status"] = {"code": 2, "message": more["raised"]}
        told["events"] = [{"name": "exception", "attributes": [_pair("exception.message", more["raised"])]}]
    if "link" in more:
        told["links"] = [{"traceId": more["link"], "spanId": "cd" * 8}]
    return told


def _pair(key: str, value: str | int) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def line(process: str, *spans: Mapping[str, Any]) -> str:
    """One export of a process."""
    resource = {"attributes": [_pair("service.name", process)]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}) + "\n"


def kept(folder: Path, **lines: str) -> Path:
    """A folder with a file of these lines for each process."""
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
