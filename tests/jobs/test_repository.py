"""The relay's queries: due and lost jobs once, overdue ones ended, deadlines put off."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.session import Database
from jobs import claims, repository
from jobs.repository import JobIdentity
from jobs.statistics import job_figures, jobs_held_back
from tests.kit.postgres import Store, Table, claim_by_id, claimed

Accept = Callable[..., Awaitable[UUID]]
Columns = dict[str, Any]

PAST, TO_COME = ("now() - interval '1 second'", "now() + interval '1 minute'")
OVERDUE: Columns = {"deadline_at": PAST}
HELD: Columns = {"state": "running", "lease_owner": "one", "lease_until": TO_COME}
SILENT = HELD | {"lease_until": PAST}


@pytest.fixture
def accept(store: Store) -> Accept:
    return partial(store.accept, published=False)


def ids(found: list[JobIdentity]) -> set[UUID]:
    return {job.job_id for job in found}


async def test_a_due_job_comes_with_what_publishing_takes(accept: Accept, database: Database, table: Table) -> None:
    job_id = await accept(tenant_id="globex", attempt=2)
    row = table.job(job_id)
    (due,) = await repository.take_due(database, 10)
    assert due == JobIdentity(job_id, "globex", "12345", 2, row["traceparent"])
    assert table.job(job_id)["published_at"] is not None


async def test_only_waiting_unpublished_due_jobs_are_taken_and_each_once(accept: Accept, database: Database) -> None:
    due = {await accept(), await accept(tenant_id="globex")}
    for other in ({"published": True}, {"due_at": TO_COME}, {"state": "completed"}, HELD):
        await accept(**other)
    assert ids(await repository.take_due(database, 10)) == due
    assert await repository.take_due(database, 10) == []


async def test_due_jobs_are_taken_evenly_per_tenant(accept: Accept, database: Database) -> None:
    flood = [await accept(due_at=f"now() - interval '{minutes} minutes'") for minutes in range(30, 0, -1)]
    late = {await accept(tenant_id="globex"), await accept(tenant_id="hooli")}
    await accept(tenant_id="initech", due_at=TO_COME)
    assert ids(await repository.take_due(database, 12)) == late | set(flood[:10])
    assert ids(await repository.take_due(database, 12)) == set(flood[10:22])


async def test_more_tenants_than_are_taken_at_once_have_their_turn(accept: Accept, database: Database) -> None:
    due = {await accept(tenant_id=f"tenant-{number}") for number in range(9)}
    taken = [ids(await repository.take_due(database, 4)) for _ in range(3)]
    assert [len(some) for some in taken] == [4, 4, 1]
    assert set.union(*taken) == due


async def test_relays_at_the_same_time_take_no_job_twice(accept: Accept, database: Database) -> None:
    due = {await accept() for _ in range(40)}
    taken = await asyncio.gather(*(repository.take_due(database, 10) for _ in range(8)))
    found = [job.job_id for batch in taken for job in batch]
    assert len(found) == len(set(found))
    while batch := await repository.take_due(database, 10):
        found += [job.job_id for job in batch]
    assert sorted(found) == sorted(due)


async def test_a_job_that_redis_did_not_take_is_due_again(accept: Accept, database: Database, table: Table) -> None:
    taken, running = await accept(), await accept(published=True, **HELD)
    await repository.take_due(database, 10)
    for unpublished, due in (([taken, running, uuid4()], {taken}), ([], set())):
        await repository.unpublish(database, unpublished)
        assert ids(await repository.take_due(database, 10)) == due
    assert table.job(running)["published_at"] is not None


async def test_a_job_whose_worker_fell_silent_waits_again(accept: Accept, database: Database, table: Table) -> None:
    lost = await accept(published=True, **SILENT, attempt=1)
    await accept(published=True, **HELD, attempt=1)
    await accept(published=True, **SILENT, **OVERDUE, attempt=1)
    (recovered,) = await repository.recover(database, 10)
    assert (recovered.job_id, recovered.attempt) == (lost, 1)
    row = table.job(lost)
    assert (row["state"], row["lease_owner"], row["lease_until"], row["published_at"]) == ("waiting", None, None, None)
    assert await repository.recover(database, 10) == []
    assert ids(await repository.take_due(database, 10)) == {lost}


async def test_a_job_past_its_deadline_fails_with_a_reason(accept: Accept, database: Database, table: Table) -> None:
    waiting, silent = await accept(**OVERDUE), await accept(**OVERDUE, **SILENT)
    retried = await accept(**OVERDUE, reason="GPT-4 timeout", due_at="now() + interval '1 hour'")
    others = {
        await accept(**OVERDUE, **HELD): "running",
        await accept(**OVERDUE, state="completed"): "completed",
        await accept(): "waiting",
    }
    assert ids(await repository.expire(database, 10, "deadline passed")) == {waiting, retried, silent}
    assert {table.job(job)["state"] for job in (waiting, retried, silent)} == {"failed"}
    assert table.job(waiting)["reason"] == "deadline passed"
    assert table.job(retried)["reason"] == "deadline passed (last: GPT-4 timeout)"
    assert (table.job(silent)["lease_owner"], table.job(silent)["lease_until"]) == (None, None)
    assert table.job(silent)["finished_at"] is not None
    assert {job: table.job(job)["state"] for job in others} == others
    assert await repository.expire(database, 10, "deadline passed") == []


async def test_every_accepted_job_can_be_claimed_or_expires(accept: Accept, database: Database) -> None:
    """No job falls between the deadlines of a claim and of the relay."""
    for columns in ({}, SILENT):
        assert await claim_by_id(database, await accept(**columns), "two", 45) is not None
        job_id = await accept(**columns, **OVERDUE)
        assert ids(await repository.expire(database, 10, "deadline passed")) == {job_id}


OLD: Columns = {"published_at": "now() - interval '10 seconds'"}


async def test_jobs_due_a_message_are_counted_after_some_seconds(accept: Accept, database: Database) -> None:
    counted: list[Columns] = [OLD, OLD | {"tenant_id": "globex"}, OLD | HELD]
    for columns in (*counted, {"published": True}, {}, OLD | {"state": "failed"}, OLD | {"due_at": TO_COME}):
        await accept(**columns)
    assert await repository.count_published_and_running(database, 9) == (2, 1)
    assert await repository.count_published_and_running(database, 1) == (1, 1)


async def test_of_the_jobs_without_a_message_the_oldest_are_published_again(accept: Accept, store: Store) -> None:
    waiting = [await accept(**OLD, due_at=f"now() - interval '{minutes} minutes'") for minutes in (3, 2, 1)]
    just_published, ended = await accept(published=True), await accept(**OLD, state="completed")
    assert await repository.take_without_message(store.database, 3, 10) == []
    assert ids(await repository.take_without_message(store.database, 1, 10)) == set(waiting[:2])
    for job_id in waiting[:2]:
        age = store.table.run("SELECT now() - published_at AS age FROM jobs WHERE id = %s", job_id)[0]["age"]
        assert age < timedelta(seconds=3)
        found_rows = store.table.run("SELECT what FROM job_events WHERE job_id = %s ORDER BY id", job_id)
        assert [event["what"] for event in found_rows] == ["accepted", "published again"]
    # Recently published ones are skipped.
    assert await repository.take_without_message(store.database, 1, 10) == []
    assert ids(await repository.take_without_message(store.database, 0, 10)) == {waiting[2]}
    assert [store.table.job(job)["state"] for job in (just_published, ended)] == ["waiting", "completed"]


async def test_no_more_are_published_again_than_asked_for(accept: Accept, database: Database) -> None:
    for _ in range(5):
        await accept(**OLD)
    taken = [await repository.take_without_message(database, 1, 2) for _ in range(3)]
    assert [len(some) for some in taken] == [2, 2, 0]


async def test_relays_at_the_same_time_do_not_make_up_for_the_same_loss(accept: Accept, database: Database) -> None:
    for _ in range(20):
        await accept(**OLD)
    taken = await asyncio.gather(*(repository.take_without_message(database, 15, 20) for _ in range(6)))
    assert sum(map(len, taken)) == 5


async def test_what_is_kept_for_a_short_time_is_deleted(accept: Accept, database: Database, table: Table) -> None:
    for _ in range(2):
        await accept()
    one = "ctid = (SELECT ctid FROM delivery_keys LIMIT 1)"
    table.run(f"UPDATE delivery_keys SET expires_at = now() - interval '61 minutes' WHERE {one}")  # noqa: S608 -- above
    refused = "INSERT INTO rejections (tenant_id, status, reason, rejected_at) SELECT 'acme', 403, days, now() - "
    table.run(refused + "make_interval(days => days) FROM unnest('{0, 6, 8}'::int[]) days")
    sessions = "SELECT i, now() + make_interval(secs => i::int) FROM unnest('{-1, 60}'::text[]) i"
    table.run(f"INSERT INTO ended_sessions {sessions}")
    await repository.purge_short_lived(database)
    assert table.run("SELECT id FROM ended_sessions") == [{"id": "60"}]
    assert len(table.run("SELECT 1 FROM delivery_keys")) == 1
    assert {row["reason"] for row in table.run("SELECT reason FROM rejections")} == {"0", "6"}
    assert len(table.run("SELECT 1 FROM jobs")) == 2


async def test_the_figures_tell_what_has_not_ended_and_what_should_have(accept: Accept, store: Store) -> None:
    await accept(due_at="now() - interval '40 seconds'")
    await accept(deadline_at="now() - interval '2 minutes'")
    await accept(due_at=TO_COME)
    await accept(state="failed", deadline_at="now() - interval '1 day'")
    figures = await job_figures(store.database)
    assert (figures.waiting, figures.running, figures.without_outcome) == (3, 0, 1)
    assert 40 <= figures.oldest_waiting_seconds < 60


async def test_held_jobs_are_counted_by_tenant_and_reason(store: Store) -> None:
    database, key, credit = store.database, "desk credentials refused", "model out of credit"
    held = [("acme", key), ("acme", key), ("globex", credit), ("globex", key)]
    ids_held = [await store.accept(tenant_id=tenant_id, ticket_id=str(uuid4().int)) for tenant_id, _ in held]
    for job_id, (_, reason) in zip(ids_held, held, strict=True):
        await claims.defer(database, await claimed(database, job_id), 0, reason)
    await claims.retry_later(database, await claimed(database, await store.accept(ticket_id="4")), 60, "GPT-4 timeout")
    assert await jobs_held_back(database) == {("acme", key): 2, ("globex", credit): 1, ("globex", key): 1}
    await claimed(database, ids_held[-1])
    assert await jobs_held_back(database) == {("acme", key): 2, ("globex", credit): 1}


async def test_an_overdue_job_with_a_possible_note_gets_a_last_look(accept: Accept, store: Store) -> None:
    database, job_id = store.database, await accept(**OVERDUE, note_attempted_at="now()")
    assert await repository.expire(database, 10, "deadline passed") == []
    row = store.table.job(job_id)
    assert (row["state"], row["attempt"], row["published_at"]) == ("waiting", 8, None)
    assert ids(await repository.take_due(database, 10)) == {job_id}
    store.table.change(job_id, **OVERDUE)
    assert ids(await repository.expire(database, 10, "deadline passed")) == {job_id}
    assert store.table.job(job_id)["state"] == "failed"


IN_A_MINUTE: Columns = {"deadline_at": TO_COME}
AGED = "now() - interval '23 hours 50 minutes'"


@pytest.mark.parametrize(
    ("other", "its_own", "minutes"),
    [
        pytest.param(HELD, IN_A_MINUTE, 30, id="it waits for its share"),
        pytest.param(HELD, {"deadline_at": "now() - interval '1 minute'"}, 30, id="and its deadline has passed"),
        pytest.param(HELD, {"deadline_at": "now() + interval '10 minutes'"}, 10, id="its deadline is far"),
        pytest.param(HELD, IN_A_MINUTE | {"accepted_at": AGED}, 10, id="until it is a day old"),
        pytest.param(
            *(HELD, IN_A_MINUTE | {"accepted_at": "now() - interval '9 days'", "retried_at": AGED}, 10),
            id="until a day after its last retry",
        ),
        pytest.param(None, IN_A_MINUTE, 1, id="nothing of its tenant is in flight"),
        pytest.param(HELD | {"tenant_id": "globex"}, IN_A_MINUTE, 1, id="another tenant's is"),
        pytest.param(SILENT, IN_A_MINUTE, 1, id="its worker fell silent"),
        pytest.param(HELD, IN_A_MINUTE | {"tenant_id": "globex"}, 1, id="a tenant without a limit"),
        pytest.param(HELD, IN_A_MINUTE | {"tenant_id": "hooli"}, 1, id="a limit that is not reached"),
        pytest.param(HELD, IN_A_MINUTE | {"published_at": None}, 1, id="a time or a message"),
        pytest.param(HELD, IN_A_MINUTE | {"accepted_at": "now() - interval '1 day'"}, 1, id="a day old"),
    ],
)
async def test_a_wait_for_its_share_puts_off_a_deadline(
    other: Any, its_own: Columns, minutes: int, store: Store
) -> None:
    if other is not None:
        for tenant_id in (other.get("tenant_id", "acme"), "hooli"):
            await store.accept(**other | {"tenant_id": tenant_id})
    job_id = await store.accept(**its_own)
    await repository.put_off_deadlines(store.database, {"acme": 1, "hooli": 2}, 1800, 10)
    assert round(minutes_left(store.table, job_id)) == minutes
    assert await repository.expire(store.database, 10, "deadline passed") == []


def minutes_left(table: Table, job_id: object) -> float:
    (row,) = table.run("SELECT deadline_at - now() AS left FROM jobs WHERE id = %s", job_id)
    return float(row["left"] / timedelta(minutes=1))


async def test_a_short_deadline_is_put_off_at_its_half(store: Store) -> None:
    await store.accept(**HELD)
    waits = await store.accept(deadline_at="now() + interval '40 seconds'")
    await repository.put_off_deadlines(store.database, {"acme": 1}, 60, 10)
    assert minutes_left(store.table, waits) < 0.7
    await repository.put_off_deadlines(store.database, {"acme": 1}, 120, 10)
    assert minutes_left(store.table, waits) > 1.9
