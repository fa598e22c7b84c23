"""Isolation of tenants: row visibility and the application role's rights."""
# ruff: noqa: S608 -- names of our tables

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError

from cli.pilot.postgres import Postgres
from db.session import Database
from integrations.llm.spending import SpendingBook, Spent
from jobs import feedback, missed_webhooks, rejections
from jobs.feedback import Vote
from jobs.missed_webhooks import NewTicket
from jobs.models import Job
from knowledge import repository, sync_repository
from knowledge.sync_repository import ListedItem
from privacy import audit, erasure, secret_fingerprints
from privacy.erasure import ErasureScope
from tests.jobs.exchanges import exchange
from tests.kit.postgres import TABLES, NewEvent, Store, Table, accept

# `fill` makes a row in each, or several.
FILLED = sorted({*TABLES} - {"ended_sessions", "embeddings"})


async def fill(database: Database, new_event: NewEvent) -> None:
    for tenant_id in ("acme", "globex"):
        job_id = await accept(database, new_event(tenant_id=tenant_id))
        async with database.tenant(tenant_id) as session:
            await session.execute(update(Job).values(state="completed", finished_at=func.now()))
        await feedback.record_vote(database, tenant_id, job_id, Vote.USEFUL, None)
        await audit.keep(database, tenant_id, job_id, exchange())
        await rejections.record(database, tenant_id, "1", 403, "stale timestamp", proved=False)
        ticket = {"ticket_id": "1", "subject": "VPN", "description": "d", "resolution": "r", "status": "Open"}
        await repository.save_ticket(database, tenant_id, ticket)
        await repository.save_passages(database, tenant_id, "1", "VPN", ["body"])
        await sync_repository.record_listed(database, tenant_id, "t", [ListedItem("1", "as listed")], hours=20)
        async with sync_repository.desk_lease(database, tenant_id, 60):
            pass
        await erasure.erase(database, ErasureScope(tenant_id, ticket_id="2"))
        now = datetime.now(UTC)
        await missed_webhooks.begin(database, tenant_id, now)
        await missed_webhooks.compare(database, tenant_id, [NewTicket("9", None, now)], seen_at=now, until=now)
        await secret_fingerprints.record(
            database, [secret_fingerprints.seen(tenant_id, secret_fingerprints.CURRENT, "s", 1)]
        )
        book = SpendingBook(database)
        book.paid(tenant_id, Spent(1))
        await book.close()


async def test_without_a_tenant_every_table_looks_empty(store: Store) -> None:
    await fill(store.database, store.new_event)
    for nobody in (None, "", "initech"):
        of = store.database.across_tenants() if nobody is None else store.database.tenant(nobody)
        async with of as session:
            for name in FILLED:
                assert (await session.scalars(text(f"SELECT tenant_id FROM {name}"))).all() == [], name
    for _ in range(30):
        async with store.database.tenant("acme") as session:
            assert (await session.scalars(select(Job.tenant_id))).all() == ["acme"]
        async with store.database.across_tenants() as session:
            assert (await session.scalars(select(Job.tenant_id))).all() == []
    async with store.database.across_tenants() as session:
        await session.execute(text("SET LOCAL row_security = off"))
        with pytest.raises(DBAPIError, match="row-level security"):
            await session.execute(select(Job))
        await session.rollback()


async def test_a_tenant_sees_and_changes_its_own_rows_only(store: Store) -> None:
    await fill(store.database, store.new_event)
    for name in FILLED:
        async with store.database.tenant("acme") as session:
            assert {*(await session.scalars(text(f"SELECT tenant_id FROM {name}"))).all()} == {"acme"}
            others = text(f"UPDATE {name} SET tenant_id = 'acme' WHERE tenant_id = 'globex' RETURNING tenant_id")
            assert (await session.scalars(others)).all() == []
            assert {*(await session.scalars(text(f"DELETE FROM {name} RETURNING tenant_id"))).all()} == {"acme"}, name
            # Rows of other tables may go with these.
            await session.rollback()
        assert {row["tenant_id"] for row in store.table.run(f"SELECT tenant_id FROM {name}")} == {"acme", "globex"}


