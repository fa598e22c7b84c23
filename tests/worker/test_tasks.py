"""Messages that a worker takes: those whose job cannot be claimed, and the transport."""

import io
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID, uuid4

import pytest
from celery import Celery
from redis.asyncio import Redis

from db.session import Database
from jobs import claims, repository
from jobs.fair_claim import Shares, claim_next
from jobs.inbox import Inbox
from jobs.outcomes import Outcome, OutcomeKind
from jobs.repository import Event
from tests.kit.postgres import DEADLINE, LEASE, NewEvent, claimed
from worker.consumer import TRANSPORT_NAME, OneClientChannel
from worker.tasks import MessageHandler

NOWHERE = "reason=its row is nowhere"


async def nothing() -> None:
    pass


class MovedMeanwhile(Inbox):
    """An inbox whose event becomes a row between the worker's two looks."""

    def __init__(self, redis: Redis, database: Database, event: Event) -> None:
        super().__init__(redis)
        self._database, self._event = database, event

    async def get(self, job_id: UUID) -> Event | None:
        await repository.accept_late(self._database, self._event, DEADLINE)
        return await super().get(job_id)


class Picked(MessageHandler):
    """Claims jobs without running them; `claimed` has their ids.

    `meanwhile` happens after a look that found none.
    """

    def __init__(self, database: Database, inbox: Inbox, meanwhile: Callable[[], Awaitable[object]] = nothing) -> None:
        super().__init__(self._claim_next, database, inbox, DEADLINE)
        self.claimed: list[UUID] = []
        self._meanwhile = meanwhile

    async def _claim_next(self) -> Outcome | None:
        claim = await claim_next(self._database, "one", LEASE, Shares())
        if claim is None:
            await self._meanwhile()
            return None
        self.claimed.append(claim.job_id)
        return Outcome(OutcomeKind.COMPLETED)


async def test_one_without_row_and_event_is_acknowledged(database: Database, redis: Redis, log: io.StringIO) -> None:
    lost = uuid4()
    await Picked(database, Inbox(redis)).handle(lost)
    (line,) = log.getvalue().splitlines()
    assert f"Message error: job_id={lost}, {NOWHERE}" in line
    assert f"job_id: {lost}" in line


async def test_one_that_came_twice_is_silent(waiting: UUID, database: Database, redis: Redis, log: io.StringIO) -> None:
    claim = await claimed(database, waiting)
    await Picked(database, Inbox(redis)).handle(waiting)
    await claims.complete(database, claim, "1")
    await Picked(database, Inbox(redis)).handle(waiting)
    assert log.getvalue() == ""


@pytest.mark.parametrize("what", ["its event moves", "its row is made"])
async def test_one_that_is_found_just_then_is_claimed(
    what: str, database: Database, redis: Redis, new_event: NewEvent, log: io.StringIO
) -> None:
    event = new_event()
    picked = Picked(database, Inbox(redis), partial(repository.accept_late, database, event, DEADLINE))
    if what == "its event moves":
        picked = Picked(database, MovedMeanwhile(redis, database, event))
    await picked.handle(event.job_id)
    assert (picked.claimed, NOWHERE in log.getvalue()) == ([event.job_id], False)


def test_what_is_not_awaited_goes_by_one_client_until_the_channel_is_closed(redis_url: str) -> None:
    celery = Celery(broker=redis_url, set_as_current=False, broker_transport=TRANSPORT_NAME)
    with celery.connection_for_read() as connection:
        channel = connection.channel()
        assert isinstance(channel, OneClientChannel)
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert second is first
            assert channel.client is not first
        channel._disconnect_pools()  # type: ignore[attr-defined]
        with channel.conn_or_acquire() as after:
            assert after is not first
            assert after.ping()
