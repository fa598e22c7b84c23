"""What a benchmark hands over, and how it is run."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.charts import Bar


@dataclass(frozen=True, slots=True)
class Chart:
    """Figures to draw: the file's name, what they show, in which unit."""

    name: str
    title: str
    unit: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, and what it is meant to be: `least` or more, `most` or less."""

    figure: str
    value: float
    least: float | None = None
    most: float | None = None

    def row(self) -> tuple[str, str, str, str]:
        """Return the cells of its row in a table."""
        met = (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)
        wanted = f"at most {self.most:g}" if self.least is None else f"at least {self.least:g}"
        return (
            self.figure,
            f"{self.value:.3g}" if self.value < 1000 else f"{self.value:.0f}",
            wanted,
            "yes" if met else "no",
        )


GOALS_HEAD = ("figure", "measured", "goal", "met")


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured: as lines of Markdown, as JSON takes it, what to draw of it, and what it was meant to be.

    `failed` says why the figures are not good enough; it is empty if they are, or nothing is asked of them.
    """

    lines: Sequence[str]
    figures: Mapping[str, Any]
    charts: Sequence[Chart] = ()
    goals: Sequence[Goal] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A command, `python -m benchmarks.<name>`, and what it is given as a part of `make bench-full` and of a test."""

    name: str
    arguments: Callable[[argparse.ArgumentParser], None]
    report: Callable[[Path, argparse.Namespace], Report]
    full: Sequence[str] = ()
    tiny: Sequence[str] = ()

    def measure(self, words: Sequence[str]) -> Report:
        """Measure as the words say, with files in a folder that is gone afterwards."""
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{self.name}")
        self.arguments(parser)
        given = parser.parse_args(words)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            Path(folder).chmod(0o755)  # Postgres has a user of its own
            return self.report(Path(folder), given)

    def main(self) -> NoReturn:
        """Measure, print, and end with 1 if it is not good enough."""
        found = self.measure(sys.argv[1:])
        sys.stdout.write("\n".join(found.lines) + "\n")
        if found.failed:
            sys.stderr.write(f"{found.failed}\n")
        sys.exit(bool(found.failed))


def no_arguments(_parser: argparse.ArgumentParser) -> None:
    """Nothing can be changed."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [_row(head), "|" + "---|" * len(head), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def median(rounds: Iterable[object], of: str) -> float:
    """Return the median of a figure over the rounds."""
    return float(statistics.median(getattr(one, of) for one in rounds))


def ratio(ours: Sequence[object], theirs: Sequence[object], of: str) -> float:
    """Return the median of ours to theirs, each round by itself."""
    pairs = zip(ours, theirs, strict=True)
    return float(statistics.median(getattr(our, of) / max(getattr(their, of), 1e-9) for our, their in pairs))