async def test_the_view_of_jobs_has_no_content_and_only_the_tenants_rows(store: Store) -> None:
    """`list_ends` returns its rows across tenants."""
    await fill(store.database, store.new_event)
    for of, expected in (("acme", ["acme"]), ("globex", ["globex"]), ("", [])):
        async with store.database.tenant(of) as session:
            rows = (await session.execute(text("SELECT * FROM job_rows"))).mappings().all()
            assert [row["tenant_id"] for row in rows] == expected
            hidden = {"enhancement", "requester", "event", "traceparent", "claim_token", "lease_owner", "lease_until"}
            hidden |= {"note_id", "resolution_seconds", "held_out", "holdout", "is_unchecked"}
            assert all(row.keys() - {"answered"} == {*Job.__table__.c.keys()} - hidden for row in rows)
    async with store.database.across_tenants() as session:
        assert (await session.scalars(text("SELECT tenant_id FROM job_rows"))).all() == []
        with pytest.raises(ProgrammingError, match="permission denied"):
            await session.execute(text("DELETE FROM job_rows"))


async def test_erasing_all_of_a_tenant_empties_every_table_of_it_alone(store: Store) -> None:
    await fill(store.database, store.new_event)
    await erasure.erase(store.database, ErasureScope("acme"))
    for name in FILLED:
        assert store.table.run(f"SELECT DISTINCT tenant_id FROM {name}") == [{"tenant_id": "globex"}], name


async def test_a_row_can_neither_be_made_for_another_tenant_nor_be_given_to_it(store: Store) -> None:
    await fill(store.database, store.new_event)
    forged = text("INSERT INTO rejections (tenant_id, status, reason) VALUES ('globex', 403, 'x')")
    for statement in (forged, update(Job).values(tenant_id="globex")):
        with pytest.raises(ProgrammingError, match="row-level security"):
            async with store.database.tenant("acme") as session:
                await session.execute(statement)
    assert store.table.run("SELECT tenant_id FROM jobs ORDER BY 1") == [{"tenant_id": "acme"}, {"tenant_id": "globex"}]


async def test_an_event_can_not_be_accepted_under_another_tenants_key(store: Store) -> None:
    await store.accept(dedupe_keys=("k",))
    other = store.new_event(tenant_id="globex", dedupe_keys=("k",))
    assert await store.accept(other) == other.job_id
    assert len(store.table.run("SELECT 1 FROM delivery_keys")) == 2


FORBIDDEN = [
    *(f"TRUNCATE {name}" for name in TABLES),
    *(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY" for name in TABLES),
    *(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY" for name in TABLES),
    *(f"DROP POLICY {'console_only' if name == 'ended_sessions' else 'tenant_only'} ON {name}" for name in TABLES),
    *(f"DROP TABLE {name}" for name in TABLES),
    "CREATE POLICY mine ON jobs USING (true)",
    "ALTER TABLE jobs OWNER TO ai_agents",
    "SET ROLE ai_agents_owner",
    "SET SESSION AUTHORIZATION ai_agents_owner",
    "ALTER ROLE ai_agents BYPASSRLS",
    "CREATE TABLE mine (a int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "UPDATE alembic_version SET version_num = '9999'",
    "COPY jobs TO PROGRAM 'cat'",
    "ALTER FUNCTION job_state(uuid) RESET ALL",
    "CREATE INDEX mine ON jobs (tenant_id)",
    "CREATE TRIGGER mine AFTER INSERT ON jobs EXECUTE FUNCTION suppress_redundant_updates_trigger()",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_applications_role_can_not_get_past_row_level_security(statement: str, server: Postgres) -> None:
    with psycopg.connect(server.url) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_row_level_security_is_forced_on_every_table(table: Table) -> None:
    found = table.run(
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c WHERE c.relkind IN ('r', 'p')"
        " AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'"
    )
    assert {row["relname"] for row in found} == set(TABLES)
    assert all(row["relrowsecurity"] and row["relforcerowsecurity"] for row in found)
