"""Recently missed webhooks without a job, of one tenant and of all tenants."""

from datetime import UTC, datetime, timedelta

from storage import job_figures
from storage.job_figures import figures_of
from storage.jobs import ASKED_BY_HAND
from storage.reconciling import MOST_MISSED, MOST_MISSED_OF_EACH, MissedLately, missed_of_all
from tests.kit.postgres import Store


def miss(
    store: Store, ticket_id: str, missed: str, *, tenant_id: str = "acme", seen: str = "now() - interval '9 days'"
) -> None:
    store.table.run(
        "INSERT INTO missing_webhooks (tenant_id, ticket_id, display_id, created_at, seen_at, tells_all, missed_at)"  # noqa: S608 -- a test's own
        f" VALUES (%s, %s, %s, now(), {seen}, true, {missed})",
        *(tenant_id, ticket_id, f"D{ticket_id}"),
    )


async def both(store: Store, tenant_id: str) -> MissedLately:
    """Return one tenant's answer, after checking that both ways agree."""
    of_all = await missed_of_all(store.database, datetime.now(UTC) - timedelta(days=1))
    figures = await figures_of(store.database, tenant_id)
    assert of_all.get(tenant_id, MissedLately()) == figures.missed
    return figures.missed


async def test_those_of_a_day_are_told_that_have_no_job(store: Store) -> None:
    assert await both(store, "acme") == MissedLately()
    for ticket in ("1", "2", "3", "4"):
        miss(store, ticket, f"now() - interval '{ticket} hours'")
    miss(store, "5", "now() - interval '25 hours'")
    miss(store, "6", "NULL")
    miss(store, "7", "now()", seen="now()")
    miss(store, "8", "now()", tenant_id="globex")
    await store.accept(ticket_id="1", state="completed", finished_at="now()")
    await store.accept(store.new_event(ticket_id="D2", event=ASKED_BY_HAND))
    store.table.run("UPDATE missing_webhooks SET job_id = gen_random_uuid() WHERE ticket_id = '3'")
    (row,) = store.table.run("SELECT missed_at FROM missing_webhooks WHERE ticket_id = '4'")
    assert await both(store, "acme") == MissedLately(1, row["missed_at"])
    assert (await both(store, "globex")).missed == 1
    assert (await both(store, "nobody")).missed == 0


async def test_no_more_than_so_many_of_a_tenant_are_looked_at(store: Store) -> None:
    store.table.run(
        "INSERT INTO missing_webhooks (tenant_id, ticket_id, created_at, seen_at, tells_all, missed_at)"
        " SELECT 'acme', n, now(), now() - interval '1 hour', true, now() FROM generate_series(0, %s) n",
        MOST_MISSED,
    )
    figures = await figures_of(store.database, "acme")
    assert (figures.missed.missed, figures.missed.is_cut) == (MOST_MISSED, True)
    of_all = await missed_of_all(store.database, datetime.now(UTC) - timedelta(days=1))
    assert (of_all["acme"].missed, of_all["acme"].is_cut) == (MOST_MISSED_OF_EACH, True)


async def test_due_jobs_are_told_by_tenant(store: Store) -> None:
    assert await job_figures.due_jobs(store.database) == {}
    await store.accept()
    await store.accept(published=False)
    await store.accept(tenant_id="globex")
    await store.accept(tenant_id="later", due_at="now() + interval '1 minute'")
    await store.accept(tenant_id="runs", state="running", lease_until="now() + interval '1 minute'")
    assert await job_figures.due_jobs(store.database) == {"acme": 2, "globex": 1}
