"""CPU of a job with full observability relative to one without (`benchmarks.dark`).

Two systems run the two batches of a pair at the same time, so that other load on the machine slows both alike. "On"
is as in production: spans to a collector, metrics scraped, JSON lines at INFO into a file. Simulators, stores and
collector are not counted.
"""

import math
import statistics
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.ours import NotMeasurable, Ours
from benchmarks.proc import cpu_seconds
from benchmarks.report import Benchmark, Goal, Report, table

STEPS = ("Webhook", "Queue", "Worker", "Context", "GPT-4", "ServiceDesk Update")
_OPENAI_SECONDS = 0.5
Pair = tuple[dict[str, float], dict[str, float]]
"""CPU milliseconds of a job by process: off, on."""


def _batch(ours: Ours, jobs: int, *, dark: bool) -> dict[str, float]:
    processes = {"API": ours.system.api, "worker": ours.worker}
    before = {name: cpu_seconds(process.pid) for name, process in processes.items()}
    notes, spans = ours.notes().notes, ours.spans()
    ours.send(jobs)
    ours.await_notes(notes + jobs)
    if not dark:
        ours.scrape()
        for name in STEPS:
            ours.await_spans(name, spans.get(name, 0) + jobs)
    return {name: (cpu_seconds(process.pid) - before[name]) * 1000 / jobs for name, process in processes.items()}


def measure(folder: Path, pairs: int, jobs: int) -> tuple[list[Pair], dict[str, float]]:
    """Return the pairs, and a job's spans by name. Raises NotMeasurable."""
    found: list[Pair] = []
    with (
        Ours(folder / "off", dark=True, seconds=_OPENAI_SECONDS) as off,
        Ours(folder / "on", seconds=_OPENAI_SECONDS) as on,
        ThreadPoolExecutor(2) as threads,
    ):
        for number in range(pairs + 1):
            both = [threads.submit(_batch, side, jobs, dark=side is off) for side in (off, on)]
            pair = both[0].result(), both[1].result()
            if number:  # the first pair warms up code and caches
                found.append(pair)
                sys.stderr.write(f"pair: {pair[0]} off, {pair[1]} on\n")
        spans, count = on.spans(), (pairs + 1) * jobs
        again = off.requeued() + on.requeued()
    missing = {name: spans.get(name, 0) for name in STEPS if spans.get(name, 0) < count}
    if again or missing:
        raise NotMeasurable(f"{again} of {2 * count} jobs were requeued; of {count} spans each came {missing}")
    return found, {name: number / count for name, number in spans.items()}


def _report(folder: Path, given: Namespace) -> Report:
    found, spans = measure(folder, given.pairs, given.jobs)
    ratio = statistics.median(sum(on.values()) / sum(off.values()) for off, on in found)

    def row(name: str, of: Callable[[dict[str, float]], float]) -> tuple[str, ...]:
        off, on = ([of(pair[side]) for pair in found] for side in (0, 1))
        return (
            name,
            _spread(off, 1),
            _spread(on, 1),
            _spread([b / a if a else math.inf for a, b in zip(off, on, strict=True)], 3),
        )

    rows = [
        row("API", lambda of: of["API"]),
        row("worker", lambda of: of["worker"]),
        row("both", lambda of: sum(of.values())),
    ]
    told = ", ".join(f"{number:.1f} {name}" for name, number in sorted(spans.items(), key=lambda one: -one[1]))
    lines = [
        f"CPU milliseconds of a job, {len(found)} pairs of {given.jobs} jobs each: median (least to greatest)",
        "",
        *table(("process", "all off", "all on", "on / off"), rows),
        "",
        f"{sum(spans.values()):.1f} spans a job: {told}.",
    ]
    failed = f"observability makes a job {ratio:.3f} times as dear; {given.most} is allowed" * (ratio > given.most)
    goals = [Goal("CPU of a job, with observability to without", ratio, most=given.most)]
    return Report(lines, {"pairs": found, "spans": spans, "ratio": ratio}, goals=goals, failed=failed)


def _spread(numbers: Sequence[float], digits: int) -> str:
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


BENCHMARK = Benchmark(
    "observability",
    _report,
    {"pairs": 5, "jobs": 100, "most": 1.15},
    full={},
    tiny={"pairs": 1, "jobs": 4, "most": 99},
)
