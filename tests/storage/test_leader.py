"""Leader election: one of several processes, replaced when it ends or dies."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from devstack.postgres import Postgres
from storage.leader import lead
from storage.session import DATABASE_FAILURES, Database
from tests.kit.postgres import Table


@pytest.fixture
async def other(server: Postgres) -> AsyncIterator[Database]:
    opened = Database(server.url, application_name="another process", pool_size=2)
    yield opened
    await opened.close()


async def leads(database: Database, office: str = "housekeeping", seconds: float = 2) -> bool:
    try:
        async with asyncio.timeout(seconds), lead(database, office):
            return True
    except TimeoutError:
        return False


async def test_there_is_one_leader_at_a_time_for_each_office(database: Database, other: Database) -> None:
    async with lead(database, "housekeeping"):
        assert not await leads(other, seconds=0.3)
        assert await leads(other, "another office")


async def test_a_leader_that_failed_or_left_is_replaced_or_leads_again(database: Database, other: Database) -> None:
    with pytest.raises(ValueError, match="failed"):
        async with lead(database, "housekeeping"):
            raise ValueError("failed")
    assert await leads(other)
    assert await leads(database)


async def test_a_leader_that_lost_its_connection_is_replaced_and_told(
    server: Postgres, other: Database, table: Table
) -> None:
    dead = Database(server.url, application_name="dead", pool_size=1)
    async with lead(dead, "housekeeping") as still_leads:
        await still_leads()
        table.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dead'")
        assert await leads(other)
        with pytest.raises(DATABASE_FAILURES):
            await still_leads()
    await dead.close()
