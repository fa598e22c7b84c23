"""Worker liveness as derived from the rows."""

import asyncio
from uuid import UUID

import pytest

from devstack.postgres import Postgres
from storage import claims
from storage.job_figures import LEASES, signs_of_work
from storage.session import Database
from tests.kit.postgres import Store, Table, claimed


async def test_a_worker_is_seen_while_it_holds_a_job(waiting: UUID, database: Database, table: Table) -> None:
    before = await signs_of_work(database)
    assert (before.workers, before.running, before.silent, before.last_started_at) == (0, 0, 0, None)
    await claimed(database, waiting)
    held = await signs_of_work(database)
    assert (held.workers, held.running, held.silent) == (1, 1, 0)
    assert held.last_started_at == table.job(waiting)["started_at"]
    table.change(waiting, lease_until="now() - interval '1 second'")
    lost = await signs_of_work(database)
    assert (lost.workers, lost.running, lost.silent) == (0, 1, 1)


async def test_a_job_that_ended_lately_tells_when_one_was_begun(store: Store) -> None:
    job_id = await store.accept()
    await claimed(store.database, job_id)
    for minutes, is_told in ((1, True), (11, False)):
        ended = f"now() - interval '{minutes} minutes'"
        store.table.change(job_id, state="completed", started_at=ended, finished_at=ended)
        assert ((await signs_of_work(store.database)).last_started_at is not None) is is_told


@pytest.mark.parametrize(("published", "due"), [(None, "now() + interval '5 minutes'"), ("now()", "now()")])
async def test_a_job_that_waits_again_tells_when_it_was_begun(published: str | None, due: str, store: Store) -> None:
    """Held back until later, or due and in the queue again."""
    job_id = await store.accept()
    await claimed(store.database, job_id)
    store.table.change(job_id, state="waiting", lease_until=None, published_at=published, due_at=due)
    await store.accept(ticket_id="9")
    assert (await signs_of_work(store.database)).last_started_at == store.table.job(job_id)["started_at"]
    store.table.change(job_id, started_at="now() - interval '11 minutes'")
    assert (await signs_of_work(store.database)).last_started_at is None


async def test_a_job_that_was_given_back_tells_when_it_was_begun(waiting: UUID, database: Database) -> None:
    held = await claimed(database, waiting)
    before = (await signs_of_work(database)).last_started_at
    assert await claims.give_back(database, [held]) == [True]
    assert before is not None
    assert (await signs_of_work(database)).last_started_at == before


async def test_a_worker_whose_sessions_have_ended_is_not_connected(
    waiting: UUID, database: Database, server: Postgres
) -> None:
    """Its leases outlast them."""
    await claimed(database, waiting)
    worker = Database(server.url, application_name=LEASES)
    await worker.ask()
    signs = await signs_of_work(database)
    assert (signs.workers, signs.connected) == (1, True)
    await worker.close()
    for _ in range(100):
        if not (signs := await signs_of_work(database)).connected:
            break
        await asyncio.sleep(0.05)
    assert (signs.workers, signs.connected) == (1, False)
