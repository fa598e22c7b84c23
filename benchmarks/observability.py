"""`python -m benchmarks.observability`: what all of observability adds to the CPU of a job (`benchmarks.cost`)."""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import cost
from benchmarks.cost import Cost
from benchmarks.report import Benchmark, Goal, Report, table
from benchmarks.side import PIECES

HEAD = ("process", "all off", "all on", "on / off")


def _lines(found: Cost, jobs: int) -> list[str]:
    def row(name: str, of: Callable[[dict[str, float]], float]) -> tuple[str, ...]:
        off = [of(pair.off) for pair in found.pairs]
        on = [of(pair.on) for pair in found.pairs]
        ratios = [of(pair.on) / of(pair.off) for pair in found.pairs]
        return (name, _spread(off, 1), _spread(on, 1), _spread(ratios, 3))

    spans = ", ".join(f"{number:.1f} {name}" for name, number in found.spans.items())
    rows = [
        row("API", lambda of: of["api"]),
        row("worker", lambda of: of["worker"]),
        row("both", lambda of: sum(of.values())),
    ]
    return [
        f"CPU milliseconds of a job, {len(found.pairs)} pairs of {jobs} jobs each: median (least to greatest)",
        "",
        *table(HEAD, rows),
        "",
        f"{sum(found.spans.values()):.1f} spans a job: {spans}.",
    ]


def _spread(numbers: Sequence[float], digits: int) -> str:
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


def _report(folder: Path, given: argparse.Namespace) -> Report:
    effort = {"rounds": given.rounds, "pairs": given.pairs, "jobs": given.jobs, "pieces": given.pieces}
    found = cost.measure(folder, **effort, in_turn=given.in_turn)
    failed = ""
    if found.ratio > given.most_ratio:
        failed = f"observability makes a job {found.ratio:.3f} times as dear; {given.most_ratio} is allowed"
    figures = {"pairs": [asdict(pair) for pair in found.pairs], "spans": found.spans, "ratio": found.ratio}
    goals = [Goal("CPU of a job, with observability to without", found.ratio, most=given.most_ratio)]
    return Report(_lines(found, given.jobs), figures, goals=goals, failed=failed)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=1, help="of new processes (default: 1)")
    parser.add_argument("--pairs", type=int, default=5, help="of batches in each round (default: 5)")
    parser.add_argument("--jobs", type=int, default=100, help="in each batch (default: 100)")
    parser.add_argument("--pieces", type=int, default=PIECES, help=f"of each streamed answer (default: {PIECES})")
    parser.add_argument("--in-turn", action="store_true", help="the batches of a pair one after the other")
    parser.add_argument("--most-ratio", type=float, default=1.15, help="of CPU, on to off (default: 1.15)")


BENCHMARK = Benchmark(
    "observability",
    _arguments,
    _report,
    tiny=("--pairs", "1", "--jobs", "4", "--most-ratio", "99"),
)

if __name__ == "__main__":
    BENCHMARK.main()
