"""`python -m benchmarks.fairness`: how long one tenant's jobs wait in the queue while another one floods it.

A whole system with one worker of 128 places, whose GPT-4 takes 3 s. A tenant's webhooks come one a second, first with
nobody else there, then behind 10,000 jobs of another tenant (rows and messages are written in bulk). Printed are p50,
p95 and the longest time from acceptance to the first attempt; it fails if the p95 is not under five seconds.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import psycopg

from benchmarks.report import Benchmark, Goal, Report, table
from benchmarks.side import wait_until
from devstack.system import System
from dispatch.queue import JobQueue

_FLOODS, _OTHER = "acme", "globex"
_GOAL_SECONDS = 5.0
_SENDERS = 8
_ROWS = (
    "INSERT INTO jobs (id, tenant_id, ticket_id, accepted_at, due_at, deadline_at, published_at)"
    " SELECT gen_random_uuid(), %s, t.ticket_id, now(), now() + n * interval '1 us', now() + interval '1 day', now()"
    " FROM unnest(%s::text[]) WITH ORDINALITY t(ticket_id, n) RETURNING id"
)
_WAITED = (
    "SELECT extract(epoch FROM started_at - accepted_at)::float8 FROM jobs"
    " WHERE tenant_id = %s AND ticket_id = ANY (%s) AND started_at IS NOT NULL"
)


class _Flood:
    """The system under the flood, from outside."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._desk = httpx.Client(base_url=system.state["desk_url"], timeout=30, trust_env=False)
        self._owner = psycopg.connect(system.state["database_admin_url"], autocommit=True)

    def ticket(self, tenant: str, *, send_webhook: bool) -> str:
        """Make a ticket on the tenant's desk; its id."""
        body = {"tenant": tenant, "subject": "S", "description": "D", "send_webhook": send_webhook}
        return str(self._desk.post("/_sim/tickets", json=body).raise_for_status().json()["ticket_id"])

    def begin(self, jobs: int, run: int) -> None:
        """Write so many jobs of one tenant with their messages; the first `run` have tickets: more will not be run."""
        with ThreadPoolExecutor(_SENDERS) as senders:
            tickets = list(senders.map(lambda _: self.ticket(_FLOODS, send_webhook=False), range(min(run, jobs))))
        tickets += [f"9{number:09}" for number in range(jobs - len(tickets))]
        ids = [row[0] for row in self._owner.execute(_ROWS, (_FLOODS, tickets)).fetchall()]
        asyncio.run(self._push(ids))

    async def _push(self, ids: Sequence[UUID]) -> None:
        queue = JobQueue(self._system.state["redis_url"])
        for at in range(0, len(ids), 32):
            await asyncio.gather(*(queue.publish(job_id, "") for job_id in ids[at : at + 32]))
        await queue.close()

    def one_a_second(self, seconds: int) -> list[float]:
        """Make a ticket of the other tenant each second; how long each of its jobs waited, in order."""
        tickets = []
        for _ in range(seconds):
            tickets.append(self.ticket(_OTHER, send_webhook=True))
            time.sleep(1)
        wait_until(lambda: len(self._waited(tickets)) == seconds, "each job of the other tenant is started")
        return sorted(self._waited(tickets))

    def _waited(self, tickets: Sequence[str]) -> list[float]:
        return [row[0] for row in self._owner.execute(_WAITED, (_OTHER, tickets)).fetchall()]

    def state(self) -> str:
        """Return the flood's results so far."""
        question = "SELECT state, count(*) FROM jobs WHERE tenant_id = %s GROUP BY 1 ORDER BY 1"
        return ", ".join(f"{count} {state}" for state, count in self._owner.execute(question, (_FLOODS,)).fetchall())

    def close(self) -> None:
        """Close the connections."""
        self._desk.close()
        self._owner.close()


def _p95(waited: Sequence[float]) -> float:
    return statistics.quantiles(waited, n=20, method="inclusive")[-1]


def _row(name: str, waited: Sequence[float]) -> list[str]:
    return [name, str(len(waited)), *(f"{of:.2f}" for of in (statistics.median(waited), _p95(waited), waited[-1]))]


def _measure(folder: Path, given: argparse.Namespace) -> tuple[list[float], list[float], str]:
    """How long the other tenant's jobs waited alone, and behind the flood; and what became of the flood."""
    system = System(
        folder,
        settings={"WORKER_CONCURRENCY": str(given.places)},
        openai_seconds=given.openai_seconds,
        tenants=(_FLOODS, _OTHER),
        housekeeping=False,
    )
    with system:
        flood = _Flood(system)
        alone = flood.one_a_second(given.alone)
        flood.begin(given.flood, round(given.places / given.openai_seconds * (given.seconds + 20)))
        waited = flood.one_a_second(given.seconds)
        state = flood.state()
        flood.close()
    return alone, waited, state


def _report(folder: Path, given: argparse.Namespace) -> Report:
    alone, waited, state = _measure(folder, given)
    head = ("time in queue, seconds", "webhooks", "p50", "p95", "longest")
    lines = table(head, [_row("alone", alone), _row(f"behind {given.flood:,} of another", waited)])
    p95 = _p95(waited)
    late = "" if p95 < _GOAL_SECONDS else f"behind a flood the p95 is {p95:.1f} s, not under {_GOAL_SECONDS:.0f}"
    figures = {"alone": alone, "behind": waited, "flood": given.flood}
    goals = [Goal("seconds in queue behind another tenant's flood, p95", p95, most=_GOAL_SECONDS)]
    return Report([*lines, "", f"The flood at the end: {state}."], figures, goals=goals, failed=late)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flood", type=int, default=10_000, help="jobs of the tenant that floods (default: 10000)")
    parser.add_argument("--alone", type=int, default=15, help="webhooks of the other one before (default: 15)")
    parser.add_argument("--seconds", type=int, default=40, help="and behind it, one a second (default: 40)")
    parser.add_argument("--places", type=int, default=128, help="of the worker (default: 128)")
    parser.add_argument("--openai-seconds", type=float, default=3.0, help="of each answer (default: 3)")


BENCHMARK = Benchmark(
    "fairness",
    _arguments,
    _report,
    full=("--alone", "30", "--seconds", "120"),
    tiny=("--flood", "100", "--alone", "2", "--seconds", "3", "--openai-seconds", "0.2"),
)

if __name__ == "__main__":
    BENCHMARK.main()
