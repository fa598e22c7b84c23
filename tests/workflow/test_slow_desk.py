"""A desk with one call a minute: whole jobs on a real Postgres, simulated time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from uuid import UUID

import pytest
from redis.asyncio import Redis

from integrations.rate_limit import DeskRate
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.model import opened as model_opened
from tests.kit.postgres import NewEvent, Table, accept
from tests.kit.runner import runner_on
from tests.kit.simulators import Simulator
from workflow.kept_answers import AnswersInRedis
from workflow.run import Runner

ENDED = ("completed", "skipped", "failed")


class Schedule:
    """Runs each job when it is due by the test's clock, moving its row's time back."""

    def __init__(self, table: Table, time: Clock, desks: Simulator) -> None:
        self._table = table
        self._time = time
        self._desks = desks
        self.calls: list[float] = []

    async def run(self, runner: Runner, job_ids: list[UUID], seconds: float) -> None:
        """Run all until the last has ended; fail after `seconds`."""
        due = dict.fromkeys(job_ids, self._time.now)
        end = self._time.now + seconds
        while due:
            job_id = min(due, key=lambda one: due[one])
            # The relay looks once a second.
            self._time.now = max(self._time.now, due[job_id] + 0.5)
            assert self._time.now < end, [self._table.job(one)["reason"] for one in due]
            self._table.change(job_id, due_at="now()")
            assert await run_job(runner, job_id)
            self.calls += [self._time.now] * (len(self._desks.requests()) - len(self.calls))
            left = "SELECT state, extract(epoch FROM due_at - now())::float AS seconds FROM jobs WHERE id = %s"
            (row,) = self._table.run(left, job_id)
            due[job_id] = self._time.now + row["seconds"]
            if row["state"] in ENDED:
                del due[job_id]


@dataclass
class SlowDesk:
    """A desk that takes one call a minute, and the runner of its jobs."""

    database: Database
    table: Table
    new_event: NewEvent
    desks: Simulator
    model: Simulator
    redis: Redis
    time: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.table, self.time, self.desks)

    async def enhance(self, tickets: Sequence[str], minutes: int) -> list[UUID]:
        """Run a job for each ticket to its end; return the ids.

        Fail after this many minutes.
        """
        # Without Redis a process takes a quarter of the rate.
        rate = DeskRate("acme", 4, None, monotonic=self.time, sleep=self.time.sleep)
        events = [self.new_event(ticket_id=ticket_id) for ticket_id in tickets]
        job_ids = [await accept(self.database, event) for event in events]
        async with opened(settings(self.desks.url), rate=rate) as desk, model_opened(self.model.url) as gpt4:
            answers = AnswersInRedis(self.redis, 60)
            runner = replace(runner_on(desk, self.database, self.database), model_of=lambda _: gpt4, answers=answers)
            async with asyncio.timeout(60):
                await self.schedule.run(replace(runner, note_settle_seconds=0), job_ids, minutes * 60)
        return job_ids

    def calls(self, ticket_id: str) -> list[str]:
        return [request["operation"] for request in self.desks.requests(ticket_id=ticket_id)]


@pytest.fixture
def slow_desk(
    database: Database, table: Table, new_event: NewEvent, desks: Simulator, model: Simulator, redis: Redis
) -> SlowDesk:
    return SlowDesk(database, table, new_event, desks, model, redis)


async def test_ten_jobs_of_a_desk_that_takes_one_call_a_minute_get_their_notes(
    slow_desk: SlowDesk, table: Table, desks: Simulator, model: Simulator
) -> None:
    """Three calls each, one GPT-4 call each, and no two desk calls within a minute."""
    tickets = [new_ticket(desks) for _ in range(10)]
    job_ids = await slow_desk.enhance(tickets, minutes=38)
    assert {table.job(job_id)["state"] for job_id in job_ids} == {"completed"}
    assert {table.job(job_id)["attempt"] for job_id in job_ids} == {1}
    assert [len(notes_of(desks, ticket_id)) for ticket_id in tickets] == [1] * 10
    assert Counter(request["ticket_id"] for request in desks.requests()) == dict.fromkeys(tickets, 3)
    assert len(model.requests(operation="chat")) == 10
    assert all(later - sooner > 60 for sooner, later in pairwise(slow_desk.schedule.calls))


async def test_a_look_for_a_note_goes_a_call_at_a_time_and_holds_no_other_job_up(
    slow_desk: SlowDesk, table: Table, desks: Simulator, model: Simulator
) -> None:
    """One note exists; one does not, and is posted again; a third ticket has no fault."""
    stored, missing, other = tickets = [new_ticket(desks) for _ in range(3)]
    async with opened(settings(desks.url)) as technician:
        for number in range(2):
            await technician.add_note(missing, f"<p>call back {number}</p>")
    desks.change("DELETE", "/requests")
    desks.order(kind="cut_after", operation="add_note", ticket_id=stored, times=1)
    desks.order(kind="status", code=503, operation="add_note", ticket_id=missing, times=1)
    job_ids = await slow_desk.enhance(tickets, minutes=25)
    assert {table.job(job_id)["state"] for job_id in job_ids} == {"completed"}
    assert [len(notes_of(desks, ticket_id)) for ticket_id in tickets] == [1, 3, 1]
    assert len(model.requests(operation="chat")) == 3
    begun = ["read_ticket", "read_ticket", "add_note"]
    assert slow_desk.calls(stored) == [*begun, "list_notes", "read_note"]
    assert slow_desk.calls(missing) == [*begun, "list_notes", "read_note", "read_note", "read_ticket", "add_note"]
    assert slow_desk.calls(other) == begun
