"""Connections to Postgres: pool, transactions of a tenant, spans of statements.

A job's statements go directly to the driver, over SQLAlchemy's pooled connections: SQLAlchemy needs 0.4 ms more of CPU
for each, and a job has a dozen (`make bench ARGS=alternatives`). Spans are our own (docs/adr/0009), because the
instrumentation for SQLAlchemy counts each checkout of a pool and costs more.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import lru_cache
from select import POLLIN, poll
from typing import Any, TypeVar

import psycopg
from opentelemetry.trace import Span
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    DateTime,
    Double,
    Engine,
    ExceptionContext,
    Text,
    TextClause,
    any_,
    event,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import AdaptedConnection, make_url
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, MappedAsDataclass
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from observability import tracing

_SPAN = "ai-agents span"
# A call of one of our functions: their names have an underscore, unlike `count` or `now`.
_CALL = re.compile(r"SELECT (?:\* FROM )?(\w+_\w+)\(")
Row = Mapping[str, Any]
_dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


def _begin_span(server: Mapping[str, str | int], statement: str) -> Span | None:
    if tracing.is_untraced():
        return None
    operation = name = statement.split(None, 1)[0].upper()
    attributes = {**server, "db.operation.name": operation, "db.query.text": statement}
    if called := _CALL.match(statement):
        attributes["db.stored_procedure.name"] = called[1]
        name = f"{operation} {called[1]}"
    return tracing.call_span(name, attributes)


def _fail_span(span: Span, failure: BaseException) -> None:
    # The server's message is left out, because it may quote a row.
    state = getattr(failure, "sqlstate", None)
    if state is not None:
        span.set_attribute("db.response.status_code", str(state))
    tracing.record_failure(span, failure)


def _trace_statements(engine: Engine, server: Mapping[str, str | int]) -> None:
    def begin(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if span := _begin_span(server, statement):
            connection.info[_SPAN] = span

    def end(connection: Connection, *_: Any) -> None:
        if span := connection.info.pop(_SPAN, None):
            span.end()

    def fail(failure: ExceptionContext) -> None:
        if failure.connection is not None and (span := failure.connection.info.pop(_SPAN, None)):
            _fail_span(span, failure.original_exception)
            span.end()

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)


@lru_cache
def _for_driver(query: TextClause) -> str:
    return str(query.compile(dialect=_dialect))


def _as_sqlalchemy(failure: psycopg.Error, connection: Any = None) -> Exception:
    is_closed = connection is not None and connection.closed
    return DBAPIError.instance(
        None, None, failure, psycopg.Error, hide_parameters=True, connection_invalidated=is_closed, dialect=_dialect
    )


DATABASE_FAILURES = (DBAPIError, PoolTimeout)
"""Exceptions if the database refuses a statement or is unavailable."""

# psycopg takes whole seconds, at least 2; callers with a tighter budget set their own timeout.
_CONNECT_SECONDS = 2
# Our transactions send their next statement at once: after this silence the client is dead, and its locks must end.
_IDLE_TRANSACTION_SECONDS = 10
_LOCK_SECONDS = 5
# Client and server detect a vanished peer after 5 + 3 * 2 = 11 seconds.
_KEEPALIVE = {"idle": 5, "interval": 2, "count": 3}
_UNANSWERED_MS = 10_000
_NOTHING = text("SELECT 1")
_SET_TENANT = text("SELECT set_config('app.tenant_id', :tenant, true)")
REQUIRED_OPTIONS = ("idle_in_transaction_session_timeout", "lock_timeout")
"""Session options without which a dead client could block all others; no process starts without them."""
_LOCK_NOT_AVAILABLE = "55P03"
_AWAY = ("08", "53", "57P", _LOCK_NOT_AVAILABLE, "25P03", "25006")


def session_options(statement_seconds: float, lock_seconds: float = _LOCK_SECONDS) -> dict[str, str]:
    """Return a session's options, with timeouts in ms and keepalive times in s."""
    return {
        "statement_timeout": str(round(statement_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(_IDLE_TRANSACTION_SECONDS * 1000),
        "lock_timeout": str(round(lock_seconds * 1000)),
        **{f"tcp_keepalives_{name}": str(value) for name, value in _KEEPALIVE.items()},
        "tcp_user_timeout": str(_UNANSWERED_MS),
        "timezone": "UTC",
    }


def as_arguments(options: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in options.items())


def driver_url(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


def is_away(failure: Exception) -> bool:
    """Return True if the server is unavailable, so that a retry may succeed.

    SQLSTATE 08 (connection), 53 (resources), 57P (shutdown or start), 55P03 (locked), 25P03 (idle transaction), 25006
    (standby), or none, as without a connection. A DataError of the driver has none either, but the statement's values
    are at fault.
    """
    if not isinstance(failure, DBAPIError) or isinstance(failure, DataError):
        return isinstance(failure, PoolTimeout)
    state = getattr(failure.orig, "sqlstate", None)
    return failure.connection_invalidated or state is None or str(state).startswith(_AWAY)


def is_locked(failure: Exception) -> bool:
    """Return True if the statement timed out waiting for a lock."""
    return isinstance(failure, DBAPIError) and getattr(failure.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def is_refused(failure: Exception) -> bool:
    """Return True if the statement's values are at fault.

    SQLSTATE class 22 (data), 23 (constraint) or 54 (limit), or a DataError of the driver.
    """
    state = str(getattr(getattr(failure, "orig", None), "sqlstate", None))
    return isinstance(failure, DataError) or state.startswith(("22", "23", "54"))


def _require_silence(
    connection: AdaptedConnection, entry: ConnectionPoolEntry, _checked_out: PoolProxiedConnection
) -> None:
    if entry.info.get("used"):
        waiting = poll()
        waiting.register(connection.driver_connection.fileno(), POLLIN)
        if waiting.poll(0):
            raise DisconnectionError
    entry.info["used"] = True


def _leave_autocommit(connection: Connection) -> None:
    lent: Any = connection.connection.dbapi_connection
    if lent.driver_connection.autocommit:
        lent.autocommit = False


class Base(MappedAsDataclass, DeclarativeBase):
    """Base of the tables."""

    type_annotation_map = {  # noqa: RUF012 -- read by SQLAlchemy
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[dict[str, str]]: JSONB(),
        bytes: BYTEA(),
        float: Double(),
    }


class Database:
    """The connection pool of one process.

    A tenant's rows are visible only in `tenant(...)` and `call_as`. Across tenants, use `call` with one of our database
    functions. `pool_seconds`: wait for a connection; `lock_seconds`: wait of a statement for a lock; `traced`: create
    spans.

    A connection that the server closed while it was idle (a restart) is replaced before use, without a query. If the
    server's side vanished without closing it, the first statement fails.
    """

    def __init__(
        self,
        url: str,
        *,
        application_name: str,
        pool_size: int = 10,
        statement_seconds: float = 30,
        lock_seconds: float = _LOCK_SECONDS,
        pool_seconds: float = 5,
        traced: bool = False,
    ) -> None:
        arguments: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": application_name,
            "client_encoding": "utf8",
            "options": as_arguments(session_options(statement_seconds, lock_seconds)),
            **{f"keepalives_{name}": value for name, value in _KEEPALIVE.items()},
            "tcp_user_timeout": _UNANSWERED_MS,
        }
        self._engine = create_async_engine(
            driver_url(url),
            connect_args=arguments,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_seconds,
            # The pool need not roll back: SQLAlchemy's sessions end their transaction, and `_direct` leaves none open.
            pool_reset_on_return=None,
            hide_parameters=True,
        )
        engine = self._engine.sync_engine
        event.listen(engine, "checkout", _require_silence)
        event.listen(engine, "engine_connect", _leave_autocommit)
        self._traced: dict[str, str | int] = {}
        if traced:
            self._traced = {
                "db.system.name": "postgresql",
                "db.namespace": engine.url.database or "",
                "server.address": engine.url.host or "",
                "server.port": engine.url.port or 5432,
            }
            _trace_statements(engine, self._traced)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[AsyncSession]:
        """Yield a transaction on one tenant's rows; committed at the end of the block."""
        async with self._sessions.begin() as session:
            # No span, as for BEGIN.
            with tracing.untraced():
                await session.execute(_SET_TENANT, {"tenant": tenant_id})
            yield session

    async def call_as(self, tenant_id: str, *queries: TextClause, **values: Any) -> list[Sequence[Row]]:
        """Return each statement's rows, in one transaction and round trip.

        It takes a third of the CPU of `tenant`: a pipeline is a transaction without BEGIN
        (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html). Statements with the execution option
        `binary` get results in binary format, in a quarter of the time if they are large.
        """
        statements, values = [_for_driver(query) for query in queries], values | {"tenant": tenant_id}
        async with self._direct(statements[0], piped=True) as driver:
            cursors = []
            async with driver.pipeline():
                await driver.execute(_for_driver(_SET_TENANT), values)
                for query, statement in zip(queries, statements, strict=True):
                    binary = bool(query.get_execution_options().get("binary"))
                    cursors.append(driver.cursor(row_factory=dict_row, binary=binary))
                    await cursors[-1].execute(statement, values)
            return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]

    async def call(self, query: TextClause, **values: Any) -> Sequence[Row]:
        """Return the rows of a database function, in one transaction and round trip."""
        statement = _for_driver(query)
        async with self._direct(statement) as driver:
            cursor = driver.cursor(row_factory=dict_row)
            await cursor.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def _direct(self, statement: str, *, piped: bool = False) -> AsyncIterator[Any]:
        try:
            pooled = await self._engine.raw_connection()
        except psycopg.Error as failure:
            raise _as_sqlalchemy(failure) from failure
        driver: Any = pooled.driver_connection
        span, done = None, False
        try:
            if not driver.autocommit:
                await driver.set_autocommit(True)
            span = _begin_span(self._traced, statement) if self._traced else None
            yield driver
            done = True
        except psycopg.Error as failure:
            if span is not None:
                _fail_span(span, failure)
            raise _as_sqlalchemy(failure, driver) from failure
        finally:
            if span is not None:
                span.end()
            # A cancelled caller may leave unread answers, which the next caller would receive; after an interrupted
            # pipeline the driver's own state is unreliable.
            if driver.info.transaction_status == TransactionStatus.IDLE and (done or not piped):
                pooled.close()
            else:
                driver.pgconn.finish()
                pooled.detach()

    async def call_for_one(self, query: TextClause, **values: Any) -> Any:
        """Return the first column of the first row; None without a row."""
        rows = await self.call(query, **values)
        return next(iter(rows[0].values())) if rows else None

    @asynccontextmanager
    async def across_tenants(self) -> AsyncIterator[AsyncSession]:
        async with self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Yield a separate connection in autocommit, for session-level locks."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                yield connection
            finally:
                # Closed: in the pool, the session's locks would survive.
                await connection.invalidate()

    async def ping(self) -> None:
        """Check that the database answers. Raises one of DATABASE_FAILURES."""
        await self.call(_NOTHING)

    async def close(self) -> None:
        """Close the pool and its connections."""
        await self._engine.dispose()


_LEAD_PAUSE_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


@asynccontextmanager
async def lead(database: Database, office: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Become leader of `office` for this block, by a session-level advisory lock.

    It waits until no other process leads. Await the yielded function before each round, in any task. It raises one of
    DATABASE_FAILURES when the connection, and so the lead, is lost, and TimeoutError at each later call. Waiting and
    the function also raise TimeoutError if the database does not answer for 10 s.
    """
    query = text("SELECT pg_try_advisory_lock(hashtext(:office))")
    async with AsyncExitStack() as stack:
        with tracing.untraced():
            async with asyncio.timeout(_ANSWER_SECONDS):
                connection = await stack.enter_async_context(database.connection())
            while True:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if await connection.scalar(query, {"office": f"ai-agents {office}"}):
                        break
                await asyncio.sleep(_LEAD_PAUSE_SECONDS)

        lock = asyncio.Lock()
        lost = False

        async def still_leads() -> None:
            nonlocal lost
            async with lock:
                # Lost in an earlier call: the connection no longer has the cause.
                if lost:
                    raise TimeoutError
                lost = True
                with tracing.untraced():
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        await connection.execute(text("SELECT 1"))
                lost = False

        yield still_leads


PAGE = 1000
Item = TypeVar("Item")


def split(items: Sequence[Item], size: int = PAGE) -> list[Sequence[Item]]:
    """Return the items in batches of at most `size`."""
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def among(column: InstrumentedAttribute[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition `column = ANY (values)`, with one bind parameter."""
    return column == any_(literal(list(values), ARRAY(column.type)))
