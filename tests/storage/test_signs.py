"""Whether workers are at work, as the rows tell it."""

from uuid import UUID

from storage.session import Database
from storage.signs import signs_of_work
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
