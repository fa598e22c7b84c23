"""Statements handed straight to the driver, over a connection of SQLAlchemy's pool.

SQLAlchemy's own way of a statement takes 0.4 ms more of CPU, and a job has a dozen (`python -m benchmarks.changes`).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from observability import tracing
from storage.statements import StatementSpans

Row = Mapping[str, Any]
_dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_BEGIN, _COMMIT, _ROLLBACK = text("BEGIN"), text("COMMIT"), text("ROLLBACK")


@lru_cache
def _for_driver(question: TextClause) -> str:
    return str(question.compile(dialect=_dialect))


def _as_sqlalchemy(failure: psycopg.Error, connection: Any = None) -> Exception:
    """Return the failure as SQLAlchemy raises it, so that nobody has to know by which way a statement went."""
    gone = connection is not None and connection.closed
    return DBAPIError.instance(
        None, None, failure, psycopg.Error, hide_parameters=True, connection_invalidated=gone, dialect=_dialect
    )


class DirectConnection:
    """A connection that was taken from the pool, in autocommit."""

    def __init__(self, driver: Any, spans: StatementSpans | None) -> None:
        self._driver = driver
        self._spans = spans

    async def ask(self, question: TextClause, **values: Any) -> Sequence[Row]:
        """Return the rows of a statement. Raises what SQLAlchemy raises."""
        statement = _for_driver(question)
        span = None if self._spans is None else self._spans.begin(statement)
        try:
            cursor = self._driver.cursor(row_factory=dict_row)
            await cursor.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as failure:
            if span is not None:
                StatementSpans.fail(span, failure)
            raise _as_sqlalchemy(failure, self._driver) from failure
        finally:
            if span is not None:
                span.end()

    @asynccontextmanager
    async def transaction(self, first: TextClause, **values: Any) -> AsyncIterator[None]:
        """A transaction around a block, begun with a statement that has no span, as BEGIN has none."""
        with tracing.untraced():
            await self.ask(_BEGIN)
        try:
            with tracing.untraced():
                await self.ask(first, **values)
            yield
        except BaseException:
            if not self._driver.closed:
                with tracing.untraced():
                    await self.ask(_ROLLBACK)
            raise
        with tracing.untraced():
            await self.ask(_COMMIT)


@asynccontextmanager
async def take(engine: AsyncEngine, spans: StatementSpans | None) -> AsyncIterator[DirectConnection]:
    """A connection of the pool for the length of the block. Raises what SQLAlchemy raises, for the block as well."""
    try:
        lent = await engine.raw_connection()
    except psycopg.Error as failure:
        raise _as_sqlalchemy(failure) from failure
    driver: Any = lent.driver_connection
    try:
        if not driver.autocommit:
            await driver.set_autocommit(True)
        yield DirectConnection(driver, spans)
    finally:
        await greenlet_spawn(lent.invalidate if driver.closed else lent.close)
