"""Statements sent directly to the driver, over SQLAlchemy's pooled connections.

SQLAlchemy takes 0.4 ms more of CPU for a statement, and a job has a dozen (docs/benchmarks.md).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from storage.statements import StatementSpans

Row = Mapping[str, Any]
_dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


@lru_cache
def _for_driver(question: TextClause) -> str:
    return str(question.compile(dialect=_dialect))


def _as_sqlalchemy(failure: psycopg.Error, connection: Any = None) -> Exception:
    gone = connection is not None and connection.closed
    return DBAPIError.instance(
        None, None, failure, psycopg.Error, hide_parameters=True, connection_invalidated=gone, dialect=_dialect
    )


class DirectConnection:
    """A pooled connection in autocommit. It raises SQLAlchemy's exceptions."""

    def __init__(self, driver: Any, spans: StatementSpans | None) -> None:
        self._driver = driver
        self._spans = spans
        self.spoiled = False
        """True if it must not be used again: what the driver knows of a pipeline that broke off need not be so."""

    async def ask(self, question: TextClause, **values: Any) -> Sequence[Row]:
        statement = _for_driver(question)
        with self._watched(statement):
            cursor = self._driver.cursor(row_factory=dict_row)
            await cursor.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    async def ask_together(self, first: TextClause, *questions: TextClause, **values: Any) -> list[Sequence[Row]]:
        """Return the rows of all statements but the first, in one round trip.

        They are one transaction. Statements with the execution option `binary` return bytes instead of text, a quarter
        of the time for large results.

        A pipeline is a transaction without BEGIN: 0.15 ms of CPU less, and three round trips
        (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html).
        """
        statements = [_for_driver(question) for question in questions]
        with self._watched(statements[0]):
            cursors = []
            self.spoiled = True
            async with self._driver.pipeline():
                await self._driver.execute(_for_driver(first), values)
                for question, statement in zip(questions, statements, strict=True):
                    binary = bool(question.get_execution_options().get("binary"))
                    cursors.append(self._driver.cursor(row_factory=dict_row, binary=binary))
                    await cursors[-1].execute(statement, values)
            self.spoiled = False
            return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]

    @contextmanager
    def _watched(self, statement: str) -> Iterator[None]:
        span = None if self._spans is None else self._spans.begin(statement)
        try:
            yield
        except psycopg.Error as failure:
            if span is not None:
                StatementSpans.fail(span, failure)
            raise _as_sqlalchemy(failure, self._driver) from failure
        finally:
            if span is not None:
                span.end()


@asynccontextmanager
async def take(engine: AsyncEngine, spans: StatementSpans | None) -> AsyncIterator[DirectConnection]:
    """Yield a connection of the pool; the block raises SQLAlchemy's exceptions."""
    try:
        lent = await engine.raw_connection()
    except psycopg.Error as failure:
        raise _as_sqlalchemy(failure) from failure
    driver: Any = lent.driver_connection
    connection = DirectConnection(driver, spans)
    try:
        if not driver.autocommit:
            await driver.set_autocommit(True)
        yield connection
    finally:
        # A cancelled caller may have left answers behind, which the next caller would take for its own.
        if driver.info.transaction_status == TransactionStatus.IDLE and not connection.spoiled:
            lent.close()
        else:
            driver.pgconn.finish()
            # Shielded against a second cancellation, as SQLAlchemy returns its own connections.
            await asyncio.shield(asyncio.ensure_future(greenlet_spawn(lent.invalidate)))
