"""Statements that bypass SQLAlchemy: one transaction, and the same errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError

from devstack.postgres import Postgres
from storage.session import Database, is_away
from tests.kit.postgres import Table

_CHANGE = text("UPDATE jobs SET model = :model WHERE id = :id RETURNING model")
_LOOK = text("SELECT model FROM jobs WHERE id = :id")
_TENANT = text("SELECT current_setting('app.tenant_id', true) AS tenant")
_BROKEN = text("SELECT 1 / length(:nothing) AS number")


@pytest.fixture
async def single(server: Postgres) -> AsyncIterator[Database]:
    """Open a pool of one connection, which shows the state left by each statement."""
    database = Database(server.url, application_name="tests", pool_size=1)
    yield database
    await database.close()


async def test_statements_together_see_what_those_before_them_did(single: Database, waiting: UUID) -> None:
    changed, looked, tenant = await single.call_as("acme", _CHANGE, _LOOK, _TENANT, id=waiting, model="m")
    assert changed == looked == [{"model": "m"}]
    assert tenant == [{"tenant": "acme"}]


async def test_they_see_their_tenants_rows_alone_and_leave_no_tenant_behind(single: Database, waiting: UUID) -> None:
    assert await single.call_as("globex", _CHANGE, _LOOK, id=waiting, model="m") == [[], []]
    assert [row["tenant"] or None for row in await single.call(_TENANT)] == [None]


async def test_nothing_is_written_if_one_of_them_fails(single: Database, waiting: UUID, table: Table) -> None:
    with pytest.raises(DBAPIError) as failed:
        await single.call_as("acme", _CHANGE, _BROKEN, id=waiting, model="m", nothing="")
    assert not is_away(failed.value)
    assert table.job(waiting)["model"] is None
    assert await single.call_as("acme", _LOOK, id=waiting) == [[{"model": None}]]


async def test_sqlalchemy_has_its_transactions_over_the_same_connection(
    single: Database, waiting: UUID, table: Table
) -> None:
    await single.call(_TENANT)

    async def change(also: TextClause) -> None:
        async with single.tenant("acme") as session:
            await session.execute(_CHANGE, {"id": waiting, "model": "m"})
            await session.execute(also, {"nothing": ""})

    with pytest.raises(DBAPIError):
        await change(_BROKEN)
    assert table.job(waiting)["model"] is None
    await change(_TENANT)
    assert table.job(waiting)["model"] == "m"


async def test_whoever_is_stopped_in_the_middle_leaves_no_answer_to_the_next(
    single: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Each cancellation within the first milliseconds hits another point."""
    slow = text("SELECT pg_sleep(0.03)::text AS slept")
    for step in range(40):
        with suppress(TimeoutError):
            async with asyncio.timeout(step / 1000):
                await single.call_as("acme", slow, slow)
        assert await single.call(_TENANT)
        assert await single.call_as("acme", _TENANT) == [[{"tenant": "acme"}]]
    assert caplog.messages == []
