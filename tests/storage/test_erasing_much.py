"""Erasure in a tenant with much data, and interrupted erasures."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError

from devstack.postgres import Postgres
from storage import claims, erasure, tombstones
from storage.erasure import Stored, Which, stored
from storage.session import Database
from support.erasing_keys import erase_keys
from tests.kit.postgres import NewEvent, Store, Table, accept, claimed
from tests.storage.copies import WHO, answered, copies, copy

COPIES = """INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status, requester)
    SELECT 'acme', i, '', '', '', '', t.requester FROM generate_series(%s::int, %s::int) i, tickets t
    WHERE t.tenant_id = 'acme' AND t.ticket_id = '1'"""
JOBS = """INSERT INTO jobs (id, tenant_id, ticket_id, state, deadline_at, finished_at, enhancement)
    SELECT gen_random_uuid(), 'acme', i, 'completed', now(), now(), '{"summary": "s"}'
    FROM generate_series(%s::int, %s::int) i"""


@contextmanager
def at_each_deletion_of(name: str, table: Table, body: str) -> Iterator[None]:
    table.run(f"CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN OLD; END $$")
    table.run(f"CREATE TRIGGER before BEFORE DELETE ON {name} FOR EACH ROW EXECUTE FUNCTION before()")
    try:
        yield
    finally:
        table.run("DROP FUNCTION before CASCADE")


@pytest.fixture
async def hasty(server: Postgres, table: Table) -> AsyncIterator[Database]:  # noqa: ARG001 -- emptied by it
    opened = Database(server.url, application_name="hasty", statement_seconds=1)
    yield opened
    await opened.close()


@pytest.mark.slow
async def test_a_requester_of_seventy_thousand_tickets_is_forgotten(store: Store) -> None:
    """More than the number of parameters that a statement takes."""
    await copy(store.database, "1")
    store.table.run(COPIES, 2, 70_000)
    store.table.run(JOBS, 60_001, 60_003)
    late = await answered(store.database, store.new_event, "70001", "someone.else@acme.example", similar="69999")
    which = Which("acme", requester=WHO)
    assert await stored(store.database, which, page=10_000) == Stored(70_000, 4, 0, 3, of_requester=True)
    erased = await erasure.erase(store.database, which, page=10_000)
    assert (erased.copies, erased.answers) == (70_000, 4)
    assert store.table.job(late)["enhancement"] is None
    assert store.table.run("SELECT count(*) FROM tombstones") == [{"count": 70_001}]
    assert copies(store.table) == []


async def test_no_statement_takes_longer_for_a_tenant_that_has_more(hasty: Database, table: Table) -> None:
    """The whole erasure takes twice the statement timeout."""
    await copy(hasty, "1")
    table.run(COPIES, 2, 100)
    with at_each_deletion_of("tickets", table, "PERFORM pg_sleep(0.02)"):
        assert (await erasure.erase(hasty, Which("acme"), page=10)).copies == 100
    assert copies(table) == []


async def test_all_of_a_tenant_goes_page_by_page_and_another_tenants_stays(store: Store) -> None:
    await copy(store.database, "1")
    await copy(store.database, "1", tenant_id="globex")
    store.table.run(COPIES, 2, 25)
    store.table.run(JOBS, 1, 25)
    waiting = [store.new_event(ticket_id=str(number % 3)) for number in range(7)]
    for event in waiting:
        await store.accept(event)
    assert await stored(store.database, Which("acme"), page=3) == Stored(25, 25, 7, 0)
    erased = await erasure.erase(store.database, Which("acme"), page=3)
    assert (erased.copies, erased.answers, len(erased.ended), erased.rows) == (25, 25, 7, 25)
    assert {job.job_id for job in erased.ended} == {event.job_id for event in waiting}
    assert copies(store.table) == [("globex", "1")]
    assert store.table.run("SELECT DISTINCT state, reason, event FROM jobs WHERE tenant_id = 'acme'") == [
        {"state": "skipped", "reason": "forgotten", "event": None}
    ]
    assert (await erasure.erase(store.database, Which("acme"), page=3)).rows == 7


async def test_an_interrupted_erasure_has_stopped_all_new_text_and_is_gone_on_with(
    database: Database, new_event: NewEvent, table: Table
) -> None:
    """The owner of the rest is known although the copies that named it are gone."""
    for number in range(1, 10):
        await copy(database, str(number))
    # Their rows do not name the owner.
    own, naming = [await answered(database, new_event, *of, "") for of in (("2",), ("20",))]
    table.run("UPDATE jobs SET requester = NULL")
    table.change(naming, enhancement='{"similar_tickets": [{"ticket_id": "1"}]}')
    at_work = new_event(ticket_id="30")
    await accept(database, at_work)
    claim = await claimed(database, at_work.job_id)
    assert not await claims.is_forgotten(database, claim, "30", WHO)
    told: list[str] = []
    which = Which("acme", requester=WHO)
    with (
        at_each_deletion_of("tickets", table, "IF OLD.ticket_id = '5' THEN RAISE EXCEPTION 'no'; END IF"),
        pytest.raises(DBAPIError),
    ):
        await erasure.erase(database, which, page=2, on_ended=lambda ended: told.extend(job.ticket_id for job in ended))
    assert copies(table) == [("acme", str(number)) for number in range(5, 10)]
    # Running jobs are stopped, and new text is dropped.
    assert told == ["30"]
    assert table.job(at_work.job_id)["reason"] == "forgotten"
    assert not await copy(database, "3", "")
    assert not await copy(database, "11")
    assert table.job(own)["enhancement"] is not None
    erased = await erasure.erase(database, which, page=2)
    assert (erased.copies, erased.answers, list(erased.ended)) == (5, 2, [])
    assert (table.job(own)["enhancement"], table.job(naming)["enhancement"]) == (None, None)
    numbers = [str(number) for number in range(1, 10)]
    assert await tombstones.forgotten_among(database, "acme", [*numbers, "20"]) == set(numbers)


async def test_what_redis_has_is_found_though_the_rows_no_longer_say_whose_it_is(
    database: Database, new_event: NewEvent, redis: Redis
) -> None:
    """The command asks for another run if Redis was unavailable."""
    await copy(database, "2", WHO)
    own, naming, other = [await answered(database, new_event, *of) for of in (("1", WHO), ("20", ""), ("21", ""))]
    await erasure.erase(database, Which("acme", requester=WHO))
    await redis.set(f"answer:{own}", "[]")
    await redis.set(f"masked-unusable:{naming}", '{"ticket_id": "2"')
    await redis.set(f"masked-unusable:{other}", '{"ticket_id": "22"')
    assert await erase_keys(redis, database, Which("acme", requester=WHO)) == 2
    assert await redis.keys("*:*") == [f"masked-unusable:{other}"]
