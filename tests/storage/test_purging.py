"""Purging by age: texts first, whole rows later, nothing current."""

from sqlalchemy import select, text

from devstack.postgres import Postgres
from storage import audit, history, listings
from storage.copies import Ticket
from storage.listings import ListedItem
from storage.purging import Purged, purge_by_age
from storage.session import Database
from tests.kit.postgres import Store, Table
from tests.storage.exchanges import exchange

TICKET = {"subject": "VPN", "description": "d", "resolution": "r", "status": "Open"}


async def purge(database: Database, batch: int = 500) -> Purged:
    def fail(kind: str, failure: Exception) -> None:
        raise AssertionError(kind) from failure

    days = {"acme": 10, "globex": None}
    return await purge_by_age(database, text_days=30, job_days=90, audit_days=days, batch=batch, on_failure=fail)


async def test_answers_go_first_then_rows_and_open_jobs_keep_all(store: Store) -> None:
    async def job(tenant_id: str, days: int | None) -> str:
        event = store.new_event(tenant_id=tenant_id)
        await store.accept(event)
        columns: dict[str, object] = {"enhancement": '{"summary": "s"}', "accepted_at": "now() - interval '400 days'"}
        if days is not None:
            columns |= {"state": "completed", "finished_at": f"now() - interval '{days} days'", "note_id": "7"}
        store.table.change(event.job_id, **columns)
        return str(event.job_id)

    still_open, young = await job("acme", None), await job("acme", 29)
    old = [await job(tenant_id, 31) for tenant_id in ("acme", "globex", "globex")]
    for tenant_id in ("acme", "globex", "globex"):
        await job(tenant_id, 91)
    assert await purge(store.database, batch=2) == Purged(answers=6, copies=0, jobs=3)
    rows = {str(row["id"]): row for row in store.table.run("SELECT * FROM jobs")}
    assert set(rows) == {still_open, young, *old}
    assert {job_id for job_id, row in rows.items() if row["enhancement"]} == {still_open, young}
    assert all(rows[job_id]["note_id"] == "7" for job_id in old)
    assert not await purge(store.database)


