"""How much memory a worker needs for the jobs that it holds, and what the processes beside it take.

A worker's memory is read while each of its places is taken by a job that waits for GPT-4, as jobs do two thirds of
their time; its peak includes the end, when all answers come at once. Each size has a new process, observability is on.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cost import collecting, production_settings
from benchmarks.proc import Memory, memory
from benchmarks.side import Side, wait_until

_SETTLE_SECONDS = 2.0
_GATHERED = "Context gathered"


@dataclass(frozen=True, slots=True)
class Size:
    """A worker of that concurrency: without a job, and with one in each place."""

    jobs: int
    idle: Memory
    held: Memory
    peak_rss: float
    jobs_per_minute: float
    """One wave of jobs, from the first webhook to the last note."""


def measure(folder: Path, jobs: Sequence[int], openai_seconds: float) -> Iterator[Size | dict[str, Memory]]:
    """A worker for each number of jobs in flight; at last the other processes. Raises JobsFailed."""
    with collecting(folder) as collector:
        side = Side(folder / "system", settings=production_settings(collector), openai_seconds=openai_seconds)
        with side:
            for count in jobs:
                yield _size(side, count)
            others = {"api": side.system.api, "housekeeping": side.system.housekeeping}
            yield {name: memory(process.pid) for name, process in others.items()}


def _size(side: Side, jobs: int) -> Size:
    worker = side.system.workers[0]
    side.system.restart(worker, {"WORKER_CONCURRENCY": str(jobs)})
    time.sleep(_SETTLE_SECONDS)
    idle, began = memory(worker.pid), time.monotonic()
    side.send(jobs)
    wait_until(lambda: worker.output().count(_GATHERED) >= jobs, "every job waits for GPT-4")
    time.sleep(_SETTLE_SECONDS)
    held = memory(worker.pid)
    side.await_ends()
    per_minute = jobs * 60 / (time.monotonic() - began)
    return Size(jobs, idle, held, memory(worker.pid).peak_rss, per_minute)
