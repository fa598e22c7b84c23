"""Manual retries of single jobs."""

from datetime import timedelta
from typing import Any

import pytest

from jobs import claims, manual_retry, refresh, repository
from jobs.manual_retry import NotRetriedError
from jobs.models import JobState
from tests.kit.postgres import DEADLINE, LEASE, Store, claimed

Columns = dict[str, Any]
FAILED: Columns = {"state": "failed", "reason": "ServiceDesk Plus API error: 401", "finished_at": "now()", "attempt": 8}


@pytest.mark.parametrize("ended", [FAILED, {"state": "skipped", "reason": "ticket closed", "finished_at": "now()"}])
async def test_a_retried_job_is_due_with_a_fresh_deadline_and_its_paid_answer(ended: Columns, store: Store) -> None:
    kept: Columns = {
        "enhancement": '{"summary": "s"}',
        "model": "gpt-6-luna",
        "note_attempted_at": "now() - interval '1 hour'",
    }
    old: Columns = {"deadline_at": "now() - interval '1 hour'", "started_at": "now() - interval '2 hours'"}
    job_id = await store.accept(tenant_id="globex", **kept, **old, **ended)
    before = store.table.job(job_id)
    retried = await manual_retry.retry(store.database, job_id, 600)
    assert (retried.tenant_id, retried.ticket_id) == ("globex", "12345")
    assert retried.was == f"{ended['state']}: {ended['reason']}"
    row = store.table.job(job_id)
    changed = {"state", "attempt", "reason", "due_at", "deadline_at", "published_at", "finished_at"}
    changed |= {"claim_token", "retried_at"}
    assert {name for name in row if row[name] != before[name]} <= changed
    assert (row["state"], row["attempt"], row["reason"]) == ("waiting", 0, "retried by hand")
    assert row["published_at"] is row["finished_at"] is None
    assert row["deadline_at"] - row["due_at"] == timedelta(seconds=600)
    (published,) = await repository.take_due(store.database, 9)
    assert published.job_id == job_id
    claim = await claimed(store.database, job_id)
    assert (claim.attempt, claim.answered, claim.started_before) == (1, True, True)
    assert claim.note_attempted_at == before["note_attempted_at"]


async def test_what_is_done_or_under_way_is_not_retried_and_does_not_change(store: Store) -> None:
    running, waiting, completed, duplicate = [await store.accept() for _ in range(4)]
    await claimed(store.database, running, lease=LEASE)
    store.table.change(completed, state=JobState.COMPLETED.value, finished_at="now()", note_id="7")
    store.table.change(duplicate, state=JobState.SKIPPED.value, finished_at="now()", reason=repository.DUPLICATE)
    before = store.table.run("SELECT * FROM jobs ORDER BY id")
    for job_id, why in (
        (waiting, "waiting already"),
        (running, "a worker has it"),
        (completed, "note is in the ticket"),
        (duplicate, "duplicate"),
    ):
        with pytest.raises(NotRetriedError, match=why):
            await manual_retry.retry(store.database, job_id, DEADLINE)
    assert store.table.run("SELECT * FROM jobs ORDER BY id") == before


EARLIER = "now() - interval '1 minute'"
POSTED: Columns = {"note_attempted_at": EARLIER}
NO_NOTE = (False, None)
# Another job of the ticket after a retry -> whether the retried one waits, whether it sees a note, and its reason for
# a further note (None: it makes none).
OTHERS: list[tuple[Columns, bool, tuple[bool, str | None]]] = [
    ({"state": "completed", "finished_at": EARLIER}, False, (True, "asked")),
    ({"state": "completed", "finished_at": "now()"}, False, (True, None)),
    ({"state": "failed", "finished_at": EARLIER, **POSTED}, False, (True, "asked")),
    ({"state": "failed", "finished_at": "now()", **POSTED}, False, (True, None)),
    ({"state": "failed", "finished_at": "now()", "reason": repository.NOTE_MISSING, **POSTED}, False, NO_NOTE),
    ({"state": "failed", "finished_at": "now()", "failure_noted_at": EARLIER}, False, NO_NOTE),
    ({"state": "running"}, True, NO_NOTE),
    ({**POSTED}, True, NO_NOTE),
    ({"accepted_at": EARLIER}, True, NO_NOTE),
    # It waits for this one.
    ({}, False, NO_NOTE),
    ({"accepted_at": EARLIER, "retried_at": "now()"}, False, NO_NOTE),
]


@pytest.mark.parametrize(("other", "waits", "noted"), OTHERS)
async def test_a_retried_job_minds_only_later_jobs(other: Columns, waits: bool, noted: Any, store: Store) -> None:
    job_id = await store.accept(**FAILED)
    await manual_retry.retry(store.database, job_id, DEADLINE)
    await store.accept(**other)
    claim = await claimed(store.database, job_id)
    assert (claim.another_first, claim.echo) == (waits, False)
    why = await refresh.begin(store.database, claim, reopened=False) if claim.enhanced else None
    assert (claim.enhanced, why) == noted


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("posted", [(), (0,), (0, 1)])
async def test_one_of_two_retried_jobs_of_a_ticket_makes_its_note(posted: Any, order: Any, store: Store) -> None:
    """Otherwise two that may have posted would both find no note and post again."""
    old: Columns = FAILED | {"accepted_at": "now() - interval '30 hours'"}
    pair = [await store.accept(**(old | POSTED if number in posted else old)) for number in range(2)]
    for job_id in pair:
        await manual_retry.retry(store.database, job_id, DEADLINE)
    before = {job_id: store.table.job(job_id)["deadline_at"] for job_id in pair}
    claims_made = [await claimed(store.database, pair[number]) for number in order]
    assert sorted(claim.another_first for claim in claims_made) == [False, True]
    runs, waits = sorted(claims_made, key=lambda claim: claim.another_first)
    row = store.table.job(waits.job_id)
    assert (row["state"], row["attempt"]) == ("waiting", 0)
    assert row["deadline_at"] - before[waits.job_id] >= timedelta(seconds=15)
    await claims.complete(store.database, runs, "7")
    store.table.change(waits.job_id, due_at="now()")
    last = await claimed(store.database, waits.job_id)
    assert (last.enhanced, last.another_first) == (True, False)
