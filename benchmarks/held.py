"""`python -m benchmarks.held`: how many jobs one worker holds, how fast it drains a backlog, what it adds to a job.

The model takes `--seconds` for an answer and streams it a piece a token all the while, as GPT-4 does. First a backlog
is drained, queued while no worker ran; what is in flight, and the memory of the worker, are looked at
meanwhile. Then webhooks come at half of that rate: the time added to a job is from the moment when its webhook was due
to its note, less what the model took. Beside it, Celery's default pool with a child a core and the same model.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.charts import Bar
from benchmarks.jobs import Contender, peers
from benchmarks.ours import Ours
from benchmarks.proc import cpu_seconds, memory, tree_memory
from benchmarks.report import Benchmark, Chart, Goal, Report, table
from benchmarks.side import JobsFailed

PLACES = 1024
HEAD = ("one worker process", "in flight at most", "MiB each", "drained a minute", "CPU ms a job")
ADDED_HEAD = ("webhooks a second", "ms added to a job, p50", "p99")
_LOOK_SECONDS = 0.2
_LONGEST_SECONDS = 900.0
_WARM_JOBS = 20
_GPT4_SECONDS = 30.0
_PREFORK = "prefork"


@dataclass(frozen=True, slots=True)
class Drained:
    """A backlog: jobs in flight at most, MiB for each of those, jobs a minute to the last note, CPU ms of a job.

    `requeued` is how often a job went back to wait.
    """

    in_flight: int
    mib: float
    per_minute: float
    cpu: float
    requeued: int = 0


@dataclass(frozen=True, slots=True)
class Added:
    """What ours takes beside the model at so many webhooks a second: quantiles in milliseconds."""

    rate: float
    p50: float
    p99: float


def drain(ours: Ours, jobs: int) -> Drained:
    """Have a new worker do so many jobs. Raises JobsFailed."""
    before = ours.notes().notes
    ours.worker.stop()
    ours.send(jobs)
    ours.system.restart(ours.worker)
    pid = ours.worker.pid
    began, cpu, idle = time.monotonic(), cpu_seconds(pid), memory(pid).pss
    most, held = 0, idle
    while (notes := ours.notes()).notes < before + jobs:
        if (waiting := ours.asking()) > most:
            most, held = waiting, memory(pid).pss
        if not ours.worker.running or time.monotonic() - began > _LONGEST_SECONDS:
            raise JobsFailed(f"{notes.notes - before} of {jobs} jobs have their note")
        time.sleep(_LOOK_SECONDS)
    cost = (cpu_seconds(pid) - cpu) * 1000 / jobs
    return Drained(most, (held - idle) / max(1, most), jobs * 60 / (notes.last - began), cost, ours.requeued())


def added(ours: Ours, rate: float, seconds: float, model_seconds: float) -> Added:
    """Send webhooks at this rate for so long, and see when their notes come."""
    before = ours.notes().notes
    first = ours.tickets.peek()
    found = ours.send(max(1, int(rate * seconds)), seconds, rate)
    ours.await_notes(before + found.answers)
    moments = ours.moments()
    took = sorted(
        (moments[str(first + number)] - found.began - number / rate - model_seconds) * 1000
        for number in range(found.answers)
    )
    return Added(rate, *(took[int(len(took) * share)] for share in (0.5, 0.99)))


def drain_prefork(worker: Contender, ours: Ours, waves: int) -> Drained:
    """Have Celery's children do some jobs each: more would take minutes."""
    children = os.cpu_count() or 1
    jobs, first = waves * children, ours.tickets.peek()
    before = ours.notes().notes
    worker.queue(jobs)
    ours.await_notes(before + jobs)
    mib = tree_memory(worker.worker.pid) / children
    return Drained(children, mib, ours.rate_of(first, jobs, warm=children) * 60, 0.0)


def _report(folder: Path, given: argparse.Namespace) -> Report:
    settings = {"WORKER_CONCURRENCY": str(given.places)}
    with Ours(folder / "ours", seconds=given.seconds, settings=settings) as ours:
        ours.send(_WARM_JOBS)
        ours.await_notes(_WARM_JOBS)
        drained = drain(ours, given.jobs)
        sys.stderr.write(f"{drained}\n")
        rate = drained.per_minute / 60 / 2
        later = added(ours, rate, given.added_seconds, given.seconds)
        sys.stderr.write(f"{later}\n")
        with peers(folder / "peers", ours, [_PREFORK]) as (worker,):
            prefork = drain_prefork(worker, ours, given.waves)
    charts = [
        Chart(
            "held",
            f"A backlog of one worker, GPT-4 takes {given.seconds:g} s",
            "jobs a minute; more is better",
            [Bar("Celery, a child a core", prefork.per_minute), Bar("ours", drained.per_minute, ours=True)],
        )
    ]
    figures = {"ours": asdict(drained), "added": asdict(later), "prefork": asdict(prefork), "seconds": given.seconds}
    goals = [
        Goal("MiB of a job in flight", drained.mib, most=0.3),
        Goal("jobs a minute of one worker, with a GPT-4 that takes seconds", drained.per_minute, least=1000),
        Goal("ms added to a job at half load, p50", later.p50, most=40),
        Goal("ms added to a job at half load, p99", later.p99, most=200),
    ]
    # With a shorter wait the first jobs end before the last places are taken.
    if given.seconds >= _GPT4_SECONDS and given.jobs >= given.places:
        goals.insert(0, Goal("jobs in flight of one worker", drained.in_flight, least=1000))
    return Report(_lines(drained, prefork, later, given), figures, charts, goals)


def _lines(drained: Drained, prefork: Drained, later: Added, given: argparse.Namespace) -> Sequence[str]:
    rows = [
        (
            f"ours, `WORKER_CONCURRENCY={given.places}`, {given.jobs} jobs",
            f"{drained.in_flight}",
            f"{drained.mib:.2f}",
            f"{drained.per_minute:.0f}",
            f"{drained.cpu:.1f}",
        ),
        (
            "Celery, a child a core",
            f"{prefork.in_flight}",
            f"{prefork.mib:.0f}",
            f"{prefork.per_minute:.0f}",
            "",
        ),
        (
            "ours to it",
            *(f"{getattr(drained, of) / getattr(prefork, of):.3g}" for of in ("in_flight", "mib", "per_minute")),
            "",
        ),
    ]
    half = [(f"{later.rate:.1f}, half of that", f"{later.p50:.0f}", f"{later.p99:.0f}")]
    again = f"{drained.requeued} times a job of ours went back to wait (`Job requeued`)."
    return [f"GPT-4 takes {given.seconds:g} s:", "", *table(HEAD, rows), "", again, "", *table(ADDED_HEAD, half)]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=8.0, help="of the model for an answer (default: 8)")
    parser.add_argument("--places", type=int, default=PLACES, help=f"WORKER_CONCURRENCY (default: {PLACES})")
    parser.add_argument("--jobs", type=int, default=2000, help="in the backlog (default: 2000)")
    parser.add_argument("--added-seconds", type=float, default=20.0, help="of webhooks at half load (default: 20)")
    parser.add_argument("--waves", type=int, default=3, help="of jobs for each of Celery's children (default: 3)")


BENCHMARK = Benchmark(
    "held",
    _arguments,
    _report,
    full=("--seconds", "30", "--added-seconds", "60"),
    tiny=("--seconds", "1", "--jobs", "30", "--added-seconds", "2", "--waves", "2"),
)

if __name__ == "__main__":
    BENCHMARK.main()
