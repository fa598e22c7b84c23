"""Capacity of one worker: jobs in flight, backlog rate, time added to a job.

The model takes `seconds` for an answer and streams it one piece a token, as GPT-4 does. First a backlog drains that
was queued while no worker ran. Then webhooks come at half of that rate: the time added to a job runs from its
webhook's due time to its note, less the model's time.
"""

import sys
import time
from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.benchmarks.machine import cpu_seconds, memory
from dev.benchmarks.ours import MeasurementError, Ours, ours_running
from dev.benchmarks.report import Benchmark, Goal, Report, table

_LOOK_SECONDS = 0.2
_MAX_SECONDS = 900.0
_WARM_JOBS = 20
_GPT4_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Drained:
    """A backlog's peak of jobs in flight, their MiB each, rate, CPU and requeues.

    `per_minute` is until the last note; `cpu` is in ms a job.
    """

    in_flight: int
    mib: float
    per_minute: float
    cpu: float
    requeued: int


def drain(ours: Ours, jobs: int) -> Drained:
    """Drain a backlog with a new worker. Raises MeasurementError."""
    before = ours.notes()
    ours.worker.stop()
    ours.send(jobs)
    ours.system.restart(ours.worker)
    pid = ours.worker.pid
    began, cpu, idle = time.monotonic(), cpu_seconds(pid), memory(pid)["Pss"]
    most, peak = 0, idle
    while (notes := ours.notes()) < before + jobs:
        if (waiting := ours.waiting_questions()) > most:
            most, peak = waiting, memory(pid)["Pss"]
        if not ours.worker.running or time.monotonic() - began > _MAX_SECONDS:
            raise MeasurementError(f"{notes - before} of {jobs} jobs have their note")
        time.sleep(_LOOK_SECONDS)
    cost = (cpu_seconds(pid) - cpu) * 1000 / jobs
    return Drained(
        most, (peak - idle) / max(1, most), jobs * 60 / (max(ours.moments().values()) - began), cost, ours.requeued()
    )


def added(ours: Ours, rate: float, seconds: float, model_seconds: float) -> tuple[float, float]:
    """Send webhooks at this rate; return p50 and p99 of the added time in ms."""
    before, first = ours.notes(), ours.next_ticket
    result = ours.send(max(1, int(rate * seconds)), seconds, rate)
    ours.await_notes(before + result.answers)
    moments = ours.moments()
    took = sorted(
        (moments[str(first + number)] - result.began - number / rate - model_seconds) * 1000
        for number in range(result.answers)
    )
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def _report(folder: Path, options: Namespace) -> Report:
    with ours_running(
        folder / "ours", seconds=options.seconds, settings={"WORKER_CONCURRENCY": str(options.places)}
    ) as ours:
        ours.send(_WARM_JOBS)
        ours.await_notes(_WARM_JOBS)
        drained = drain(ours, options.jobs)
        sys.stderr.write(f"{drained}\n")
        rate = drained.per_minute / 60 / 2
        p50, p99 = added(ours, rate, options.added_seconds, options.seconds)
    goals = [
        Goal("MiB of a job in flight", drained.mib, most=0.3),
        Goal("jobs a minute of one worker, with a GPT-4 that takes seconds", drained.per_minute, least=1000),
        Goal("ms added to a job at half load, p50", p50, most=40),
        Goal("ms added to a job at half load, p99", p99, most=200),
    ]
    # With a shorter wait the first jobs end before the last slots fill.
    if options.seconds >= _GPT4_SECONDS and options.jobs >= options.places:
        goals.insert(0, Goal("jobs in flight of one worker", drained.in_flight, least=1000))
    backlog = (
        f"{options.jobs} jobs, `WORKER_CONCURRENCY={options.places}`",
        f"{drained.in_flight}",
        f"{drained.mib:.2f}",
        f"{drained.per_minute:.0f}",
        f"{drained.cpu:.1f}",
    )
    lines = [
        f"GPT-4 takes {options.seconds:g} s:",
        "",
        *table(("one worker process", "in flight at most", "MiB each", "drained a minute", "CPU ms a job"), [backlog]),
        "",
        f"{drained.requeued} times a job went back to wait (`Job requeued`).",
        "",
        *table(("webhooks a second", "ms added to a job, p50", "p99"), [(f"{rate:.1f}", f"{p50:.0f}", f"{p99:.0f}")]),
    ]
    figures = {"drained": asdict(drained), "rate": rate, "p50": p50, "p99": p99, "seconds": options.seconds}
    return Report(lines, figures, goals)


BENCHMARK = Benchmark(
    "held",
    _report,
    {"seconds": 8.0, "places": 1024, "jobs": 2000, "added_seconds": 20.0},
    full={"seconds": 30.0, "added_seconds": 60.0},
    tiny={"seconds": 1.0, "jobs": 30, "added_seconds": 2.0},
)
