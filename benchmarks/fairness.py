"""Queue time of one tenant's jobs while another tenant floods the queue.

One worker, a GPT-4 that takes 3 s. A tenant's webhooks come one a second, first alone, then behind 10,000 jobs of
another tenant, written in bulk as rows and messages. Measured: the time from acceptance to the first attempt.
"""

import asyncio
import statistics
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.ours import Ours, wait_until
from benchmarks.report import Benchmark, Goal, Report, table
from dispatch.queue import JobQueue

_FLOODS, _OTHER = "acme", "globex"
_GOAL_SECONDS = 5.0
_ROWS = (
    "INSERT INTO jobs (id, tenant_id, ticket_id, accepted_at, due_at, deadline_at, published_at)"
    " SELECT gen_random_uuid(), %s, 9000000 + n, now(), now() + n * interval '1 us', now() + interval '1 day', now()"
    " FROM generate_series(1, %s) n RETURNING id"
)
_WAITED = (
    "SELECT extract(epoch FROM started_at - accepted_at)::float8 FROM jobs"
    " WHERE tenant_id = %s AND started_at IS NOT NULL ORDER BY accepted_at"
)
_STATES = "SELECT state, count(*) FROM jobs WHERE tenant_id = %s GROUP BY 1 ORDER BY 1"


async def _push(redis_url: str, ids: Sequence[UUID]) -> None:
    queue = JobQueue(redis_url)
    for at in range(0, len(ids), 32):
        await asyncio.gather(*(queue.publish(job_id, "") for job_id in ids[at : at + 32]))
    await queue.close()


def _one_a_second(ours: Ours, owner: psycopg.Connection[Any], seconds: int) -> list[float]:
    """Send one webhook of the other tenant a second; return the sorted waits of its jobs."""
    before = len(owner.execute(_WAITED, (_OTHER,)).fetchall())
    ours.send(seconds, seconds, rate=1.0, tenant=1)

    def waited() -> list[float]:
        return [row[0] for row in owner.execute(_WAITED, (_OTHER,)).fetchall()][before:]

    wait_until(lambda: len(waited()) == seconds, "each job of the other tenant is started")
    return sorted(waited())


def _row(name: str, waited: Sequence[float]) -> list[str]:
    return [name, str(len(waited)), *(f"{of:.2f}" for of in (statistics.median(waited), _p95(waited), waited[-1]))]


def _p95(waited: Sequence[float]) -> float:
    return statistics.quantiles(waited, n=20, method="inclusive")[-1]


def _report(folder: Path, given: Namespace) -> Report:
    settings = {"WORKER_CONCURRENCY": str(given.places)}
    with Ours(folder / "ours", tenants=(_FLOODS, _OTHER), seconds=given.openai_seconds, settings=settings) as ours:
        state = ours.system.state
        with psycopg.connect(state["database_admin_url"], autocommit=True) as owner:
            alone = _one_a_second(ours, owner, given.alone)
            ids = [row[0] for row in owner.execute(_ROWS, (_FLOODS, given.flood)).fetchall()]
            asyncio.run(_push(state["redis_url"], ids))
            waited = _one_a_second(ours, owner, given.seconds)
            states = ", ".join(f"{count} {of}" for of, count in owner.execute(_STATES, (_FLOODS,)).fetchall())
    head = ("time in queue, seconds", "webhooks", "p50", "p95", "longest")
    lines = table(head, [_row("alone", alone), _row(f"behind {given.flood:,} of another", waited)])
    p95 = _p95(waited)
    late = "" if p95 < _GOAL_SECONDS else f"behind a flood the p95 is {p95:.1f} s, not under {_GOAL_SECONDS:.0f}"
    figures = {"alone": alone, "behind": waited, "flood": given.flood}
    goals = [Goal("seconds in queue behind another tenant's flood, p95", p95, most=_GOAL_SECONDS)]
    return Report([*lines, "", f"The flood at the end: {states}."], figures, goals=goals, failed=late)


BENCHMARK = Benchmark(
    "fairness",
    _report,
    {"flood": 10_000, "alone": 15, "seconds": 40, "places": 128, "openai_seconds": 3.0},
    full={"alone": 30, "seconds": 120},
    tiny={"flood": 100, "alone": 2, "seconds": 3, "openai_seconds": 0.2},
)
