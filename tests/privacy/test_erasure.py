"""Erasure of a ticket, a requester or a tenant, and purging by age: deleted, kept and blocked data."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from cli.forget import erase_keys
from cli.pilot.postgres import Postgres
from db.session import Database
from integrations.values import Person
from jobs import claims
from jobs.claims import LeaseLostError
from jobs.details import numbers_of_jobs
from knowledge import repository, sync_repository
from knowledge.models import Ticket
from knowledge.sync_repository import ListedItem
from privacy import audit, erasure, tombstones
from privacy.erasure import ErasureScope, Stored, stored
from tests.jobs.exchanges import exchange
from tests.kit.postgres import Store, Table, claimed
from tests.knowledge.copies import TEXT, WHO, answered, copies, copy
from worker.scheduler.purge import Purged, purge_by_age


async def test_a_forgotten_ticket_leaves_no_copy_or_answer_and_another_tenants_stays(store: Store) -> None:
    for tenant_id in ("acme", "globex"):
        await copy(store.database, "7", tenant_id=tenant_id)
    await copy(store.database, "8")
    own = await answered(store.database, store.new_event, "7")
    naming = await answered(store.database, store.new_event, "8", similar="7")
    other = await answered(store.database, store.new_event, "9", similar="77")
    elsewhere = await answered(store.database, store.new_event, "7", tenant_id="globex")
    await claimed(store.database, await store.accept(ticket_id="8"))
    which = ErasureScope("acme", ticket_id="7")
    assert await stored(store.database, which) == Stored(copies=1, answers=2, unfinished_jobs=0, unattributed=0)
    erased = await erasure.erase(store.database, which)
    assert (erased.copies, erased.answers, list(erased.ended), erased.running, erased.rows) == (1, 2, [], 1, 0)
    assert copies(store.table) == [("acme", "8"), ("globex", "7")]
    kept = {job_id: store.table.job(job_id)["enhancement"] is not None for job_id in (own, naming, other, elsewhere)}
    assert kept == {own: False, naming: False, other: True, elsewhere: True}
    assert store.table.job(own)["requester"] is None
    # Later writes are dropped too.
    assert not await copy(store.database, "7")
    assert await copy(store.database, "7", tenant_id="globex")
    assert await tombstones.forgotten_among(store.database, "acme", ["7", "8"]) == {"7"}
    assert await tombstones.forgotten_among(store.database, "globex", ["7", "8"]) == set()


async def test_copies_of_others_tickets_do_not_name_a_forgotten_requester_any_more(store: Store) -> None:
    ticket = {"ticket_id": "1", "subject": "S", "description": "", "resolution": "", "status": "Closed"}
    named = (Person("Jordan Reyes", (WHO.upper(),)), Person("Sam Okafor", ("sam@acme.example",)))
    await repository.save_ticket(store.database, "acme", ticket, "sam@acme.example", people=named)
    await repository.save_ticket(store.database, "acme", ticket | {"ticket_id": "2"}, people=named[1:])
    await erasure.erase(store.database, ErasureScope("acme", requester=WHO))
    rows = store.table.run("SELECT ticket_id, people::text AS people FROM tickets ORDER BY ticket_id")
    assert [(row["ticket_id"], "Reyes" in row["people"], "Okafor" in row["people"]) for row in rows] == [
        ("1", False, False),
        ("2", False, True),
    ]


async def test_a_requester_is_known_however_the_address_is_written_and_nowhere_in_clear(store: Store) -> None:
    await copy(store.database, "1", WHO)
    await copy(store.database, "2", f" {WHO.upper()} ")
    await copy(store.database, "3", "someone.else@acme.example")
    await copy(store.database, "4", "")
    # Copies from before have no requester yet.
    store.table.run("UPDATE tickets SET requester = NULL WHERE ticket_id = '2'")
    assert (await stored(store.database, ErasureScope("acme", requester=WHO))).unattributed == 1
    await copy(store.database, "2", f" {WHO.upper()} ")
    purged_copy = await answered(store.database, store.new_event, "5")
    erased = await erasure.erase(store.database, ErasureScope("acme", requester="jordan.reyes@ACME.example"))
    assert (erased.copies, erased.answers) == (2, 1)
    assert await tombstones.forgotten_among(store.database, "acme", list("12345")) == {"1", "2", "5"}
    assert copies(store.table) == [("acme", "3"), ("acme", "4")]
    assert store.table.job(purged_copy)["enhancement"] is None
    # New tickets of the requester, and tickets assigned to the requester later.
    assert not await copy(store.database, "6")
    assert not await copy(store.database, "3")
    assert copies(store.table) == [("acme", "4")]
    assert await tombstones.forgotten_among(store.database, "acme", ["1", "3", "4", "6"]) == {"1", "3", "6"}
    async with store.database.tenant("acme") as session:
        assert await tombstones.are_left(session, ["10"], WHO)
        assert not await tombstones.are_left(session, ["10"], "")
    for name in ("tickets", "jobs", "tombstones"):
        assert "reyes" not in str(store.table.run(f"SELECT * FROM {name}")).lower()  # noqa: S608 -- one of ours


async def test_a_second_erasure_finds_late_answers_from_erased_copies(store: Store) -> None:
    """By then only its tombstone shows that the ticket was the requester's."""
    await copy(store.database, "1")
    await copy(store.database, "2", "someone.else@acme.example")
    assert (await erasure.erase(store.database, ErasureScope("acme", requester=WHO))).answers == 0
    late = await answered(store.database, store.new_event, "8", "someone.else@acme.example", similar="1")
    other = await answered(store.database, store.new_event, "9", "someone.else@acme.example", similar="2")
    assert (await stored(store.database, ErasureScope("acme", requester=WHO))).answers == 1
    assert (await erasure.erase(store.database, ErasureScope("acme", requester=WHO))).answers == 1
    assert store.table.job(late)["enhancement"] is None
    assert store.table.job(other)["enhancement"] is not None


