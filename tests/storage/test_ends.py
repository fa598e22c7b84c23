"""Failed and skipped jobs: by cause and singly, of one tenant and of all."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from storage import job_figures
from storage.job_figures import Behind, EndCause
from storage.session import Database
from tests.kit.postgres import Store

SINCE = timedelta(hours=1)
Columns = dict[str, Any]
TIMED_OUT: Columns = {"state": "failed", "reason": "GPT-4 timeout", "attempt": 8}


def since() -> datetime:
    return datetime.now(UTC) - SINCE


async def ended(store: Store, minutes: int, **columns: Any) -> UUID:
    return await store.accept(**columns, finished_at=f"now() - interval '{minutes} minutes'")


@pytest.fixture
async def found(store: Store) -> dict[str, UUID]:
    return {
        "first": await ended(store, 9, **TIMED_OUT),
        "second": await ended(store, 5, **TIMED_OUT, enhancement='{"summary": "S"}'),
        "third": await ended(store, 3, state="failed", reason="ServiceDesk Plus timeout"),
        "theirs": await ended(store, 4, tenant_id="globex", **TIMED_OUT),
        "old": await ended(store, 90, **TIMED_OUT),
        "skipped": await ended(store, 2, state="skipped", reason="dry run"),
        "done": await ended(store, 1, state="completed"),
        "open": await store.accept(reason="desk unavailable"),
    }


def counts(causes: list[EndCause]) -> set[tuple[str, str | None, int]]:
    return {(cause.tenant_id, cause.reason, cause.jobs) for cause in causes}


async def test_causes_are_counted_by_tenant_and_reason(found: dict[str, UUID], database: Database) -> None:
    assert len(found) == 8
    own = {("acme", "GPT-4 timeout", 2), ("acme", "ServiceDesk Plus timeout", 1)}
    assert counts(await job_figures.causes(database, "acme", "failed", since())) == own
    everybodys = await job_figures.causes(database, None, "failed", since())
    assert counts(everybodys) == own | {("globex", "GPT-4 timeout", 1)}
    assert counts(await job_figures.causes(database, None, "skipped", since())) == {("acme", "dry run", 1)}


async def test_the_last_end_of_a_cause_is_told(found: dict[str, UUID], store: Store) -> None:
    causes = await job_figures.causes(store.database, "acme", "failed", since())
    (timed_out,) = [cause for cause in causes if cause.reason == "GPT-4 timeout"]
    assert timed_out.finished_at == store.table.job(found["second"])["finished_at"]


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [(None, ["third", "theirs", "second", "first"]), ("acme", ["third", "second", "first"]), ("nobody", [])],
)
async def test_jobs_are_listed_last_end_first_page_by_page(
    tenant: str | None, expected: list[str], found: dict[str, UUID], database: Database
) -> None:
    names = {job_id: name for name, job_id in found.items()}
    whole = await job_figures.ended(database, tenant, "failed", since(), most=9)
    assert [names[job.id] for job in whole] == expected
    behind, one_by_one = None, []
    while page := await job_figures.ended(database, tenant, "failed", since(), behind=behind, most=1):
        one_by_one += page
        behind = Behind(page[-1].finished_at, page[-1].id)
    assert one_by_one == whole


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_jobs_are_listed_by_reason_with_whether_they_are_answered(
    tenant: str | None, found: dict[str, UUID], database: Database
) -> None:
    jobs = await job_figures.ended(database, tenant, "failed", since(), reasons=["GPT-4 timeout"], most=9)
    answered = {job.id: job.answered for job in jobs if job.tenant_id == "acme"}
    assert answered == {found["second"]: True, found["first"]: False}
    assert await job_figures.ended(database, tenant, "failed", since(), reasons=[], most=9) == []


async def test_jobs_that_ended_at_one_moment_are_all_on_some_page(store: Store) -> None:
    at = datetime.now(UTC)
    for _ in range(5):
        await store.accept(state="failed", reason="GPT-4 timeout", finished_at=at)
    behind, seen = None, []
    while page := await job_figures.ended(store.database, None, "failed", since(), behind=behind, most=2):
        seen += [job.id for job in page]
        behind = Behind(page[-1].finished_at, page[-1].id)
    assert len(set(seen)) == len(seen) == 5
