"""`python -m benchmarks.changes`: the CPU of one change of a job's row in its worker, by a function and by the ORM.

In turn and in one process, on an embedded Postgres; the median of the batches, in milliseconds of this process's CPU.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import func, update

from benchmarks.report import Benchmark, Report, no_arguments
from devstack.postgres import Postgres
from storage import claims, jobs
from storage.claims import Claim
from storage.jobs import Event
from storage.migrating import migrate
from storage.models import Job, JobState
from storage.session import Database
from storage.turns import Shares, claim_next

_BATCHES, _CHANGES = 9, 80
_LEASE = 3600.0


async def by_function(database: Database, held: Claim) -> None:
    """Ask for a fresh lease as a worker does, with the event of a posting."""
    await claims.about_to_post(database, held, _LEASE)


async def by_orm(database: Database, held: Claim) -> None:
    """Make the same change as a statement of the ORM in a transaction of its tenant, without the event."""
    later = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, _LEASE)
    holds = (Job.state == JobState.RUNNING, Job.claim_token == held.token, Job.lease_until > func.clock_timestamp())
    change = update(Job).where(Job.id == held.job_id, *holds)
    async with database.tenant(held.tenant_id) as session:
        values = {"note_attempted_at": func.clock_timestamp(), "lease_until": later}
        await session.scalar(change.values(**values).returning(Job.id))


async def _measure(url: str) -> dict[str, float]:
    database = Database(url, application_name="benchmark", pool_size=1)
    event = Event(uuid4(), "acme", "1", None, ("key",), "", datetime.now(UTC))
    await jobs.accept_all(database, [event], 3600, published=True)
    held = await claim_next(database, "benchmark", _LEASE, Shares())
    assert held is not None  # noqa: S101 -- it was accepted just now
    ways: dict[str, Callable[[Database, Claim], Awaitable[None]]] = {"function": by_function, "ORM": by_orm}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_BATCHES):
        for name, change in ways.items():
            began = time.process_time()
            for _ in range(_CHANGES):
                await change(database, held)
            found[name].append((time.process_time() - began) / _CHANGES * 1000)
    await database.close()
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def _report(folder: Path, _given: argparse.Namespace) -> Report:
    with Postgres(folder) as server:
        migrate(server.admin_url, server.url)
        found = asyncio.run(_measure(server.url))
    told = f"{found['function']:.2f} ms by a function, {found['ORM']:.2f} ms by the ORM"
    return Report([f"{told}: {found['function'] / found['ORM']:.2f}"], found)


BENCHMARK = Benchmark("changes", no_arguments, _report)

if __name__ == "__main__":
    BENCHMARK.main()
