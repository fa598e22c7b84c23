"""Erasure of a ticket, a requester or a tenant: deleted, kept and blocked data.

Also of a ticket with two numbers, of a tenant with much data, and interrupted.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from devstack.postgres import Postgres
from privacy.redaction.people import Person
from storage import claims, erasure, history, tombstones
from storage.claims import LeaseLost
from storage.copies import Ticket
from storage.erasure import Stored, Which, jobs_among, stored
from storage.session import Database
from support.forget import erase_keys
from tests.kit.postgres import NewEvent, Store, Table, accept, claimed
from tests.storage.copies import TEXT, WHO, answered, copies, copy


async def test_a_forgotten_ticket_leaves_no_copy_or_answer_and_another_tenants_stays(store: Store) -> None:
    for tenant_id in ("acme", "globex"):
        await copy(store.database, "7", tenant_id=tenant_id)
    await copy(store.database, "8")
    own = await answered(store.database, store.new_event, "7")
    naming = await answered(store.database, store.new_event, "8", similar="7")
    other = await answered(store.database, store.new_event, "9", similar="77")
    elsewhere = await answered(store.database, store.new_event, "7", tenant_id="globex")
    at_work = store.new_event(ticket_id="8")
    await store.accept(at_work)
    await claimed(store.database, at_work.job_id)
    which = Which("acme", ticket_id="7")
    assert await stored(store.database, which) == Stored(copies=1, answers=2, jobs=0, unattributed=0)
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
    await history.save_ticket(store.database, "acme", ticket, "sam@acme.example", people=named)
    await history.save_ticket(store.database, "acme", ticket | {"ticket_id": "2"}, people=named[1:])
    await erasure.erase(store.database, Which("acme", requester=WHO))
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
    purged_copy = await answered(store.database, store.new_event, "5")
    erased = await erasure.erase(store.database, Which("acme", requester="jordan.reyes@ACME.example"))
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


async def test_running_it_again_finds_what_a_job_wrote_that_had_read_the_copy(store: Store) -> None:
    """By then only its tombstone shows that the ticket was the requester's."""
    await copy(store.database, "1")
    await copy(store.database, "2", "someone.else@acme.example")
    assert (await erasure.erase(store.database, Which("acme", requester=WHO))).answers == 0
    late = await answered(store.database, store.new_event, "8", "someone.else@acme.example", similar="1")
    other = await answered(store.database, store.new_event, "9", "someone.else@acme.example", similar="2")
    assert (await stored(store.database, Which("acme", requester=WHO))).answers == 1
    assert (await erasure.erase(store.database, Which("acme", requester=WHO))).answers == 1
    assert store.table.job(late)["enhancement"] is None
    assert store.table.job(other)["enhancement"] is not None