async def test_copies_go_when_the_desk_has_not_listed_them_for_long(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex"):
        for ticket_id in ("1", "2"):
            await history.save_ticket(database, tenant_id, {"ticket_id": ticket_id, **TICKET})
        await history.save_passages(database, tenant_id, "1", "VPN", ["a", "b"])
        await history.save_passages(database, tenant_id, "2", "VPN", ["c"])
    table.run("UPDATE tickets SET synced_at = now() - interval '31 days'")
    table.run("UPDATE passages SET synced_at = now() - interval '31 days' WHERE source_id = '1'")
    listed = [ListedItem("2", "as it was"), ListedItem("3", "new")]
    await listings.take_in(database, "acme", "t", listed, hours=20)
    assert await purge(database, batch=2) == Purged(answers=0, copies=7, jobs=0)
    assert table.run("SELECT tenant_id, ticket_id FROM tickets") == [{"tenant_id": "acme", "ticket_id": "2"}]
    assert {row["body"] for row in table.run("SELECT body FROM passages")} == {"c"}


async def test_what_is_known_of_lists_goes_with_the_copies(database: Database, table: Table) -> None:
    for tenant_id in ("acme", "globex"):
        for collection in ("t", "p"):
            await listings.take_in(
                database,
                tenant_id,
                collection,
                [ListedItem("1", "a"), ListedItem("2", "b")],
                hours=20,
            )
    table.run("UPDATE listings SET seen_at = now() - interval '31 days' WHERE item_id = '1'")
    await purge(database, batch=2)
    assert {row["item_id"] for row in table.run("SELECT item_id FROM listings")} == {"2"}


async def test_a_row_that_somebody_holds_is_left_for_the_next_time(database: Database, table: Table) -> None:
    await history.save_ticket(database, "acme", {"ticket_id": "1", **TICKET})
    table.run("UPDATE tickets SET synced_at = now() - interval '31 days'")
    async with database.tenant("acme") as session:
        await session.execute(select(Ticket).with_for_update())
        assert await purge(database) == Purged(0, 0, 0)
    assert await purge(database) == Purged(0, 1, 0)


async def test_what_was_spent_goes_as_rows_of_jobs_do(database: Database, table: Table) -> None:
    """Only of these tenants: `forget --all` takes the spending of one that has left."""
    for tenant_id in ("acme", "globex", "left"):
        for days in (0, 89, 91):
            table.run("INSERT INTO spending (tenant_id, day) VALUES (%s, current_date - %s)", tenant_id, days)
    await purge(database)
    left = table.run("SELECT tenant_id, count(*) AS days FROM spending GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in left] == [("acme", 2), ("globex", 2), ("left", 3)]


async def test_audit_records_go_by_their_tenants_days_unless_those_are_not_known(store: Store) -> None:
    for tenant_id in ("acme", "globex", "left"):
        for days in (9, 11):
            job_id = await store.accept(tenant_id=tenant_id)
            await audit.keep(store.database, tenant_id, job_id, exchange())
            change = "UPDATE audit_records SET at = now() - make_interval(days => %s) WHERE job_id = %s"
            store.table.run(change, days, job_id)
    await purge(store.database, batch=1)
    counted = "SELECT tenant_id, count(*) FROM audit_records GROUP BY 1 ORDER BY 1"
    assert [(row["tenant_id"], row["count"]) for row in store.table.run(counted)] == [
        *(("acme", 1), ("globex", 2), ("left", 2))
    ]


async def test_all_records_go_of_a_tenant_that_has_left_and_of_no_other(store: Store) -> None:
    for tenant_id in ("acme", "broken", "left", "left", "quiet"):
        job_id = await store.accept(tenant_id=tenant_id)
        await audit.keep(store.database, tenant_id, job_id, exchange())
    assert await audit.tenants(store.database) == ["acme", "broken", "left", "quiet"]
    asked: list[str] = []

    def has_left(tenant_id: str) -> bool:
        asked.append(tenant_id)
        return tenant_id == "left"

    failed: list[str] = []
    await purge_by_age(
        store.database,
        text_days=30,
        job_days=90,
        audit_days={"acme": 10, "broken": None},
        has_left=has_left,
        batch=1,
        on_failure=lambda kind, _: failed.append(kind),
    )
    assert (asked, failed) == (["left", "quiet"], [])
    assert await audit.tenants(store.database) == ["acme", "broken", "quiet"]


async def keep_old_copies(database: Database, table: Table) -> None:
    await history.save_ticket(database, "acme", {"ticket_id": "1", **TICKET})
    await history.save_passages(database, "acme", "1", "VPN", ["a", "b"])
    table.run("UPDATE tickets SET synced_at = now() - interval '31 days'")
    table.run("UPDATE passages SET synced_at = now() - interval '31 days'")


async def purge_all_but_tickets(database: Database) -> None:
    failed: list[str] = []
    purged = await purge_by_age(
        database, text_days=30, job_days=90, audit_days={}, on_failure=lambda kind, _: failed.append(kind)
    )
    assert (purged, failed) == (Purged(answers=0, copies=2, jobs=0), ["tickets"])


async def test_a_kind_that_the_database_refuses_to_purge_stops_no_other(database: Database, table: Table) -> None:
    await keep_old_copies(database, table)
    table.run("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    table.run("CREATE TRIGGER refuse BEFORE DELETE ON tickets FOR EACH ROW EXECUTE FUNCTION refuse()")
    try:
        await purge_all_but_tickets(database)
    finally:
        table.run("DROP FUNCTION refuse CASCADE")
    assert await purge(database) == Purged(answers=0, copies=1, jobs=0)


async def test_a_kind_that_somebody_has_locked_stops_no_other(server: Postgres, store: Store) -> None:
    """It is left for the next purge, so that no lock is awaited for long."""
    await keep_old_copies(store.database, store.table)
    hasty = Database(server.url, application_name="hasty", lock_seconds=0.2)
    async with store.database.tenant("acme") as session:
        await session.execute(text("LOCK TABLE tickets"))
        await purge_all_but_tickets(hasty)
    await hasty.close()
    assert await purge(store.database) == Purged(answers=0, copies=1, jobs=0)
