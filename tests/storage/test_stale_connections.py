"""Idle pool connections ended by the server, replaced without an error."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import event, text
from sqlalchemy.engine import AdaptedConnection

from devstack.postgres import Postgres
from dispatch.inbox import INBOX, Inbox
from dispatch.intake import Acceptance
from dispatch.queue import JobQueue
from storage.leader import lead
from storage.session import Database
from tests.kit.postgres import DEADLINE, NewEvent, Table

_CONNECTIONS = 5


@pytest.fixture
async def pool(server: Postgres) -> AsyncIterator[Database]:
    opened = Database(server.url, application_name="stale", pool_size=_CONNECTIONS)
    await asyncio.gather(*(opened.ask() for _ in range(_CONNECTIONS)))
    yield opened
    await opened.close()


async def end_them(table: Table) -> int:
    """End the connections as a server restart does; return their number."""
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


async def test_both_ends_ask_for_a_sign_of_life_within_seconds(pool: Database) -> None:
    """A peer on a lost host sends nothing, so the system has to probe with keepalives."""
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    async with pool.connection() as connection:
        # The server reports the effective values for a TCP connection.
        at_the_server = [int(await connection.scalar(text(f"SELECT current_setting('{name}')"))) for name in names]
        raw: Any = (await connection.get_raw_connection()).driver_connection
        with socket.fromfd(raw.fileno(), socket.AF_INET, socket.SOCK_STREAM) as ours:
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            at_ours = [ours.getsockopt(socket.IPPROTO_TCP, option) for option in options]
    assert at_the_server == at_ours == [5, 2, 3, 10_000]


def _end_before_it_is_used(database: Database, table: Table) -> list[int]:
    """End the first connection between its check and its statement; return its PID."""
    ended: list[int] = []

    def end(connection: AdaptedConnection, *_: object) -> None:
        if not ended:
            driver: Any = connection.driver_connection
            ended.append(driver.info.backend_pid)
            table.run("SELECT pg_terminate_backend(%s, 5000)", ended[0])

    event.listen(database._engine.sync_engine, "checkout", end)
    return ended


async def test_a_webhook_is_recorded_over_a_fresh_connection_when_its_own_has_just_died(
    server: Postgres, table: Table, redis: Redis, redis_url: str, new_event: NewEvent
) -> None:
    """Postgres works, so the event need not wait in Redis, which may be unavailable."""
    database, queue, webhook = Database(server.url, application_name="dies"), JobQueue(redis_url), new_event()
    ended = _end_before_it_is_used(database, table)
    taken = await Acceptance(database, queue, Inbox(redis), DEADLINE).take(webhook)
    assert len(ended) == 1
    assert (taken.job_id, taken.duplicate) == (webhook.job_id, False)
    assert table.job(webhook.job_id)["state"] == "waiting"
    assert await redis.hlen(INBOX) == 0
    await queue.close()
    await database.close()
