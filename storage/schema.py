"""Making the tables, and checking at a process's start that they and the role are right."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from observability import phrases
from observability.logging import say
from storage import pooler
from storage.session import INSISTED_ON, Database, as_arguments, driver_url, session_options

OLDEST_POSTGRES = 15
_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_FUNCTIONS = Path(__file__).resolve().parent / "functions.sql"
_OWN_FUNCTIONS = text(
    "SELECT p.oid::regprocedure::text FROM pg_proc p"
    " WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f' AND p.proname = ANY (:names)"
    " AND pg_get_userbyid(p.proowner) = current_user"
)
_CHECK_SECONDS = 5.0
_LOCK_SECONDS = 10.0
_LOCK_NOT_AVAILABLE = "55P03"
_UNKNOWN_REVISION = "the tables are of before the first release, and nothing leads from there: take an empty database"
_MIGRATE_HINT = "run `ai-agents migrate` with DATABASE_ADMIN_URL"
# What the server says to a connection that it refuses for good -> what to tell the person who set the address.
_REFUSED = {
    "password authentication failed": " is refused: wrong password",
    "no password supplied": " is refused: it has no password",
    "is not permitted to log in": " is refused: the role may not log in",
    "permission denied for database": " is refused: the role has no CONNECT on the database",
    "no pg_hba.conf entry": " is refused: pg_hba.conf has no entry for it",
    "invalid sslmode value": " has an sslmode that there is not",
    "invalid channel_binding value": " has a channel_binding that there is not",
    "for connection option": " has an option whose value is no number",
    "server does not support SSL": " asks for TLS, which the server does not speak",
    "certificate verify failed": " is refused: the server's certificate is not trusted",
    "does not match host name": " is refused: the server's certificate is another host's",
    "unsupported startup parameter": " leads to a pooler that refuses the settings of our sessions: " + pooler.REMEDY,
    "does not exist": " names a role or a database that does not exist",
}


class DatabaseUnfit(Exception):
    """The database answers, but this process must not run on it; the text says what to do."""


class DatabaseUnreachable(Exception):
    """The database does not answer (yet)."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def newest_revision() -> str:
    """The revision that this code needs.

    Revisions are numbers that count up. Each leaves the tables and functions usable for the release before it, which
    goes on working, and starting, until it is replaced.
    """
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def migrate(admin_url: str, application_url: str, *, lock_seconds: float = _LOCK_SECONDS) -> str:
    """Bring the database to this code's revision, and answer with the one that it is at then.

    A newer one is left as it is: a release goes back. Safe to run at once from several places.

    The role of `application_url` must exist already; it gets its grants. `lock_seconds`: how long to wait for a table
    that somebody reads (a dump), since who comes later waits behind us. Raises DatabaseUnfit or DatabaseUnreachable.
    """
    role = driver_url(application_url).username
    # Whoever vanishes in the middle of it must not keep the others waiting; a statement of it may take its time.
    options = session_options(0) | {"lock_timeout": "0"}
    arguments = {"client_encoding": "utf8", "options": as_arguments(options)}
    engine = create_engine(driver_url(admin_url), poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    try:
        with engine.begin() as connection:
            # Two migrations at once would both try to make the first table.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('ai-agents migrate'))"))
            connection.execute(text(f"SET LOCAL lock_timeout = {round(lock_seconds * 1000)}"))
            _insist_on_utf8(str(connection.scalar(text("SHOW server_encoding"))))
            if not connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), {"role": role}):
                raise DatabaseUnfit("the role of DATABASE_URL does not exist: create it first")
            revision = _revision_of(connection)
            if int(revision or 0) > int(newest_revision()):
                return str(revision)
            quoted = engine.dialect.identifier_preparer.quote(str(role))
            config = _config()
            config.attributes.update(connection=connection, application_role=quoted)
            command.upgrade(config, "head")
            _apply_functions(connection, quoted)
    except CommandError as failure:
        raise DatabaseUnfit(_UNKNOWN_REVISION) from failure
    except OperationalError as failure:
        raise _classed(failure, "DATABASE_ADMIN_URL") from failure
    except ProgrammingError as failure:
        raise DatabaseUnfit("DATABASE_ADMIN_URL must be the owner of the database or of its schema") from failure
    finally:
        engine.dispose()
    return newest_revision()


