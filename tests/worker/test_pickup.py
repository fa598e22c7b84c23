"""Messages whose job a worker can't claim: which of them are a job that was lost."""

import io
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from dispatch.inbox import Inbox
from storage import claims, jobs
from storage.jobs import Event
from storage.session import Database
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, LEASE, NewEvent, claimed
from worker.pickup import Pickup
from workflow.renewals import Renewals
from workflow.run import Runner
from workflow.turns import Turns

NOWHERE = "reason=its row is nowhere"


class Found:
    """What picking a job up needs of a runner: none of these jobs is run."""

    owner = "one"

    def __init__(self, database: Database) -> None:
        self.database = self.lease_database = database
        self.renewals = Renewals(database, LEASE)
        self.turns = Turns(list)


class MovedMeanwhile(Inbox):
    """The relay makes the event a row after a worker has looked for one, and before it looks here."""

    def __init__(self, redis: Redis, database: Database, event: Event) -> None:
        super().__init__(redis)
        self._database, self._event = database, event

    async def get(self, job_id: UUID) -> Event | None:
        await jobs.accept_late(self._database, self._event, DEADLINE)
        return await super().get(job_id)


@pytest.fixture
def stream(start_log: StartLog) -> io.StringIO:
    return start_log()


def pickup(database: Database, inbox: Inbox) -> Pickup:
    return Pickup(cast("Runner", cast("Any", Found(database))), inbox, DEADLINE)


async def test_one_whose_row_and_event_are_gone_is_told_and_acknowledged(
    database: Database, redis: Redis, stream: io.StringIO
) -> None:
    lost = uuid4()
    await pickup(database, Inbox(redis)).take(lost)
    (line,) = stream.getvalue().splitlines()
    assert f"Message error: job_id={lost}, {NOWHERE}" in line
    assert f"job_id: {lost}" in line


async def test_one_that_came_twice_says_nothing(
    waiting: UUID, database: Database, redis: Redis, stream: io.StringIO
) -> None:
    claim = await claimed(database, waiting)
    await pickup(database, Inbox(redis)).take(waiting)
    await claims.complete(database, claim, "1")
    await pickup(database, Inbox(redis)).take(waiting)
    assert stream.getvalue() == ""


async def test_one_whose_event_the_relay_moves_just_then_says_nothing(
    database: Database, redis: Redis, new_event: NewEvent, stream: io.StringIO
) -> None:
    event = new_event()
    await pickup(database, MovedMeanwhile(redis, database, event)).take(event.job_id)
    assert NOWHERE not in stream.getvalue()
    assert await jobs.state_of(database, event.job_id) is not None
