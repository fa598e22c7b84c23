"""A desk that takes one call a minute: jobs run whole, on a real Postgres, while a test's clock goes on for them."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import httpx
from redis.asyncio import Redis

from config.tenants import Tenant
from integrations.breaker import Breaker
from integrations.desk_calls import Limits
from integrations.desk_tokens import DeskTokens
from integrations.rate import DeskRate
from integrations.servicedesk_plus import ServiceDeskPlus
from storage import jobs
from storage.session import Database
from tests.storage.conftest import DEADLINE, NewEvent, Table
from tests.storage.test_ends import runner_on
from tests.unit.conftest import Simulator
from tests.unit.desk import new_ticket, notes_of, settings
from tests.unit.gpt4 import opened as model_opened
from tests.unit.test_rate import Time
from worker.answers import AnswersInRedis
from workflow.run import Runner, run_job

ENDED = ("completed", "skipped", "failed")


class Relay:
    """Runs each job when it is due, by the test's clock: a row's time is moved back when that has come."""

    def __init__(self, table: Table, time: Time, desks: Simulator) -> None:
        self._table = table
        self._time = time
        self._desks = desks
        self.calls: list[float] = []

    async def run(self, runner: Runner, job_ids: list[UUID], seconds: float) -> None:
        """All of them, until the last has ended. Fails after `seconds`."""
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


async def test_ten_jobs_of_a_desk_that_takes_one_call_a_minute_get_their_notes(
    database: Database, table: Table, new_event: NewEvent, desks: Simulator, model: Simulator, redis: Redis
) -> None:
    """Three calls each, GPT-4 asked once each, and no two calls within a minute."""
    time = Time()
    # Without Redis a process takes a quarter of the rate.
    rate = DeskRate("acme", 4, None, monotonic=time, sleep=time.sleep)
    breaker = Breaker("desk of acme", "desk unavailable")
    tickets = [new_ticket(desks) for _ in range(10)]
    events = [new_event(ticket_id=ticket_id) for ticket_id in tickets]
    job_ids = [await jobs.accept(database, event, DEADLINE, published=True) for event in events]
    relay = Relay(table, time, desks)
    async with httpx.AsyncClient() as http, model_opened(model.url) as gpt4:
        limits = Limits(breaker, rate, 8)
        tenant = Tenant("acme", desk=settings(desks.url))
        desk = ServiceDeskPlus(tenant, http, DeskTokens(http, None, 5), 5, limits)
        runner = replace(runner_on(desk, database, database), gpt4=gpt4, answers=AnswersInRedis(redis, 60))
        async with asyncio.timeout(60):
            await relay.run(runner, job_ids, 30 * 63 * 1.2)
    assert {table.job(job_id)["state"] for job_id in job_ids} == {"completed"}
    assert {table.job(job_id)["attempt"] for job_id in job_ids} == {1}
    assert [len(notes_of(desks, ticket_id)) for ticket_id in tickets] == [1] * 10
    assert Counter(request["ticket_id"] for request in desks.requests()) == dict.fromkeys(tickets, 3)
    assert len(model.requests(operation="chat")) == 10
    assert all(later - sooner > 60 for sooner, later in pairwise(relay.calls))
