"""Connections: direct statements, spans, stale ones, and the leader's."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from redis.asyncio import Redis
from sqlalchemy import TextClause, event, text
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.exc import DBAPIError

from cli.pilot.postgres import Postgres
from db.session import DATABASE_FAILURES, Database, is_away, lead
from jobs.inbox import INBOX, Inbox
from jobs.intake import Intake
from jobs.queue import JobQueue
from jobs.statistics import job_figures
from observability import tracing
from tests.kit.postgres import DEADLINE, NewEvent, Table

_CHANGE = text("UPDATE jobs SET model = :model WHERE id = :id RETURNING model")
_LOOK = text("SELECT model FROM jobs WHERE id = :id")
_TENANT = text("SELECT current_setting('app.tenant_id', true) AS tenant")
_BROKEN = text("SELECT 1 / length(:nothing) AS number")


@asynccontextmanager
async def opened(server: Postgres, name: str = "tests", pool_size: int = 1, **more: Any) -> AsyncIterator[Database]:
    database = Database(server.url, application_name=name, pool_size=pool_size, **more)
    yield database
    await database.close()


@pytest.fixture
async def single(server: Postgres) -> AsyncIterator[Database]:
    """Open a pool of one connection, which shows the state left by each statement."""
    async with opened(server) as database:
        yield database


async def test_statements_of_one_call_see_earlier_ones(single: Database, waiting: UUID) -> None:
    changed, looked, tenant = await single.call_as("acme", _CHANGE, _LOOK, _TENANT, id=waiting, model="m")
    assert changed == looked == [{"model": "m"}]
    assert tenant == [{"tenant": "acme"}]
    assert await single.call_as("globex", _CHANGE, _LOOK, id=waiting, model="m") == [[], []]
    assert [row["tenant"] or None for row in await single.call(_TENANT)] == [None]
    with pytest.raises(DBAPIError) as failed:
        await single.call_as("acme", _CHANGE, _BROKEN, id=waiting, model="another", nothing="")
    assert not is_away(failed.value)
    assert await single.call_as("acme", _LOOK, id=waiting) == [[{"model": "m"}]]


async def test_sqlalchemy_has_transactions_on_the_connection(single: Database, waiting: UUID, table: Table) -> None:
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


async def test_a_cancelled_call_leaves_no_answer(single: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Each cancellation within the first milliseconds hits another point."""
    slow = text("SELECT pg_sleep(0.03)::text AS slept")
    for step in range(40):
        with suppress(TimeoutError):
            async with asyncio.timeout(step / 1000):
                await single.call_as("acme", slow, slow)
        assert await single.call(_TENANT)
        assert await single.call_as("acme", _TENANT) == [[{"tenant": "acme"}]]
    assert caplog.messages == []


PERSON = "text of a person"


@pytest.fixture
async def traced(server: Postgres) -> AsyncIterator[Database]:
    async with opened(server, traced=True) as database:
        yield database


async def test_a_statement_has_a_span(traced: Database, spans: InMemorySpanExporter) -> None:
    async with traced.across_tenants() as session:
        await session.execute(text("SELECT length(:given)"), {"given": PERSON})
    (span,) = spans.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert (span.name, span.kind, span.status.status_code) == ("SELECT", SpanKind.CLIENT, StatusCode.UNSET)
    assert attributes.pop("server.address") == "127.0.0.1"
    assert int(str(attributes.pop("server.port"))) > 1024
    assert attributes == {
        "openinference.span.kind": "CHAIN",
        "db.system.name": "postgresql",
        "db.namespace": "ai_agents",
        "db.operation.name": "SELECT",
        "db.query.text": "SELECT length(%(given)s)",
    }


async def test_a_statement_that_fails_is_red_and_quotes_no_row(traced: Database, spans: InMemorySpanExporter) -> None:
    """Postgres puts the value into its message."""
    with pytest.raises(DBAPIError):
        async with traced.across_tenants() as session:
            await session.execute(text("SELECT CAST(:given AS integer)"), {"given": PERSON})
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["db.response.status_code"] == "22P02"
    (event,) = span.events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "psycopg.errors.InvalidTextRepresentation"
    assert PERSON not in span.to_json()


