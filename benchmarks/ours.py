"""The real system for a benchmark: as in production, with a desk and a model that cost little."""

import json
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import load
from benchmarks.cost import collecting, production_settings, received
from benchmarks.load import LoadResult, Plan
from benchmarks.side import PIECES, wait_until
from devstack.processes import Process
from devstack.system import System

# Spans leave a process 5 s after the last at the latest; one that is busy takes longer.
_SPANS_SECONDS = 30.0
_FIRST_TICKET = 1_000_000


class WebhooksRefused(Exception):
    """Something else than 202 was answered: what was measured is not what was meant."""


class Tickets:
    """Numbers that no webhook had before."""

    def __init__(self) -> None:
        self._next = _FIRST_TICKET

    def take(self, count: int) -> int:
        """Take so many; the first of them."""
        self._next += count
        return self._next - count

    def peek(self) -> int:
        """Tell which one is taken next."""
        return self._next


@dataclass(frozen=True, slots=True)
class Notes:
    """Notes that the desk has got, and the moment (`time.monotonic()`) of the last."""

    notes: int
    last: float


class Ours:
    """Postgres, Redis, API and workers, spans to a collector, lines in JSON; housekeeping only where it is asked for.

    `seconds` is the model's for an answer, streamed in as many pieces as it has tokens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        housekeeping: bool = False,
        seconds: float = 0.0,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._options: dict[str, Any] = {"workers": workers, "tenants": ("acme",), "housekeeping": housekeeping}
        self._seconds = seconds
        self._settings = settings or {}
        self._stack = ExitStack()
        self.tickets = Tickets()
        self.system: System

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)  # Postgres has a user of its own
        self._collector = self._stack.enter_context(collecting(self._folder))
        settings = {**production_settings(self._collector), **self._settings}
        self.system = System(self._folder / "system", settings=settings, **self._options)
        # As in production: a commit is on the disk before it is answered.
        self.system.postgres.is_durable = True
        outside = [self.system.desk.command[0], "-m", "benchmarks.outside"]
        for process in (self.system.desk, self.system.openai):
            port = process.command[process.command.index("--port") + 1]
            process.command = [*outside, port, "--seconds", str(self._seconds), "--pieces", str(PIECES)]
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
        """The first worker."""
        return self.system.workers[0]

    def send(self, requests: int, seconds: float = 120.0, rate: float | None = None) -> LoadResult:
        """Send so many webhooks at most, within `seconds`. Raises WebhooksRefused."""
        port = int(self.system.state["api_url"].rpartition(":")[2])
        tenant = self.system.tenants[0]
        first = self.tickets.take(requests)
        # One over which nothing comes is closed after 5 s.
        connections = 32 if rate is None else max(1, min(32, int(rate * 2)))
        plan = Plan(port, tenant.webhook_secret, tenant.id, first, seconds, requests, connections, rate)
        return sent(plan)

    def notes(self) -> Notes:
        """Ask the desk."""
        count = _ask(f"{self.system.state['desk_url']}/_sim/count")
        return Notes(count["notes"], count["last"])

    def moments(self) -> dict[str, float]:
        """Ask the desk when each ticket's note came."""
        return _ask(f"{self.system.state['desk_url']}/_sim/moments")

    def rate_of(self, first: int, jobs: int, warm: int = 1) -> float:
        """Return the jobs a second of those tickets whose notes came after the first `warm` of them."""
        moments = self.moments()
        came = sorted(moments[str(ticket)] for ticket in range(first, first + jobs))
        return (jobs - warm) / max(came[-1] - came[warm - 1], 1e-3)

    def asking(self) -> int:
        """Ask the model how many questions wait for it."""
        waiting: int = _ask(f"{self.system.state['openai_url'].removesuffix('/v1')}/_sim/count")["waiting"]
        return waiting

    def await_notes(self, count: int) -> Notes:
        """Wait for so many notes in all. Raises JobsFailed after some minutes."""
        wait_until(lambda: self.notes().notes >= count, f"{count} notes")
        return self.notes()

    def scrape(self) -> None:
        """Read the metrics as Prometheus does."""
        for address in self.system.state["metrics"].values():
            urllib.request.urlopen(address, timeout=60).read()

    def await_spans(self, name: str, count: int) -> int:
        """Wait until the collector has so many spans of that name in all; the number of those that did not come.

        What is exported in the background belongs to what is measured.
        """
        give_up_at = time.monotonic() + _SPANS_SECONDS
        while (missing := count - received(self._collector).get(name, 0)) > 0 and time.monotonic() < give_up_at:
            time.sleep(0.1)
        return max(0, missing)

    def requeued(self) -> int:
        """Count how often a job went back to wait since the worker began: such a job is more than one job's work."""
        return self.worker.output().count("Job requeued")


def sent(plan: Plan, most_refused: float = 0.0) -> LoadResult:
    """Carry out a plan of webhooks. Raises WebhooksRefused if more than that share of them is not taken."""
    found = load.run(plan)
    refused = sum(found.refused.values())
    if refused > most_refused * found.answers:
        raise WebhooksRefused(f"of {found.answers} answers these were no 202, by status: {found.refused}")
    return found


def _ask(address: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.load(urllib.request.urlopen(address, timeout=30))
    return answer
