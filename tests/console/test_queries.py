"""Queries of pages: of one tenant and of all, by statements that read few rows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from console import queries
from console.queries import EndCause, figures_of, outcomes
from db.session import Database
from dev.benchmarks.growth import LINEAR, STATEMENTS, Filled
from jobs import bulk_retry, rejections
from jobs.activity import PageEnd
from jobs.bulk_retry import FinishedJob
from jobs.missed_webhooks import MAX_MISSED, MAX_MISSED_PER_TENANT, MissedCount, missed_of_all
from jobs.rejections import OF_WEBHOOKS
from jobs.repository import RECOVERED, REFRESH_BY_HAND
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
    assert counts(await queries.causes(database, "acme", "failed", since())) == own
    everybodys = await queries.causes(database, None, "failed", since())
    assert counts(everybodys) == own | {("globex", "GPT-4 timeout", 1)}
    assert counts(await queries.causes(database, None, "skipped", since())) == {("acme", "dry run", 1)}


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [(None, ["third", "theirs", "second", "first"]), ("acme", ["third", "second", "first"]), ("nobody", [])],
)
async def test_jobs_are_listed_page_by_page(tenant: str | None, expected: Any, found: Any, database: Database) -> None:
    names = {job_id: name for name, job_id in found.items()}
    whole = await bulk_retry.ended(database, tenant, "failed", since(), most=9)
    assert [names[job.id] for job in whole] == expected
    assert await all_pages(database, tenant, most=1) == whole


async def all_pages(database: Database, tenant: str | None, most: int) -> list[FinishedJob]:
    behind, seen = None, list[FinishedJob]()
    while page := await bulk_retry.ended(database, tenant, "failed", since(), after=behind, most=most):
        seen += page
        behind = PageEnd(page[-1].finished_at, page[-1].id)
    return seen


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_jobs_are_listed_by_reason_and_answer(tenant: str | None, found: Any, database: Database) -> None:
    jobs = await bulk_retry.ended(database, tenant, "failed", since(), reasons=["GPT-4 timeout"], most=9)
    answered = {job.id: job.answered for job in jobs if job.tenant_id == "acme"}
    assert answered == {found["second"]: True, found["first"]: False}
    assert await bulk_retry.ended(database, tenant, "failed", since(), reasons=[], most=9) == []


async def test_jobs_that_ended_at_one_moment_are_all_on_some_page(store: Store) -> None:
    at = datetime.now(UTC)
    ids = {await store.accept(state="failed", reason="GPT-4 timeout", finished_at=at) for _ in range(5)}
    seen = [job.id for job in await all_pages(store.database, None, most=2)]
    assert (len(seen), {*seen}) == (5, ids)


async def test_the_success_rate_counts_jobs_by_the_time_of_their_end(store: Store) -> None:
    long_ago: dict[str, Any] = {"accepted_at": "now() - interval '3 days'"}
    for state in ("completed", "completed", "failed", "skipped"):
        await store.accept(state=state, finished_at="now()")
    await store.accept(state="completed", finished_at="now() - interval '23 hours'", **long_ago)
    await store.accept(state="failed", finished_at="now() - interval '25 hours'", **long_ago)
    await store.accept(tenant_id="globex", state="failed", finished_at="now()", **long_ago)
    await store.accept(tenant_id="initech", state="completed", finished_at="now()")
    figures = await figures_of(store.database, "acme")
    assert (figures.completed, figures.failed, figures.skipped) == (3, 1, 1)
    assert figures.success_rate == pytest.approx(0.75)
    asked = ["acme", "globex", "hooli", "initech"]
    assert await outcomes(store.database, asked) == {"acme": (3, 1), "globex": (0, 1)}


async def test_an_old_last_webhook_is_known_from_reconciliation(store: Store) -> None:
    """A polled desk has very many jobs without a webhook, which are not scanned."""
    webhook = await store.accept(accepted_at="now() - interval '2 hours'")
    store.table.run(
        "INSERT INTO jobs (id, tenant_id, ticket_id, event, state, accepted_at, due_at, deadline_at, finished_at)"
        " SELECT gen_random_uuid(), 'acme', n, %s, 'completed', now(), now(), now(), now()"
        " FROM generate_series(1, %s) n",
        *(RECOVERED, OF_WEBHOOKS["newest"]),
    )
    assert (await figures_of(store.database, "acme")).last_accepted_at is None
    seen = store.table.job(webhook)["accepted_at"]
    compared = "INSERT INTO reconciliations (tenant_id, since, compared_until, last_webhook_at)"
    store.table.run(compared + " VALUES ('acme', now(), now(), %s)", seen)
    assert (await figures_of(store.database, "acme")).last_accepted_at == seen
    assert (await rejections.receiving(store.database, "acme", ["1"])).last_accepted_at == seen


def miss(
    store: Store, ticket_id: str, missed: str, *, tenant_id: str = "acme", seen: str = "now() - interval '9 days'"
) -> None:
    store.table.run(
        "INSERT INTO missing_webhooks (tenant_id, ticket_id, display_id, created_at, seen_at, tells_all, missed_at)"  # noqa: S608 -- a test's own
        f" VALUES (%s, %s, %s, now(), {seen}, true, {missed})",
        *(tenant_id, ticket_id, f"D{ticket_id}"),
    )


async def both(store: Store, tenant_id: str) -> MissedCount:
    """Return one tenant's answer, after checking that both ways agree."""
    of_all = await missed_of_all(store.database, datetime.now(UTC) - timedelta(days=1))
    figures = await figures_of(store.database, tenant_id)
    assert of_all.get(tenant_id, MissedCount()) == figures.missed
    return figures.missed


