"""Operators' queries over jobs, without content."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from db.session import Database
from jobs import claims, details, manual_retry
from jobs.details import Listed
from jobs.manual_retry import NotRetriedError
from tests.kit.postgres import DEADLINE, Store, claimed

SECRET = "text of a person"
Columns = dict[str, Any]


def ids(found: list[Listed]) -> list[UUID]:
    return [job.id for job in found]


FAILED: Columns = {"state": "failed", "reason": "ServiceDesk Plus API error: 401", "finished_at": "now()", "attempt": 8}


async def test_jobs_are_listed_newest_first_and_by_each_condition(store: Store) -> None:
    old: Columns = {"accepted_at": "now() - interval '3 hours'", "due_at": "now() - interval '3 hours'"}
    late = await store.accept(**old, **FAILED | {"finished_at": "now() - interval '1 hour'"})
    gone = await store.accept(**old, state="skipped", finished_at="now() - interval '175 minutes'")
    other = await store.accept(tenant_id="globex", ticket_id="9", accepted_at="now()")
    store.table.change(gone, accepted_at="now() - interval '4 hours'")
    assert ids(await details.listed(store.database)) == [other, late, gone]
    assert ids(await details.listed(store.database, most=1)) == [other]
    assert ids(await details.listed(store.database, tenant_id="acme")) == [late, gone]
    assert ids(await details.listed(store.database, tenant_id="acme", ticket_id="9")) == []
    assert ids(await details.listed(store.database, ticket_id="9")) == [other]
    assert ids(await details.listed(store.database, states=["waiting", "skipped"])) == [other, gone]
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    assert ids(await details.listed(store.database, since=two_hours_ago)) == [other, late]
    assert await details.listed(store.database, tenant_id="nobody") == []


async def test_neither_the_list_nor_the_details_hold_the_text_of_an_answer(store: Store) -> None:
    job_id = await store.accept(enhancement=f'{{"summary": "{SECRET}"}}', model="gpt-6-luna")
    async with store.database.across_tenants() as session:
        rows = await session.execute(text("SELECT * FROM list_jobs(NULL, NULL, NULL, NULL, NULL)"))
        (answer,) = [str(tuple(row)) for row in rows]
    assert SECRET not in answer
    found = await details.details(store.database, job_id)
    assert found is not None
    assert (found.answered, found.model) == (True, "gpt-6-luna")
    assert SECRET not in str(found)


async def test_events_are_listed_in_order_and_per_tenant(store: Store) -> None:
    job_id, _ = await store.accept(), await store.accept()
    claim = await claimed(store.database, job_id)
    await claims.fail(store.database, claim, "ServiceDesk Plus API: 401")
    job = await details.details(store.database, job_id)
    assert job is not None
    told = await details.events(store.database, job)
    assert [(event.attempt, event.what, event.reason) for event in told] == [
        (0, "accepted", None),
        (1, "claimed", None),
        (1, "failed", "ServiceDesk Plus API: 401"),
    ]
    assert told[0].at <= told[1].at <= told[2].at
    assert await details.events(store.database, replace(job, tenant_id="globex")) == []


async def test_an_unknown_job_has_no_details_and_can_not_be_retried(database: Database) -> None:
    assert await details.details(database, uuid4()) is None
    with pytest.raises(NotRetriedError, match="no job has this id"):
        await manual_retry.retry(database, uuid4(), DEADLINE)
