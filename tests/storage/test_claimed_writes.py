"""What a worker writes: bound to its claim, so that one that lost it changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from storage import claims
from storage.claims import Claim, LeaseLost
from storage.session import Database
from tests.storage.conftest import LEASE, Table, claimed
from workflow.lease import hold_lease

WRITES: dict[str, Callable[[Database, Claim], Awaitable[None]]] = {
    "renew_lease": lambda database, claim: claims.renew_lease(database, claim, LEASE),
    "save_answer": lambda database, claim: claims.save_answer(database, claim, {"summary": "lost"}, "m"),
    "about_to_post": lambda database, claim: claims.about_to_post(database, claim, LEASE),
    "not_posted": claims.not_posted,
    "complete": lambda database, claim: claims.complete(database, claim, "1"),
    "skip": lambda database, claim: claims.skip(database, claim, "lost"),
    "fail": lambda database, claim: claims.fail(database, claim, "lost"),
    "retry_later": lambda database, claim: claims.retry_later(database, claim, 2, "lost"),
    "hold_back": lambda database, claim: claims.hold_back(database, claim, 2, "lost"),
    "give_back": claims.give_back,
}


@pytest.mark.parametrize("name", WRITES)
async def test_no_write_of_a_worker_that_lost_its_claim_changes_anything(
    name: str, waiting: UUID, database: Database, table: Table
) -> None:
    first = await claimed(database, waiting)
    table.change(waiting, lease_until="now() - interval '1 second'")
    # Of the same name: a worker that was restarted on its host may have it.
    await claimed(database, waiting, first.owner)
    before = table.job(waiting)
    with pytest.raises(LeaseLost):
        await WRITES[name](database, first)
    assert table.job(waiting) == before


@pytest.mark.parametrize("name", WRITES)
async def test_a_claim_that_ran_out_is_lost_even_if_nobody_took_the_job(
    name: str, waiting: UUID, database: Database, table: Table
) -> None:
    claim = await claimed(database, waiting)
    table.change(waiting, lease_until="now() - interval '1 second'")
    before = table.job(waiting)
    with pytest.raises(LeaseLost):
        await WRITES[name](database, claim)
    assert table.job(waiting) == before


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("changed", [{"owner": "two"}, {"attempt": 2}, {"tenant_id": "globex"}])
async def test_a_write_needs_owner_attempt_and_tenant_of_the_claim(
    name: str, changed: dict[str, Any], waiting: UUID, database: Database
) -> None:
    claim = await claimed(database, waiting)
    with pytest.raises(LeaseLost):
        await WRITES[name](database, replace(claim, **changed))
    await WRITES[name](database, claim)


async def test_the_posting_of_a_note_begins_with_a_fresh_lease(waiting: UUID, database: Database, table: Table) -> None:
    claim = await claimed(database, waiting, lease=5)
    before = table.job(waiting)["lease_until"]
    await claims.about_to_post(database, claim, LEASE)
    assert table.job(waiting)["lease_until"] - before > timedelta(seconds=30)


async def test_a_posting_that_did_nothing_leaves_what_was_known_before(
    waiting: UUID, database: Database, table: Table
) -> None:
    claim = await claimed(database, waiting)
    await claims.about_to_post(database, claim, LEASE)
    attempted = table.job(waiting)["note_attempted_at"]
    await claims.not_posted(database, replace(claim, note_attempted_at=attempted))
    assert table.job(waiting)["note_attempted_at"] == attempted
    await claims.not_posted(database, claim)
    assert table.job(waiting)["note_attempted_at"] is None


ENDS = {name: WRITES[name] for name in ("complete", "skip", "fail", "retry_later", "hold_back")}


@pytest.mark.parametrize("name", ENDS)
async def test_a_write_whose_commit_was_in_doubt_can_be_made_again(
    name: str, waiting: UUID, database: Database, table: Table
) -> None:
    claim = await claimed(database, waiting)
    await ENDS[name](database, claim)
    before = table.job(waiting)
    await ENDS[name](database, claim)
    assert table.job(waiting) == before


@pytest.mark.parametrize("name", ENDS)
async def test_another_end_than_the_one_in_the_row_is_refused(
    name: str, waiting: UUID, database: Database, table: Table
) -> None:
    claim = await claimed(database, waiting)
    await ENDS[name](database, claim)
    before = table.job(waiting)
    for other in ENDS.keys() - {name}:
        with pytest.raises(LeaseLost):
            await ENDS[other](database, claim)
    assert table.job(waiting) == before


async def test_a_renewed_lease_ends_later(waiting: UUID, database: Database, table: Table) -> None:
    claim = await claimed(database, waiting, lease=5)
    before = table.job(waiting)["lease_until"]
    await claims.renew_lease(database, claim, 60)
    assert table.job(waiting)["lease_until"] - before > timedelta(seconds=50)


async def test_a_lease_is_renewed_while_its_block_runs(waiting: UUID, database: Database, table: Table) -> None:
    claim = await claimed(database, waiting, lease=1.2)
    async with hold_lease(database, claim, 1.2):
        await asyncio.sleep(1.5)
        await claims.about_to_post(database, claim, 1.2)
    assert table.job(waiting)["note_attempted_at"] is not None


async def test_a_block_ends_as_soon_as_another_worker_is_seen_to_have_its_job(
    waiting: UUID, database: Database, table: Table
) -> None:
    claim = await claimed(database, waiting, lease=3)
    reached: list[str] = []

    async def work() -> None:
        # Before the lease itself ends, which would end the block too.
        async with asyncio.timeout(2.5), hold_lease(database, claim, 3):
            table.change(waiting, lease_owner="two")
            await asyncio.sleep(30)
            reached.append("the note")

    with pytest.raises(LeaseLost):
        await work()
    assert reached == []


async def test_the_timeout_of_the_block_itself_is_not_taken_for_a_lost_lease(waiting: UUID, database: Database) -> None:
    claim = await claimed(database, waiting)
    with pytest.raises(TimeoutError):
        async with hold_lease(database, claim, LEASE), asyncio.timeout(0.01):
            await asyncio.sleep(30)
