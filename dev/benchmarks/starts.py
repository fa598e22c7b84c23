"""Start of a process: time, CPU and memory, beside the peer's receiver.

Measured until the process is ready, the memory a second later. Each is started several times while the servers run,
with the packages of the image: some libraries load more if more is installed (structlog rich).
"""

import sys
import time
from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.pilot.processes import Process
from dev.benchmarks.machine import cpu_seconds, memory, python_of
from dev.benchmarks.ours import ours_running
from dev.benchmarks.peers import processes as peers
from dev.benchmarks.report import Benchmark, Goal, Report, median, table

PEER = "FastAPI, SQLAlchemy, Celery, structlog, OpenTelemetry"
_SETTLE_SECONDS = 1.0
_MAX = {"API": (1.2, 115), "worker": (2.5, 150)}
"""Seconds to ready, and MiB resident."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds and CPU seconds until ready, and MiB a second later."""

    seconds: float
    cpu: float
    rss: float
    pss: float


def _start(process: Process) -> Start:
    process.stop()
    began = time.monotonic()
    process.start()
    process.wait_ready()
    seconds, cpu = time.monotonic() - began, cpu_seconds(process.pid)
    time.sleep(_SETTLE_SECONDS)
    used = memory(process.pid)
    return Start(seconds, cpu, used["Rss"], used["Pss"])


def measure(folder: Path, rounds: int) -> dict[str, list[Start]]:
    with ours_running(folder / "ours", housekeeping=True) as ours:
        system = ours.system
        processes = {"API": system.api, "worker": system.workers[0], "housekeeping": system.housekeeping}
        for process in processes.values():
            process.command = [str(python_of("image")), *process.command[1:]]
        processes[PEER], _ = peers.receiver(folder, ours)
        starts: dict[str, list[Start]] = {name: [] for name in processes}
        for _ in range(rounds):
            for name, process in processes.items():
                starts[name].append(_start(process))
        processes[PEER].stop(2)
        sys.stderr.write(f"{starts}\n")
    return starts


def _report(folder: Path, options: Namespace) -> Report:
    starts = measure(folder, options.rounds)
    digits = {"seconds": 2, "cpu": 2, "rss": 0, "pss": 0}
    rows = [
        (name, *(f"{median(results, field):.{places}f}" for field, places in digits.items()))
        for name, results in starts.items()
    ]
    head = ("process", "s to ready", "CPU s to ready", "MiB resident", "MiB shared out (PSS)")
    goals = []
    for name, (seconds, mib) in _MAX.items():
        goals.append(Goal(f"start of {name}, seconds", median(starts[name], "seconds"), most=seconds))
        goals.append(Goal(f"memory of {name}, MiB", median(starts[name], "rss"), most=mib))
    figures = {name: [asdict(start) for start in results] for name, results in starts.items()}
    return Report(table(head, rows), figures, goals)


BENCHMARK = Benchmark("starts", _report, {"rounds": 3}, {"rounds": 1})
