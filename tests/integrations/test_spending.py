"""Today's spending over all processes, restarts and database outages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import TextClause
from sqlalchemy.exc import OperationalError

from cli.pilot.postgres import Postgres
from db.session import Database, Row
from integrations.llm.spending import SpendingBook, Spent
from tests.kit.postgres import Table

ROWS = "SELECT tenant_id, day, tokens, dollars FROM spending ORDER BY 1, 2"


class Interrupted(Database):
    """A database that may be away, and that may do something meanwhile after each call."""

    away = False
    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def call_as(self, tenant_id: str, *questions: TextClause, **values: Any) -> list[Sequence[Row]]:
        if self.away:
            raise OperationalError("?", None, Exception("away"))
        found = await super().call_as(tenant_id, *questions, **values)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return found


@pytest.fixture
async def interrupted(server: Postgres) -> AsyncIterator[Interrupted]:
    database = Interrupted(server.url, application_name="tests", pool_size=2)
    yield database
    await database.close()


async def test_spending_is_summed_over_processes_and_separate_per_tenant(database: Database, table: Table) -> None:
    books = [SpendingBook(database), SpendingBook(database)]
    for _ in range(20):
        for book in books:
            book.paid("acme", Spent(10, 0.25))
            book.paid("globex", Spent(1))
            await asyncio.sleep(0)
    assert books[0].known("acme").tokens >= 200
    for book in books:
        await book.close()
    later = SpendingBook(database)
    assert later.known("acme") == Spent()
    assert await later.read("acme") == Spent(400, 10.0)
    assert later.known("acme") == Spent(400, 10.0)
    assert [tuple(row.values())[2:] for row in table.run(ROWS)] == [(400, 10.0), (40, 0.0)]


async def test_a_new_day_begins_at_nothing_and_the_old_one_is_written(database: Database, table: Table) -> None:
    now = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    book = SpendingBook(database, lambda: now)
    book.paid("acme", Spent(10))
    now = datetime(2026, 3, 2, tzinfo=UTC)
    assert book.known("acme") == Spent()
    assert await book.read("acme") == Spent()
    await book.close()
    assert book.known("acme") == Spent()
    assert table.run(ROWS) == [{"tenant_id": "acme", "day": date(2026, 3, 1), "tokens": 10, "dollars": 0.0}]


async def test_a_database_that_is_away_is_written_later(interrupted: Interrupted, table: Table) -> None:
    book = SpendingBook(interrupted, pause_seconds=0.01)
    interrupted.away = True
    book.paid("acme", Spent(10))
    book.paid("acme", Spent(5))
    assert await book.read("acme") == Spent(15)
    await asyncio.sleep(0.03)
    assert table.run(ROWS) == []
    interrupted.away = False
    # A sum that is written during the read counts twice until the next one.
    await book.close()
    assert await book.read("acme") == Spent(15)
    assert [row["tokens"] for row in table.run(ROWS)] == [15]


async def test_what_is_written_meanwhile_is_in_the_sum(interrupted: Interrupted, table: Table) -> None:
    book = SpendingBook(interrupted)

    async def pay() -> None:
        book.paid("acme", Spent(15))
        await book.close()

    interrupted.meanwhile = pay
    assert await book.read("acme") == Spent(15)
    assert [row["tokens"] for row in table.run(ROWS)] == [15]
