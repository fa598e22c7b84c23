"""Geometry of a job's spans as an SVG to scale; a template renders it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from observability.tracing import QUEUE, SERVICEDESK_UPDATE, WEBHOOK, WORKER
from support.console.figures.wording import StateWord, Tone
from support.tables import duration
from support.timeline import CONTEXT_AND_GPT4, PAUSE, PAUSE_AND_QUEUE, Timeline, TimelineSpan

_TOP = 26
_NARROWEST = 2.0


class Shape(NamedTuple):
    """Dimensions of a picture; `row` and `bar` are heights.

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


@dataclass(frozen=True, slots=True)
class TimeBar:
    """One span with name, bar and duration, in the picture's units."""

    span: TimelineSpan
    name: str
    name_x: float
    text_y: float
    css: str
    x: float
    y: float
    width: float
    lasted: str
    lasted_x: float

    @property
    def title(self) -> str:
        return f"{self.name}, {self.lasted}" + (f": {self.span.words}" if self.span.words else "")

    @property
    def ended(self) -> StateWord:
        span = self.span
        return StateWord(span.state, _TONES[span.state]) if span.end else StateWord("goes on", "info")


class Tick(NamedTuple):
    """A label on the time axis, relative to the beginning."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A complete picture. `left_out` is the number of omitted spans."""

    shape: Shape
    height: float
    title: str
    description: str
    bars: Sequence[TimeBar]
    ticks: Sequence[Tick]
    left_out: int
    axis_y: float = _TOP


def draw(line: Timeline, shape: Shape = WIDE) -> Picture:
    spans, left_out = _shown(_with_holds(line.spans))
    seconds = max((line.end - line.start).total_seconds(), 0.001)
    scale = (shape.width - shape.left - shape.right) / seconds
    bars = [_bar(span, number, line, shape, scale) for number, span in enumerate(spans)]
    steps = ", ".join(f"{bar.name} {bar.lasted}" for bar in bars)
    return Picture(
        shape=shape,
        height=_TOP + len(bars) * shape.row + 10,
        title=f"What happened to the job, {_lasted(seconds)} {'so far' if line.goes_on else 'in all'}",
        description=f"In this order: {steps}. The table below says the same.",
        bars=bars,
        ticks=_ticks(seconds, shape, scale),
        left_out=left_out,
    )


def _with_holds(spans: Sequence[TimelineSpan]) -> list[TimelineSpan]:
    """Distinguish the time that a job was held from a pause before a retry."""
    told: list[TimelineSpan] = []
    held = ""
    for span in spans:
        if span.name == WORKER:
            held = span.words.removeprefix(_HELD_WORDS) if span.words.startswith(_HELD_WORDS) else ""
        is_held = bool(held) and span.name in _HELD_NAMES
        told.append(replace(span, name=_HELD_NAMES[span.name], state="held", words=held) if is_held else span)
    return told


def _shown(spans: Sequence[TimelineSpan]) -> tuple[Sequence[TimelineSpan], int]:
    left_out = max(0, len(spans) - _FIRST - _LAST)
    return (spans, 0) if not left_out else ([*spans[:_FIRST], *spans[-_LAST:]], left_out)


def _bar(span: TimelineSpan, number: int, line: Timeline, shape: Shape, scale: float) -> TimeBar:
    top = _TOP + number * shape.row
    y = top + (shape.row - shape.bar) / 2 if shape.beside else top + shape.row - shape.bar - 6
    x = shape.left + (span.start - line.start).total_seconds() * scale
    width = min(max(_seconds(span, line) * scale, _NARROWEST), shape.width - shape.right - x + _NARROWEST)
    name = _name(span)
    lasted = _lasted_of(span, line)
    return TimeBar(
        span=span,
        name=name,
        name_x=4 + span.level * 14,
        text_y=round(y + shape.bar - 3 if shape.beside else y - 4, 1),
        css=_css(span),
        x=round(x, 1),
        y=round(y, 1),
        width=round(width, 1),
        lasted=lasted,
        lasted_x=round(x + width + 5, 1) if shape.beside else shape.width - 4,
    )


def _css(span: TimelineSpan) -> str:
    if span.state == "failed":
        return "t-failed"
    return "t-held" if span.state == "held" else _PARTS.get(span.name, "t-work")


def _name(span: TimelineSpan) -> str:
    is_first = span.attempt <= 1 and span.name != "Worker"
    return span.name if span.level or is_first else f"{span.name}, attempt {span.attempt}"


def _seconds(span: TimelineSpan, line: Timeline) -> float:
    return ((span.end or line.end) - span.start).total_seconds()


def _lasted_of(span: TimelineSpan, line: Timeline) -> str:
    if span.end == span.start:
        return "received" if span.name == WEBHOOK else "a moment"
    seconds = _seconds(span, line)
    if span.end is None:
        return "just begun" if seconds < 1 else f"{_lasted(seconds)} so far"
    return _lasted(seconds)


def _lasted(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else duration(seconds)


def _ticks(seconds: float, shape: Shape, scale: float) -> list[Tick]:
    step = next((step for step in _STEPS if seconds / step <= shape.most_ticks), None)
    if step is None:
        step = 86_400 * (int(seconds / 86_400 / shape.most_ticks) + 1)
    if seconds < 1:
        return [Tick(shape.left, "0s")]
    return [Tick(round(shape.left + at * scale, 1), duration(at)) for at in range(0, int(seconds) + 1, step)]
