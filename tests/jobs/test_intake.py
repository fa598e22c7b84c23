"""Batched recording of concurrent webhooks, each with its own result."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from redis.asyncio import Redis
from sqlalchemy import TextClause

from cli.pilot.postgres import Postgres
from cli.pilot.valkey import Valkey
from db.batching import Batcher
from db.migrate import migrate
from db.session import Database, Row
from jobs.inbox import INBOX, Inbox
from jobs.intake import Intake, NotAcceptedError, within
from jobs.queue import QUEUE, JobQueue, open_redis
from jobs.queue_relay import Relay
from jobs.repository import Event
from tests.kit.postgres import DEADLINE, NewEvent, Store

COUNT = 30


class Taking:
    """Accepts events on stores that may become unavailable."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self.database = database
        self.queue, self.redis = JobQueue(redis_url), open_redis(redis_url)
        self.inbox = Inbox(self.redis)
        self.intake = Intake(database, self.queue, self.inbox, DEADLINE)

    async def take(self, events: Sequence[Event]) -> list[UUID | BaseException]:
        return await asyncio.gather(*map(self.intake.accept, events), return_exceptions=True)

    async def relay(self) -> None:
        await Relay(self.database, self.queue, self.inbox, self.intake, DEADLINE).once()

    async def waiting(self) -> set[UUID]:
        return {UUID(str(job_id)) for job_id in await self.redis.hkeys(INBOX)}

    async def messages(self) -> list[UUID]:
        found = await self.redis.lrange(QUEUE, 0, -1)
        return [UUID(json.loads(message)["headers"]["id"]) for message in reversed(found)]


@asynccontextmanager
async def opened(database: Database, redis_url: str) -> AsyncIterator[Taking]:
    place = Taking(database, redis_url)
    yield place
    await place.queue.close()
    await place.redis.aclose()


@pytest.fixture
async def place(database: Database, redis: Redis, redis_url: str) -> AsyncIterator[Taking]:  # noqa: ARG001 -- emptied by it
    async with opened(database, redis_url) as ready:
        yield ready


def recorded(store: Store) -> dict[UUID, object]:
    return {row["id"]: row["published_at"] for row in store.table.run("SELECT id, published_at FROM jobs")}


async def test_all_that_come_at_once_are_recorded_and_queued_in_their_order(place: Taking, store: Store) -> None:
    events = [store.new_event(ticket_id=str(number)) for number in range(250)]
    assert await place.take(events) == [event.job_id for event in events]
    rows = recorded(store)
    assert rows.keys() == {event.job_id for event in events}
    assert all(rows.values())
    assert await place.messages() == [event.job_id for event in events]
    # A transaction takes at most one hundred.
    assert len(store.table.run("SELECT DISTINCT accepted_at FROM jobs")) == 3


async def test_an_event_that_postgres_refuses_costs_no_other_one_its_row(place: Taking, store: Store) -> None:
    events = [store.new_event() for _ in range(COUNT)]
    bad = store.new_event(ticket_id="12\x0045")
    # A time limit that suits a busy machine.
    place.intake = Intake(place.database, place.queue, place.inbox, DEADLINE, database_seconds=60)
    taken = await place.take([*events[:10], bad, *events[10:]])
    assert all(isinstance(answer, UUID) for answer in taken)
    assert recorded(store).keys() == {event.job_id for event in events}
    assert await place.waiting() == {bad.job_id}


async def test_a_locked_delivery_delays_no_other_delivery(place: Taking, store: Store, server: Postgres) -> None:
    held = store.new_event(dedupe_keys=("held",))
    events = [store.new_event() for _ in range(COUNT)]
    with psycopg.connect(server.superuser_url) as other:
        other.execute("INSERT INTO delivery_keys VALUES ('acme', 'held', gen_random_uuid(), now() + interval '1 hour')")
        began = asyncio.get_running_loop().time()
        taken = await place.take([*events, held])
        assert asyncio.get_running_loop().time() - began < 5
        other.rollback()
    assert taken == [event.job_id for event in [*events, held]]
    assert recorded(store).keys() == {event.job_id for event in events}
    assert await place.waiting() == {held.job_id}
    assert place.intake.database_breaker.allows_call()
    await place.relay()
    assert recorded(store).keys() == {event.job_id for event in [*events, held]}


Own = tuple[Postgres, Valkey, Taking]


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Own]:
    with Postgres(tmp_path / "postgres") as postgres, Valkey(tmp_path / "valkey", appendonly=True) as valkey:
        migrate(postgres.admin_url, postgres.url)
        database = Database(postgres.url, application_name="own", pool_size=10)
        async with opened(database, valkey.url) as place:
            yield postgres, valkey, place
        await database.close()
        postgres.discard()


def rows_of(postgres: Postgres) -> dict[UUID, object]:
    with psycopg.connect(postgres.superuser_url) as connection:
        return dict(connection.execute("SELECT id, published_at FROM jobs").fetchall())


