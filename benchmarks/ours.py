"""The production system for benchmarks, with a cheap desk and model."""

import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import load
from benchmarks.load import LoadResult, Plan
from devstack.free_ports import free_port
from devstack.processes import Process
from devstack.programs import PROJECT, answers
from devstack.surroundings import machine_environment
from devstack.system import System

PIECES = 98
"""Pieces of a streamed answer: one a token, as OpenAI sends it."""
_POLL_SECONDS = 0.05
_LONGEST_SECONDS = 240
# Spans leave a process at most 5 s after the last one; a busy process takes longer.
_SPANS_SECONDS = 30.0
_FIRST_TICKET = 1_000_000


class NotMeasurable(Exception):
    """Jobs failed, webhooks were refused or spans were lost, so the figures are invalid."""


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Poll a condition. Raises NotMeasurable after some minutes."""
    give_up_at = time.monotonic() + _LONGEST_SECONDS
    while not is_so():
        if time.monotonic() > give_up_at:
            raise NotMeasurable(f"not within {_LONGEST_SECONDS} s: {what}")
        time.sleep(_POLL_SECONDS)


class Tickets:
    """Unused ticket numbers."""

    def __init__(self) -> None:
        self._next = _FIRST_TICKET

    def take(self, count: int) -> int:
        self._next += count
        return self._next - count

    def peek(self) -> int:
        """Return the next number without reserving it."""
        return self._next


@dataclass(frozen=True, slots=True)
class Notes:
    """The desk's count of notes, and the time (`time.monotonic()`) of the last."""

    notes: int
    last: float


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[str]:
    port = free_port()
    collector = Process(
        "collector",
        [sys.executable, "-m", "benchmarks.collector", str(port)],
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


class Ours:
    """Postgres, Redis, API and workers, with spans and JSON lines; housekeeping on request.

    The model streams an answer for `seconds`. With `dark`, API and worker have no observability (`benchmarks.dark`).
    """

    def __init__(
        self,
        folder: Path,
        *,
        tenants: tuple[str, ...] = ("acme",),
        workers: int = 1,
        housekeeping: bool = False,
        seconds: float = 0.0,
        dark: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._options: dict[str, Any] = {"workers": workers, "tenants": tenants, "housekeeping": housekeeping}
        self._seconds, self._dark = seconds, dark
        self._settings = settings or {}
        self._stack = ExitStack()
        self.tickets = Tickets()
        self.system: System
        self.collector: str

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)  # the postgres user must reach it
        self.collector = self._stack.enter_context(collecting(self._folder))
        as_in_production = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "WORKER_CONCURRENCY": "16"}
        settings = {**as_in_production, "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector, **self._settings}
        self.system = System(self._folder / "system", settings=settings, **self._options)
        self.system.postgres.is_durable = True
        outside = [sys.executable, "-m", "benchmarks.outside"]
        for process in (self.system.desk, self.system.openai):
            port = process.command[process.command.index("--port") + 1]
            process.command = [*outside, port, "--seconds", str(self._seconds), "--pieces", str(PIECES)]
        if self._dark:
            for process in (self.system.api, self.worker):
                process.command = ["benchmarks.dark" if part == "support.cli" else part for part in process.command]
                process.environment["METRICS_PORT"] = ""
        try:
            self._stack.enter_context(self.system)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def worker(self) -> Process:
        return self.system.workers[0]

    @property
    def port(self) -> int:
        return int(self.system.state["api_url"].rpartition(":")[2])

    def send(self, requests: int, seconds: float = 120.0, rate: float | None = None, tenant: int = 0) -> LoadResult:
        """Send up to `requests` webhooks of a tenant in `seconds`. Raises NotMeasurable."""
        of = self.system.tenants[tenant]
        first = self.tickets.take(requests)
        # An idle connection is closed after 5 s.
        connections = 32 if rate is None else max(1, min(32, int(rate * 2)))
        return sent(Plan(self.port, of.webhook_secret, of.id, first, seconds, requests, connections, rate))

    def notes(self) -> Notes:
        count = _get(f"{self.system.state['desk_url']}/_sim/count")
        return Notes(count["notes"], count["last"])

    def moments(self) -> dict[str, float]:
        return _get(f"{self.system.state['desk_url']}/_sim/moments")

    def rate_of(self, first: int, jobs: int) -> float:
        """Return these tickets' jobs a second, from the first note to the last."""
        moments = self.moments()
        came = sorted(moments[str(ticket)] for ticket in range(first, first + jobs))
        return (jobs - 1) / max(came[-1] - came[0], 1e-3)

    def asking(self) -> int:
        waiting: int = _get(f"{self.system.state['openai_url'].removesuffix('/v1')}/_sim/count")["waiting"]
        return waiting

    def await_notes(self, count: int) -> None:
        """Wait for this total of notes. Raises NotMeasurable after some minutes."""
        wait_until(lambda: self.notes().notes >= count, f"{count} notes")

    def scrape(self) -> None:
        for address in self.system.state["metrics"].values():
            urllib.request.urlopen(address, timeout=60).read()

    def spans(self) -> dict[str, int]:
        return _get(f"{self.collector}/count")

    def await_spans(self, name: str, count: int) -> None:
        """Wait for this total of spans of a name: exporting them is part of the cost."""
        give_up_at = time.monotonic() + _SPANS_SECONDS
        while (missing := count - self.spans().get(name, 0)) > 0:
            if time.monotonic() > give_up_at:
                sys.stderr.write(f"{missing} of {count} spans did not reach the collector: {name}\n")
                return
            time.sleep(0.1)

    def requeued(self) -> int:
        """Return the requeues since the worker's start: they add work beyond one job each."""
        return self.worker.output().count("Job requeued")


def sent(plan: Plan, most_refused: float = 0.0) -> LoadResult:
    """Run a plan of webhooks. Raises NotMeasurable above that share of refusals."""
    found = load.run(plan)
    if sum(found.refused.values()) > most_refused * found.answers:
        raise NotMeasurable(f"of {found.answers} answers these were no 202, by status: {found.refused}")
    return found


def _get(address: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.load(urllib.request.urlopen(address, timeout=30))
    return answer
