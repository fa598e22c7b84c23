"""Writes of a worker, bound to its claim: a lost claim changes nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from storage import by_hand, claims, relaying
from storage.claims import Claim, LeaseLost
from storage.session import Database
from tests.kit.postgres import DEADLINE, LEASE, Store, Table, claimed
from workflow.lease import Renewals, hold_lease

WRITES: dict[str, Callable[[Database, Claim], Awaitable[None]]] = {
    "renew_lease": lambda database, claim: Renewals(database, LEASE).renew(claim),
    "save_answer": lambda database, claim: claims.save_answer(database, claim, {"summary": "lost"}, "m"),
    "about_to_post": lambda database, claim: claims.about_to_post(database, claim, LEASE),
    "not_posted": claims.not_posted,
    "complete": lambda database, claim: claims.complete(database, claim, "1"),
    "skip": lambda database, claim: claims.skip(database, claim, "lost"),
    "fail": lambda database, claim: claims.fail(database, claim, "lost"),
    "retry_later": lambda database, claim: claims.retry_later(database, claim, 2, "lost"),
    "hold_back": lambda database, claim: claims.hold_back(database, claim, 2, "lost"),
    "give_back": lambda database, claim: Renewals(database, LEASE).give_back(claim),
}


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("name", WRITES)
async def test_no_write_of_a_claim_that_ran_out_changes_anything(
    name: str, taken: bool, waiting: UUID, store: Store
) -> None:
    """Whether or not another worker has taken the job."""
    first = await claimed(store.database, waiting)
    store.table.change(waiting, lease_until="now() - interval '1 second'")
    if taken:
        # Of the same name: a worker restarted on its host may have it.
        await claimed(store.database, waiting, first.owner)
    before = store.table.job(waiting)
    with pytest.raises(LeaseLost):
        await WRITES[name](store.database, first)
    assert store.table.job(waiting) == before


async def failed_and_retried(database: Database, claim: Claim) -> None:
    await claims.fail(database, claim, "ServiceDesk Plus API: 401")
    await by_hand.retry(database, claim.job_id, DEADLINE)


# Ways to free a job such that the next claim has the same owner and attempt number.
SAME_NUMBER: dict[str, Callable[[Database, Claim], Awaitable[object]]] = {
    "given back": lambda database, claim: Renewals(database, LEASE).give_back(claim),
    "held back": lambda database, claim: claims.hold_back(database, claim, 0, "desk rate limit"),
    "retried by hand": failed_and_retried,
}


@pytest.mark.parametrize("freed", SAME_NUMBER)
async def test_a_stale_claim_of_the_same_owner_and_number_changes_nothing_in_a_later_one(
    freed: str, waiting: UUID, database: Database, table: Table
) -> None:
    stale = await claimed(database, waiting)
    await SAME_NUMBER[freed](database, stale)
    later = await claimed(database, waiting)
    assert (later.owner, later.attempt) == (stale.owner, stale.attempt)
    before = table.job(waiting)
    for write in WRITES.values():
        with pytest.raises(LeaseLost):
            await write(database, stale)
        assert table.job(waiting) == before
    await claims.complete(database, later, "1")


async def test_the_posting_of_a_note_begins_with_a_fresh_lease(waiting: UUID, database: Database, table: Table) -> None:
    claim = await claimed(database, waiting, lease=5)
    before = table.job(waiting)["lease_until"]
    await claims.about_to_post(database, claim, LEASE)
    assert table.job(waiting)["lease_until"] - before > timedelta(seconds=30)


async def test_a_posting_that_did_nothing_leaves_what_was_known_before(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    await claims.about_to_post(store.database, claim, LEASE)
    attempted = store.table.job(waiting)["note_attempted_at"]
    await claims.not_posted(store.database, replace(claim, note_attempted_at=attempted))
    assert store.table.job(waiting)["note_attempted_at"] == attempted
    await claims.not_posted(store.database, claim)
    assert store.table.job(waiting)["note_attempted_at"] is None


ENDS = {name: WRITES[name] for name in ("complete", "skip", "fail", "retry_later", "hold_back", "give_back")}


@pytest.mark.parametrize("name", ENDS)
async def test_a_write_whose_commit_was_in_doubt_can_be_made_again_and_no_other_one(
    name: str, waiting: UUID, store: Store
) -> None:
    claim = await claimed(store.database, waiting)
    await ENDS[name](store.database, claim)
    before = store.table.job(waiting)
    await ENDS[name](store.database, claim)
    for other in ENDS.keys() - {name}:
        with pytest.raises(LeaseLost):
            await ENDS[other](store.database, claim)
    assert store.table.job(waiting) == before


async def test_a_wait_that_is_in_the_row_is_known_again_after_the_relay_published_it(
    waiting: UUID, database: Database, table: Table
) -> None:
    claim = await claimed(database, waiting)
    await claims.retry_later(database, claim, 0, "GPT-4 timeout")
    assert await relaying.take_due(database, 1)
    before = table.job(waiting)
    await claims.retry_later(database, claim, 0, "GPT-4 timeout")
    assert table.job(waiting) == before


async def test_a_job_that_somebody_else_freed_is_not_taken_for_the_claims_own_write(
    waiting: UUID, database: Database, table: Table
) -> None:
    """The relay's recovery leaves the same row as the claim's own retry."""
    claim = await claimed(database, waiting)
    table.change(waiting, lease_until="now() - interval '1 second'")
    assert await relaying.recover(database, 1)
    table.change(waiting, reason="GPT-4 timeout")
    with pytest.raises(LeaseLost):
        await claims.retry_later(database, claim, 0, "GPT-4 timeout")


async def test_a_failure_that_was_retried_by_hand_is_not_told_again(waiting: UUID, database: Database) -> None:
    claim = await claimed(database, waiting)
    await claims.fail(database, claim, "GPT-4 timeout")
    await by_hand.retry(database, waiting, DEADLINE)
    with pytest.raises(LeaseLost):
        await claims.fail(database, claim, "GPT-4 timeout")


async def test_a_lease_is_renewed_while_its_block_runs(waiting: UUID, database: Database, table: Table) -> None:
    claim = await claimed(database, waiting, lease=1.2)
    async with hold_lease(Renewals(database, 1.2), claim):
        await asyncio.sleep(1.5)
        await claims.about_to_post(database, claim, 1.2)
    assert table.job(waiting)["note_attempted_at"] is not None


async def test_a_block_ends_as_soon_as_another_worker_is_seen_to_have_its_job(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting, lease=3)
    reached: list[str] = []

    async def work() -> None:
        # Before the lease itself ends, which would end the block too.
        async with asyncio.timeout(2.5), hold_lease(Renewals(store.database, 3), claim):
            store.table.change(waiting, claim_token=uuid4())
            await asyncio.sleep(30)
            reached.append("the note")

    with pytest.raises(LeaseLost):
        await work()
    assert reached == []


async def test_a_claim_that_ran_out_before_its_worker_heard_of_it_begins_no_work(
    waiting: UUID, database: Database
) -> None:
    """Another worker may have called GPT-4 by now."""
    claim = replace(await claimed(database, waiting), asked_at=time.monotonic() - LEASE)
    reached: list[str] = []

    async def work() -> None:
        async with asyncio.timeout(2), hold_lease(Renewals(database, LEASE), claim):
            await asyncio.sleep(0.5)
            reached.append("GPT-4")

    with pytest.raises(LeaseLost):
        await work()
    assert reached == []


async def test_the_timeout_of_the_block_itself_is_not_taken_for_a_lost_lease(waiting: UUID, database: Database) -> None:
    claim = await claimed(database, waiting)
    with pytest.raises(TimeoutError):
        async with hold_lease(Renewals(database, LEASE), claim), asyncio.timeout(0.01):
            await asyncio.sleep(30)


async def test_a_block_that_has_ended_its_job_has_not_lost_it(waiting: UUID, database: Database, table: Table) -> None:
    """A process suspended after its last write must not log `claim lost` as well."""
    claim = await claimed(database, waiting, lease=1)
    async with hold_lease(Renewals(database, 1), claim):
        await claims.complete(database, claim, "1")
        time.sleep(1.2)  # noqa: ASYNC251 -- the whole loop stands still
    assert table.job(waiting)["state"] == "completed"


async def test_the_time_that_a_lost_worker_had_a_job_is_no_held_time(waiting: UUID, store: Store) -> None:
    store.table.change(waiting, due_at="now() - interval '30 minutes'")
    await claimed(store.database, waiting)
    store.table.change(waiting, lease_until="now() - interval '1 second'")
    deadline = store.table.job(waiting)["deadline_at"]
    await claims.hold_back(store.database, await claimed(store.database, waiting, "two"), 10, "desk rate limit")
    assert store.table.job(waiting)["deadline_at"] - deadline < timedelta(seconds=40)
