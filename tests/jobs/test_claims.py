"""Claims: one worker a job, and writes bound to its claim.

A lost claim changes nothing, and an attempt leaves a defined state to the next.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.session import Database
from jobs import claims, manual_retry, refresh, repository
from jobs.claims import Claim, LeaseLostError
from tests.kit.postgres import DEADLINE, LEASE, Store, claim_by_id, claimed
from workflow.lease import Leases, hold_lease
from workflow.nodes.resume import NoteMissingError

RAN_OUT = "now() - interval '1 second'"


async def test_a_claim_holds_the_job_and_knows_what_running_it_takes(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    row = store.table.job(waiting)
    assert (row["state"], row["lease_owner"], row["attempt"]) == ("running", "one", 1)
    assert timedelta(seconds=40) < row["lease_until"] - row["started_at"] < timedelta(seconds=50)
    assert (claim.job_id, claim.token, claim.owner) == (waiting, row["claim_token"], "one")
    assert (claim.tenant_id, claim.ticket_id, claim.attempt) == ("acme", "12345", 1)
    assert claim.traceparent == row["traceparent"]
    times = (row["due_at"], row["started_at"], row["deadline_at"])
    assert (claim.waiting_since, claim.claimed_at, claim.deadline_at) == times
    assert not any((claim.started_before, claim.answered, claim.note_attempted_at, claim.seen_open_at))
    assert not any((claim.enhanced, claim.echo, claim.another_first))


async def test_the_remaining_time_uses_the_databases_clock(waiting: UUID, store: Store) -> None:
    store.table.change(waiting, deadline_at="now() + interval '60 seconds'")
    claim = await claimed(store.database, waiting)
    assert 55 < claim.seconds_left() <= 60
    years = timedelta(days=3650)
    skewed = replace(claim, claimed_at=claim.claimed_at - years, deadline_at=claim.deadline_at - years)
    assert 55 < skewed.seconds_left() <= 60
    assert 25 < replace(claim, requested_at=claim.requested_at - 30).seconds_left() <= 30


async def test_one_of_twenty_concurrent_claims_wins(waiting: UUID, store: Store) -> None:
    claims_at_once = (claim_by_id(store.database, waiting, str(number // 2), LEASE) for number in range(20))
    (winner,) = [claim for claim in await asyncio.gather(*claims_at_once) if claim is not None]
    row = store.table.job(waiting)
    assert (row["lease_owner"], row["attempt"]) == (winner.owner, 1)


@pytest.mark.parametrize(
    "columns",
    [
        *({"state": state, "finished_at": "now()"} for state in ("completed", "skipped", "failed")),
        {"due_at": "now() + interval '1 minute'"},
        {"deadline_at": RAN_OUT},
        {"deadline_at": RAN_OUT, "state": "running", "lease_owner": "one", "lease_until": RAN_OUT},
    ],
)
async def test_an_ended_undue_or_overdue_job_is_not_claimed(columns: Any, waiting: UUID, store: Store) -> None:
    store.table.change(waiting, **columns)
    assert await claim_by_id(store.database, waiting, "one", LEASE) is None


async def test_a_job_whose_worker_fell_silent_is_claimed_by_another(waiting: UUID, store: Store) -> None:
    await claimed(store.database, waiting)
    store.table.change(waiting, lease_until=RAN_OUT)
    second = await claimed(store.database, waiting, "two")
    assert second.attempt == 2
    assert second.waiting_since < second.claimed_at
    assert store.table.job(waiting)["lease_owner"] == "two"


async def test_an_answer_survives_the_attempt_that_paid_for_it(waiting: UUID, store: Store) -> None:
    first = await claimed(store.database, waiting)
    assert await claims.load_answer(store.database, first) is None
    answer = {"summary": 'Zoë\'s \u202e "mailbox"', "next_steps": ["a", "b"]}
    await claims.save_answer(store.database, first, answer, "gpt-6-luna")
    await claims.about_to_post(store.database, first, LEASE)
    await claims.retry_later(store.database, first, 0, "ServiceDesk Plus timeout")
    second = await claimed(store.database, waiting, "two")
    assert (second.attempt, second.started_before, second.answered) == (2, True, True)
    row = store.table.job(waiting)
    assert second.note_attempted_at == row["note_attempted_at"] is not None
    assert await claims.load_answer(store.database, second) == (answer, row["model"]) == (answer, "gpt-6-luna")


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (partial(claims.complete, note_id="77"), ("completed", None, "77")),
        (partial(claims.skip, reason="ticket not found"), ("skipped", "ticket not found", None)),
        (partial(claims.fail, reason="OpenAI API: 401"), ("failed", "OpenAI API: 401", None)),
    ],
)
async def test_a_job_ends_with_its_outcome_and_no_claim(end: Any, outcome: Any, waiting: UUID, store: Store) -> None:
    store.table.change(waiting, reason="an earlier attempt's")
    await end(store.database, await claimed(store.database, waiting))
    row = store.table.job(waiting)
    assert (row["state"], row["reason"], row["note_id"]) == outcome
    assert (row["lease_owner"], row["lease_until"]) == (None, None)
    assert row["finished_at"] >= row["started_at"]


@pytest.mark.parametrize("held", [False, True])
async def test_a_retry_counts_and_held_time_neither_counts_nor_runs(held: bool, waiting: UUID, store: Store) -> None:
    deadline, write = store.table.job(waiting)["deadline_at"], claims.defer if held else claims.retry_later
    await write(store.database, await claimed(store.database, waiting), 60, "GPT-4 timeout")
    row = store.table.job(waiting)
    assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "GPT-4 timeout", 0 if held else 1)
    assert (row["published_at"], row["lease_owner"], row["lease_until"]) == (None, None, None)
    assert timedelta(seconds=59) < row["due_at"] - row["started_at"] < timedelta(seconds=90)
    longer = timedelta(seconds=60 if held else 0)
    assert longer <= row["deadline_at"] - deadline < longer + timedelta(seconds=30)
    assert await claim_by_id(store.database, waiting, "two", LEASE) is None
    store.table.change(waiting, due_at="now()")
    second = await claimed(store.database, waiting, "two")
    assert (second.attempt, second.started_before) == (1 if held else 2, True)


@pytest.mark.parametrize(("extends", "longer"), [(True, 150), (False, 0)])
async def test_time_between_holds_counts_as_held_time(extends: bool, longer: int, waiting: UUID, store: Store) -> None:
    deadline = store.table.job(waiting)["deadline_at"]
    for _ in range(3):
        store.table.change(waiting, due_at="now() - interval '40 seconds'")
        held = await claimed(store.database, waiting)
        await claims.defer(store.database, held, 10, "of a test", extends_deadline=extends)
    more = (store.table.job(waiting)["deadline_at"] - deadline).total_seconds()
    assert longer <= more < longer + 30


@pytest.mark.parametrize(("before", "after"), [(23.99, 24.0), (24.0, 24.0), (30.0, 30.0)])
async def test_no_job_is_held_for_more_than_a_day(before: float, after: float, waiting: UUID, store: Store) -> None:
    accepted = store.table.job(waiting)["accepted_at"]
    store.table.change(waiting, deadline_at=accepted + timedelta(hours=before))
    await claims.defer(store.database, await claimed(store.database, waiting), 300, "desk rate limit")
    assert store.table.job(waiting)["deadline_at"] - accepted == timedelta(hours=after)


async def test_a_day_of_holds_counts_from_the_last_manual_retry(waiting: UUID, store: Store) -> None:
    store.table.change(waiting, state="failed", accepted_at="now() - interval '30 hours'", finished_at="now()")
    await manual_retry.retry(store.database, waiting, DEADLINE)
    for _ in range(3):
        store.table.change(waiting, due_at="now()")
        await claims.defer(store.database, await claimed(store.database, waiting), 300, "desk rate limit")
    row = store.table.job(waiting)
    assert DEADLINE + 900 <= (row["deadline_at"] - row["retried_at"]).total_seconds() < DEADLINE + 960
    store.table.change(waiting, deadline_at="now() + interval '24 hours'", due_at="now()")
    await claims.defer(store.database, await claimed(store.database, waiting), 300, "desk rate limit")
    assert store.table.job(waiting)["deadline_at"] - row["retried_at"] < timedelta(hours=24, seconds=60)


async def test_a_claim_given_back_counts_as_no_attempt_and_can_be_taken_at_once(waiting: UUID, store: Store) -> None:
    await claims.release(store.database, [await claimed(store.database, waiting)])
    row = store.table.job(waiting)
    assert (row["state"], row["attempt"], row["lease_owner"]) == ("waiting", 0, None)
    assert row["published_at"] is not None
    second = await claimed(store.database, waiting, "two")
    assert (second.attempt, second.started_before) == (1, True)


async def test_only_the_first_job_of_a_ticket_runs(store: Store) -> None:
    accepted = [await store.accept() for _ in range(10)]
    before = {job_id: store.table.job(job_id) for job_id in accepted}
    claims_made = [await claim_by_id(store.database, job_id, "one", LEASE) for job_id in reversed(accepted)]
    assert [claim is not None and claim.another_first for claim in claims_made] == [True] * 9 + [False]
    for job_id in accepted[1:]:
        row = store.table.job(job_id)
        assert (row["state"], row["attempt"], row["reason"]) == ("waiting", 0, "another job of this ticket")
        assert (row["claim_token"], row["published_at"]) == (None, None)
        assert timedelta(seconds=14) < row["due_at"] - before[job_id]["due_at"] < timedelta(seconds=45)
        assert row["deadline_at"] - before[job_id]["deadline_at"] >= timedelta(seconds=15)
    assert store.table.job(accepted[0])["state"] == "running"
    # The time in the queue is added to the deadline too.
    store.table.change(accepted[1], due_at="now() - interval '10 minutes'")
    deadline = store.table.job(accepted[1])["deadline_at"]
    await claimed(store.database, accepted[1])
    more = store.table.job(accepted[1])["deadline_at"] - deadline
    assert timedelta(seconds=615) <= more < timedelta(seconds=650)


async def test_two_claims_of_one_ticket_at_the_same_moment_do_not_both_run(store: Store) -> None:
    for number in range(5):
        pair = [await store.accept(ticket_id=str(number)) for _ in "ab"]
        await asyncio.gather(*(claim_by_id(store.database, job_id, "one", LEASE) for job_id in reversed(pair)))
        assert sorted(store.table.job(job_id)["state"] for job_id in pair) == ["running", "waiting"]


@pytest.mark.parametrize(
    ("reason", "done"),
    [
        ("ServiceDesk Plus timeout", True),
        ("deadline passed (last: ServiceDesk Plus timeout)", True),
        (NoteMissingError().reason, False),
    ],
)
async def test_a_failed_job_with_a_possible_note_counts_as_enhanced(reason: str, done: bool, store: Store) -> None:
    database, (first, second) = store.database, [await store.accept() for _ in range(2)]
    held = await claimed(database, first)
    await claims.about_to_post(database, held, LEASE)
    await claims.fail(database, held, reason)
    again = await claimed(database, second)
    assert (again.enhanced, again.another_first, again.echo) == (done, False, False)
    await claims.skip(database, again, "already enhanced")
    await manual_retry.retry(database, second, DEADLINE)
    asked = await claimed(database, second)
    assert asked.enhanced is done
    assert not done or await refresh.begin(database, asked, reopened=False) == "asked"


Write = Callable[[Database, Claim], Awaitable[object]]
WRITES: dict[str, Write] = {
    "renew_lease": lambda database, claim: Leases(database, LEASE).renew(claim),
    "save_answer": lambda database, claim: claims.save_answer(database, claim, {"summary": "lost"}, "m"),
    "about_to_post": lambda database, claim: claims.about_to_post(database, claim, LEASE),
    "not_posted": claims.undo_posting,
    "complete": lambda database, claim: claims.complete(database, claim, "1"),
    "skip": lambda database, claim: claims.skip(database, claim, "lost"),
    "fail": lambda database, claim: claims.fail(database, claim, "lost"),
    "retry_later": lambda database, claim: claims.retry_later(database, claim, 2, "lost"),
    "hold_back": lambda database, claim: claims.defer(database, claim, 2, "lost"),
    "give_back": lambda database, claim: Leases(database, LEASE).release(claim),
}


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("name", WRITES)
async def test_no_write_of_an_expired_claim_has_an_effect(name: str, taken: bool, waiting: UUID, store: Store) -> None:
    first = await claimed(store.database, waiting)
    store.table.change(waiting, lease_until=RAN_OUT)
    if taken:
        # Of the same name: a worker restarted on its host may have it.
        await claimed(store.database, waiting, first.owner)
    before = store.table.job(waiting)
    with pytest.raises(LeaseLostError):
        await WRITES[name](store.database, first)
    assert store.table.job(waiting) == before


async def failed_and_retried(database: Database, claim: Claim) -> None:
    await claims.fail(database, claim, "ServiceDesk Plus API: 401")
    await manual_retry.retry(database, claim.job_id, DEADLINE)


# Ways to free a job such that the next claim has the same owner and attempt number.
SAME_NUMBER: dict[str, Write] = {
    "given back": lambda database, claim: Leases(database, LEASE).release(claim),
    "held back": lambda database, claim: claims.defer(database, claim, 0, "desk rate limit"),
    "retried by hand": failed_and_retried,
}


@pytest.mark.parametrize("freed", SAME_NUMBER)
async def test_a_stale_claim_changes_nothing_in_a_later_one(freed: str, waiting: UUID, store: Store) -> None:
    stale = await claimed(store.database, waiting)
    await SAME_NUMBER[freed](store.database, stale)
    later = await claimed(store.database, waiting)
    assert (later.owner, later.attempt) == (stale.owner, stale.attempt)
    before = store.table.job(waiting)
    for write in WRITES.values():
        with pytest.raises(LeaseLostError):
            await write(store.database, stale)
        assert store.table.job(waiting) == before
    await claims.complete(store.database, later, "1")


async def test_the_posting_of_a_note_begins_with_a_fresh_lease(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting, lease=5)
    before = store.table.job(waiting)["lease_until"]
    await claims.about_to_post(store.database, claim, LEASE)
    assert store.table.job(waiting)["lease_until"] - before > timedelta(seconds=30)


async def test_a_posting_that_did_nothing_leaves_what_was_known_before(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    await claims.about_to_post(store.database, claim, LEASE)
    attempted = store.table.job(waiting)["note_attempted_at"]
    await claims.undo_posting(store.database, replace(claim, note_attempted_at=attempted))
    assert store.table.job(waiting)["note_attempted_at"] == attempted
    await claims.undo_posting(store.database, claim)
    assert store.table.job(waiting)["note_attempted_at"] is None


ENDS = {name: WRITES[name] for name in ("complete", "skip", "fail", "retry_later", "hold_back", "give_back")}


@pytest.mark.parametrize("name", ENDS)
async def test_a_write_in_doubt_can_be_repeated_and_no_other_one(name: str, waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    await ENDS[name](store.database, claim)
    before = store.table.job(waiting)
    await ENDS[name](store.database, claim)
    for other in ENDS.keys() - {name}:
        with pytest.raises(LeaseLostError):
            await ENDS[other](store.database, claim)
    assert store.table.job(waiting) == before


async def test_a_stored_retry_is_known_again_after_its_publication(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    await claims.retry_later(store.database, claim, 0, "GPT-4 timeout")
    assert await repository.take_due(store.database, 1)
    before = store.table.job(waiting)
    await claims.retry_later(store.database, claim, 0, "GPT-4 timeout")
    assert store.table.job(waiting) == before


async def test_a_job_freed_by_another_process_is_not_the_claims_own_write(waiting: UUID, store: Store) -> None:
    """The relay's recovery leaves the same row as the claim's own retry."""
    claim = await claimed(store.database, waiting)
    store.table.change(waiting, lease_until=RAN_OUT)
    assert await repository.recover(store.database, 1)
    store.table.change(waiting, reason="GPT-4 timeout")
    with pytest.raises(LeaseLostError):
        await claims.retry_later(store.database, claim, 0, "GPT-4 timeout")


async def test_a_failure_that_was_retried_by_hand_is_not_told_again(waiting: UUID, database: Database) -> None:
    claim = await claimed(database, waiting)
    await failed_and_retried(database, claim)
    with pytest.raises(LeaseLostError):
        await claims.fail(database, claim, "ServiceDesk Plus API: 401")


async def test_a_lease_is_renewed_while_its_block_runs(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting, lease=1.2)
    async with hold_lease(Leases(store.database, 1.2), claim):
        await asyncio.sleep(1.5)
        await claims.about_to_post(store.database, claim, 1.2)
    assert store.table.job(waiting)["note_attempted_at"] is not None


@pytest.mark.parametrize("taken", [True, False], ids=["taken by another", "expired before its answer"])
async def test_a_block_ends_as_soon_as_its_claim_is_lost(taken: bool, waiting: UUID, store: Store) -> None:
    """Before the lease ends, which would end it too; without an answer in time at once."""
    claim = await claimed(store.database, waiting, lease=3)
    if taken:
        store.table.change(waiting, claim_token=uuid4())
    else:
        claim = replace(claim, requested_at=time.monotonic() - 3)
    with pytest.raises(LeaseLostError):
        async with asyncio.timeout(2.5 if taken else 0.5), hold_lease(Leases(store.database, 3), claim):
            await asyncio.sleep(30)


async def test_the_timeout_of_the_block_itself_is_not_taken_for_a_lost_lease(waiting: UUID, database: Database) -> None:
    claim = await claimed(database, waiting)
    with pytest.raises(TimeoutError):
        async with hold_lease(Leases(database, LEASE), claim), asyncio.timeout(0.01):
            await asyncio.sleep(30)


async def test_a_block_that_ended_its_job_reports_no_lost_claim(waiting: UUID, store: Store) -> None:
    """A process suspended after its last write must not log `claim lost` as well."""
    claim = await claimed(store.database, waiting, lease=1)
    async with hold_lease(Leases(store.database, 1), claim):
        await claims.complete(store.database, claim, "1")
        time.sleep(1.2)  # noqa: ASYNC251 -- the whole loop stands still
    assert store.table.job(waiting)["state"] == "completed"


async def test_the_time_that_a_lost_worker_had_a_job_is_no_held_time(waiting: UUID, store: Store) -> None:
    store.table.change(waiting, due_at="now() - interval '30 minutes'")
    await claimed(store.database, waiting)
    store.table.change(waiting, lease_until=RAN_OUT)
    deadline = store.table.job(waiting)["deadline_at"]
    await claims.defer(store.database, await claimed(store.database, waiting, "two"), 10, "desk rate limit")
    assert store.table.job(waiting)["deadline_at"] - deadline < timedelta(seconds=40)
