"""Cost of a job in a worker, beside the peer's task in Celery's pools.

The peer is `peers/job.py`. Desk and model answer at once (`dev.benchmarks.outside`), the model in the 98 pieces of a
stream. Measured: a worker's CPU for a job (user and system, with children), and its jobs a second with a backlog.
"""

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from cli.pilot.processes import Process
from dev.benchmarks.machine import tree_cpu
from dev.benchmarks.ours import Ours, ours_running
from dev.benchmarks.peers import processes as peers
from dev.benchmarks.report import Benchmark, Goal, Report, chart, median, ratio, table

PLACES = 32
POOLS = {"threads": PLACES, "prefork": os.cpu_count() or 1}
TITLES = {"threads": f"Celery and LangGraph, {PLACES} threads", "prefork": "the same, a child a core", "ours": "ours"}
_WARM_JOBS = 40


@dataclass(frozen=True, slots=True)
class Batch:
    """One worker's round: CPU ms a job, jobs a second (first note to last), requeues."""

    cpu: float
    rate: float
    requeued: int


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    worker: Process
    queue: Callable[[int], object]
    span: str

    def batch(self, ours: Ours, jobs: int) -> Batch:
        first, notes, spans = ours.next_ticket, ours.notes(), ours.spans().get(self.span, 0)
        requeued, cpu = ours.requeued(), tree_cpu(self.worker.pid)
        self.queue(jobs)
        ours.await_notes(notes + jobs)
        ours.await_spans(self.span, spans + jobs)
        ours.scrape()
        cost = (tree_cpu(self.worker.pid) - cpu) * 1000 / jobs
        batch = Batch(cost, ours.note_rate(first, jobs), ours.requeued() - requeued)
        sys.stderr.write(f"{self.name}: {batch.cpu:.1f} ms a job, {batch.rate:.0f} a second\n")
        return batch


def measure(folder: Path, rounds: int, jobs: int) -> dict[str, list[Batch]]:
    """Return the rounds of each side. Raises MeasurementError or ProcessFailedError."""
    with (
        ours_running(folder / "ours", settings={"WORKER_CONCURRENCY": str(PLACES)}) as ours,
        contextlib.ExitStack() as stack,
    ):
        sides = [_Side("ours", ours.worker, ours.send, "Worker")]
        for pool, concurrency in POOLS.items():
            worker = peers.worker(folder, ours, pool, concurrency)
            worker.start()
            stack.callback(worker.stop, 5)
            sides.append(_Side(pool, worker, partial(peers.queue, folder, ours, pool), peers.TASK_SPAN))
        for side in sides:
            side.batch(ours, _WARM_JOBS)
        results: dict[str, list[Batch]] = {side.name: [] for side in sides}
        for number in range(rounds):
            # The order rotates, so that drift favours none.
            for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                results[side.name].append(side.batch(ours, jobs))
    return results


def _report(folder: Path, options: Namespace) -> Report:
    results = measure(folder, options.rounds, options.jobs)
    ours = results["ours"]
    rows = [
        (
            TITLES[name],
            f"{median(batches, 'cpu'):.1f}",
            f"{median(batches, 'rate'):.0f}",
            *(f"{ratio(ours, batches, field):.2f}" for field in ("cpu", "rate")),
        )
        for name, batches in results.items()
    ]
    head = ("what", "CPU ms a job", "jobs a second", "ours to it: CPU", "jobs a second")
    requeued = sum(batch.requeued for batch in ours)
    bars = chart("CPU of a job, ms", {name: median(batches, "cpu") for name, batches in results.items()})
    lines = [*table(head, rows), *bars, "", f"{requeued} times a job of ours went back to wait (`Job requeued`)."]
    goals = [
        Goal("CPU of a job, to the peer in threads", ratio(ours, results["threads"], "cpu"), most=0.95),
        Goal("CPU of a job, ms", median(ours, "cpu"), most=15),
        Goal("jobs a second of one worker", median(ours, "rate"), least=50),
    ]
    figures = {name: [asdict(batch) for batch in batches] for name, batches in results.items()}
    return Report(lines, figures, goals)


BENCHMARK = Benchmark("jobs", _report, {"rounds": 3, "jobs": 200}, {"rounds": 1, "jobs": 10})
