"""A stopping worker with hundreds of jobs in flight."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from sqlalchemy import TextClause, text

from devstack.postgres import Postgres
from integrations.servicedesk.client import ServiceDeskPlus
from storage.claims import Claim
from storage.session import Database, Row
from tests.kit.logs import StartLog
from tests.kit.postgres import Store, claimed
from tests.kit.runner import runner_on
from workflow.graph import JobGraph
from workflow.run import run_attempt

_TENANTS = ("acme", "globex", "initech")
_JOBS = 300
GIVEN_BACK, LOST = "reason=worker stopping", "reason=claim lost; left to another attempt"


class Distant(Database):
    """A database with one connection and slow statements."""

    async def call(self, question: TextClause, **values: Any) -> Sequence[Row]:
        async with self._one:
            await asyncio.sleep(0.04)
            return await super().call(question, **values)

    def __init__(self, url: str) -> None:
        super().__init__(url, application_name="distant", pool_size=1, lock_seconds=0.3)
        self._one = asyncio.Lock()


class Endless:
    async def ainvoke(self, *_: object, **__: object) -> None:
        await asyncio.Event().wait()


@dataclass
class StoppingWorker:
    """Jobs in flight of several tenants, until it stops."""

    leases: Database
    claims: list[Claim]
    stream: io.StringIO
    _running: list[asyncio.Task[object]] = field(default_factory=list)

    async def begin(self) -> None:
        nothing: Any = None
        runner = replace(runner_on(nothing, self.leases, self.leases), graph=cast("JobGraph", Endless()))
        runner = replace(runner, desk_of=lambda _: cast("ServiceDeskPlus", None))
        self._running = [asyncio.create_task(run_attempt(runner, claim)) for claim in self.claims]
        await asyncio.sleep(0.3)

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running, timeout=30)

    def told(self) -> Counter[str]:
        said = self.stream.getvalue()
        return Counter({words: said.count(words) for words in (GIVEN_BACK, LOST)})


@pytest.fixture
async def worker(store: Store, server: Postgres, start_log: StartLog) -> AsyncIterator[StoppingWorker]:
    held = []
    for number in range(_JOBS):
        job_id = await store.accept(ticket_id=str(number), tenant_id=_TENANTS[number % len(_TENANTS)])
        held.append(await claimed(store.database, job_id))
    leases = Distant(server.url)
    busy = StoppingWorker(leases, held, start_log())
    await busy.begin()
    yield busy
    await leases.close()


def rows(store: Store) -> Counter[tuple[str, int]]:
    found = store.table.run("SELECT state, attempt, count(*) AS jobs FROM jobs GROUP BY 1, 2")
    return Counter({(row["state"], row["attempt"]): row["jobs"] for row in found})


def given_back(store: Store) -> int:
    (row,) = store.table.run("SELECT count(*) AS jobs FROM job_events WHERE what = 'given back'")
    return int(row["jobs"])


async def test_all_jobs_of_a_full_worker_are_given_back(worker: StoppingWorker, store: Store) -> None:
    await worker.stop()
    assert rows(store) == {("waiting", 0): _JOBS}
    assert worker.told() == {GIVEN_BACK: _JOBS, LOST: 0}
    assert given_back(store) == _JOBS


async def test_a_row_that_somebody_holds_is_given_back_later_and_the_others_at_once(
    worker: StoppingWorker, store: Store
) -> None:
    async with store.database.tenant("acme") as session:
        ids = [claim.job_id for claim in worker.claims if claim.tenant_id == "acme"][:20]
        await session.execute(text("SELECT FROM jobs WHERE id = ANY(:ids) FOR UPDATE"), {"ids": ids})
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(2)
        assert worker.told() == {GIVEN_BACK: _JOBS - 20, LOST: 0}
        assert rows(store) == {("waiting", 0): _JOBS - 20, ("running", 1): 20}
    await stopping
    assert rows(store) == {("waiting", 0): _JOBS}
    assert worker.told() == {GIVEN_BACK: _JOBS, LOST: 0}


async def test_a_claim_that_is_lost_by_then_costs_no_other_one(worker: StoppingWorker, store: Store) -> None:
    store.table.change(worker.claims[7].job_id, state="failed")
    await worker.stop()
    assert rows(store) == {("waiting", 0): _JOBS - 1, ("failed", 1): 1}
    assert worker.told() == {GIVEN_BACK: _JOBS - 1, LOST: 1}
