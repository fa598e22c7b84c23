"""Migration of the tables and functions to this code's revision."""

import re
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from db.schema import MIGRATIONS, DatabaseUnfitError, classified, require_release, require_utf8, revisions
from db.session import as_arguments, driver_url, session_options

_ROOT = Path(__file__).resolve().parents[1]
# The order matters: an SQL function needs the functions that it calls.
FUNCTIONS = [_ROOT / room / "functions.sql" for room in ("db", "integrations", "privacy", "knowledge", "jobs")]
_OWN_FUNCTIONS = text(
    "SELECT p.oid::regprocedure::text FROM pg_proc p"
    " WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f' AND p.proname = ANY (:names)"
    " AND pg_get_userbyid(p.proowner) = current_user"
)
_LOCK_SECONDS = 10.0


def migrate(admin_url: str, application_url: str, *, lock_seconds: float = _LOCK_SECONDS) -> str:
    """Migrate the database to this code's revision, and return its revision.

    A newer database is left unchanged: a release may be rolled back. Concurrent calls are safe. The role of
    `application_url` must exist; it gets its grants. `lock_seconds`: longest wait for a locked table (a dump), since
    later queries wait behind the migration. Raises DatabaseUnfitError or DatabaseUnreachableError.
    """
    role = driver_url(application_url).username
    # A vanished migration must not block the others; a statement may take long.
    options = session_options(0) | {"lock_timeout": "0"}
    arguments = {"client_encoding": "utf8", "options": as_arguments(options)}
    engine = create_engine(driver_url(admin_url), poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    try:
        with engine.begin() as connection:
            # Two concurrent migrations would both try to create the first table.
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('ai-agents migrate'))"))
            connection.execute(text(f"SET LOCAL lock_timeout = {round(lock_seconds * 1000)}"))
            require_utf8(str(connection.scalar(text("SHOW server_encoding"))))
            if not connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), {"role": role}):
                raise DatabaseUnfitError("the role of DATABASE_URL does not exist: create it first")
            revision = _revision_of(connection)
            if revision is not None:
                require_release(revision)
                if int(revision) > int(revisions()[-1]):
                    return revision
            quoted = engine.dialect.identifier_preparer.quote(str(role))
            config = Config(attributes={"connection": connection, "application_role": quoted})
            config.set_main_option("script_location", str(MIGRATIONS))
            command.upgrade(config, "head")
            _apply_functions(connection, quoted)
            return str(_revision_of(connection))
    except OperationalError as failure:
        raise classified(failure, "DATABASE_ADMIN_URL") from failure
    except ProgrammingError as failure:
        raise DatabaseUnfitError("DATABASE_ADMIN_URL must be the owner of the database or of its schema") from failure
    finally:
        engine.dispose()


def _apply_functions(connection: Connection, role: str) -> None:
    names: list[str] = []
    for path in FUNCTIONS:
        functions = path.read_text(encoding="utf-8")
        connection.exec_driver_sql(functions)
        names += re.findall(r"(?m)^ *CREATE OR REPLACE FUNCTION (\w+)\(", functions)
    # The schema may contain functions of other programs.
    for signature in connection.scalars(_OWN_FUNCTIONS, {"names": names}).all():
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")


def _revision_of(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
