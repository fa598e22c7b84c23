"""The production system for benchmarks, with a cheap desk and model."""

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.pilot.free_ports import free_port
from cli.pilot.processes import Process, wait_until
from cli.pilot.programs import ROOT, answers, machine_environment
from dev.benchmarks import load
from dev.benchmarks.load import LoadResult, Plan
from dev.stack.system import System

PIECES = 98
"""Pieces of a streamed answer: one a token, as OpenAI sends it."""
_MAX_SECONDS = 240
# Spans leave a process at most 5 s after the last one; a busy process takes longer.
_SPANS_SECONDS = 30.0


class MeasurementError(Exception):
    """Invalid figures: jobs failed, webhooks were refused or spans were lost."""


@contextmanager
def ours_running(
    folder: Path,
    *,
    workers: int = 1,
    housekeeping: bool = False,
    seconds: float = 0.0,
    settings: Mapping[str, str] | None = None,
) -> Iterator["Ours"]:
    """Run the system as in production; the model streams an answer for `seconds`."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # the postgres user must reach it
    port = free_port()
    collector = Process(
        "collector",
        [sys.executable, "-m", "dev.benchmarks.outside", str(port)],
        log_path=folder / "collector.log",
        environment=machine_environment(),
        ready=answers(port, "/_sim/spans"),
        folder=ROOT,
    )
    env = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO", "WORKER_CONCURRENCY": "16"} | dict(settings or {})
    env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
    system = System(folder / "system", settings=env, workers=workers, tenants=("acme",), housekeeping=housekeeping)
    system.postgres.is_durable = True
    for process in (system.desk, system.openai):
        server_port = process.command[process.command.index("--port") + 1]
        arguments = ["-m", "dev.benchmarks.outside", server_port, "--seconds", str(seconds), "--pieces", str(PIECES)]
        process.command = [sys.executable, *arguments]
    collector.start()
    try:
        collector.wait_ready()
        with system:
            yield Ours(system, env["OTEL_EXPORTER_OTLP_ENDPOINT"])
    finally:
        collector.stop(2)


@dataclass
class Ours:
    """The running system; `next_ticket` is the next unused number."""

    system: System
    collector: str
    next_ticket: int = 1_000_000

    @property
    def worker(self) -> Process:
        return self.system.workers[0]

    @property
    def port(self) -> int:
        return int(self.system.state["api_url"].rpartition(":")[2])

    def take(self, count: int) -> int:
        self.next_ticket += count
        return self.next_ticket - count

    def send(self, requests: int, seconds: float = 120.0, rate: float | None = None) -> LoadResult:
        """Send up to `requests` webhooks in `seconds`. Raises MeasurementError."""
        tenant = self.system.tenants[0]
        first = self.take(requests)
        # An idle connection is closed after 5 s.
        connections = 32 if rate is None else max(1, min(32, int(rate * 2)))
        return sent(Plan(self.port, tenant.webhook_secret, tenant.id, first, seconds, requests, connections, rate))

    def notes(self) -> int:
        return int(self._outside("desk", "count")["notes"])

    def moments(self) -> dict[str, float]:
        """Return when each ticket's note came, in `time.monotonic()`."""
        return self._outside("desk", "moments")

    def note_rate(self, first: int, jobs: int) -> float:
        """Return these tickets' jobs a second, from the first note to the last."""
        moments = self.moments()
        times = sorted(moments[str(ticket)] for ticket in range(first, first + jobs))
        return (jobs - 1) / max(times[-1] - times[0], 1e-3)

    def waiting_questions(self) -> int:
        return int(self._outside("openai", "count")["waiting"])

    def _outside(self, server: str, path: str) -> dict[str, Any]:
        return _get(f"{self.system.state[f'{server}_url'].removesuffix('/v1')}/_sim/{path}")

    def await_notes(self, count: int) -> None:
        """Wait for this total of notes. Raises MeasurementError after some minutes."""
        if not wait_until(lambda: self.notes() >= count, _MAX_SECONDS, pause=0.05):
            raise MeasurementError(f"not within {_MAX_SECONDS} s: {count} notes")

    def scrape(self) -> None:
        for address in self.system.state["metrics"].values():
            urllib.request.urlopen(address, timeout=60).read()

    def spans(self) -> dict[str, int]:
        return _get(f"{self.collector}/_sim/spans")

    def await_spans(self, name: str, count: int) -> None:
        """Wait for this total of spans of a name: exporting them is part of the cost."""
        if not wait_until(lambda: self.spans().get(name, 0) >= count, _SPANS_SECONDS, pause=0.1):
            missing = count - self.spans().get(name, 0)
            sys.stderr.write(f"{missing} of {count} spans did not reach the collector: {name}\n")

    def requeued(self) -> int:
        """Return the requeues since the worker's start, which add work."""
        return self.worker.output().count("Job requeued")


def sent(plan: Plan, most_refused: float = 0.0) -> LoadResult:
    """Run a plan of webhooks. Raises MeasurementError above that share of refusals."""
    result = load.run(plan)
    if sum(result.refused.values()) > most_refused * result.answers:
        raise MeasurementError(f"of {result.answers} answers these were no 202, by status: {result.refused}")
    return result


def _get(address: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.load(urllib.request.urlopen(address, timeout=30))
    return answer
