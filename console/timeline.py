"""A job's spans to scale along a time axis; `timeline.html` draws them as an SVG."""

from collections.abc import Sequence
from typing import NamedTuple

from console.templating import StateWord, Tone
from jobs.diagnosis.timeline import CONTEXT_AND_GPT4, PAUSE, PAUSE_AND_QUEUE, Timeline, TimelineSpan
from observability.formats import duration
from observability.tracing import QUEUE, SERVICEDESK_UPDATE, WEBHOOK, WORKER

_NARROWEST = 0.6
_MAX_TICKS = 4
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
# Of a longer job, the beginning and the end are drawn.
_FIRST, _LAST = 12, 28
_COLOURS = {
    QUEUE: "t-wait",
    PAUSE: "t-wait",
    PAUSE_AND_QUEUE: "t-wait",
    "GPT-4": "t-model",
    CONTEXT_AND_GPT4: "t-model",
    SERVICEDESK_UPDATE: "t-note",
}
_ENDS: dict[str, tuple[str, Tone]] = {"ok": ("ok", "ok"), "failed": ("failed", "bad"), "held": ("paused", "warn")}


class TimeBar(NamedTuple):
    """One span; `x` and `width` in percent of the axis."""

    span: TimelineSpan
    name: str
    css: str
    x: float
    width: float
    lasted: str
    ended: StateWord


class Picture(NamedTuple):
    """Complete picture: `ticks` are percents and labels, `left_out` omitted spans."""

    title: str
    bars: Sequence[TimeBar]
    ticks: Sequence[tuple[float, str]]
    left_out: int


def draw(line: Timeline) -> Picture:
    left_out = max(0, len(line.spans) - _FIRST - _LAST)
    spans = [*line.spans[:_FIRST], *line.spans[-_LAST:]] if left_out else line.spans
    seconds = max((line.end - line.start).total_seconds(), 0.001)
    return Picture(
        title=f"Timeline of the job, {_lasted(seconds)} {'so far' if line.goes_on else 'in total'}",
        bars=[_bar(span, line, 100 / seconds) for span in spans],
        ticks=_ticks(seconds),
        left_out=left_out,
    )


def _bar(span: TimelineSpan, line: Timeline, scale: float) -> TimeBar:
    seconds = ((span.end or line.end) - span.start).total_seconds()
    width = min(max(seconds * scale, _NARROWEST), 100)
    x = min((span.start - line.start).total_seconds() * scale, 100 - width)
    is_first = span.attempt <= 1 and span.name != WORKER
    name = span.name if span.level or is_first else f"{span.name}, attempt {span.attempt}"
    if span.end == span.start:
        lasted = "received" if span.name == WEBHOOK else "a moment"
    elif span.end is None:
        lasted = "just started" if seconds < 1 else f"{_lasted(seconds)} so far"
    else:
        lasted = _lasted(seconds)
    state = "held" if span.is_hold else span.state
    css = _COLOURS.get(span.name, "t-work") if state == "ok" else f"t-{state}"
    ended = StateWord(*_ENDS[state]) if span.end else StateWord("in progress", "info")
    return TimeBar(span, name, css, round(x, 2), round(width, 2), lasted, ended)


def _lasted(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else duration(seconds)


def _ticks(seconds: float) -> list[tuple[float, str]]:
    days = 86_400 * (int(seconds / 86_400 / _MAX_TICKS) + 1)
    step = next((step for step in _STEPS if seconds / step <= _MAX_TICKS), days)
    return [(round(at * 100 / seconds, 2), duration(at)) for at in range(0, int(seconds) + 1, step)]