async def test_a_worker_whose_answer_names_it_asks_again_and_posts_no_word_of_it(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    await claims.save_answer(store.database, claim, {"similar_tickets": [{"ticket_id": "1"}]}, "m")
    await erasure.erase(store.database, Which("acme", ticket_id="1"))
    with pytest.raises(LeaseLost):
        await claims.about_to_post(store.database, claim, 45)
    assert not await claims.was_forgotten(store.database, claim)
    row = store.table.job(waiting)
    assert (row["state"], row["attempt"], row["published_at"], row["enhancement"]) == ("waiting", 0, None, None)


async def test_hashes_of_two_tenants_have_nothing_in_common(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex"):
        await copy(database, "1", tenant_id=tenant_id)
        await erasure.erase(database, Which(tenant_id, requester=WHO))
    hashes = [bytes(row["hash"]) for row in table.run("SELECT hash FROM tombstones")]
    assert (len(hashes), len(set(hashes))) == (4, 4)
    keys = [bytes(row["key"]) for row in table.run("SELECT key FROM tombstone_keys")]
    assert [len(key) for key in keys] == [32, 32]
    assert keys[0] != keys[1]


async def test_copies_from_before_are_told_of(database: Database, table: Table) -> None:
    await copy(database, "1")
    await copy(database, "2", "")
    table.run("UPDATE tickets SET requester = NULL WHERE ticket_id = '1'")
    assert (await stored(database, Which("acme", requester=WHO))).unattributed == 1


@pytest.mark.parametrize("running", [True, False])
async def test_an_open_job_is_skipped_and_its_worker_loses_it(
    running: bool, waiting: UUID, database: Database, table: Table
) -> None:
    claim = await claimed(database, waiting) if running else None
    erased = await erasure.erase(database, Which("acme", ticket_id="12345"))
    assert [(job.job_id, job.was_running) for job in erased.ended] == [(waiting, running)]
    row = table.job(waiting)
    assert (row["state"], row["reason"], row["claim_token"], row["lease_until"]) == ("skipped", "forgotten", None, None)
    assert row["finished_at"] is not None
    if claim is not None:
        with pytest.raises(LeaseLost):
            await claims.save_answer(database, claim, {"summary": "s"}, "m")
        assert await claims.was_forgotten(database, claim)
        assert table.job(waiting)["enhancement"] is None


async def test_all_goes_but_rows_with_messages(
    database: Database, new_event: NewEvent, waiting: UUID, table: Table
) -> None:
    for tenant_id in ("acme", "globex"):
        await copy(database, "7", tenant_id=tenant_id)
        await history.save_passages(database, tenant_id, "1", "VPN", ["a", "b"])
        await answered(database, new_event, "7", tenant_id=tenant_id)
    await erasure.erase(database, Which("acme", ticket_id="8"))
    assert await stored(database, Which("acme")) == Stored(3, 1, 1, 0)
    # Without Redis the rows stay, because they name the owners of the answers.
    assert (await erasure.erase(database, Which("acme"), job_rows=False)).rows == 0
    table.change(waiting, state="waiting")
    erased = await erasure.erase(database, Which("acme"))
    assert ([job.job_id for job in erased.ended], erased.rows) == ([waiting], 1)
    left = {
        name: [row["tenant_id"] for row in table.run(f"SELECT tenant_id FROM {name} ORDER BY 1")]  # noqa: S608 -- ours
        for name in ("jobs", "delivery_keys", "tickets", "passages", "tombstones", "tombstone_keys")
    }
    assert left == {
        "jobs": ["acme", "globex"],
        "delivery_keys": ["globex"],
        "tickets": ["globex"],
        "passages": ["globex", "globex"],
        "tombstones": [],
        "tombstone_keys": ["globex"],
    }
    assert (await erasure.erase(database, Which("acme"))).rows == 1


async def test_an_erasure_waits_for_a_copy_that_is_being_written(database: Database, table: Table) -> None:
    await copy(database, "8")
    async with database.tenant("acme") as copying:
        await tombstones.lock(copying, shared=True)
        erasing = asyncio.create_task(erasure.erase(database, Which("acme", ticket_id="7")))
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


async def test_only_a_tenants_own_jobs_are_told_as_its(database: Database, new_event: NewEvent, waiting: UUID) -> None:
    other = await answered(database, new_event, "7", tenant_id="globex")
    assert await jobs_among(database, "acme", [waiting, other]) == {waiting: ["12345"]}


async def test_what_is_read_at_the_same_moment_is_told_or_ended(store: Store) -> None:
    """Jobs reach the reading of their ticket before, during and after the erasure."""
    events = [store.new_event(ticket_id=str(number)) for number in range(12)]
    for event in events:
        await store.accept(event)
    held = [await claimed(store.database, event.job_id) for event in events]

    async def read(number: int) -> bool:
        await asyncio.sleep(number * 0.003)
        return await claims.is_forgotten(store.database, held[number], str(number), WHO)

    async def forget() -> None:
        await asyncio.sleep(0.015)
        await erasure.erase(store.database, Which("acme", requester=WHO))

    for _ in range(6):
        # The key too: both may create it concurrently.
        store.table.run("TRUNCATE tombstones, tombstone_keys")
        for claim in held:
            store.table.change(claim.job_id, claim_token=claim.token, requester=None, state="running", reason=None)
        *told, _ = await asyncio.gather(*map(read, range(12)), forget())
        for claim, was_told in zip(held, told, strict=True):
            assert was_told or store.table.job(claim.job_id)["reason"] == "forgotten"


@pytest.mark.parametrize("whose", ["agent@acme.example", "", None])
async def test_a_copy_without_a_requester_goes_by_what_a_job_says_of_its_ticket(
    whose: str | None, database: Database, new_event: NewEvent, table: Table
) -> None:
    await copy(database, "1", whose or "")
    await copy(database, "2", "agent@acme.example")
    if whose is None:
        table.run("UPDATE tickets SET requester = NULL WHERE ticket_id = '1'")
    await answered(database, new_event, "1", WHO)
    which = Which("acme", requester=WHO)
    assert (await stored(database, which)).copies == 1
    assert (await erasure.erase(database, which)).copies == 1
    assert copies(table) == [("acme", "2")]


@pytest.mark.parametrize("named", ["12", "4711"])
async def test_a_ticket_with_two_numbers_is_forgotten_by_either_and_under_both(named: str, store: Store) -> None:
    """Jobs named by either number, a copy, and answers with the display number."""
    database, table = store.database, store.table
    await history.save_ticket(database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"}, WHO)
    of_people = await answered(database, store.new_event, "12")
    table.change(of_people, desk_id="4711", display_id="12")
    of_desk = await store.accept(ticket_id="4711")
    naming = await answered(database, store.new_event, "8", similar="12")
    which = Which("acme", ticket_id=named)
    assert await stored(database, which) == Stored(copies=1, answers=2, jobs=1, unattributed=0)
    erased = await erasure.erase(database, which)
    assert (erased.copies, erased.answers, [one.job_id for one in erased.ended]) == (1, 2, [of_desk])
    assert [table.job(one)["enhancement"] for one in (of_people, naming)] == [None, None]
    assert await tombstones.forgotten_among(database, "acme", ["4711", "12"]) == {"4711", "12"}
    for display_id in ("12", "", "5"):
        ticket = {"ticket_id": "4711" if display_id != "5" else "999", **TEXT, "display_id": display_id}
        assert await history.save_ticket(database, "acme", ticket) is (display_id == "5")


async def test_a_ticket_that_was_forgotten_by_one_number_is_known_by_the_other_one_later(store: Store) -> None:
    """The other number was unknown then; a job or copy with both counts as erased."""
    await erasure.erase(store.database, Which("acme", ticket_id="12"))
    claim = await claimed(store.database, await store.accept(ticket_id="4711"))
    assert not await claims.is_forgotten(store.database, claim, "4711", "")
    claim = await claims.know_numbers(store.database, claim, "4711", "12")
    assert await claims.is_forgotten(store.database, claim, "4711", "")
    assert not await history.save_ticket(store.database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"})
    assert await tombstones.forgotten_among(store.database, "acme", ["4711"]) == {"4711"}


async def test_a_requesters_tickets_are_forgotten_under_both_numbers(store: Store) -> None:
    await history.save_ticket(store.database, "acme", {"ticket_id": "4711", **TEXT, "display_id": "12"}, WHO)
    job_id = await answered(store.database, store.new_event, "13")
    store.table.change(job_id, desk_id="4712", display_id="13")
    await erasure.erase(store.database, Which("acme", requester=WHO))
    numbers = ["4711", "12", "4712", "13"]
    assert await tombstones.forgotten_among(store.database, "acme", [*numbers, "14"]) == {*numbers}


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


async def test_an_interrupted_erasure_stops_new_text_and_goes_on(
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


async def test_keys_in_redis_are_found_though_rows_name_no_owner(
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
