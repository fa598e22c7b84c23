"""The two numbers of a ticket in job rows: one enhancement across both."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from jobs import claims, details, manual_retry, refresh, repository
from jobs.claims import LeaseLostError
from jobs.repository import NOTE_MISSING
from tests.kit.postgres import DEADLINE, LEASE, Store, claim_by_id, claimed

DESK_ID, NUMBER = "123640000000240013", "102"
POSTED = "now() - interval '1 minute'"
NONE = (False, False, False)


async def test_both_are_in_the_row_and_told_to_whoever_has_the_job_next(store: Store) -> None:
    job_id = await store.accept(ticket_id=NUMBER)
    claim = await claimed(store.database, job_id)
    assert (claim.id_in_desk, claim.desk_id, claim.display_id) == (NUMBER, None, None)
    knowing = await claims.store_numbers(store.database, claim, DESK_ID, NUMBER)
    assert (knowing.ticket_id, knowing.id_in_desk, knowing.display_id) == (NUMBER, DESK_ID, NUMBER)
    assert (knowing.enhanced, knowing.echo, knowing.another_first) == NONE
    await claims.retry_later(store.database, knowing, 0, "x")
    with pytest.raises(LeaseLostError):
        await claims.store_numbers(store.database, claim, "9", "9")
    (due,) = await repository.take_due(store.database, 9)
    assert (due.ticket_id, due.desk_id, due.display_id) == (NUMBER, DESK_ID, NUMBER)
    again = await claimed(store.database, job_id)
    assert (again.id_in_desk, again.display_id) == (DESK_ID, NUMBER)
    await claims.fail(store.database, again, "x")
    retried = await manual_retry.retry(store.database, job_id, DEADLINE)
    assert (retried.desk_id, retried.display_id) == (DESK_ID, NUMBER)


OTHERS: list[tuple[dict[str, Any], tuple[bool, bool, bool]]] = [
    ({"state": "completed"}, (True, False, False)),
    ({"state": "failed", "note_attempted_at": POSTED}, (True, False, False)),
    ({"state": "failed", "note_attempted_at": POSTED, "reason": NOTE_MISSING}, (False, False, False)),
    ({"state": "failed", "failure_noted_at": POSTED}, (False, True, False)),
    ({"state": "skipped"}, (False, False, False)),
    ({"state": "running"}, (False, False, True)),
    ({"state": "waiting", "note_attempted_at": POSTED}, (False, False, True)),
    # It has not begun, and will find this one running.
    ({"state": "waiting", "accepted_at": "now() - interval '1 hour'"}, (False, False, False)),
    ({"state": "completed", "tenant_id": "globex"}, (False, False, False)),
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("other", "told"), OTHERS)
async def test_a_job_with_the_other_number_is_found_by_the_id(other: Any, told: Any, known: bool, store: Store) -> None:
    columns: dict[str, Any] = {"ticket_id": DESK_ID}
    if known:
        columns = {"ticket_id": "7", "desk_id": DESK_ID, "display_id": NUMBER}
    await store.accept(**other, **columns)
    claim = await claimed(store.database, await store.accept(ticket_id=NUMBER))
    assert (claim.enhanced, claim.echo, claim.another_first) == NONE
    knowing = await claims.store_numbers(store.database, claim, DESK_ID, NUMBER)
    assert (knowing.enhanced, knowing.echo, knowing.another_first) == told
    # A retry by hand gets a further note past an older one, not past a newer one. A running job still comes first,
    # and an echo does not matter.
    store.table.run("UPDATE jobs SET finished_at = now() WHERE state IN ('completed', 'failed')")
    store.table.change(claim.job_id, retried_at="now()")
    asked_for = await claims.store_numbers(store.database, claim, DESK_ID, NUMBER)
    assert (asked_for.enhanced, asked_for.echo, asked_for.another_first) == (told[0], False, told[2])
    if told[0]:
        store.table.run("UPDATE jobs SET finished_at = now() WHERE finished_at IS NOT NULL")
        assert await refresh.begin(store.database, asked_for, reopened=False) is None
        store.table.change(claim.job_id, retried_at="now()")
        assert await refresh.begin(store.database, asked_for, reopened=False) == "asked"


@pytest.mark.parametrize(("other", "told"), OTHERS)
async def test_a_claim_by_the_id_sees_jobs_with_it(other: Any, told: Any, store: Store) -> None:
    await store.accept(ticket_id=NUMBER, desk_id=DESK_ID, display_id=NUMBER, **other)
    claim = await claim_by_id(store.database, await store.accept(ticket_id=DESK_ID), "one", LEASE)
    assert claim is not None
    earlier = other.get("accepted_at") is not None
    assert (claim.enhanced, claim.echo, claim.another_first) == (*told[:2], told[2] or earlier)


async def test_one_of_two_concurrent_jobs_of_a_ticket_continues(store: Store) -> None:
    for number in range(12):
        desk_id, shown = f"99{number:04}", f"{number}"
        found = await claimed(store.database, await store.accept(ticket_id=shown))
        named = await store.accept(ticket_id=desk_id)
        knowing, claim = await asyncio.gather(
            claims.store_numbers(store.database, found, desk_id, shown),
            claim_by_id(store.database, named, "two", LEASE),
        )
        assert claim is not None
        assert [knowing.another_first, claim.another_first].count(True) == 1, number


async def test_jobs_are_listed_by_either_number_with_those_that_named_the_other_one(store: Store) -> None:
    of_people = await store.accept(ticket_id=NUMBER, desk_id=DESK_ID, display_id=NUMBER)
    of_desk = await store.accept(ticket_id=DESK_ID)
    await store.accept(ticket_id="9")
    # Another desk may have a ticket of that number.
    elsewhere = await store.accept(ticket_id=NUMBER, tenant_id="globex")
    for number, others in ((NUMBER, {elsewhere}), (DESK_ID, set())):
        found = await details.listed(store.database, ticket_id=number, most=9)
        assert {job.id for job in found} == {of_people, of_desk} | others
        found = await details.listed(store.database, tenant_id="acme", ticket_id=number, most=9)
        assert {job.id for job in found} == {of_people, of_desk}


@pytest.mark.parametrize("named", [DESK_ID, NUMBER])
@pytest.mark.parametrize(
    ("other", "may"),
    [
        ({"state": "failed", "failure_noted_at": POSTED}, False),
        ({"state": "completed"}, False),
        ({"state": "failed", "note_attempted_at": POSTED, "reason": "ServiceDesk Plus timeout"}, False),
        ({"state": "failed", "note_attempted_at": POSTED, "reason": NOTE_MISSING}, True),
        ({"state": "skipped"}, True),
    ],
)
async def test_a_ticket_gets_at_most_one_failure_note(other: Any, may: bool, named: str, store: Store) -> None:
    """A person who retries a job may have seen the other one's note."""
    await store.accept(ticket_id=DESK_ID, **other)
    claim = await claimed(store.database, await store.accept(ticket_id=named))
    await claims.fail(store.database, claim, "x")
    claim = replace(claim, desk_id=DESK_ID, display_id=NUMBER)
    assert await claims.may_leave_failure_note(store.database, claim) is may
    row = store.table.job(claim.job_id)
    assert (row["desk_id"], row["display_id"]) == ((DESK_ID, NUMBER) if may else (None, None))