async def test_the_next_statement_has_its_own_span(traced: Database, spans: InMemorySpanExporter) -> None:
    with pytest.raises(DBAPIError):
        async with traced.across_tenants() as session:
            await session.execute(text("SELECT nobody"))
    async with traced.across_tenants() as session:
        with tracing.untraced():
            await session.execute(text("SELECT 1"))
        await session.execute(text("INSERT INTO delivery_keys SELECT * FROM delivery_keys WHERE false"))
    assert [(span.name, span.status.is_ok) for span in spans.get_finished_spans()] == [
        ("SELECT", False),
        ("INSERT", True),
    ]


async def test_a_span_is_named_by_its_function(traced: Database, spans: InMemorySpanExporter) -> None:
    async with traced.tenant("acme"):
        pass
    await job_figures(traced)
    (span,) = spans.get_finished_spans()
    assert span.name == "SELECT job_figures"
    assert dict(span.attributes or {})["db.stored_procedure.name"] == "job_figures"


_CONNECTIONS = 5


@pytest.fixture
async def pool(server: Postgres) -> AsyncIterator[Database]:
    async with opened(server, "stale", _CONNECTIONS) as database:
        await asyncio.gather(*(database.ping() for _ in range(_CONNECTIONS)))
        yield database


@pytest.mark.parametrize("leads", [False, True])
async def test_each_dead_connection_is_replaced_before_use(leads: bool, pool: Database, table: Table) -> None:
    question = "SELECT pid FROM pg_stat_activity WHERE application_name = 'stale' ORDER BY pid"
    before = table.run(question)
    await asyncio.gather(*(pool.ping() for _ in range(_CONNECTIONS)))
    assert table.run(question) == before
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'stale'"
    assert len(table.run(ended)) == _CONNECTIONS
    if leads:
        async with lead(pool, "an office") as still_leads:
            await still_leads()
    await asyncio.gather(*(pool.ping() for _ in range(_CONNECTIONS)))
    for _ in range(2 * _CONNECTIONS):
        await pool.ping()


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


async def test_a_webhook_is_recorded_over_a_fresh_connection(
    server: Postgres, table: Table, redis: Redis, redis_url: str, new_event: NewEvent
) -> None:
    database, queue, webhook = Database(server.url, application_name="dies"), JobQueue(redis_url), new_event()
    ended = _end_before_it_is_used(database, table)
    job_id = await Intake(database, queue, Inbox(redis), DEADLINE).accept(webhook)
    assert len(ended) == 1
    assert job_id == webhook.job_id
    assert table.job(webhook.job_id)["state"] == "waiting"
    assert await redis.hlen(INBOX) == 0
    await queue.close()
    await database.close()


@pytest.fixture
async def other(server: Postgres) -> AsyncIterator[Database]:
    async with opened(server, "another process", 2) as database:
        yield database


async def leads(database: Database, office: str = "housekeeping", seconds: float = 10) -> bool:
    try:
        async with asyncio.timeout(seconds), lead(database, office):
            return True
    except TimeoutError:
        return False


async def test_each_office_has_one_leader_at_a_time(database: Database, other: Database) -> None:

    async def fail() -> None:
        async with lead(database, "housekeeping"):
            assert not await leads(other, seconds=0.3)
            assert await leads(other, "another office")
            raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        await fail()
    assert await leads(other)
    assert await leads(database)


async def test_a_leader_without_connection_is_replaced(server: Postgres, other: Database, table: Table) -> None:
    async with opened(server, "dead") as dead, lead(dead, "housekeeping") as still_leads:
        await still_leads()
        table.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dead'")
        assert await leads(other)
        with pytest.raises(DATABASE_FAILURES):
            await still_leads()