async def test_a_worker_whose_answer_names_it_asks_again_and_posts_no_word_of_it(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    await claims.save_answer(store.database, claim, {"similar_tickets": [{"ticket_id": "1"}]}, "m")
    await erasure.erase(store.database, ErasureScope("acme", ticket_id="1"))
    with pytest.raises(LeaseLostError):
        await claims.about_to_post(store.database, claim, 45)
    assert not await claims.was_forgotten(store.database, claim)
    row = store.table.job(waiting)
    assert (row["state"], row["attempt"], row["published_at"], row["enhancement"]) == ("waiting", 0, None, None)


async def test_hashes_of_two_tenants_have_nothing_in_common(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex"):
        await copy(database, "1", tenant_id=tenant_id)
        await erasure.erase(database, ErasureScope(tenant_id, requester=WHO))
    hashes = [bytes(row["hash"]) for row in table.run("SELECT hash FROM tombstones")]
    assert (len(hashes), len(set(hashes))) == (4, 4)
    keys = [bytes(row["key"]) for row in table.run("SELECT key FROM tombstone_keys")]
    assert [len(key) for key in keys] == [32, 32]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("running", [True, False])
async def test_an_open_job_is_skipped_and_its_worker_loses_it(running: bool, waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting) if running else None
    erased = await erasure.erase(store.database, ErasureScope("acme", ticket_id="12345"))
    assert [(job.job_id, job.was_running) for job in erased.ended] == [(waiting, running)]
    row = store.table.job(waiting)
    assert (row["state"], row["reason"], row["claim_token"], row["lease_until"]) == ("skipped", "forgotten", None, None)
    assert row["finished_at"] is not None
    if claim is not None:
        with pytest.raises(LeaseLostError):
            await claims.save_answer(store.database, claim, {"summary": "s"}, "m")
        assert await claims.was_forgotten(store.database, claim)
        assert store.table.job(waiting)["enhancement"] is None


async def test_all_goes_but_rows_with_messages(waiting: UUID, store: Store) -> None:
    database, table = store.database, store.table
    for tenant_id in ("acme", "globex"):
        await copy(database, "7", tenant_id=tenant_id)
        await repository.save_passages(database, tenant_id, "1", "VPN", ["a", "b"])
        await answered(database, store.new_event, "7", tenant_id=tenant_id)
    await erasure.erase(database, ErasureScope("acme", ticket_id="8"))
    assert await stored(database, ErasureScope("acme")) == Stored(3, 1, 1, 0)
    # Without Redis the rows stay, because they name the owners of the answers.
    assert (await erasure.erase(database, ErasureScope("acme"), job_rows=False)).rows == 0
    table.change(waiting, state="waiting")
    erased = await erasure.erase(database, ErasureScope("acme"))
    assert ([job.job_id for job in erased.ended], erased.rows) == ([waiting], 1)
    both, other = ["acme", "globex"], ["globex"]
    expected = {"jobs": both, "delivery_keys": other, "tickets": other, "passages": other * 2}
    for name, left in (expected | {"tombstones": [], "tombstone_keys": other}).items():
        rows = table.run(f"SELECT tenant_id FROM {name} ORDER BY 1")  # noqa: S608 -- one of ours
        assert [row["tenant_id"] for row in rows] == left, name
    assert (await erasure.erase(database, ErasureScope("acme"))).rows == 1


async def test_an_erasure_waits_for_a_copy_that_is_being_written(database: Database, table: Table) -> None:
    await copy(database, "8")
    async with database.tenant("acme") as copying:
        await tombstones.lock(copying, shared=True)
        erasing = asyncio.create_task(erasure.erase(database, ErasureScope("acme", ticket_id="7")))
        await asyncio.sleep(0.2)
        await copying.execute(insert(Ticket).values(tenant_id="acme", ticket_id="7", synced_at=func.now(), **TEXT))
        assert not erasing.done()
    assert (await erasing).copies == 1
    assert copies(table) == [("acme", "8")]


async def test_a_copy_waits_for_an_erasure_that_is_under_way(database: Database, table: Table) -> None:
    await copy(database, "8")
    async with database.tenant("acme") as erasure:
        await tombstones.lock(erasure, shared=False)
        late = asyncio.create_task(copy(database, "7"))
        await asyncio.sleep(0.2)
        await tombstones.leave(erasure, "acme", [tombstones.of_ticket("7")])
        assert not late.done()
    assert not await late
    assert copies(table) == [("acme", "8")]


async def test_only_a_tenants_own_jobs_are_told_as_its(waiting: UUID, store: Store) -> None:
    other = await answered(store.database, store.new_event, "7", tenant_id="globex")
    assert await numbers_of_jobs(store.database, "acme", [waiting, other]) == {waiting: ["12345"]}


async def test_a_concurrent_reading_is_reported_or_ended(store: Store) -> None:
    jobs = [await store.accept(ticket_id=str(number)) for number in range(12)]
    held = [await claimed(store.database, job_id) for job_id in jobs]

    async def read(number: int) -> bool:
        await asyncio.sleep(number * 0.003)
        return await claims.is_forgotten(store.database, held[number], str(number), WHO)

    async def forget() -> None:
        await asyncio.sleep(0.015)
        await erasure.erase(store.database, ErasureScope("acme", requester=WHO))

    for _ in range(6):
        # The key too: both may create it concurrently.
        store.table.run("TRUNCATE tombstones, tombstone_keys")
        for claim in held:
            store.table.change(claim.job_id, claim_token=claim.token, requester=None, state="running", reason=None)
        *told, _ = await asyncio.gather(*map(read, range(12)), forget())
        for claim, was_told in zip(held, told, strict=True):
            assert was_told or store.table.job(claim.job_id)["reason"] == "forgotten"


@pytest.mark.parametrize("whose", ["agent@acme.example", "", None])
async def test_a_copy_without_a_requester_goes_by_what_a_job_says(whose: str | None, store: Store) -> None:
    await copy(store.database, "1", whose or "")
    await copy(store.database, "2", "agent@acme.example")
    if whose is None:
        store.table.run("UPDATE tickets SET requester = NULL WHERE ticket_id = '1'")
    await answered(store.database, store.new_event, "1", WHO)
    which = ErasureScope("acme", requester=WHO)
    assert (await stored(store.database, which)).copies == 1
    assert (await erasure.erase(store.database, which)).copies == 1
    assert copies(store.table) == [("acme", "2")]


@pytest.mark.parametrize("named", ["12", "4711"])
async def test_a_ticket_with_two_numbers_is_forgotten_under_both(named: str, store: Store) -> None:
    database, table = store.database, store.table
    await repository.save_ticket(database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"}, WHO)
    of_people = await answered(database, store.new_event, "12")
    table.change(of_people, desk_id="4711", display_id="12")
    of_desk = await store.accept(ticket_id="4711")
    naming = await answered(database, store.new_event, "8", similar="12")
    which = ErasureScope("acme", ticket_id=named)
    assert await stored(database, which) == Stored(copies=1, answers=2, unfinished_jobs=1, unattributed=0)
    erased = await erasure.erase(database, which)
    assert (erased.copies, erased.answers, [one.job_id for one in erased.ended]) == (1, 2, [of_desk])
    assert [table.job(one)["enhancement"] for one in (of_people, naming)] == [None, None]
    assert await tombstones.forgotten_among(database, "acme", ["4711", "12"]) == {"4711", "12"}
    for display_id in ("12", "", "5"):
        ticket = {"ticket_id": "4711" if display_id != "5" else "999", **TEXT, "display_id": display_id}
        assert await repository.save_ticket(database, "acme", ticket) is (display_id == "5")


async def test_a_forgotten_number_is_recognized_by_the_other_number_later(store: Store) -> None:
    await erasure.erase(store.database, ErasureScope("acme", ticket_id="12"))
    claim = await claimed(store.database, await store.accept(ticket_id="4711"))
    assert not await claims.is_forgotten(store.database, claim, "4711", "")
    claim = await claims.store_numbers(store.database, claim, "4711", "12")
    assert await claims.is_forgotten(store.database, claim, "4711", "")
    assert not await repository.save_ticket(store.database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"})
    assert await tombstones.forgotten_among(store.database, "acme", ["4711"]) == {"4711"}


async def test_a_requesters_tickets_are_forgotten_under_both_numbers(store: Store) -> None:
    await repository.save_ticket(store.database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"}, WHO)
    job_id = await answered(store.database, store.new_event, "13")
    store.table.change(job_id, desk_id="4712", display_id="13")
    await erasure.erase(store.database, ErasureScope("acme", requester=WHO))
    numbers = ["4711", "12", "4712", "13"]
    assert await tombstones.forgotten_among(store.database, "acme", [*numbers, "14"]) == {*numbers}


COPIES = """INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status, requester)
    SELECT 'acme', i, '', '', '', '', t.requester FROM generate_series(%s::int, %s::int) i, tickets t
    WHERE t.tenant_id = 'acme' AND t.ticket_id = '1'"""
JOBS = """INSERT INTO jobs (id, tenant_id, ticket_id, state, deadline_at, finished_at, enhancement)
    SELECT gen_random_uuid(), 'acme', i, 'completed', now(), now(), '{"summary": "s"}'
    FROM generate_series(%s::int, %s::int) i"""


@contextmanager
def before_each(change: str, table: Table, body: str) -> Iterator[None]:
    table.run(f"CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN OLD; END $$")
    table.run(f"CREATE TRIGGER before BEFORE {change} FOR EACH ROW EXECUTE FUNCTION before()")
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
    which = ErasureScope("acme", requester=WHO)
    assert await stored(store.database, which, page=10_000) == Stored(70_000, 4, 0, 3, is_requester_known=True)
    erased = await erasure.erase(store.database, which, page=10_000)
    assert (erased.copies, erased.answers) == (70_000, 4)
    assert store.table.job(late)["enhancement"] is None
    assert store.table.run("SELECT count(*) FROM tombstones") == [{"count": 70_001}]
    assert copies(store.table) == []


async def test_no_statement_takes_longer_for_a_larger_tenant(hasty: Database, table: Table) -> None:
    """The whole erasure takes twice the statement timeout."""
    await copy(hasty, "1")
    table.run(COPIES, 2, 100)
    with before_each("DELETE ON tickets", table, "PERFORM pg_sleep(0.02)"):
        assert (await erasure.erase(hasty, ErasureScope("acme"), page=10)).copies == 100
    assert copies(table) == []


async def test_all_of_a_tenant_goes_page_by_page_and_another_tenants_stays(store: Store) -> None:
    await copy(store.database, "1")
    await copy(store.database, "1", tenant_id="globex")
    store.table.run(COPIES, 2, 25)
    store.table.run(JOBS, 1, 25)
    waiting = {await store.accept(ticket_id=str(number % 3)) for number in range(7)}
    assert await stored(store.database, ErasureScope("acme"), page=3) == Stored(25, 25, 7, 0)
    erased = await erasure.erase(store.database, ErasureScope("acme"), page=3)
    assert (erased.copies, erased.answers, len(erased.ended), erased.rows) == (25, 25, 7, 25)
    assert {job.job_id for job in erased.ended} == waiting
    assert copies(store.table) == [("globex", "1")]
    assert store.table.run("SELECT DISTINCT state, reason, event FROM jobs WHERE tenant_id = 'acme'") == [
        {"state": "skipped", "reason": "forgotten", "event": None}
    ]
    assert (await erasure.erase(store.database, ErasureScope("acme"), page=3)).rows == 7


async def test_an_interrupted_erasure_blocks_new_text_and_continues(store: Store) -> None:
    """The owner of the rest is known although the copies that named it are gone."""
    database, table = store.database, store.table
    for number in range(1, 10):
        await copy(database, str(number))
    # Their rows do not name the owner.
    own, naming = [await answered(database, store.new_event, ticket_id, "") for ticket_id in ("2", "20")]
    table.run("UPDATE jobs SET requester = NULL")
    table.change(naming, enhancement='{"similar_tickets": [{"ticket_id": "1"}]}')
    at_work = await store.accept(ticket_id="30")
    assert not await claims.is_forgotten(database, await claimed(database, at_work), "30", WHO)
    told: list[str] = []
    which = ErasureScope("acme", requester=WHO)
    with (
        before_each("DELETE ON tickets", table, "IF OLD.ticket_id = '5' THEN RAISE EXCEPTION 'no'; END IF"),
        pytest.raises(DBAPIError),
    ):
        await erasure.erase(database, which, page=2, on_ended=lambda ended: told.extend(job.ticket_id for job in ended))
    numbers = [str(number) for number in range(1, 10)]
    assert copies(table) == [("acme", number) for number in numbers[4:]]
    # Running jobs are stopped, and new text is dropped.
    assert told == ["30"]
    assert table.job(at_work)["reason"] == "forgotten"
    assert not await copy(database, "3", "")
    assert not await copy(database, "11")
    assert table.job(own)["enhancement"] is not None
    erased = await erasure.erase(database, which, page=2)
    assert (erased.copies, erased.answers, list(erased.ended)) == (5, 2, [])
    assert (table.job(own)["enhancement"], table.job(naming)["enhancement"]) == (None, None)
    assert await tombstones.forgotten_among(database, "acme", [*numbers, "20"]) == set(numbers)


async def test_keys_in_redis_are_found_although_rows_name_no_owner(store: Store, redis: Redis) -> None:
    database = store.database
    await copy(database, "2", WHO)
    own, naming, other = [await answered(database, store.new_event, *of) for of in (("1", WHO), ("20", ""), ("21", ""))]
    await erasure.erase(database, ErasureScope("acme", requester=WHO))
    await redis.set(f"answer:{own}", "[]")
    await redis.set(f"masked-unusable:{naming}", '{"ticket_id": "2"')
    await redis.set(f"masked-unusable:{other}", '{"ticket_id": "22"')
    assert await erase_keys(redis, database, ErasureScope("acme", requester=WHO)) == 2
    assert await redis.keys("*:*") == [f"masked-unusable:{other}"]


async def purge(database: Database, batch: int = 500) -> Purged:
    def fail(kind: str, failure: Exception) -> None:
        raise AssertionError(kind) from failure

    days = {"acme": 10, "globex": None, "hooli": 0}
    return await purge_by_age(database, text_days=30, job_days=90, audit_days=days, batch=batch, on_failure=fail)


async def test_answers_go_first_then_rows_and_open_jobs_keep_all(store: Store) -> None:
    async def job(tenant_id: str, days: int | None) -> UUID:
        columns: dict[str, Any] = {"enhancement": '{"summary": "s"}', "accepted_at": "now() - interval '400 days'"}
        if days is not None:
            columns |= {"state": "completed", "finished_at": f"now() - interval '{days} days'", "note_id": "7"}
        return await store.accept(tenant_id=tenant_id, **columns)

    still_open, young = await job("acme", None), await job("acme", 29)
    tenants = ("acme", "globex", "globex")
    old = [await job(tenant_id, 31) for tenant_id in tenants]
    for tenant_id in tenants:
        await job(tenant_id, 91)
    assert await purge(store.database, batch=2) == Purged(answers=6, copies=0, jobs=3)
    rows = {row["id"]: row for row in store.table.run("SELECT * FROM jobs")}
    assert set(rows) == {still_open, young, *old}
    assert {job_id for job_id, row in rows.items() if row["enhancement"]} == {still_open, young}
    assert all(rows[job_id]["note_id"] == "7" for job_id in old)
    assert not any(await purge(store.database))


async def test_copies_go_when_the_desk_has_not_listed_them_for_long(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex"):
        for ticket_id in ("1", "2"):
            await repository.save_ticket(database, tenant_id, {"ticket_id": ticket_id, **TEXT})
        await repository.save_passages(database, tenant_id, "1", "VPN", ["a", "b"])
        await repository.save_passages(database, tenant_id, "2", "VPN", ["c"])
    table.run("UPDATE tickets SET synced_at = now() - interval '31 days'")
    table.run("UPDATE passages SET synced_at = now() - interval '31 days' WHERE source_id = '1'")
    listed = [ListedItem("2", "as it was"), ListedItem("3", "new")]
    await sync_repository.record_listed(database, "acme", "t", listed, hours=20)
    assert await purge(database, batch=2) == Purged(answers=0, copies=7, jobs=0)
    assert table.run("SELECT tenant_id, ticket_id FROM tickets") == [{"tenant_id": "acme", "ticket_id": "2"}]
    assert {row["body"] for row in table.run("SELECT body FROM passages")} == {"c"}


async def test_what_is_known_of_lists_goes_with_the_copies(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex"):
        for collection in ("t", "p"):
            listed = [ListedItem("1", "a"), ListedItem("2", "b")]
            await sync_repository.record_listed(database, tenant_id, collection, listed, hours=20)
    table.run("UPDATE listings SET seen_at = now() - interval '31 days' WHERE item_id = '1'")
    await purge(database, batch=2)
    assert {row["item_id"] for row in table.run("SELECT item_id FROM listings")} == {"2"}


async def test_a_row_that_somebody_holds_is_left_for_the_next_time(database: Database, table: Table) -> None:
    await keep_old_copies(database, table)
    async with database.tenant("acme") as session:
        await session.execute(select(Ticket).with_for_update())
        assert await purge(database) == Purged(0, 2, 0)
    assert await purge(database) == Purged(0, 1, 0)


async def test_spending_is_purged_like_job_rows(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex", "left"):
        for days in (0, 89, 91):
            table.run("INSERT INTO spending (tenant_id, day) VALUES (%s, current_date - %s)", tenant_id, days)
    await purge(database)
    left = table.run("SELECT tenant_id, count(*) AS days FROM spending GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in left] == [("acme", 2), ("globex", 2), ("left", 3)]


async def test_audit_records_are_purged_by_their_tenants_days(store: Store) -> None:
    for tenant_id in ("acme", "globex", "hooli", "left"):
        for days in (9, 11):
            job_id = await store.accept(tenant_id=tenant_id, finished_at="now() - interval '91 days'")
            await audit.keep(store.database, tenant_id, job_id, exchange())
            store.table.change(job_id, state="completed")
            change = "UPDATE audit_records SET at = now() - make_interval(days => %s) WHERE job_id = %s"
            store.table.run(change, days, job_id)
    assert (await purge(store.database, batch=1)).jobs == 8
    counted = "SELECT tenant_id, count(*) FROM audit_records GROUP BY 1 ORDER BY 1"
    left = [tuple(row.values()) for row in store.table.run(counted)]
    assert left == [("acme", 1), ("globex", 2), ("left", 2)]


async def test_all_records_go_of_a_tenant_that_has_left_and_of_no_other(store: Store) -> None:
    for tenant_id in ("acme", "broken", "left", "left", "quiet"):
        job_id = await store.accept(tenant_id=tenant_id)
        await audit.keep(store.database, tenant_id, job_id, exchange())
    assert await audit.tenants(store.database) == ["acme", "broken", "left", "quiet"]
    asked: list[str] = []

    def has_left(tenant_id: str) -> bool:
        asked.append(tenant_id)
        return tenant_id == "left"

    failed: list[str] = []
    await purge_by_age(
        store.database,
        text_days=30,
        job_days=90,
        audit_days={"acme": 10, "broken": None},
        has_left=has_left,
        batch=1,
        on_failure=lambda kind, _: failed.append(kind),
    )
    assert (asked, failed) == (["left", "quiet"], [])
    assert await audit.tenants(store.database) == ["acme", "broken", "quiet"]


async def keep_old_copies(database: Database, table: Table) -> None:
    await repository.save_ticket(database, "acme", {"ticket_id": "1", **TEXT})
    await repository.save_passages(database, "acme", "1", "VPN", ["a", "b"])
    table.run("UPDATE tickets SET synced_at = now() - interval '31 days'")
    table.run("UPDATE passages SET synced_at = now() - interval '31 days'")


async def purge_all_but_tickets(database: Database) -> None:
    failed: list[str] = []
    purged = await purge_by_age(
        database, text_days=30, job_days=90, audit_days={}, on_failure=lambda kind, _: failed.append(kind)
    )
    assert (purged, failed) == (Purged(answers=0, copies=2, jobs=0), ["tickets"])


async def test_a_kind_that_the_database_refuses_to_purge_stops_no_other(database: Database, table: Table) -> None:
    await keep_old_copies(database, table)
    with before_each("DELETE ON tickets", table, "RAISE EXCEPTION 'no'"):
        await purge_all_but_tickets(database)
    assert await purge(database) == Purged(answers=0, copies=1, jobs=0)


async def test_a_locked_kind_does_not_stop_the_purge(server: Postgres, store: Store) -> None:
    await keep_old_copies(store.database, store.table)
    hasty = Database(server.url, application_name="hasty", lock_seconds=0.2)
    async with store.database.tenant("acme") as session:
        await session.execute(text("LOCK TABLE tickets"))
        await purge_all_but_tickets(hasty)
    await hasty.close()
    assert await purge(store.database) == Purged(answers=0, copies=1, jobs=0)
