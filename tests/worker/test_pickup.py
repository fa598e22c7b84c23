"""Messages whose job cannot be claimed, and detection of lost jobs."""

import io
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from dispatch.inbox import Inbox
from dispatch.outcome import How, Outcome
from storage import claims, jobs
from storage.claims import Shares, claim_next
from storage.jobs import Event
from storage.session import Database
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, LEASE, NewEvent, claimed
from worker.pickup import Pickup

NOWHERE = "reason=its row is nowhere"


class MovedMeanwhile(Inbox):
    """An inbox whose event becomes a row between the worker's two looks."""

    def __init__(self, redis: Redis, database: Database, event: Event) -> None:
        super().__init__(redis)
        self._database, self._event = database, event

    async def get(self, job_id: UUID) -> Event | None:
        await jobs.accept_late(self._database, self._event, DEADLINE)
        return await super().get(job_id)


@pytest.fixture
def stream(start_log: StartLog) -> io.StringIO:
    return start_log()


async def nothing() -> None:
    """Nothing happens meanwhile."""


class Picked(Pickup):
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
        return Outcome(How.COMPLETED)


async def test_one_whose_row_and_event_are_gone_is_told_and_acknowledged(
    database: Database, redis: Redis, stream: io.StringIO
) -> None:
    lost = uuid4()
    await Picked(database, Inbox(redis)).take(lost)
    (line,) = stream.getvalue().splitlines()
    assert f"Message error: job_id={lost}, {NOWHERE}" in line
    assert f"job_id: {lost}" in line


async def test_one_that_came_twice_says_nothing(
    waiting: UUID, database: Database, redis: Redis, stream: io.StringIO
) -> None:
    claim = await claimed(database, waiting)
    await Picked(database, Inbox(redis)).take(waiting)
    await claims.complete(database, claim, "1")
    await Picked(database, Inbox(redis)).take(waiting)
    assert stream.getvalue() == ""


async def test_one_whose_event_the_relay_moves_just_then_is_claimed_with_it(
    database: Database, redis: Redis, new_event: NewEvent, stream: io.StringIO
) -> None:
    event = new_event()
    picked = Picked(database, MovedMeanwhile(redis, database, event))
    await picked.take(event.job_id)
    assert picked.claimed == [event.job_id]
    assert NOWHERE not in stream.getvalue()


async def test_one_whose_row_is_made_right_after_a_look_is_claimed_with_this_message(
    database: Database, redis: Redis, new_event: NewEvent
) -> None:
    event = new_event()
    picked = Picked(database, Inbox(redis), partial(jobs.accept_late, database, event, DEADLINE))
    await picked.take(event.job_id)
    assert picked.claimed == [event.job_id]
