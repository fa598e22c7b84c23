"""The relay on real stores: each action is logged once, by one replica."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest
from redis.asyncio import Redis
from sqlalchemy import TextClause

from cli.pilot.postgres import Postgres
from db.session import Database, Row
from jobs import claims, manual_retry
from jobs.inbox import Inbox
from jobs.intake import Intake
from jobs.queue import JobQueue
from jobs.queue_relay import LostMessageDetector, Relay
from jobs.repository import MAX_ATTEMPTS
from tests.kit.clock import Clock
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, LEASE, Store, Table, claim_by_id, claimed

RAN_OUT = "now() - interval '1 second'"
Relays = list[Relay]


@pytest.fixture
async def replicas(server: Postgres, table: Table, redis: Redis, redis_url: str) -> AsyncIterator[Relays]:  # noqa: ARG001 -- emptied by them
    databases = [Database(server.url, application_name=f"replica {number}") for number in (1, 2)]
    queues = [JobQueue(redis_url) for _ in databases]
    inbox = Inbox(redis)
    yield [
        Relay(database, queue, inbox, Intake(database, queue, inbox, DEADLINE), DEADLINE)
        for database, queue in zip(databases, queues, strict=True)
    ]
    for database, queue in zip(databases, queues, strict=True):
        await database.close()
        await queue.close()


async def round_of(relays: Relays, times: int = 1) -> None:
    for _ in range(times):
        await asyncio.gather(*(relay.once() for relay in relays))


def told(stream: io.StringIO, phrase: str) -> list[str]:
    return [line for line in stream.getvalue().splitlines() if phrase in line]


async def test_a_job_whose_worker_always_dies_fails(
    waiting: UUID, store: Store, replicas: Relays, log: io.StringIO
) -> None:
    for number in range(1, MAX_ATTEMPTS + 1):
        claim = await claimed(store.database, waiting)
        assert claim.attempt == number
        store.table.change(waiting, lease_until=RAN_OUT)
        # A copy of the message must not start another attempt.
        if number == MAX_ATTEMPTS:
            assert await claim_by_id(store.database, waiting, "two", LEASE) is None
        await round_of(replicas)
        store.table.change(waiting, due_at="now()")
    row = store.table.job(waiting)
    assert (row["state"], row["attempt"], row["lease_owner"], row["claim_token"]) == ("failed", 8, None, None)
    assert row["reason"] == "worker lost at its last attempt (before: worker lost)"
    assert row["finished_at"] is not None
    assert len(told(log, "reason=worker lost |")) == MAX_ATTEMPTS - 1
    (failed,) = told(log, f"Task failed: job_id={waiting}, ticket_id=12345, reason=worker lost at its last attempt;")
    assert "not retried" in failed
    assert "attempt: 8" in failed
    assert "trace_id: 0af7651916cd43dd8448eb211c80319c" in failed
    assert await claim_by_id(store.database, waiting, "two", LEASE) is None


@pytest.mark.parametrize("time_left", [True, False])
async def test_a_possible_note_is_looked_for_once(
    waiting: UUID, store: Store, replicas: Relays, *, time_left: bool
) -> None:
    store.table.change(waiting, attempt=MAX_ATTEMPTS - 1, deadline_at="now() + interval '10 seconds'")
    claim = await claimed(store.database, waiting)
    await claims.about_to_post(store.database, claim, LEASE)
    store.table.change(waiting, lease_until=RAN_OUT, **({} if time_left else {"deadline_at": RAN_OUT}))
    await round_of(replicas)
    row = store.table.job(waiting)
    assert (row["state"], row["attempt"]) == ("waiting", MAX_ATTEMPTS)
    assert row["reason"] == ("worker lost" if time_left else None)
    look = await claimed(store.database, waiting)
    assert (look.attempt, look.note_attempted_at) == (MAX_ATTEMPTS + 1, row["note_attempted_at"])
    assert (look.deadline_at - look.claimed_at).total_seconds() > 200
    store.table.change(waiting, lease_until=RAN_OUT)
    await round_of(replicas)
    assert store.table.job(waiting)["state"] == "failed"


async def test_a_job_that_lost_workers_returns_at_an_odd_moment(waiting: UUID, store: Store, replicas: Relays) -> None:
    """Otherwise a job that kills its worker would always affect the same jobs."""
    waits = []
    for _ in range(8):
        store.table.change(waiting, state="running", attempt=7, lease_until=RAN_OUT)
        await round_of(replicas)
        waits.append(store.table.run("SELECT extract(epoch FROM due_at - now()) AS s FROM jobs")[0]["s"])
    assert all(-2 < wait <= 63 for wait in waits)
    assert max(waits) - min(waits) > 5
    store.table.change(waiting, state="running", attempt=1, lease_until=RAN_OUT)
    await round_of(replicas)
    await claimed(store.database, waiting)


async def test_moved_events_are_told_once(redis: Redis, store: Store, replicas: Relays, log: io.StringIO) -> None:
    inbox = Inbox(redis)
    first = [store.new_event(ticket_id=str(number)) for number in range(30)]
    # Redis lost the keys, so only the database knows these duplicates.
    again = [store.new_event(ticket_id=event.ticket_id, dedupe_keys=event.dedupe_keys) for event in first[:10]]
    for event in first:
        await inbox.put(event)
    await round_of(replicas, 3)
    await redis.flushdb()
    for event in again:
        await inbox.put(event)
    await round_of(replicas, 3)
    assert {row["state"] for row in store.table.run("SELECT state FROM jobs")} == {"waiting", "skipped"}
    counted = [int(line.split("to the database: ")[1].split()[0]) for line in told(log, "Events moved")]
    assert sum(counted) == len(first) + len(again)
    assert len(told(log, "Task skipped: ")) == len(again)
    for event in again:
        (line,) = told(log, f"Task skipped: job_id={event.job_id}")
        assert "reason=duplicate webhook" in line
    # Their messages were pushed and logged when the events were stored.
    assert told(log, "Job queued") == []


async def test_an_event_that_postgres_refuses_is_removed(
    redis: Redis, store: Store, replicas: Relays, log: io.StringIO
) -> None:
    store.table.run("ALTER TABLE jobs ADD CONSTRAINT none_of_it CHECK (ticket_id <> 'refused')")
    try:
        for ticket_id in ("1", "refused", "2", "refused", "3"):
            await Inbox(redis).put(store.new_event(ticket_id=ticket_id))
        assert await replicas[0].once()
    finally:
        store.table.run("ALTER TABLE jobs DROP CONSTRAINT none_of_it")
    assert {row["ticket_id"] for row in store.table.run("SELECT ticket_id FROM jobs")} == {"1", "2", "3"}
    assert await redis.hlen("inbox") == 0
    assert len(told(log, "Inbox error: invalid entries removed: 1")) == 2


async def test_a_lost_message_is_published_once(redis: Redis, store: Store, replicas: Relays, log: io.StringIO) -> None:
    event = store.new_event()
    await Inbox(redis).put(event)
    await round_of(replicas)
    store.table.change(event.job_id, published_at="now() - interval '5 seconds'")
    for relay in replicas:
        relay._lost_checked_at = 0
    await round_of(replicas, 2)
    assert len(told(log, f"Job queued: job_id={event.job_id}")) == 1
    assert await redis.llen("celery") == 1


async def test_a_retry_by_hand_is_told(waiting: UUID, store: Store, replicas: Relays, start_log: StartLog) -> None:
    await claims.fail(store.database, await claimed(store.database, waiting), "GPT-4 timeout")
    await manual_retry.retry(store.database, waiting, DEADLINE)
    stream = start_log()
    await round_of(replicas)
    (line,) = told(stream, "Job queued")
    assert f"Job queued: job_id={waiting}, ticket_id=12345 | " in line
    assert "cause: retried by hand" in line
    await claims.retry_later(store.database, await claimed(store.database, waiting), 0, "GPT-4 timeout")
    await round_of(replicas)
    assert [("by hand" in line) for line in told(stream, "Job queued")] == [True, False]


async def test_a_refused_step_stops_no_other(
    waiting: UUID, table: Table, redis: Redis, replicas: Relays, log: io.StringIO
) -> None:
    table.change(waiting, published_at=None)
    function = "FUNCTION expire_jobs(integer, integer, text, interval)"
    table.run(f"REVOKE EXECUTE ON {function} FROM ai_agents")
    try:
        assert not await replicas[0].once()
    finally:
        table.run(f"GRANT EXECUTE ON {function} TO ai_agents")
    assert len(told(log, "Database error: a step of the relay fails")) == 1
    assert len(told(log, f"Job queued: job_id={waiting}")) == 1
    assert await redis.llen("celery") == 1
    assert await replicas[0].once()


class _Late(Database):
    async def call(self, query: TextClause, **values: Any) -> Sequence[Row]:
        rows = await super().call(query, **values)
        await asyncio.sleep(0.5)
        return rows


async def test_a_slow_step_finishes_and_is_logged(
    server: Postgres, redis: Redis, redis_url: str, waiting: UUID, table: Table, log: io.StringIO
) -> None:
    """The row fails before the confirmation arrives; one line is logged anyway."""
    database, queue, inbox = _Late(server.url, application_name="late"), JobQueue(redis_url), Inbox(redis)
    relay = Relay(database, queue, inbox, Intake(database, queue, inbox, DEADLINE), DEADLINE, step_seconds=0.1)
    table.change(waiting, deadline_at=RAN_OUT, due_at=RAN_OUT)
    assert not await relay.once()
    for _ in range(4):
        await relay.once()
    assert len(told(log, f"Task failed: job_id={waiting}")) == 1
    await queue.close()
    await database.close()


async def test_the_last_round_of_a_relay_is_logged(
    waiting: UUID, table: Table, server: Postgres, replicas: Relays, log: io.StringIO
) -> None:
    table.change(waiting, deadline_at=RAN_OUT)
    async with await psycopg.AsyncConnection.connect(server.admin_url) as other:
        await other.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(replicas[0].run())
        await asyncio.sleep(0.3)
        running.cancel()
        await asyncio.sleep(0.1)
        await other.rollback()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()
    assert table.job(waiting)["state"] == "failed"
    assert len(told(log, f"Task failed: job_id={waiting}")) == 1


# Seconds of the clock, how much the list is short, messages that workers may hold, and how many are lost.
@pytest.mark.parametrize(
    "checks",
    [
        [(0, 3, 0, 3), (0, 3, 2, 1), (0, 3, 5, 0), (0, 0, 0, 0), (0, -4, 0, 0)],
        # The period starts again: a republished message needs time to be claimed.
        [(0, 9, 20, 0), (5, 4, 20, 0), (30, 6, 20, 0), (41, 5, 20, 4), (46, 1, 20, 0)],
        [(seconds, 2 if seconds % 30 else 0, 2, 0) for seconds in range(0, 200, 5)],
    ],
    ids=["in no worker's hands", "short for long", "come and go"],
)
def test_messages_that_no_worker_can_hold_are_lost_at_once(checks: list[tuple[int, int, int, int]]) -> None:
    clock = Clock()
    shortage = LostMessageDetector(clock)
    for clock.now, short, unclaimed, lost in checks:
        assert shortage.lost(short, unclaimed=unclaimed) == lost
