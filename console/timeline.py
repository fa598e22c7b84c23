"""A job's spans to scale along a time axis; `timeline.html` draws them as an SVG."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from console.templating import StateWord, Tone
from jobs.diagnosis.timeline import CONTEXT_AND_GPT4, PAUSE, PAUSE_AND_QUEUE, Timeline, TimelineSpan
from observability.formats import duration
from observability.tracing import QUEUE, SERVICEDESK_UPDATE, WEBHOOK, WORKER

_NARROWEST = 2.0
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_FIRST, _LAST = 12, 28
"""Of a longer story the beginning and the end are drawn."""
_PARTS = {
    QUEUE: "t-wait",
    PAUSE: "t-wait",
    PAUSE_AND_QUEUE: "t-wait",
    "GPT-4": "t-model",
    CONTEXT_AND_GPT4: "t-model",
    SERVICEDESK_UPDATE: "t-note",
}
_HELD_WORDS = "held back: "
_HELD_NAMES = {PAUSE: "Held back", PAUSE_AND_QUEUE: "Held back and Queue"}
"""Of a pause that no failure made: it is the longest of a story, and has to say what it is."""
_TONES: dict[str, Tone] = {"ok": "ok", "failed": "bad", "held": "warn"}


class Shape(NamedTuple):
    """Dimensions of a picture: margins beside the bars, and heights of `row` and `bar`.

    Without `beside` a span's name is above its bar, and its duration at the right edge.
    """

    width: float
    left: float
    right: float
    row: float
    bar: float
    most_ticks: int
    beside: bool


WIDE = Shape(width=760, left=190, right=110, row=26, bar=14, most_ticks=6, beside=True)
NARROW = Shape(width=320, left=12, right=26, row=38, bar=12, most_ticks=4, beside=False)
"""For a phone, where a wide one would have its end out of sight, or letters that nobody can read."""


class TimeBar(NamedTuple):
    """One span with its place on the axis, in the picture's units."""

    span: TimelineSpan
    name: str
    css: str
    x: float
    width: float
    lasted: str
    ended: StateWord


class Picture(NamedTuple):
    """A complete picture. `ticks` are x and label, `left_out` is the number of omitted spans."""

    shape: Shape
    title: str
    bars: Sequence[TimeBar]
    ticks: Sequence[tuple[float, str]]
    left_out: int


def draw(line: Timeline, shape: Shape = WIDE) -> Picture:
    spans = _with_holds(line.spans)
    left_out = max(0, len(spans) - _FIRST - _LAST)
    shown = [*spans[:_FIRST], *spans[-_LAST:]] if left_out else spans
    seconds = max((line.end - line.start).total_seconds(), 0.001)
    scale = (shape.width - shape.left - shape.right) / seconds
    return Picture(
        shape,
        title=f"What happened to the job, {_lasted(seconds)} {'so far' if line.goes_on else 'in all'}",
        bars=[_bar(span, line, shape, scale) for span in shown],
        ticks=_ticks(seconds, shape, scale),
        left_out=left_out,
    )


def _with_holds(spans: Sequence[TimelineSpan]) -> list[TimelineSpan]:
    told: list[TimelineSpan] = []
    held = ""
    for span in spans:
        if span.name == WORKER:
            held = span.words.removeprefix(_HELD_WORDS) if span.words.startswith(_HELD_WORDS) else ""
        is_held = bool(held) and span.name in _HELD_NAMES
        told.append(replace(span, name=_HELD_NAMES[span.name], state="held", words=held) if is_held else span)
    return told


def _bar(span: TimelineSpan, line: Timeline, shape: Shape, scale: float) -> TimeBar:
    seconds = ((span.end or line.end) - span.start).total_seconds()
    x = shape.left + (span.start - line.start).total_seconds() * scale
    width = min(max(seconds * scale, _NARROWEST), shape.width - shape.right - x + _NARROWEST)
    is_first = span.attempt <= 1 and span.name != WORKER
    name = span.name if span.level or is_first else f"{span.name}, attempt {span.attempt}"
    if span.end == span.start:
        lasted = "received" if span.name == WEBHOOK else "a moment"
    elif span.end is None:
        lasted = "just begun" if seconds < 1 else f"{_lasted(seconds)} so far"
    else:
        lasted = _lasted(seconds)
    css = _PARTS.get(span.name, "t-work") if span.state == "ok" else f"t-{span.state}"
    ended = StateWord(span.state, _TONES[span.state]) if span.end else StateWord("goes on", "info")
    return TimeBar(span, name, css, round(x, 1), round(width, 1), lasted, ended)


def _lasted(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else duration(seconds)


def _ticks(seconds: float, shape: Shape, scale: float) -> list[tuple[float, str]]:
    if seconds < 1:
        return [(shape.left, "0s")]
    days = 86_400 * (int(seconds / 86_400 / shape.most_ticks) + 1)
    step = next((step for step in _STEPS if seconds / step <= shape.most_ticks), days)
    return [(round(shape.left + at * scale, 1), duration(at)) for at in range(0, int(seconds) + 1, step)]
