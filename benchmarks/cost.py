"""What observability costs: the CPU time of a job with all of it on, over that with all of it off.

Each side is a whole system of its own. Both do the two batches of a pair at the same time, so that whatever else the
machine does slows both alike: CPU time is counted for each process, but a busy neighbour makes every instruction take
longer. `in_turn` lets one idle while the other works, which needs a machine of its own.

"On" is as in production: spans over OTLP to a collector, metrics scraped, lines in JSON at INFO into a file. "Off" is
`benchmarks.dark`. Simulators, stores and collector are not counted.
"""

import contextlib
import json
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.side import JobsFailed, Side
from devstack.free_ports import free_port
from devstack.processes import Process
from devstack.programs import PROJECT, answers
from devstack.surroundings import machine_environment

OPENAI_SECONDS = 0.5
# Longer than the 5 s after which spans leave, unless told otherwise.
_FLUSH_SECONDS = 5.5
_SETTINGS = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "WORKER_CONCURRENCY": "16"}
STEPS = ("Webhook", "Queue", "Worker", "Context", "GPT-4", "ServiceDesk Update")


@dataclass(frozen=True, slots=True)
class Pair:
    """CPU milliseconds of a job by process, of two batches."""

    off: dict[str, float]
    on: dict[str, float]

    @property
    def ratio(self) -> float:
        """All on over all off, both processes together."""
        return sum(self.on.values()) / sum(self.off.values())


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[str]:
    """Yield a collector for the length of the block; its address."""
    port = free_port()
    collector = Process(
        "collector",
        [sys.executable, "-m", "benchmarks.receiver", str(port)],
        log_path=folder / "collector.log",
        environment=machine_environment(),
        ready=answers(port, "/count"),
        folder=PROJECT,
    )
    collector.start()
    try:
        collector.wait_ready()
        yield f"http://127.0.0.1:{port}"
    finally:
        collector.stop(2)


def production_settings(collector: str) -> dict[str, str]:
    """All of observability, as in production."""
    return _SETTINGS | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}


def received(collector: str) -> dict[str, int]:
    """Spans by name that the collector has got."""
    counts: dict[str, int] = json.load(urllib.request.urlopen(f"{collector}/count", timeout=10))
    return counts


def batch(side: Side, jobs: int) -> dict[str, float]:
    """CPU milliseconds of a job by process."""
    before = side.cpu()
    side.send(jobs)
    side.await_ends()
    # What is exported in the background belongs to the jobs; both sides wait as long.
    time.sleep(_FLUSH_SECONDS)
    return {name: (seconds - before[name]) * 1000 / jobs for name, seconds in side.cpu().items()}


class SpansLost(Exception):
    """The collector did not get a span of each kind for each job: cheap, but not what was promised."""


@dataclass(frozen=True, slots=True)
class Cost:
    """All pairs, and how many spans a job has by name."""

    pairs: list[Pair]
    spans: dict[str, float]

    @property
    def ratio(self) -> float:
        """The median of the pairs."""
        return statistics.median(pair.ratio for pair in self.pairs)


def measure(folder: Path, *, rounds: int, pairs: int, jobs: int, pieces: int, in_turn: bool) -> Cost:
    """`pairs` of batches in each of `rounds`; each round has new processes. Raises JobsFailed, or SpansLost."""
    found: list[Pair] = []
    spans: Counter[str] = Counter()
    for number in range(rounds):
        place = folder / str(number)
        with (
            collecting(place) as collector,
            Side(place / "off", dark=True, settings=_SETTINGS, openai_seconds=OPENAI_SECONDS, pieces=pieces) as off,
            Side(
                place / "on",
                settings=production_settings(collector),
                openai_seconds=OPENAI_SECONDS,
                pieces=pieces,
            ) as on,
        ):
            found += _pairs(off, on, pairs, jobs, in_turn=in_turn)
            spans.update(received(collector))
    count = rounds * (pairs + 1) * jobs
    # A side whose jobs were requeued did more work: that compares nothing.
    again = sum(
        "Job requeued" in line for log in folder.rglob("worker.log") for line in log.read_text("utf-8").splitlines()
    )
    if again:
        raise JobsFailed(f"{again} of {2 * count} jobs were requeued: the machine is too busy")
    missing = {name: spans[name] for name in STEPS if spans[name] < count}
    if missing:
        raise SpansLost(f"of {count} spans each: {missing}")
    return Cost(found, {name: number / count for name, number in spans.most_common()})


def _pairs(off: Side, on: Side, pairs: int, jobs: int, *, in_turn: bool) -> Iterator[Pair]:
    with ThreadPoolExecutor(1 if in_turn else 2) as places:
        for number in range(pairs + 1):
            # Who begins changes, so that what drifts favours neither.
            sides = (off, on) if number % 2 else (on, off)
            batches = dict(zip(sides, places.map(lambda side: batch(side, jobs), sides), strict=True))
            if number == 0:
                continue  # not counted: code and caches get warm
            pair = Pair(batches[off], batches[on])
            sys.stderr.write(f"pair: {_words(pair.off)} off, {_words(pair.on)} on, ratio {pair.ratio:.3f}\n")
            yield pair


def _words(of_processes: dict[str, float]) -> str:
    return ", ".join(f"{name} {milliseconds:.1f} ms" for name, milliseconds in of_processes.items())
