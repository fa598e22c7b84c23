"""A tree of spans with times and bars to scale, as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from support.tables import clean, duration
from support.timeline import Ending

_WITHOUT_TERMINAL = 110
_NARROWEST_BAR = 12
_LONGEST_NAME = 40
# What lies deeper is drawn there: none of our spans does.
_DEEPEST = 8
_PROCESS = "PROCESS"
_HEAD = ("SPAN", "START", "TIME", "STATUS")
_RED, _USUAL = "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class DrawnSpan:
    """One line of the tree, `depth` steps from the left. `end`: None while it goes on; `notes` stand below it."""

    depth: int
    name: str
    start: datetime
    end: datetime | None
    state: Ending
    notes: Sequence[str] = ()
    process: str = ""


@dataclass(frozen=True, slots=True)
class Pen:
    """What the lines are drawn with: for a terminal that can show it, or for anything else."""

    branch: str
    last: str
    through: str
    bars: dict[Ending, str]
    goes_on: str
    colours: bool


IN_COLOUR = Pen("├─ ", "└─ ", "│  ", {"ok": "█", "failed": "█", "held": "░"}, "▸", colours=True)
PLAIN = Pen("|- ", "`- ", "|  ", {"ok": "#", "failed": "!", "held": "~"}, ">", colours=False)


def draw(spans: Sequence[DrawnSpan], until: datetime, width: int | None, pen: Pen) -> str:
    """Draw the tree; `until` is now while a span goes on. `width`: of the terminal, None where there is none."""
    start = min(span.start for span in spans)
    whole = max((until - start).total_seconds(), 0.001)
    cells = [
        (
            f"{lead}{clean(span.name)}"[:_LONGEST_NAME],
            f"+{_seconds(span.start, start)}",
            _seconds(span.end or until, span.start),
            "goes on" if span.end is None else span.state,
        )
        for lead, span in zip(_leads(spans, pen), spans, strict=True)
    ]
    sizes = [max(len(row[column]) for row in (_HEAD, *cells)) for column in range(len(_HEAD))]
    room = (width or _WITHOUT_TERMINAL) - sum(sizes) - 2 * len(sizes) - 2
    processes = [clean(span.process) for span in spans]
    longest = max(map(len, (_PROCESS, *processes))) if any(processes) else 0
    if longest + 2 > room - _NARROWEST_BAR:
        # Where there is no room for both, the bars tell more.
        processes, longest = [""] * len(spans), 0
    bar = max(_NARROWEST_BAR, room - (longest + 2 if longest else 0))
    lines = [f"{_row(_HEAD, sizes)}  |{'-' * bar}|{f'  {_PROCESS}' if longest else ''}"]
    for row, process, span in zip(cells, processes, spans, strict=True):
        begin = (span.start - start).total_seconds() / whole
        end = ((span.end or until) - start).total_seconds() / whole
        line = f"{_row(row, sizes)}  |{_bar(begin, end, bar, span, pen)}|  {process}".rstrip()
        lines.append(f"{_RED}{line}{_USUAL}" if pen.colours and span.state == "failed" else line)
        lines += [f"{'   ' * (min(span.depth, _DEEPEST) + 1)}{clean(note)}" for note in span.notes]
    return "\n".join(lines)


def _row(cells: Sequence[str], sizes: Sequence[int]) -> str:
    name, start, lasted, status = cells
    return f"{name:<{sizes[0]}}  {start:>{sizes[1]}}  {lasted:>{sizes[2]}}  {status:<{sizes[3]}}"


def _seconds(later: datetime, earlier: datetime) -> str:
    seconds = max(0.0, (later - earlier).total_seconds())
    if seconds < 60:
        return f"{seconds:.3f}s"
    return duration(seconds)


def _bar(begin: float, end: float, width: int, span: DrawnSpan, pen: Pen) -> str:
    first = min(width - 1, int(begin * width))
    # What took too little for its length to be seen is seen all the same.
    drawn = pen.bars[span.state] * max(1, round(end * width) - first)
    if span.end is None:
        drawn = drawn[:-1] + pen.goes_on
    return f"{' ' * first}{drawn}".ljust(width)


def _leads(spans: Sequence[DrawnSpan], pen: Pen) -> list[str]:
    """Return what stands before each name: the branches of the tree."""
    leads: list[str] = []
    # By depth, whether the branch there goes on below: seen from the last line upwards.
    goes_on: dict[int, bool] = {}
    for depth in (min(span.depth, _DEEPEST) for span in reversed(spans)):
        through = "".join(pen.through if goes_on.get(above) else "   " for above in range(1, depth))
        own = (pen.branch if goes_on.get(depth) else pen.last) if depth else ""
        leads.append(through + own)
        goes_on = {above: there for above, there in goes_on.items() if above < depth} | {depth: True}
    return leads[::-1]
