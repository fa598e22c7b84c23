"""Checks of the database at start: server, role, tables and session settings."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from db.session import REQUIRED_OPTIONS, Database, session_options
from observability import log_events, tracing
from observability.logging import log_event

OLDEST_POSTGRES = 15
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_CHECK_SECONDS = 5.0
_ANSWER_SECONDS = 10.0  # a server may accept a connection and not answer
_PAUSE_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"
_MIGRATE_HINT = "run `ai-agents migrate` with DATABASE_ADMIN_URL"
_POOLER_REMEDY = "connect to Postgres itself, or see docs/failover.md for a pooler in session mode"
# A busy pooler may give the session to another client between two checks.
_CHECKS = 5
# Server message of a permanent refusal -> the problem, after the setting's name.
_REFUSED = {
    "password authentication failed": " is refused: wrong password",
    "no password supplied": " is refused: it has no password",
    "is not permitted to log in": " is refused: the role may not log in",
    "permission denied for database": " is refused: the role has no CONNECT on the database",
    "no pg_hba.conf entry": " is refused: pg_hba.conf has no entry for it",
    "invalid sslmode value": " has an unknown sslmode",
    "invalid channel_binding value": " has an unknown channel_binding",
    "for connection option": " has an option whose value must be a number",
    "server does not support SSL": " requires TLS, but the server has none",
    "certificate verify failed": " is refused: the server's certificate is not trusted",
    "does not match host name": " is refused: the server's certificate is another host's",
    "unsupported startup parameter": " leads to a pooler that refuses the settings of our sessions: " + _POOLER_REMEDY,
    "does not exist": " names a role or a database that does not exist",
}


class DatabaseUnfitError(Exception):
    """The database is unsuitable for this process; the text has the remedy."""


class DatabaseUnreachableError(Exception):
    """The database does not answer."""


def revisions() -> list[str]:
    """Return the revisions of this code in order; it requires the last one."""
    # From the file names: reading them with Alembic would take a tenth of each start.
    return sorted(path.stem[1:5] for path in MIGRATIONS.glob("versions/v*.py"))


def require_release(revision: str) -> None:
    if int(revision) < int(revisions()[0]):
        raise DatabaseUnfitError(
            f"the database is from before 0.3.0 and can't be upgraded: drop it, create it again, and {_MIGRATE_HINT}"
        )


async def check(database: Database) -> None:
    """Check the database. Raises DatabaseUnfitError or DatabaseUnreachableError."""
    try:
        async with database.across_tenants() as session:
            await _check_server_and_role(session)
            await _check_revision(session)
            await _check_settings(session)
        if await _shares_session(database):
            raise DatabaseUnfitError(f"DATABASE_URL leads to a pooler in transaction mode: {_POOLER_REMEDY}")
    except OperationalError as failure:
        raise classified(failure, "DATABASE_URL") from failure
    except PoolTimeout as failure:
        raise DatabaseUnreachableError("the database does not answer") from failure


def check_now(url: str) -> None:
    """Run `check` from synchronous code."""

    async def once() -> None:
        database = Database(url, application_name="ai-agents start", pool_size=2)
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await check(database)
        except TimeoutError as failure:
            raise DatabaseUnreachableError("the database does not answer") from failure
        finally:
            await database.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, once()).result()


async def wait_for_database(database: Database) -> None:
    """Wait until the database is usable. Raises DatabaseUnfitError if it never is."""
    is_logged = False
    with tracing.untraced():
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    return await check(database)
            except (DatabaseUnreachableError, TimeoutError):
                if not is_logged:
                    log_event(log_events.SERVER_AWAITED, server="the database")
                    is_logged = True
                await asyncio.sleep(_PAUSE_SECONDS)


async def _check_server_and_role(session: AsyncSession) -> None:
    version = int(str(await session.scalar(text("SHOW server_version_num")))) // 10000
    if version < OLDEST_POSTGRES:
        raise DatabaseUnfitError(f"PostgreSQL {version} is too old: {OLDEST_POSTGRES} or later is needed")
    require_utf8(str(await session.scalar(text("SHOW server_encoding"))))
    query = "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    is_superuser, bypasses = (await session.execute(text(query))).one()
    if is_superuser or bypasses:
        raise DatabaseUnfitError("the role of DATABASE_URL must have NOSUPERUSER and NOBYPASSRLS")
    owns = "SELECT 1 FROM pg_class WHERE relname = 'jobs' AND relkind = 'r' AND pg_has_role(relowner, 'MEMBER')"
    if await session.scalar(text(owns)):
        raise DatabaseUnfitError("the role of DATABASE_URL must not own the tables: give DATABASE_ADMIN_URL the owner")


def require_utf8(encoding: str) -> None:
    if encoding != "UTF8":
        raise DatabaseUnfitError(f"the database has the encoding {encoding}: create it again with ENCODING 'UTF8'")


async def _check_settings(session: AsyncSession) -> None:
    options = session_options(0)
    query = text("SELECT setting FROM pg_settings WHERE name = :name")
    for name in REQUIRED_OPTIONS:
        if await session.scalar(query, {"name": name}) != options[name]:
            raise DatabaseUnfitError(f"DATABASE_URL leads to a pooler that drops {name}: {_POOLER_REMEDY}")


async def _shares_session(database: Database) -> bool:
    """Return True if connections share a session, as in PgBouncer's transaction mode.

    A pooler gives its clients process ids of its own: if the first id is the server's, there is no pooler.
    """
    async with database.connection() as connection:
        session = await _session_of(connection)
        raw: Any = (await connection.get_raw_connection()).driver_connection
        if raw.info.backend_pid == session:
            return False
        async with database.connection() as second:
            for _ in range(_CHECKS):
                if await _session_of(connection) != session or await _session_of(second) == session:
                    return True
    return False


async def _session_of(connection: AsyncConnection) -> int:
    return int(str(await connection.scalar(text("SELECT pg_backend_pid()"))))


async def _check_revision(session: AsyncSession) -> None:
    if await session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        raise DatabaseUnfitError(f"the database is not migrated: {_MIGRATE_HINT}")
    try:
        revision = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError as failure:
        raise DatabaseUnfitError(f"the role of DATABASE_URL has no grants: {_MIGRATE_HINT}") from failure
    require_release(revision)
    require_revision(revision, revisions()[-1])


def require_revision(revision: str, needed: str) -> None:
    """Raise DatabaseUnfitError for tables older than `needed`; log newer ones."""
    if int(revision) > int(needed):
        # During a rolling update, processes of this release may still restart.
        log_event(log_events.DATABASE_NEWER, revision=revision, needed=needed)
    elif revision != needed:
        raise DatabaseUnfitError(f"the database is at revision {revision}, not {needed}: {_MIGRATE_HINT}")


def classified(failure: OperationalError, setting: str) -> DatabaseUnfitError | DatabaseUnreachableError:
    """Return the error for a connection failure by its message: fix or wait."""
    message = str(failure.orig)
    if getattr(failure.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
        return DatabaseUnreachableError("a table is locked (by a dump, for instance): migrate again later")
    problem = next((problem for part, problem in _REFUSED.items() if part in message), None)
    return (
        DatabaseUnfitError(setting + problem) if problem else DatabaseUnreachableError("the database does not answer")
    )
