"""Erasure of a ticket, a requester or a tenant: deleted, kept and blocked data."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from privacy.redaction.people import Person
from storage import claims, erasure, history, tombstones
from storage.claims import LeaseLost
from storage.copies import Ticket
from storage.erasure import Stored, Which, jobs_among, stored
from storage.session import Database
from tests.kit.postgres import NewEvent, Store, Table, claimed
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
async def test_a_job_that_has_not_ended_is_skipped_and_whoever_runs_it_loses_it(
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


async def test_all_of_a_tenant_goes_but_rows_whose_messages_may_come(
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