async def test_a_batch_cut_by_postgres_waits_in_redis(own: Own, new_event: NewEvent) -> None:
    postgres, _, place = own
    events = [new_event() for _ in range(COUNT)]
    await place.intake.accept(events[0])
    with closing(psycopg.connect(postgres.superuser_url)) as other:
        other.execute("LOCK TABLE jobs")
        under_way = asyncio.ensure_future(place.take(events[1:]))
        await asyncio.sleep(0.2)
        postgres.process.kill()
    assert await under_way == [event.job_id for event in events[1:]]
    assert await place.waiting() == {event.job_id for event in events[1:]}
    postgres.restart()
    await place.relay()
    assert rows_of(postgres).keys() == {event.job_id for event in events}
    assert sorted(await place.messages()) == sorted(event.job_id for event in events)


async def test_a_batch_that_redis_does_not_answer_is_left_to_the_relay(own: Own, new_event: NewEvent) -> None:
    postgres, valkey, place = own
    events = [new_event() for _ in range(COUNT)]
    await place.intake.accept(new_event())
    valkey.process.pause()
    taken = await place.take(events)
    valkey.process.resume()
    assert taken == [event.job_id for event in events]
    left = {job_id for job_id, published_at in rows_of(postgres).items() if published_at is None}
    assert left == {event.job_id for event in events}
    await place.relay()
    assert all(rows_of(postgres).values())
    assert {event.job_id for event in events} <= set(await place.messages())


async def test_with_both_away_no_event_is_taken(own: Own, new_event: NewEvent) -> None:
    postgres, valkey, place = own
    await place.intake.accept(new_event())
    postgres.process.kill()
    valkey.process.kill()
    answers = await place.take([new_event() for _ in range(COUNT)])
    assert {type(answer) for answer in answers} == {NotAcceptedError}


class SlowThenSilent(Database):
    calls = 0

    async def call(self, query: TextClause, **values: Any) -> Sequence[Row]:
        self.calls += 1
        await asyncio.sleep(1.7 if self.calls == 1 else 60)
        return await super().call(query, **values)


@pytest.mark.usefixtures("redis")
async def test_an_event_behind_a_slow_batch_has_one_budget(server: Postgres, store: Store, redis_url: str) -> None:
    """Its own batch hangs too, so it goes to Redis when its time is over."""
    database = SlowThenSilent(server.url, application_name="own")
    first, second = store.new_event(), store.new_event()
    async with opened(database, redis_url) as place:
        slow = asyncio.ensure_future(place.intake.accept(first))
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        assert await place.intake.accept(second) == second.job_id
        assert asyncio.get_running_loop().time() - began < 3
        assert await slow == first.job_id
        assert await place.waiting() == {second.job_id}
        assert await place.messages() == [first.job_id, second.job_id]
        # A slow batch is not an outage.
        assert place.intake.database_breaker.allows_call()
    await database.close()


async def test_with_both_stores_silent_each_event_is_answered_in_three_seconds(own: Own, new_event: NewEvent) -> None:
    postgres, valkey, place = own
    await place.intake.accept(new_event())
    postgres.process.pause()
    valkey.process.pause()

    async def late(seconds: float) -> float:
        await asyncio.sleep(seconds)
        began = asyncio.get_running_loop().time()
        with pytest.raises(NotAcceptedError):
            await place.intake.accept(new_event())
        return asyncio.get_running_loop().time() - began

    try:
        assert max(await asyncio.gather(*(late(number / 10) for number in range(COUNT)))) < 3.7
    finally:
        valkey.process.resume()
        postgres.process.resume()


async def test_a_time_limit_holds_for_uncancellable_work() -> None:
    let_go = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await let_go.wait()
            raise RuntimeError

    with pytest.raises(TimeoutError):
        await within(0.01, stubborn())
    let_go.set()
    await asyncio.sleep(0.01)


async def test_a_caller_that_is_cancelled_cancels_its_work() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cancelled.set()

    caller = asyncio.create_task(within(30, work()))
    await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.wait({caller})
    assert caller.cancelled()
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_who_has_left_is_skipped_and_the_others_are_told() -> None:
    given: list[list[int]] = []
    free = asyncio.Event()

    async def double(numbers: list[int]) -> list[int]:
        given.append(numbers)
        await free.wait()
        return [2 * number for number in numbers]

    gathering: Batcher[int, int] = Batcher(double, 2)
    tasks = []
    for number in range(1, 6):
        tasks.append(asyncio.ensure_future(gathering.put(number)))
        await asyncio.sleep(0.01)
    under_way, before_its_turn, *others = tasks
    under_way.cancel()
    before_its_turn.cancel()
    await asyncio.sleep(0.01)
    free.set()
    assert await asyncio.gather(*others) == [6, 8, 10]
    assert given == [[1], [3, 4], [5]]
