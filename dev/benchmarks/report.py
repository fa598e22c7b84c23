"""The parts of a benchmark: parameters, report, goals."""

import statistics
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and its limit: at `least` or at `most`."""

    figure: str
    value: float
    least: float | None = None
    most: float | None = None

    def row(self) -> tuple[str, str, str, str]:
        met = (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)
        limit = f"at most {self.most:g}" if self.least is None else f"at least {self.least:g}"
        value = f"{self.value:.3g}" if self.value < 1000 else f"{self.value:.0f}"
        return (self.figure, value, limit, "yes" if met else "no")


@dataclass(frozen=True, slots=True)
class Report:
    """Markdown, figures for JSON, and goals."""

    lines: Sequence[str]
    figures: Mapping[str, Any]
    goals: Sequence[Goal] = ()


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark: default numbers, and those of a full and of a tiny run."""

    name: str
    report: Callable[[Path, Namespace], Report]
    usual: Mapping[str, Any]
    tiny: Mapping[str, Any]
    full: Mapping[str, Any] = field(default_factory=dict)

    def measure(self, numbers: Mapping[str, Any]) -> Report:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            Path(folder).chmod(0o755)  # the postgres user must reach it
            return self.report(Path(folder), Namespace(**{**self.usual, **numbers}))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), "|" + "---|" * len(head), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def chart(title: str, values: Mapping[str, float]) -> list[str]:
    """Return horizontal bars in mermaid, which GitHub and the site draw."""
    names, bars = ", ".join(f'"{name}"' for name in values), ", ".join(f"{value:.3g}" for value in values.values())
    lines = [f'title "{title}"', f"x-axis [{names}]", f"bar [{bars}]"]
    return ["", "```mermaid", "xychart-beta horizontal", *(f"    {line}" for line in lines), "```"]


def median(rounds: Iterable[object], field: str) -> float:
    return float(statistics.median(getattr(result, field) for result in rounds))


def ratio(ours: Sequence[object], theirs: Sequence[object], field: str) -> float:
    """Return the median of our figure divided by theirs, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return float(statistics.median(getattr(our, field) / max(getattr(their, field), 1e-9) for our, their in pairs))