async def test_those_of_a_day_are_told_that_have_no_job(store: Store) -> None:
    assert await both(store, "acme") == MissedCount()
    for ticket in ("1", "2", "3", "4"):
        miss(store, ticket, f"now() - interval '{ticket} hours'")
    miss(store, "5", "now() - interval '25 hours'")
    miss(store, "6", "NULL")
    miss(store, "7", "now()", seen="now()")
    miss(store, "8", "now()", tenant_id="globex")
    await store.accept(ticket_id="1", state="completed", finished_at="now()")
    await store.accept(store.new_event(ticket_id="D2", event=REFRESH_BY_HAND))
    store.table.run("UPDATE missing_webhooks SET job_id = gen_random_uuid() WHERE ticket_id = '3'")
    (row,) = store.table.run("SELECT missed_at FROM missing_webhooks WHERE ticket_id = '4'")
    assert await both(store, "acme") == MissedCount(1, row["missed_at"])
    assert (await both(store, "globex")).missed == 1
    assert (await both(store, "nobody")).missed == 0


async def test_no_more_than_so_many_of_a_tenant_are_looked_at(store: Store) -> None:
    store.table.run(
        "INSERT INTO missing_webhooks (tenant_id, ticket_id, created_at, seen_at, tells_all, missed_at)"
        " SELECT 'acme', n, now(), now() - interval '1 hour', true, now() FROM generate_series(0, %s) n",
        MAX_MISSED,
    )
    figures = await figures_of(store.database, "acme")
    assert (figures.missed.missed, figures.missed.is_cut) == (MAX_MISSED, True)
    of_all = await missed_of_all(store.database, datetime.now(UTC) - timedelta(days=1))
    assert (of_all["acme"].missed, of_all["acme"].is_cut) == (MAX_MISSED_PER_TENANT, True)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("filled")
    folder.chmod(0o755)
    with Filled(folder, 20_000) as on:
        on.open_for(1_000)
        yield on


async def rows_read(on: Filled) -> int:
    await on.database.call(text("SELECT pg_stat_force_next_flush()"))
    read = "SELECT seq_tup_read + idx_tup_fetch AS read FROM pg_stat_user_tables WHERE relname = 'jobs'"
    return int(await on.database.call_for_one(text(read)))


async def test_frequent_statements_read_few_rows(filled: Filled) -> None:
    """The relay counts a thousand, and the running ones."""
    await filled.connect()
    found = {}
    for name, ask in STATEMENTS.items():
        before = await rows_read(filled)
        await ask(filled)
        found[name] = await rows_read(filled) - before
    await filled.database.close()
    assert {name: read for name, read in found.items() if read > 1_000}.keys() <= LINEAR, found