def _apply_functions(connection: Connection, role: str) -> None:
    """Make each function as `functions.sql` has it, for the application alone to run."""
    functions = _FUNCTIONS.read_text(encoding="utf-8")
    connection.exec_driver_sql(functions)
    # Others may have functions of their own in this schema.
    names = re.findall(r"(?m)^CREATE OR REPLACE FUNCTION (\w+)\(", functions)
    for signature in connection.scalars(_OWN_FUNCTIONS, {"names": names}).all():
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")


def _revision_of(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


async def check(database: Database) -> None:
    """See that the database can be worked with, over two connections of its pool.

    Raises DatabaseUnfit with the remedy, or DatabaseUnreachable.
    """
    try:
        async with database.across_tenants() as session:
            await _check_server_and_role(session)
            await _check_revision(session)
            await _check_settings(session)
        if await pooler.shares_sessions(database):
            raise DatabaseUnfit(f"DATABASE_URL leads to a pooler in transaction mode: {pooler.REMEDY}")
    except OperationalError as failure:
        raise _classed(failure, "DATABASE_URL") from failure
    except PoolTimeout as failure:
        raise DatabaseUnreachable("the database does not answer") from failure


def check_now(url: str) -> None:
    """The same for code that is not asynchronous, wherever it runs. Raises what `check` raises."""

    async def once() -> None:
        database = Database(url, application_name="ai-agents start", pool_size=2)
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await check(database)
        except TimeoutError as failure:
            raise DatabaseUnreachable("the database does not answer") from failure
        finally:
            await database.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, once()).result()


async def _check_server_and_role(session: AsyncSession) -> None:
    version = int(str(await session.scalar(text("SHOW server_version_num")))) // 10000
    if version < OLDEST_POSTGRES:
        raise DatabaseUnfit(f"PostgreSQL {version} is too old: {OLDEST_POSTGRES} or later is needed")
    _insist_on_utf8(str(await session.scalar(text("SHOW server_encoding"))))
    question = "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    is_superuser, bypasses = (await session.execute(text(question))).one()
    if is_superuser or bypasses:
        raise DatabaseUnfit("the role of DATABASE_URL must have NOSUPERUSER and NOBYPASSRLS")
    owns = await session.scalar(
        text(
            "SELECT count(*) FROM pg_class WHERE relname = 'jobs' AND relkind = 'r'"
            " AND pg_has_role(current_user, relowner, 'MEMBER')"
        )
    )
    if owns:
        raise DatabaseUnfit("the role of DATABASE_URL must not own the tables: give DATABASE_ADMIN_URL the owner")


def _insist_on_utf8(encoding: str) -> None:
    if encoding != "UTF8":
        raise DatabaseUnfit(f"the database has the encoding {encoding}: create it anew with ENCODING 'UTF8'")


async def _check_settings(session: AsyncSession) -> None:
    """See that the session has what it asked for at its start: a pooler may have kept that to itself."""
    asked = session_options(0)
    question = text("SELECT setting FROM pg_settings WHERE name = :name")
    for name in INSISTED_ON:
        if await session.scalar(question, {"name": name}) != asked[name]:
            raise DatabaseUnfit(f"DATABASE_URL leads to a pooler that drops {name}: {pooler.REMEDY}")


async def _check_revision(session: AsyncSession) -> None:
    if await session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        raise DatabaseUnfit(f"the database is not migrated: {_MIGRATE_HINT}")
    try:
        revision = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError as failure:
        raise DatabaseUnfit(f"the role of DATABASE_URL has no grants: {_MIGRATE_HINT}") from failure
    needed = newest_revision()
    if int(revision) > int(needed):
        # A release rolls out: until the new one has taken over, a process of this one may have to start again.
        say(phrases.DATABASE_NEWER, revision=revision, needed=needed)
    elif revision != needed:
        raise DatabaseUnfit(f"the database is at revision {revision}, not {needed}: {_MIGRATE_HINT}")


def _classed(failure: OperationalError, setting: str) -> DatabaseUnfit | DatabaseUnreachable:
    """A failure to connect, by what has to be done: mended by a person, or waited for.

    psycopg gives no SQLSTATE for a refused connection, only the server's sentence.
    """
    message = str(failure.orig)
    if getattr(failure.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
        return DatabaseUnreachable("a table is in use (by a dump, for instance): migrate again when it is not")
    remedy = next((remedy for said, remedy in _REFUSED.items() if said in message), None)
    return DatabaseUnreachable("the database does not answer") if remedy is None else DatabaseUnfit(setting + remedy)
