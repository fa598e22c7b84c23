"""Connections that the server has ended while they lay idle in the pool: nobody hears of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from devstack.postgres import Postgres
from storage.leader import lead
from storage.session import Database
from tests.storage.conftest import Table

_CONNECTIONS = 5


@pytest.fixture
async def pool(server: Postgres) -> AsyncIterator[Database]:
    """As many connections as the pool holds, used and idle."""
    opened = Database(server.url, application_name="stale", pool_size=_CONNECTIONS)
    await asyncio.gather(*(opened.ask() for _ in range(_CONNECTIONS)))
    yield opened
    await opened.close()


async def end_them(table: Table) -> int:
    """What a restart of the server does to them; how many there were."""
    ended = table.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'stale'")
    return len(ended)


async def test_each_of_them_is_replaced_before_it_is_used(pool: Database, table: Table) -> None:
    assert await end_them(table) == _CONNECTIONS
    await asyncio.gather(*(pool.ask() for _ in range(_CONNECTIONS)))
    for _ in range(2 * _CONNECTIONS):
        await pool.ask()


async def test_who_leads_takes_none_of_them(pool: Database, table: Table) -> None:
    assert await end_them(table) == _CONNECTIONS
    async with lead(pool, "an office") as still_leads:
        await still_leads()


async def test_a_connection_that_is_well_is_used_again(pool: Database, table: Table) -> None:
    question = "SELECT pid FROM pg_stat_activity WHERE application_name = 'stale' ORDER BY pid"
    before = table.run(question)
    await asyncio.gather(*(pool.ask() for _ in range(_CONNECTIONS)))
    assert table.run(question) == before
