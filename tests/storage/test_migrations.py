"""Making the tables: once, again, from several places, and as the models describe them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects import postgresql

from devstack.postgres import Postgres
from storage.models import Base
from storage.schema import DatabaseUnfit, DatabaseUnreachable, check_now, migrate, newest_revision
from storage.session import driver_url
from tests.kit.postgres import TABLES, Table

MIGRATIONS = Path(__file__).resolve().parents[2] / "storage" / "migrations"


@pytest.fixture
def empty(server: Postgres) -> Iterator["tuple[str, str]"]:
    """An empty database beside the migrated one: the addresses of its owner and of the application."""
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty OWNER ai_agents_owner")
    owner, application, superuser = (
        url.removesuffix("ai_agents") + "empty" for url in (server.admin_url, server.url, server.superuser_url)
    )
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("ALTER SCHEMA public OWNER TO ai_agents_owner")
    yield owner, application
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE empty WITH (FORCE)")


def test_migrating_again_changes_nothing(server: Postgres, table: Table) -> None:
    question = "SELECT oid::bigint AS oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    before = table.run(question)
    assert {row["relname"] for row in before} >= set(TABLES)
    assert migrate(server.admin_url, server.url) == newest_revision()
    assert table.run(question) == before


def test_migrations_at_once_from_several_places_all_succeed(empty: tuple[str, str]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DATABASE_ADMIN_URL": empty[0],
        "DATABASE_URL": empty[1],
    }
    arguments = [sys.executable, "-m", "support.cli", "migrate"]
    running = [
        subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    ended = [(process.communicate(timeout=60)[0], process.returncode) for process in running]
    assert [status for _, status in ended] == [0, 0, 0], ended
    assert all(f"Database migrated: revision={newest_revision()}" in output for output, _ in ended)
    check_now(empty[1])


def test_the_tables_are_as_the_models_describe_them(server: Postgres) -> None:
    engine = create_engine(driver_url(server.superuser_url))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    try:
        inspector = inspect(engine)
        assert set(Base.metadata.tables) == set(TABLES)
        for name, described in Base.metadata.tables.items():
            real = {
                column["name"]: (column["type"].compile(dialect), column["nullable"])
                for column in inspector.get_columns(name)
            }
            assert real == {
                column.name: (column.type.compile(dialect), column.nullable) for column in described.columns
            }
            keys = [column.name for column in described.primary_key]
            assert inspector.get_pk_constraint(name)["constrained_columns"] == keys
    finally:
        engine.dispose()


def test_columns_that_the_database_fills_are_filled_as_the_models_say(server: Postgres) -> None:
    engine = create_engine(driver_url(server.superuser_url))
    try:
        inspector = inspect(engine)
        for name, described in Base.metadata.tables.items():
            computed = {column["name"] for column in inspector.get_columns(name) if column.get("computed")}
            assert computed == {column.name for column in described.columns if column.computed is not None}
    finally:
        engine.dispose()


def test_an_unmigrated_database_is_refused_with_the_command_that_helps(empty: tuple[str, str]) -> None:
    with pytest.raises(DatabaseUnfit, match=r"not migrated: run `ai-agents migrate` with DATABASE_ADMIN_URL"):
        check_now(empty[1])


def test_a_role_without_grants_is_refused(empty: tuple[str, str], server: Postgres, table: Table) -> None:
    migrate(*empty)
    table.run("CREATE ROLE stranger LOGIN PASSWORD 'p'")
    try:
        stranger = f"postgresql://stranger:p@127.0.0.1:{server.port}/empty"
        with pytest.raises(DatabaseUnfit, match="run `ai-agents migrate` with DATABASE_ADMIN_URL"):
            check_now(stranger)
    finally:
        table.run("DROP ROLE stranger")


def test_a_released_database_is_brought_up_with_its_rows_and_each_step_can_be_undone(empty: tuple[str, str]) -> None:
    def move(how: Callable[[Config, str], None], revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        engine = create_engine(driver_url(empty[0]))
        with engine.begin() as connection:
            config.attributes.update(connection=connection, application_role="ai_agents")
            how(config, revision)
        engine.dispose()

    def functions() -> set[str]:
        question = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        with psycopg.connect(empty[0]) as connection:
            return {str(name) for (name,) in connection.execute(question)}

    move(command.upgrade, "0001")
    first = functions()
    with psycopg.connect(empty[0]) as connection:
        connection.execute(
            "INSERT INTO jobs (id, tenant_id, ticket_id, deadline_at) VALUES (gen_random_uuid(), 'acme', '1', now())"
        )
    assert migrate(*empty) == newest_revision()
    assert functions() - first == {
        *("list_jobs", "purge_answers", "purge_tickets", "purge_passages", "purge_jobs", "job_figures"),
        "fail_lost_jobs",
    }
    with psycopg.connect(empty[1]) as connection:
        row = connection.execute("SELECT ticket_id FROM list_jobs(NULL, NULL, NULL, NULL, NULL)").fetchone()
    assert row == ("1",)
    move(command.downgrade, "0001")
    assert functions() == first
    move(command.downgrade, "base")
    assert functions() == set()


def test_a_migration_does_not_hold_up_the_system_behind_a_dump(empty: tuple[str, str]) -> None:
    """Who waits for a table that a dump reads has every other statement wait behind it."""
    migrate(*empty)
    with psycopg.connect(empty[0], autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
        connection.execute("ALTER TABLE jobs DROP COLUMN claim_token")
    with psycopg.connect(empty[0]) as dump, ThreadPoolExecutor(1) as thread:
        dump.execute("LOCK TABLE jobs IN ACCESS SHARE MODE")
        migration = thread.submit(migrate, *empty, lock_seconds=0.3)
        try:
            with pytest.raises(DatabaseUnreachable, match="a table is in use"):
                migration.result(timeout=5)
        finally:
            dump.rollback()


def _set_revision(admin_url: str, revision: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))


def test_an_older_revision_is_refused(empty: tuple[str, str]) -> None:
    migrate(*empty)
    _set_revision(empty[0], "0001")
    wanted = f"at revision 0001, not {newest_revision()}: run `ai-agents migrate`"
    with pytest.raises(DatabaseUnfit, match=wanted):
        check_now(empty[1])


def test_a_newer_revision_is_worked_with_and_told_of(
    empty: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """While a release rolls out, a pod of the one before may have to start again."""
    migrate(*empty)
    _set_revision(empty[0], "9999")
    check_now(empty[1])
    assert migrate(*empty) == "9999"
    assert f"Database newer than this release: revision=9999, needed={newest_revision()}" in capsys.readouterr().out


def test_a_migration_needs_the_applications_role_and_names_it(empty: tuple[str, str]) -> None:
    nobody = empty[1].replace("//ai_agents:", "//nobody:")
    with pytest.raises(DatabaseUnfit, match="role of DATABASE_URL does not exist: create it first"):
        migrate(empty[0], nobody)
    with pytest.raises(DatabaseUnfit, match="not migrated"):
        check_now(empty[1])


def test_a_migration_by_anyone_but_the_owner_is_refused(empty: tuple[str, str]) -> None:
    with pytest.raises(DatabaseUnfit, match="DATABASE_ADMIN_URL must be the owner"):
        migrate(empty[1], empty[1])


def test_a_migration_with_a_wrong_password_names_the_owners_setting(server: Postgres) -> None:
    wrong = server.admin_url.replace("//ai_agents_owner:", "//ai_agents_owner:x")
    with pytest.raises(DatabaseUnfit) as refused:
        migrate(wrong, server.url)
    assert str(refused.value) == "DATABASE_ADMIN_URL is refused: wrong password"


def test_a_migration_without_a_server_can_be_tried_again(server: Postgres) -> None:
    nowhere = server.admin_url.replace(f":{server.port}/", ":1/")
    with pytest.raises(DatabaseUnreachable):
        migrate(nowhere, server.url)


async def test_a_check_works_inside_a_running_loop(server: Postgres) -> None:
    await asyncio.to_thread(check_now, server.url)
    check_now(server.url)
