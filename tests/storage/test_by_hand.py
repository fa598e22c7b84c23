"""What operators ask and change: jobs of one tenant or of all, without content; and trying a job again."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from storage import by_hand, jobs, relaying
from storage.by_hand import Listed, NotRetried
from storage.models import JobState
from storage.session import Database
from tests.kit.postgres import DEADLINE, LEASE, NewEvent, Table, claimed

SECRET = "text of a person"


def ids(found: list[Listed]) -> list[UUID]:
    return [job.id for job in found]


async def accepted(database: Database, new_event: NewEvent, table: Table, **columns: object) -> UUID:
    """A job whose row has these columns; `tenant_id` and `ticket_id` are the webhook's."""
    of_event = {name: columns.pop(name) for name in ("tenant_id", "ticket_id") if name in columns}
    job_id = await jobs.accept(database, new_event(**of_event), DEADLINE, published=True)
    if columns:
        table.change(job_id, **columns)
    return job_id


FAILED = {"state": "failed", "reason": "ServiceDesk Plus API error: 401", "finished_at": "now()", "attempt": 8}


async def test_jobs_are_listed_newest_first_and_by_each_condition(
    database: Database, new_event: NewEvent, table: Table
) -> None:
    old = {"accepted_at": "now() - interval '3 hours'", "due_at": "now() - interval '3 hours'"}
    late = await accepted(database, new_event, table, **old, **FAILED | {"finished_at": "now() - interval '1 hour'"})
    gone = await accepted(
        database, new_event, table, **old, state="skipped", finished_at="now() - interval '175 minutes'"
    )
    other = await accepted(database, new_event, table, tenant_id="globex", ticket_id="9", accepted_at="now()")
    table.change(gone, accepted_at="now() - interval '4 hours'")
    assert ids(await by_hand.listed(database)) == [other, late, gone]
    assert ids(await by_hand.listed(database, most=1)) == [other]
    assert ids(await by_hand.listed(database, tenant_id="acme")) == [late, gone]
    assert ids(await by_hand.listed(database, tenant_id="acme", ticket_id="9")) == []
    assert ids(await by_hand.listed(database, ticket_id="9")) == [other]
    assert ids(await by_hand.listed(database, states=["waiting", "skipped"])) == [other, gone]
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    assert ids(await by_hand.listed(database, since=two_hours_ago)) == [other, late]
    assert await by_hand.listed(database, tenant_id="nobody") == []


async def test_a_listed_job_has_what_its_row_says(database: Database, new_event: NewEvent, table: Table) -> None:
    job_id = await accepted(database, new_event, table, **FAILED)
    (job,) = await by_hand.listed(database)
    row = table.job(job_id)
    for name in Listed.__dataclass_fields__:
        assert name == "asked_at" or getattr(job, name) == row[name]
    assert abs((job.asked_at - datetime.now(UTC)).total_seconds()) < 5


async def test_neither_the_list_nor_the_details_hold_the_text_of_an_answer(
    database: Database, new_event: NewEvent, table: Table
) -> None:
    job_id = await accepted(database, new_event, table, enhancement=f'{{"summary": "{SECRET}"}}', model="gpt-6-luna")
    async with database.across_tenants() as session:
        rows = await session.execute(text("SELECT * FROM list_jobs(NULL, NULL, NULL, NULL, NULL)"))
        (answer,) = [str(tuple(row)) for row in rows]
    assert SECRET not in answer
    found = await by_hand.details(database, job_id)
    assert found is not None
    assert (found.answered, found.model) == (True, "gpt-6-luna")
    assert SECRET not in str(found)


async def test_an_unknown_job_has_no_details_and_can_not_be_retried(database: Database) -> None:
    assert await by_hand.details(database, uuid4()) is None
    with pytest.raises(NotRetried, match="no job has this id"):
        await by_hand.retry(database, uuid4(), DEADLINE)


@pytest.mark.parametrize("ended", [FAILED, {"state": "skipped", "reason": "ticket closed", "finished_at": "now()"}])
async def test_a_retried_job_is_due_now_with_a_fresh_deadline_and_keeps_what_was_paid_for(
    ended: dict[str, object], database: Database, new_event: NewEvent, table: Table
) -> None:
    kept = {"enhancement": '{"summary": "s"}', "model": "gpt-6-luna", "note_attempted_at": "now() - interval '1 hour'"}
    old = {"deadline_at": "now() - interval '1 hour'", "started_at": "now() - interval '2 hours'"}
    job_id = await accepted(database, new_event, table, tenant_id="globex", **kept, **old, **ended)
    before = table.job(job_id)
    retried = await by_hand.retry(database, job_id, 600)
    assert (retried.tenant_id, retried.ticket_id) == ("globex", "12345")
    assert retried.was == f"{ended['state']}: {ended['reason']}"
    row = table.job(job_id)
    changed = {"state", "attempt", "reason", "due_at", "deadline_at", "published_at", "finished_at"}
    changed |= {"claim_token", "retried_at"}
    assert {name for name in row if row[name] != before[name]} <= changed
    assert (row["state"], row["attempt"], row["reason"]) == ("waiting", 0, "retried by hand")
    assert row["published_at"] is row["finished_at"] is None
    assert row["deadline_at"] - row["due_at"] == timedelta(seconds=600)
    (published,) = await relaying.take_due(database, 9)
    assert published.job_id == job_id
    claim = await claimed(database, job_id)
    assert (claim.attempt, claim.answered, claim.started_before) == (1, True, True)
    assert claim.note_attempted_at == before["note_attempted_at"]


async def test_what_is_done_or_under_way_is_not_retried_and_does_not_change(
    database: Database, new_event: NewEvent, table: Table
) -> None:
    running, waiting, completed, duplicate = [await accepted(database, new_event, table) for _ in range(4)]
    await claimed(database, running, lease=LEASE)
    table.change(completed, state=JobState.COMPLETED.value, finished_at="now()", note_id="7")
    table.change(duplicate, state=JobState.SKIPPED.value, finished_at="now()", reason=jobs.DUPLICATE)
    before = table.run("SELECT * FROM jobs ORDER BY id")
    for job_id, why in (
        (waiting, "waiting already"),
        (running, "a worker has it"),
        (completed, "note is in the ticket"),
        (duplicate, "duplicate"),
    ):
        with pytest.raises(NotRetried, match=why):
            await by_hand.retry(database, job_id, DEADLINE)
    assert table.run("SELECT * FROM jobs ORDER BY id") == before


async def test_a_retried_job_that_overruns_its_deadline_again_says_so(
    database: Database, new_event: NewEvent, table: Table
) -> None:
    job_id = await accepted(database, new_event, table, **FAILED)
    await by_hand.retry(database, job_id, DEADLINE)
    table.change(job_id, deadline_at="now() - interval '1 second'")
    await relaying.expire(database, 9, "deadline passed")
    assert table.job(job_id)["reason"] == "deadline passed (last: retried by hand)"
