"""Reading spans from files of OTLP's JSON, a line an export: ours (`TRACES_DIR`), or those of a collector."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from support.diagnose.choosing import AskedAbout

_TICKET_NUMBERS = ("ticket_id", "desk_id", "display_id")
_FAILED = 2
# Links name traces too; what only they name is sorted out behind.
_TRACE_ID = re.compile(rb'"traceId"\s*:\s*"([^"]*)"')


@dataclass(frozen=True, slots=True)
class KeptSpan:
    """One span. `words`: what a failed one says; `links`: traces that it names beside its own."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    process: str
    start: datetime
    end: datetime
    failed: bool
    words: str
    tags: Mapping[str, Any] = field(default_factory=dict)
    links: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class KeptTrace:
    """The spans of one trace, oldest first."""

    trace_id: str
    spans: Sequence[KeptSpan]

    def tag(self, name: str) -> str:
        """Return what the spans are tagged with by that name; empty if none is."""
        return next((str(span.tags[name]) for span in self.spans if name in span.tags), "")

    def has(self, name: str) -> bool:
        """Return True if there is a span of that name."""
        return any(span.name == name for span in self.spans)


def find(place: Path, asked: AskedAbout) -> list[KeptTrace]:
    """Return the traces of a ticket or a job, newest first, out of a file or the files of a folder.

    Lines that are no spans are passed over: a process that was killed leaves half of one. A span that is there twice is
    one. Raises OSError, for a file of a folder only where the others have nothing.
    """
    failures: list[OSError] = []
    sought = f'"{asked.job_id or asked.ticket_id}"'.encode()
    about = (span for span in _spans(place, lambda line: sought in line, failures) if _is_about(span, asked))
    ids = {span.trace_id.encode(): span.trace_id for span in about}

    def is_wanted(line: bytes) -> bool:
        return any(found.lower() in ids for found in _TRACE_ID.findall(line))

    kept = {
        (span.trace_id, span.span_id): span
        for span in (_spans(place, is_wanted, failures) if ids else ())
        if span.trace_id.encode() in ids
    }
    if failures and not kept:
        raise failures[0]
    by_trace = groupby(sorted(kept.values(), key=_order), key=attrgetter("trace_id"))
    traces = [KeptTrace(trace_id, list(spans)) for trace_id, spans in by_trace]
    return sorted(traces, key=lambda trace: trace.spans[0].start, reverse=True)


def _order(span: KeptSpan) -> tuple[str, datetime, timedelta]:
    # What begins together: the whole before its part.
    return span.trace_id, span.start, span.start - span.end


def _is_about(span: KeptSpan, asked: AskedAbout) -> bool:
    if asked.tenant_id not in (None, span.tags.get("tenant_id")):
        return False
    if asked.job_id is not None:
        return bool(span.tags.get("job_id") == str(asked.job_id))
    return any(span.tags.get(name) == asked.ticket_id for name in _TICKET_NUMBERS)


def _spans(place: Path, is_wanted: Callable[[bytes], bool], failures: list[OSError]) -> Iterator[KeptSpan]:
    """Yield the spans of lines that are wanted, since most need not be read as JSON."""
    for path in _files(place):
        try:
            with path.open("rb") as lines:
                for line in lines:
                    if is_wanted(line):
                        yield from _of_line(line)
        except OSError as failure:
            if path == place:
                raise
            # The oldest may be deleted meanwhile.
            if not isinstance(failure, FileNotFoundError):
                failures.append(failure)


def _files(place: Path) -> list[Path]:
    """Return the file, or those of the folder; one that may not be listed is no empty one."""
    if not place.is_dir():
        return [place]
    return sorted(path for path in place.iterdir() if path.suffix == ".jsonl" and path.is_file())


def _of_line(line: bytes) -> Iterator[KeptSpan]:
    try:
        told = json.loads(line)
        for resource in told["resourceSpans"]:
            process = str(_values(resource.get("resource", {})).get("service.name", ""))
            for scope in resource.get("scopeSpans", ()):
                yield from [_span(span, process) for span in scope.get("spans", ())]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError):
        return


def _span(told: Mapping[str, Any], process: str) -> KeptSpan:
    tags, status = _values(told), told.get("status", {})
    failed = status.get("code") == _FAILED
    raised = [_values(event) for event in told.get("events", ()) if event.get("name") == "exception"]
    said = [str(event["exception.message"]) for event in raised if "exception.message" in event]
    return KeptSpan(
        trace_id=str(told["traceId"]).lower(),
        span_id=str(told["spanId"]).lower(),
        parent_id=str(told.get("parentSpanId", "")).lower(),
        name=str(told["name"]),
        process=process,
        start=_moment(told["startTimeUnixNano"]),
        end=_moment(told["endTimeUnixNano"]),
        failed=failed,
        words=(said or [str(status.get("message") or tags.get("error.type", ""))])[-1] if failed else "",
        tags=tags,
        links=[str(link["traceId"]).lower() for link in told.get("links", ())],
    )


def _moment(nanoseconds: str | int) -> datetime:
    return datetime.fromtimestamp(int(nanoseconds) / 1_000_000_000, UTC)


def _values(holder: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes by name; of lists and the like only that they are there."""
    return {str(pair["key"]): next(iter(pair["value"].values()), None) for pair in holder.get("attributes", ())}
