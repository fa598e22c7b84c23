"""Retries of several jobs after changes since the preview, or in an outage."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from redis.asyncio import Redis

from devstack.postgres import Postgres
from storage.session import Database
from support.console.routes.retries import preview, retry_several
from tests.kit.postgres import Store
from tests.support.console.visits import OPERATOR, Page, Visits

BY_MODEL = {"cause:model_failing": "on"}


@pytest.fixture
def visits(store: Store, redis: Redis) -> Visits:
    return Visits(store.database, redis)


async def failed(store: Store, ticket_id: str) -> UUID:
    return await store.accept(ticket_id=ticket_id, state="failed", reason="GPT-4 timeout", finished_at="now()")


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("waiting", "it is waiting already"),
        ("running", "it is running: a worker has it"),
        ("completed", "it is completed: its note is in the ticket"),
        ("skipped", "it was skipped: it is retried on its ticket"),
    ],
)
async def test_a_job_that_is_failed_no_more_says_what_it_is(state: str, why: str, store: Store, visits: Visits) -> None:
    """A form sent twice must not report that another job did it."""
    job_id = await failed(store, "1")
    store.table.change(job_id, state=state)
    html = await visits.html(retry_several, OPERATOR, form={"jobs": str(job_id)})
    assert "0 jobs wait again" in html
    assert why in html
    assert "another job" not in html
    assert store.table.job(job_id)["state"] == state


def left_out(page: Page) -> int:
    previewed: Any = page.values["preview"]
    return int(previewed.left_out)


async def test_a_preview_goes_on_behind_what_can_not_be_retried(store: Store, visits: Visits) -> None:
    """The newest thousand were done by another job."""
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, state, reason, deadline_at, finished_at)"
        " SELECT gen_random_uuid(), 'acme', n, state, 'GPT-4 timeout', now(), now() - n * interval '1 second'"
        " FROM generate_series(1, 1002) n, unnest(ARRAY['failed', 'completed']) state"
        " WHERE state = 'failed' OR n <= 1001"
    )
    page = await visits.page(preview, OPERATOR, query=BY_MODEL)
    html = page.html
    # A thousand, or as many as fit the time.
    assert f"{left_out(page)}: another job of the ticket did it, or may" in html
    assert "None of those that were looked at can be retried." in html
    assert '<input type="hidden" name="cause:model_failing" value="on">' in html
    assert f'<input type="hidden" name="before" value="{page.values["older"]}">' in html
    seen = left_out(page)
    while page.values["older"]:
        page = await visits.page(preview, OPERATOR, query={**BY_MODEL, "before": str(page.values["older"])})
        seen += left_out(page)
    assert seen == 1001
    html = page.html
    assert "Retry 1 job?" in html
    assert "acme/1002?job=" in html
    assert 'name="before"' not in html


@pytest.mark.parametrize("limit", ["lock_seconds", "statement_seconds"])
async def test_of_the_job_at_which_it_breaks_off_nobody_knows(
    limit: str, store: Store, server: Postgres, redis: Redis
) -> None:
    first, second, third = [await failed(store, number) for number in ("1", "2", "3")]
    with psycopg.connect(server.superuser_url) as somebody:
        somebody.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (second,))
        impatience: dict[str, Any] = {limit: 0.2}
        impatient = Database(server.url, application_name="tests", **impatience)
        page = await Visits(impatient, redis).page(retry_several, OPERATOR, form={"jobs": f"{first},{second},{third}"})
        await impatient.close()
    html = page.html
    assert page.status == 503
    assert "1 job waits again" in html
    assert html.count("not known: the database did not answer") == 1
    assert html.count(f">{second}<") == 1
    assert f'<input type="hidden" name="jobs" value="{third}">' in html
    assert [store.table.job(each)["state"] for each in (first, second, third)] == ["waiting", "failed", "failed"]
