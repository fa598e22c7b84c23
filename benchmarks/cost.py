"""What observability costs: the CPU time of a job with all of it on, over that with all of it off.

Both sides run on the same machine in the same minutes, each a whole system of its own, and take turns: a batch of jobs
goes through one while the other idles. "On" is as in production: spans over OTLP to a collector, metrics scraped, lines
in JSON at INFO into a file. "Off" is `benchmarks.dark`. Simulators, stores and collector are not counted.
"""

import contextlib
import json
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.side import Side
from devstack.environment import machine_environment
from devstack.ports import free_port
from devstack.processes import Process
from devstack.programs import PROJECT
from devstack.readiness import answers

OPENAI_SECONDS = 0.5
_FLUSH_SECONDS = 1.5
_SETTINGS = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "WORKER_CONCURRENCY": "64"}
STEPS = ("Webhook", "Queue", "Worker", "Context", "GPT-4", "ServiceDesk Update")


@dataclass(frozen=True, slots=True)
class Pair:
    """CPU milliseconds of a job by process, of two batches one right after the other."""

    off: dict[str, float]
    on: dict[str, float]

    @property
    def ratio(self) -> float:
        """All on over all off, both processes together."""
        return sum(self.on.values()) / sum(self.off.values())


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[str]:
    """A collector for the length of the block; its address."""
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
    """All of observability, as in production; but spans leave each second, which costs more than each five."""
    return _SETTINGS | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_BSP_SCHEDULE_DELAY": "1000"}


def received(collector: str) -> dict[str, int]:
    """Spans by name that the collector has got."""
    counts: dict[str, int] = json.load(urllib.request.urlopen(f"{collector}/count", timeout=10))
    return counts


def batch(side: Side, jobs: int) -> dict[str, float]:
    """CPU milliseconds of a job by process."""
    before = side.cpu()
    side.send(jobs)
    side.await_ends()
    # What is exported in the background belongs to the jobs; the other side waits as long.
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


def measure(folder: Path, *, rounds: int, pairs: int, jobs: int) -> Cost:
    """`pairs` of batches in each of `rounds`; each round has new processes. Raises JobsFailed, or SpansLost."""
    found: list[Pair] = []
    spans: Counter[str] = Counter()
    for number in range(rounds):
        place = folder / str(number)
        with (
            collecting(place) as collector,
            Side(place / "off", dark=True, settings=_SETTINGS, openai_seconds=OPENAI_SECONDS) as off,
            Side(place / "on", settings=production_settings(collector), openai_seconds=OPENAI_SECONDS) as on,
        ):
            found += _pairs(off, on, pairs, jobs)
            spans.update(received(collector))
    count = rounds * (pairs + 1) * jobs
    missing = {name: spans[name] for name in STEPS if spans[name] < count}
    if missing:
        raise SpansLost(f"of {count} spans each: {missing}")
    return Cost(found, {name: number / count for name, number in spans.most_common()})


def _pairs(off: Side, on: Side, pairs: int, jobs: int) -> Iterator[Pair]:
    for side in (off, on):
        batch(side, jobs)  # not counted: code and caches get warm
    for number in range(pairs):
        # Who begins changes, so that what drifts favours neither.
        if number % 2:
            of_on, of_off = batch(on, jobs), batch(off, jobs)
        else:
            of_off, of_on = batch(off, jobs), batch(on, jobs)
        pair = Pair(of_off, of_on)
        sys.stderr.write(f"pair: {_words(of_off)} off, {_words(of_on)} on, ratio {pair.ratio:.3f}\n")
        yield pair


def _words(of_processes: dict[str, float]) -> str:
    return ", ".join(f"{name} {milliseconds:.1f} ms" for name, milliseconds in of_processes.items())
