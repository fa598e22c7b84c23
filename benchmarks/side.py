"""One side of a comparison: a whole system of its own, and batches of jobs sent through it."""

import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg

from benchmarks.proc import cpu_seconds
from devstack.system import System

_POLL_SECONDS = 0.05
_LONGEST_SECONDS = 240
_SENDERS = 8
PIECES = 98
"""Of a streamed answer: one a token, as OpenAI sends it; the simulated answer has so many."""


class JobsFailed(Exception):
    """Jobs that did not complete: what was measured is not what was meant."""


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Ask again and again. Raises JobsFailed after some minutes."""
    give_up_at = time.monotonic() + _LONGEST_SECONDS
    while not is_so():
        if time.monotonic() > give_up_at:
            raise JobsFailed(f"not within {_LONGEST_SECONDS} s: {what}")
        time.sleep(_POLL_SECONDS)


class Side:
    """A running system; `dark` is without observability (`benchmarks.dark`)."""

    def __init__(
        self,
        folder: Path,
        *,
        openai_seconds: float,
        pieces: int = PIECES,
        dark: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.system = System(folder, settings=settings, openai_seconds=openai_seconds, tenants=("acme",))
        self.system.openai.command = [*self.system.openai.command, "--chunks", str(pieces)]
        self.measured = {"api": self.system.api, "worker": self.system.workers[0]}
        if dark:
            for process in self.measured.values():
                process.command = ["benchmarks.dark" if part == "support.cli" else part for part in process.command]
                # No port, no server.
                process.environment["METRICS_PORT"] = ""
        self._scraped = [] if dark else ["api", "worker"]
        self._sent = 0

    def __enter__(self) -> Self:
        self.system.start()
        self._desk = httpx.Client(base_url=self.system.state["desk_url"], timeout=30, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._desk.close()
        self.system.stop()

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of each measured process."""
        return {name: cpu_seconds(process.pid) for name, process in self.measured.items()}

    def send(self, count: int) -> None:
        """Make tickets on the desk, which posts a webhook for each."""
        with ThreadPoolExecutor(_SENDERS) as senders:
            list(senders.map(self._create, range(self._sent, self._sent + count)))
        self._sent += count

    def _create(self, number: int) -> None:
        subject = f"VPN does not connect from home, case {number}"
        text = f"<p>Since this morning the VPN client says 809 on laptop {number}. The office network works.</p>" * 3
        ticket = {"tenant": "acme", "subject": subject, "description": text}
        self._desk.post("/_sim/tickets", json=ticket).raise_for_status()

    def await_ends(self, scrape_seconds: float = 15.0) -> None:
        """Wait until every job has completed, scraping the metrics meanwhile. Raises JobsFailed."""
        scraped_at = 0.0
        with psycopg.connect(self.system.state["database_admin_url"], autocommit=True) as rows:

            def all_completed() -> bool:
                nonlocal scraped_at
                if time.monotonic() - scraped_at > scrape_seconds:
                    scraped_at = time.monotonic()
                    self._scrape()
                ends = self._ends(rows)
                if ends.keys() & {"failed", "skipped", "tried again"}:
                    raise JobsFailed(f"{self._sent} jobs, of them: {ends}")
                return ends.get("completed", 0) >= self._sent

            wait_until(all_completed, f"{self._sent} jobs completed")

    @staticmethod
    def _ends(rows: psycopg.Connection[Any]) -> dict[str, int]:
        return dict(
            rows.execute(
                "SELECT CASE WHEN attempt > 1 THEN 'tried again' ELSE state::text END, count(*) FROM jobs GROUP BY 1"
            ).fetchall()
        )

    def _scrape(self) -> None:
        """Read the metrics as Prometheus does."""
        addresses = self.system.state["metrics"]
        for name in self._scraped:
            urllib.request.urlopen(addresses[name], timeout=60).read()
