"""The lines of a tree: of the spans of a trace, or of what a job's events tell."""

from collections import defaultdict

from observability.tracing import WORKER
from support.timeline import Timeline
from support.trace.drawing import DrawnSpan
from support.trace.reading import KeptSpan, KeptTrace

ORPHAN = "its parent has not ended, or is not kept"


def of_trace(trace: KeptTrace) -> list[DrawnSpan]:
    """Return each span below its parent, in the order of their starts; one without its parent stands at the left."""
    known = {span.span_id for span in trace.spans}
    below: dict[str, list[KeptSpan]] = defaultdict(list)
    for span in trace.spans:
        below[span.parent_id if span.parent_id in known - {span.span_id} else ""].append(span)
    lines: list[DrawnSpan] = []
    left = [(0, span) for span in reversed(below.pop("", []))]
    while left:
        depth, span = left.pop()
        lines.append(_of_span(depth, span))
        left += [(depth + 1, child) for child in reversed(below.pop(span.span_id, []))]
    # What is left are circles: no process of ours makes one.
    return lines + [_of_span(0, span) for circle in below.values() for span in circle]


def may_go_on(trace: KeptTrace) -> bool:
    """Return True if nothing tells how the job's last attempt has ended: spans that go on are not kept."""
    known = {span.span_id for span in trace.spans}
    telling = [span for span in trace.spans if _has_outcome(span) or (span.parent_id and span.parent_id not in known)]
    return not telling or not _has_outcome(telling[-1])


def _has_outcome(span: KeptSpan) -> bool:
    return span.name == WORKER or "outcome" in span.tags


def _of_span(depth: int, span: KeptSpan) -> DrawnSpan:
    notes = [ORPHAN] if depth == 0 and span.parent_id else []
    if span.failed and span.words:
        notes.append(f"exception.message={span.words}")
    if "outcome" in span.tags:
        notes.append(f"outcome={span.tags['outcome']}")
    notes += [f"link to trace {link}" for link in span.links]
    name = f"{span.name} (attempt {span.tags['attempt']})" if "attempt" in span.tags else span.name
    return DrawnSpan(depth, name, span.start, span.end, "failed" if span.failed else "ok", notes, span.process)


def of_timeline(told: Timeline) -> list[DrawnSpan]:
    """Return the same of a job's events: below what it began with, as in a trace."""
    lines = []
    for place, span in enumerate(told.spans):
        by = "exception.message=" if span.state == "failed" else "outcome=" if span.name == WORKER else ""
        name = f"{span.name} (attempt {span.attempt})" if span.name == WORKER else span.name
        notes = [f"{by}{span.words}"] if span.words else []
        lines.append(DrawnSpan(span.level + (place > 0), name, span.start, span.end, span.state, notes))
    return lines
