"""Migrations: once, repeated, concurrent, and equal to the models."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from importlib import import_module

import psycopg
import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects import postgresql

import privacy.models  # noqa: F401 -- each room's tables
from cli.pilot.postgres import Postgres
from db.migrate import FUNCTIONS, migrate
from db.schema import MIGRATIONS, DatabaseUnfitError, DatabaseUnreachableError, check_now, require_revision, revisions
from db.session import Base, driver_url
from tests.kit.postgres import TABLES, Table

FUNCTIONS_SQL = b"".join(path.read_bytes() for path in FUNCTIONS)
VERSIONS = [path.stem for path in MIGRATIONS.glob("versions/v*.py")]
NEWEST = revisions()[-1]
FUNCTION = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)\(.*?AS \$\$(.*?)\$\$;", re.DOTALL | re.MULTILINE)


@pytest.fixture
def empty(server: Postgres) -> Iterator["tuple[str, str]"]:
    """Create an empty database; return the owner's and the application's URL."""
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
    assert migrate(server.admin_url, server.url) == NEWEST
    assert table.run(question) == before


def test_migrations_at_once_from_several_places_all_succeed(empty: tuple[str, str]) -> None:
    inherited = {name: os.environ.get(name, "") for name in ("PATH", "PYTHONPATH")}
    environment = inherited | {"DATABASE_ADMIN_URL": empty[0], "DATABASE_URL": empty[1]}
    command = [sys.executable, "-m", "cli.main", "migrate"]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    assert migrate(*empty) == NEWEST
    for process in running:
        assert f"Database migrated: revision={NEWEST}" in process.communicate(timeout=60)[0]
    check_now(empty[1])


def test_the_tables_are_as_the_models_describe_them(server: Postgres) -> None:
    engine = create_engine(driver_url(server.superuser_url))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    with closing(engine.connect()) as connection:
        inspector = inspect(connection)
        for name, described in Base.metadata.tables.items():
            columns = {column["name"]: column for column in inspector.get_columns(name)}
            assert columns.keys() == {column.name for column in described.columns}
            for column in described.columns:
                real, computed = columns[column.name], column.computed is not None
                assert real["type"].compile(dialect) == column.type.compile(dialect)
                assert (real["nullable"], "computed" in real) == (column.nullable, computed)
            keys = [column.name for column in described.primary_key]
            assert inspector.get_pk_constraint(name)["constrained_columns"] == keys
    engine.dispose()


def test_a_role_without_grants_is_refused(empty: tuple[str, str], server: Postgres, table: Table) -> None:
    migrate(*empty)
    table.run("CREATE ROLE stranger LOGIN PASSWORD 'p'")
    try:
        with pytest.raises(DatabaseUnfitError, match="run `ai-agents migrate` with DATABASE_ADMIN_URL"):
            check_now(f"postgresql://stranger:p@127.0.0.1:{server.port}/empty")
    finally:
        table.run("DROP ROLE stranger")


def test_the_newest_migration_has_the_digest_of_the_functions() -> None:
    """Otherwise a process would start on the previous release's functions."""
    module = import_module(f"db.migrations.versions.{max(VERSIONS)}")
    assert sha256(FUNCTIONS_SQL).hexdigest() == module.FUNCTIONS


def test_migrating_restores_our_functions_and_no_others(empty: tuple[str, str]) -> None:
    with psycopg.connect(empty[0], autocommit=True) as connection:
        for name in ("theirs", "secret"):
            connection.execute(f"CREATE FUNCTION {name}() RETURNS int LANGUAGE sql AS 'SELECT 1'".encode())
        connection.execute("REVOKE ALL ON FUNCTION secret() FROM PUBLIC")
        connection.execute("CREATE PROCEDURE nightly() LANGUAGE sql AS 'SELECT 1'")
        migrate(*empty)
        changed = "FUNCTION is_queue_full(p_tenant text, p_most integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'"
        connection.execute(f"CREATE OR REPLACE {changed}".encode())
        migrate(*empty)
        question = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        found = [row for row in connection.execute(question) if row[0] not in ("theirs", "secret", "nightly")]
    assert sorted(found) == sorted(FUNCTION.findall(FUNCTIONS_SQL.decode()))
    assert len(found) > 30
    with psycopg.connect(empty[1]) as connection:
        question = "SELECT has_function_privilege('theirs()', 'EXECUTE'), has_function_privilege('secret()', 'EXECUTE')"
        assert connection.execute(question).fetchone() == (True, False)


def test_a_migration_waits_for_a_lock_for_seconds_only(empty: tuple[str, str]) -> None:
    """Otherwise every other statement would queue behind the waiting migration."""
    migrate(*empty)
    with psycopg.connect(empty[0]) as other, ThreadPoolExecutor(1) as thread:
        other.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        migration = thread.submit(migrate, *empty, lock_seconds=0.3)
        try:
            with pytest.raises(DatabaseUnreachableError, match="a table is locked"):
                migration.result(timeout=5)
        finally:
            other.rollback()


def _set_revision(admin_url: str, revision: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))


def test_an_older_revision_of_a_release_is_refused() -> None:
    with pytest.raises(DatabaseUnfitError, match="at revision 0031, not 0032: run `ai-agents migrate`"):
        require_revision("0031", "0032")


def test_a_newer_revision_is_used_and_logged(empty: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """During a rollout a pod of the previous release may have to start again."""
    migrate(*empty)
    _set_revision(empty[0], "9999")
    check_now(empty[1])
    assert migrate(*empty) == "9999"
    assert f"Database newer than this release: revision=9999, needed={NEWEST}" in capsys.readouterr().out


def test_a_migration_needs_the_applications_role_and_names_it(empty: tuple[str, str]) -> None:
    nobody = empty[1].replace("//ai_agents:", "//nobody:")
    with pytest.raises(DatabaseUnfitError, match="role of DATABASE_URL does not exist: create it first"):
        migrate(empty[0], nobody)
    with pytest.raises(DatabaseUnfitError, match="not migrated: run `ai-agents migrate` with DATABASE_ADMIN_URL"):
        check_now(empty[1])


def test_a_migration_with_unfit_rights_is_refused(empty: tuple[str, str], server: Postgres) -> None:
    wrong = server.admin_url.replace("//ai_agents_owner:", "//ai_agents_owner:x")
    for url, reason in ((empty[1], "must be the owner"), (wrong, "is refused: wrong password")):
        with pytest.raises(DatabaseUnfitError, match=f"^DATABASE_ADMIN_URL {reason}"):
            migrate(url, empty[1])
    # One without a server can be tried again.
    with pytest.raises(DatabaseUnreachableError):
        migrate(server.admin_url.replace(f":{server.port}/", ":1/"), server.url)


async def test_a_check_works_inside_a_running_loop(server: Postgres) -> None:
    await asyncio.to_thread(check_now, server.url)
    check_now(server.url)
