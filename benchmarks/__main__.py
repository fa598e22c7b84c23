"""`make bench`: what a job costs, what observability adds to it, and how much memory a worker needs; as Markdown."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import cost, sizes
from benchmarks.cost import Cost, SpansLost
from benchmarks.proc import Memory
from benchmarks.side import PIECES, JobsFailed

COST_HEAD = ("| process | all off | all on | on / off |", "|---|---|---|---|")
SIZES_HEAD = (
    "| jobs in flight | idle: RSS | idle: PSS | all held: RSS | all held: PSS | peak RSS | jobs a minute |",
    "|---|---|---|---|---|---|---|",
)
OTHERS_HEAD = ("| process after all of that, MiB | RSS | PSS | peak RSS |", "|---|---|---|---|")


def main(words: Sequence[str] | None = None) -> int:
    """Run what is named, or both; 1 when observability costs more than it may, 2 when it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="cost|sizes", help="both unless named")
    parser.add_argument("--rounds", type=int, default=2, help="of new processes (default: 2)")
    parser.add_argument("--pairs", type=int, default=6, help="of batches in each round (default: 6)")
    parser.add_argument("--jobs", type=int, default=100, help="in each batch (default: 100)")
    parser.add_argument("--pieces", type=int, default=PIECES, help=f"of each streamed answer (default: {PIECES})")
    parser.add_argument("--in-turn", action="store_true", help="the batches of a pair one after the other")
    parser.add_argument("--held", type=int, nargs="+", default=[32, 64, 128], help="jobs in flight (32 64 128)")
    parser.add_argument("--openai-seconds", type=float, default=40.0, help="how long those wait (default: 40)")
    parser.add_argument("--most-ratio", type=float, default=1.15, help="of CPU, on to off (default: 1.15)")
    given = parser.parse_args(words)
    try:
        ratio = _measure(given)
    except (JobsFailed, SpansLost) as failure:
        sys.stderr.write(f"{failure}\n")
        return 2
    return 0 if ratio <= given.most_ratio else 1


def _measure(given: argparse.Namespace) -> float:
    """Measure and print; the ratio of CPU, 0 where that is not asked for."""
    ratio = 0.0
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if "sizes" not in given.what or "cost" in given.what:
            effort = {"rounds": given.rounds, "pairs": given.pairs, "jobs": given.jobs, "pieces": given.pieces}
            found = cost.measure(Path(folder) / "cost", **effort, in_turn=given.in_turn)
            ratio = found.ratio
            _print(_cost_table(found, given.jobs))
        if "cost" not in given.what or "sizes" in given.what:
            _print(_sizes_table(Path(folder) / "sizes", given.held, given.openai_seconds))
    return ratio


def _print(lines: Sequence[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


def _cost_table(found: Cost, jobs: int) -> list[str]:
    def row(name: str, of: Callable[[dict[str, float]], float]) -> str:
        off = [of(pair.off) for pair in found.pairs]
        on = [of(pair.on) for pair in found.pairs]
        ratios = [of(pair.on) / of(pair.off) for pair in found.pairs]
        return f"| {name} | {_spread(off, 1)} | {_spread(on, 1)} | {_spread(ratios, 3)} |"

    spans = ", ".join(f"{number:.1f} {name}" for name, number in found.spans.items())
    return [
        f"CPU milliseconds of a job, {len(found.pairs)} pairs of {jobs} jobs each: median (least to greatest)",
        "",
        *COST_HEAD,
        row("API", lambda of: of["api"]),
        row("worker", lambda of: of["worker"]),
        row("both", lambda of: sum(of.values())),
        "",
        f"{sum(found.spans.values()):.1f} spans a job: {spans}.",
    ]


def _spread(numbers: Sequence[float], digits: int) -> str:
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


def _sizes_table(folder: Path, held: Sequence[int], openai_seconds: float) -> list[str]:
    lines = [
        f"MiB of a worker by its concurrency; each place has a job that waits {openai_seconds:g} s for GPT-4",
        "",
        *SIZES_HEAD,
    ]
    for size in sizes.measure(folder, held, openai_seconds):
        if isinstance(size, dict):
            lines += ["", *_others(size)]
        else:
            cells = (size.idle.rss, size.idle.pss, size.held.rss, size.held.pss, size.peak_rss, size.jobs_per_minute)
            lines.append(f"| {size.jobs} | {' | '.join(f'{cell:.0f}' for cell in cells)} |")
    return lines


def _others(processes: dict[str, Memory]) -> list[str]:
    rows = [f"| {name} | {of.rss:.0f} | {of.pss:.0f} | {of.peak_rss:.0f} |" for name, of in processes.items()]
    return [*OTHERS_HEAD, *rows]


if __name__ == "__main__":
    sys.exit(main())
