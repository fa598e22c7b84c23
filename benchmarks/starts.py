"""`python -m benchmarks.starts`: how long a process takes to be ready, what CPU that costs, and its memory then.

Each is started anew several times, beside the plainest endpoint of `benchmarks.webhooks`, with servers that are there,
and with what the image has: some libraries load more where more is installed (structlog rich).
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.charts import Bar
from benchmarks.environments import python_of
from benchmarks.ours import Ours
from benchmarks.proc import cpu_seconds, memory
from benchmarks.report import Benchmark, Chart, Goal, Report, median, table
from benchmarks.webhooks import PEERS, peer_process
from devstack.processes import Process

HEAD = ("process", "s to ready", "CPU s to ready", "MiB resident", "MiB shared out (PSS)")
_SETTLE_SECONDS = 1.0
_FLOOR = "floor"
_MOST = {"API": (1.2, 115), "worker": (2.5, 150)}
"""Seconds to ready, and MiB resident."""


@dataclass(frozen=True, slots=True)
class StartFigures:
    """One start: seconds until it was ready, CPU seconds, and MiB a second later."""

    seconds: float
    cpu: float
    rss: float
    pss: float


def _start(process: Process, start: Callable[[], None]) -> StartFigures:
    began = time.monotonic()
    start()
    seconds, cpu = time.monotonic() - began, cpu_seconds(process.pid)
    time.sleep(_SETTLE_SECONDS)
    now = memory(process.pid)
    return StartFigures(seconds, cpu, now.rss, now.pss)


def measure(folder: Path, rounds: int) -> dict[str, list[StartFigures]]:
    """Return the starts of each process, by its name."""
    python = str(python_of("image"))
    with Ours(folder / "ours", housekeeping=True) as ours:
        system = ours.system
        processes = {"API": system.api, "worker": system.workers[0], "housekeeping": system.housekeeping}
        floor = peer_process(folder, _FLOOR, system.state["redis_url"])
        for process in (*processes.values(), floor):
            process.command = [python, *process.command[1:]]
        found: dict[str, list[StartFigures]] = {name: [] for name in (*processes, PEERS[_FLOOR])}
        for _ in range(rounds):
            for name, process in processes.items():
                process.stop()
                found[name].append(_start(process, partial(system.restart, process)))
            found[PEERS[_FLOOR]].append(_start(floor, partial(_begin, floor)))
            floor.stop(2)
        sys.stderr.write(f"{found}\n")
    return found


def _begin(process: Process) -> None:
    process.start()
    process.wait_ready()


def _report(folder: Path, given: argparse.Namespace) -> Report:
    found = measure(folder, given.rounds)
    rows = [
        (
            name,
            *(f"{median(starts, of):.2f}" for of in ("seconds", "cpu")),
            *(f"{median(starts, of):.0f}" for of in ("rss", "pss")),
        )
        for name, starts in found.items()
    ]
    memories = [Bar(name, median(starts, "pss"), ours=name != PEERS[_FLOOR]) for name, starts in found.items()]
    charts = [Chart("memory", "Memory of a process without work", "MiB (PSS); less is better", memories)]
    figures = {name: [asdict(one) for one in starts] for name, starts in found.items()}
    return Report(table(HEAD, rows), figures, charts, [goal for name in _MOST for goal in _goals(name, found[name])])


def _goals(name: str, starts: list[StartFigures]) -> list[Goal]:
    seconds, mib = _MOST[name]
    return [
        Goal(f"start of {name}, seconds", median(starts, "seconds"), most=seconds),
        Goal(f"memory of {name}, MiB", median(starts, "rss"), most=mib),
    ]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3, help="starts of each (default: 3)")


BENCHMARK = Benchmark("starts", _arguments, _report, tiny=("--rounds", "1"))

if __name__ == "__main__":
    BENCHMARK.main()