async def test_one_of_two_concurrent_failures_may_leave_a_note(store: Store) -> None:
    for number in range(12):
        desk_id, shown = f"99{number:04}", f"{number}"
        pair = [await claimed(store.database, await store.accept(ticket_id=named)) for named in (desk_id, shown)]
        for claim in pair:
            await claims.fail(store.database, claim, "x")
        known = [replace(claim, desk_id=desk_id, display_id=shown) for claim in pair]
        told = await asyncio.gather(*(claims.may_leave_failure_note(store.database, claim) for claim in known))
        assert sorted(told) == [False, True], number


async def test_each_claim_finds_the_tickets_other_jobs_by_indexes(store: Store) -> None:
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, state, deadline_at) SELECT gen_random_uuid(), 'acme', n::text,"
        " 'completed', now() FROM generate_series(1, 5000) n"
    )
    store.table.run("ANALYZE jobs")
    (found_rows,) = store.table.run("SELECT prosrc FROM pg_proc WHERE proname = 'other_jobs_of_ticket'")
    with_both: dict[str, Any] = {"desk_id": DESK_ID, "display_id": "77"}
    for numbers in ({}, with_both):
        job_id, question = await store.accept(ticket_id="77", **numbers), found_rows["prosrc"]
        for name, value in (("p_id", f"'{job_id}'"), ("p_echo", "interval '1 hour'"), ("p_missing", "'x'")):
            question = question.replace(name, value)
        plan = "\n".join(row["QUERY PLAN"] for row in store.table.run(f"EXPLAIN {question}"))
        assert "Seq Scan" not in plan, plan
