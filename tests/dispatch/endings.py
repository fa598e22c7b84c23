"""Every outcome of an attempt or a job, reached through its entry point."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from uuid import UUID, uuid4

import httpx2
from redis.asyncio import Redis

from dispatch.acceptance import Acceptance
from dispatch.inbox import Inbox
from dispatch.queue import JobQueue
from dispatch.relay import Relay
from integrations.errors import DeskTimeout
from integrations.resilience import Breaker
from storage import claims, erasing
from storage.erasable import Which
from storage.session import Database
from support.cli import main
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.model import opened as model_opened
from tests.kit.postgres import DEADLINE, NewEvent, Table, accept, claimed
from tests.kit.runner import ANSWER, TICKET, runner_on
from tests.kit.simulators import Simulator
from worker.pickup import Pickup
from workflow.run import run_next

RAN_OUT = "now() - interval '1 second'"
SHORTLY = "now() + interval '8 seconds'"
Meanwhile = Callable[[UUID], Awaitable[object]]


@dataclass(frozen=True)
class Driver:
    database: Database
    table: Table
    redis: Redis
    redis_url: str
    desks: Simulator
    model: Simulator
    new_event: NewEvent

    async def job(self, ticket_id: str | None = None, **columns: object) -> UUID:
        """Return a waiting job that has a stored GPT-4 answer."""
        event = self.new_event(ticket_id=ticket_id or new_ticket(self.desks))
        await accept(self.database, event)
        self.table.change(event.job_id, **{"enhancement": ANSWER.model_dump_json(), **columns})
        return event.job_id

    async def run(self, job_id: UUID, *, down: bool = False) -> UUID:
        """Run one attempt; `down` marks the desk as unavailable."""
        breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
        if down:
            with suppress(DeskTimeout), breaker.watch():
                raise DeskTimeout
        async with opened(settings(self.desks.url), breaker=breaker) as desk:
            assert await run_job(runner_on(desk, self.database, self.database), job_id) is not None
        return job_id

    @asynccontextmanager
    async def running(
        self, meanwhile: Meanwhile, *, hangs_at: int = 0, **columns: object
    ) -> AsyncIterator[tuple[UUID, asyncio.Task[object]]]:
        """Run an attempt that hangs at desk call `hangs_at`; GPT-4 refuses the ticket."""
        reached, calls = asyncio.Event(), count(1)

        async def answer(_: httpx2.Request) -> httpx2.Response:
            await meanwhile(job_id)
            if (call := next(calls)) >= hangs_at:
                reached.set()
            await asyncio.sleep(60 if call == hangs_at else 0)
            return httpx2.Response(200, json=TICKET)

        self.model.order(kind="status", code=403)
        job_id = await self.job("12345", **columns)
        its_desk = opened(settings("http://desk", failure_note=True), transport=httpx2.MockTransport(answer))
        async with its_desk as desk, model_opened(self.model.url) as gpt4:
            runner = replace(runner_on(desk, self.database, self.database), model_of=lambda _: gpt4)
            run: Awaitable[object] = run_job(runner, job_id)
            task = asyncio.ensure_future(run)
            await reached.wait()
            yield job_id, task

    async def relay(self) -> None:
        queue, inbox = JobQueue(self.redis_url), Inbox(self.redis)
        assert await Relay(
            self.database, queue, inbox, Acceptance(self.database, queue, inbox, DEADLINE), DEADLINE
        ).once()
        await queue.close()

    async def duplicate(self) -> UUID:
        event = self.new_event()
        await accept(self.database, event)
        # Otherwise a worker would claim the first job's turn before the second.
        self.table.change(event.job_id, state="completed")
        again = self.new_event(dedupe_keys=event.dedupe_keys)
        await Inbox(self.redis).put(again)
        return again.job_id

    async def take_claim(self, job_id: UUID) -> None:
        self.table.change(job_id, claim_token=uuid4())

    async def forget(self, _: UUID) -> None:
        await erasing.erase(self.database, Which("acme", ticket_id="12345"))


async def completed(driver: Driver) -> UUID:
    return await driver.run(await driver.job())


async def gone(driver: Driver) -> UUID:
    return await driver.run(await driver.job("404404"))


async def forgotten_at_work(driver: Driver) -> UUID:
    async with driver.running(driver.forget) as (job_id, attempt):
        await attempt
    return job_id


async def forgotten_at_a_stop(driver: Driver) -> UUID:
    return await stopped(driver, driver.forget)


async def refused(driver: Driver) -> UUID:
    driver.desks.order(kind="status", code=403, operation="read_ticket")
    return await driver.run(await driver.job())


async def down_at_the_deadline(driver: Driver) -> UUID:
    return await driver.run(await driver.job(deadline_at=SHORTLY), down=True)


async def retried(driver: Driver) -> UUID:
    driver.desks.order(kind="status", code=500, operation="read_ticket")
    return await driver.run(await driver.job())


async def looked_for(driver: Driver) -> UUID:
    posted = "now() - interval '2 minutes'"
    return await driver.run(await driver.job(deadline_at=SHORTLY, note_attempted_at=posted), down=True)


async def held_back(driver: Driver) -> UUID:
    return await driver.run(await driver.job(), down=True)


async def another_first(driver: Driver) -> UUID:
    await claimed(driver.database, await driver.job("12345"))
    return await driver.run(await driver.job("12345"))


async def nothing(_: UUID) -> None:
    """All goes well meanwhile."""


async def stopped(driver: Driver, meanwhile: Meanwhile, hangs_at: int = 1, **columns: object) -> UUID:
    async with driver.running(meanwhile, hangs_at=hangs_at, **columns) as (job_id, attempt):
        attempt.cancel()
        with suppress(asyncio.CancelledError):
            await attempt
        assert attempt.cancelled()
    return job_id


async def stopped_at_its_failure_note(driver: Driver) -> UUID:
    return await stopped(driver, nothing, hangs_at=2, enhancement=None)


async def given_back(driver: Driver) -> UUID:
    return await stopped(driver, nothing)


async def claim_lost(driver: Driver) -> UUID:
    async with driver.running(driver.take_claim) as (job_id, attempt):
        await attempt
    return job_id


async def claim_lost_at_a_stop(driver: Driver) -> UUID:
    return await stopped(driver, driver.take_claim)


async def duplicate_at_a_worker(driver: Driver) -> UUID:
    job_id = await driver.duplicate()
    async with opened(settings(driver.desks.url)) as desk:
        runner = runner_on(desk, driver.database, driver.database)
        await Pickup(partial(run_next, runner), driver.database, Inbox(driver.redis), DEADLINE).take(job_id)
    return job_id


async def duplicate_at_the_relay(driver: Driver) -> UUID:
    job_id = await driver.duplicate()
    await driver.relay()
    return job_id


async def forgotten_by_command(driver: Driver) -> UUID:
    job_id = await driver.job("12345")
    assert await asyncio.to_thread(main, ["forget", "--tenant", "acme", "--ticket", "12345", "--yes"]) == 0
    return job_id


async def retried_by_hand(driver: Driver) -> UUID:
    job_id = await driver.job()
    await claims.fail(driver.database, await claimed(driver.database, job_id), "GPT-4 timeout")
    assert await asyncio.to_thread(main, ["retry", str(job_id)]) == 0
    return job_id


async def recovered(driver: Driver) -> UUID:
    job_id = await driver.job()
    await claimed(driver.database, job_id)
    driver.table.change(job_id, lease_until=RAN_OUT)
    await driver.relay()
    return job_id


async def worker_lost(driver: Driver) -> UUID:
    job_id = await driver.job(attempt=7)
    await claimed(driver.database, job_id)
    driver.table.change(job_id, lease_until=RAN_OUT)
    await driver.relay()
    return job_id


async def expired(driver: Driver) -> UUID:
    job_id = await driver.job(deadline_at=RAN_OUT)
    await driver.relay()
    return job_id
