"""Consistency of row, event, log line, metrics and span for each outcome, reached through its entry point."""

import asyncio
import io
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from uuid import UUID, uuid4

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from devstack.postgres import Postgres
from dispatch.inbox import Inbox
from dispatch.intake import Acceptance
from dispatch.outcome import How
from dispatch.queue import JobQueue
from dispatch.relay import Relay
from integrations.errors import DeskTimeout
from integrations.resilience import Breaker
from observability import metrics
from storage import claims, erasure
from storage.erasure import Which
from storage.session import Database
from support.cli import main
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.model import opened as model_opened
from tests.kit.postgres import DEADLINE, NewEvent, Table, accept, claimed
from tests.kit.runner import ANSWER, TICKET, run_job, runner_on
from tests.kit.simulators import Simulator
from worker.tasks import Pickup
from workflow.runner import run_next

TOLD = re.compile(
    r"(Task completed|Task skipped|Task failed|Job requeued): job_id=(\S+?), (?:ticket_id=\S+, )?(.*?) \|"
)
# Words of `job_events` that differ from the outcome; a lost claim writes none.
EVENTS = {How.CLAIM_LOST: "claimed", How.DUPLICATE: "skipped", How.FORGOTTEN: "skipped", How.WORKER_LOST: "failed"}
SPANS = ("Worker", "Relay", "Forget", "Retry")
POSTED = "now() - interval '2 minutes'"
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

    async def run(self, ticket_id: str | None = None, *, code: int = 0, down: bool = False, **columns: object) -> UUID:
        """Run one attempt; the desk answers with `code`, or is known to be `down`."""
        job_id = await self.job(ticket_id, **columns)
        breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
        if code:
            self.desks.order(kind="status", code=code, operation="read_ticket")
        if down:
            with suppress(DeskTimeout), breaker.watch():
                raise DeskTimeout
        async with opened(settings(self.desks.url), breaker=breaker) as desk:
            assert await run_job(runner_on(desk, self.database, self.database), job_id) is not None
        return job_id

    @asynccontextmanager
    async def running(
        self, meanwhile: Meanwhile | None, *, hangs_at: int = 0, **columns: object
    ) -> AsyncIterator[tuple[UUID, asyncio.Task[object]]]:
        """Run an attempt that hangs at desk call `hangs_at`; GPT-4 refuses the ticket."""
        reached, calls = asyncio.Event(), count(1)

        async def answer(_: httpx2.Request) -> httpx2.Response:
            if meanwhile is not None:
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

    async def run_to_its_end(self, meanwhile: Meanwhile) -> UUID:
        async with self.running(meanwhile) as (job_id, attempt):
            await attempt
        return job_id

    async def stop(self, meanwhile: Meanwhile | None = None, hangs_at: int = 1, **columns: object) -> UUID:
        async with self.running(meanwhile, hangs_at=hangs_at, **columns) as (job_id, attempt):
            attempt.cancel()
            with suppress(asyncio.CancelledError):
                await attempt
            assert attempt.cancelled()
        return job_id

    async def run_second(self) -> UUID:
        await claimed(self.database, await self.job("12345"))
        return await self.run("12345")

    async def relay(self, job_id: UUID) -> UUID:
        queue, inbox = JobQueue(self.redis_url), Inbox(self.redis)
        acceptance = Acceptance(self.database, queue, inbox, DEADLINE)
        assert await Relay(self.database, queue, inbox, acceptance, DEADLINE).once()
        await queue.close()
        return job_id

    async def duplicate(self) -> UUID:
        event = self.new_event()
        await accept(self.database, event)
        # Otherwise a worker would claim the first job's turn before the second.
        self.table.change(event.job_id, state="completed")
        again = self.new_event(dedupe_keys=event.dedupe_keys)
        await Inbox(self.redis).put(again)
        return again.job_id

    async def take_duplicate(self) -> UUID:
        job_id = await self.duplicate()
        async with opened(settings(self.desks.url)) as desk:
            runner = runner_on(desk, self.database, self.database)
            await Pickup(partial(run_next, runner), self.database, Inbox(self.redis), DEADLINE).take(job_id)
        return job_id

    async def relay_duplicate(self) -> UUID:
        return await self.relay(await self.duplicate())

    async def relay_silent(self, attempt: int) -> UUID:
        job_id = await self.job(attempt=attempt)
        await claimed(self.database, job_id)
        self.table.change(job_id, lease_until=RAN_OUT)
        return await self.relay(job_id)

    async def relay_overdue(self) -> UUID:
        return await self.relay(await self.job(deadline_at=RAN_OUT))

    async def take_claim(self, job_id: UUID) -> None:
        self.table.change(job_id, claim_token=uuid4())

    async def forget(self, _: UUID) -> None:
        await erasure.erase(self.database, Which("acme", ticket_id="12345"))

    async def forget_by_command(self) -> UUID:
        job_id = await self.job("12345")
        assert await asyncio.to_thread(main, ["forget", "--tenant", "acme", "--ticket", "12345", "--yes"]) == 0
        return job_id

    async def retry_by_command(self) -> UUID:
        job_id = await self.job()
        await claims.fail(self.database, await claimed(self.database, job_id), "GPT-4 timeout")
        assert await asyncio.to_thread(main, ["retry", str(job_id)]) == 0
        return job_id


@dataclass(frozen=True)
class Ending:
    """An outcome, one way to reach it, and the expected records."""

    how: How
    drive: Callable[[Driver], Awaitable[UUID]]
    row: tuple[str, str | None]
    """State and reason."""
    line: str
    """The phrase, and as a pattern what follows the identifiers; `~` is the reason of the row."""
    span: str
    """Its name and its `outcome`; `~` as above."""
    attempt: str | None = None
    """As ATTEMPTS counts it; None where there was none, or of a process that is gone."""

    @property
    def red(self) -> bool:
        return self.line.startswith("Task failed")

    def filled(self, text: str) -> str:
        return text.replace("~", self.row[1] or "")

    def counts(self) -> Counter[tuple[str, ...]]:
        state, reason = self.row
        grown: list[tuple[str, ...]] = [("ai_agents_job_attempts_total", "acme", self.attempt)] if self.attempt else []
        if state in ("completed", "skipped", "failed"):
            grown.append(("ai_agents_jobs_ended_total", "acme", state, reason or ""))
            grown.append(("ai_agents_job_duration_seconds_count", "acme", state))
        if self.how is How.RECOVERED:
            grown.append(("ai_agents_jobs_recovered_total",))
        return Counter(grown)


GONE, FORGOTTEN, DUPLICATE = ("skipped", "ticket not found"), ("skipped", "forgotten"), ("skipped", "duplicate webhook")
DOWN, ANOTHER = ("waiting", "desk unavailable"), ("waiting", "another job of this ticket")
GIVEN_UP, OVERDUE = ("failed", "desk unavailable"), ("failed", "deadline passed")
BY_HAND, SILENT, HELD_BY_ANOTHER = ("waiting", "retried by hand"), ("waiting", "worker lost"), ("running", None)
LOST = "Task failed reason=claim lost; left to another attempt"
LOOK = "Task failed reason=~; will be looked for once more in 60s"
LAST_WORKER = ("failed", "worker lost at its last attempt")
FLAGGED = ("failed", "OpenAI API: 403 Forbidden")
REFUSED, BROKEN = ("failed", "ServiceDesk Plus API: 403"), ("waiting", "ServiceDesk Plus API: 500")
SKIPPED, REQUEUED, ENDED = "Task skipped reason=~", "Job requeued reason=~", "Task failed reason=~; not retried"
HELD, GAVE_UP = REQUEUED + r", held back for (\d+)s", "Task failed reason=~; gave up at its deadline"
STOPPING = "Job requeued reason=worker stopping"
AGAIN = "Task failed reason=~; will be retried in 2s"
DONE = r"Task completed duration=\ds"
ENDINGS = {
    "completed": Ending(
        How.COMPLETED, lambda at: at.run(), ("completed", None), DONE, "Worker: completed", "completed"
    ),
    "gone": Ending(How.SKIPPED, lambda at: at.run("404404"), GONE, SKIPPED, "Worker: ~", "skipped"),
    "forgotten at work": Ending(
        How.SKIPPED, lambda at: at.run_to_its_end(at.forget), FORGOTTEN, SKIPPED, "Worker: ~", "skipped"
    ),
    "forgotten at a stop": Ending(
        How.SKIPPED, lambda at: at.stop(at.forget), FORGOTTEN, SKIPPED, "Worker: ~", "skipped"
    ),
    "refused": Ending(How.FAILED, lambda at: at.run(code=403), REFUSED, ENDED, "Worker: failed", "failed"),
    "down at the deadline": Ending(
        How.FAILED, lambda at: at.run(down=True, deadline_at=SHORTLY), GIVEN_UP, GAVE_UP, "Worker: failed", "failed"
    ),
    "stopped at its failure note": Ending(
        How.FAILED, lambda at: at.stop(hangs_at=2, enhancement=None), FLAGGED, ENDED, "Worker: failed", "failed"
    ),
    "retried": Ending(How.RETRIED, lambda at: at.run(code=500), BROKEN, AGAIN, "Worker: retried", "retried"),
    "looked for": Ending(
        How.LOOKED_FOR,
        lambda at: at.run(down=True, deadline_at=SHORTLY, note_attempted_at=POSTED),
        DOWN,
        LOOK,
        "Worker: looked for once more",
        "retried",
    ),
    "held back": Ending(How.HELD_BACK, lambda at: at.run(down=True), DOWN, HELD, "Worker: held back: ~", "held back"),
    "another first": Ending(How.HELD_BACK, Driver.run_second, ANOTHER, HELD, "Worker: held back: ~", "held back"),
    "given back": Ending(
        How.GIVEN_BACK, lambda at: at.stop(), ("waiting", None), STOPPING, "Worker: given back", "given back"
    ),
    "claim lost": Ending(
        How.CLAIM_LOST,
        lambda at: at.run_to_its_end(at.take_claim),
        HELD_BY_ANOTHER,
        LOST,
        "Worker: claim lost",
        "claim lost",
    ),
    "claim lost at a stop": Ending(
        How.CLAIM_LOST, lambda at: at.stop(at.take_claim), HELD_BY_ANOTHER, LOST, "Worker: claim lost", "claim lost"
    ),
    "duplicate at a worker": Ending(How.DUPLICATE, Driver.take_duplicate, DUPLICATE, SKIPPED, "Worker: ~"),
    "duplicate at the relay": Ending(How.DUPLICATE, Driver.relay_duplicate, DUPLICATE, SKIPPED, "Relay: ~"),
    "forgotten by command": Ending(How.FORGOTTEN, Driver.forget_by_command, FORGOTTEN, SKIPPED, "Forget: ~"),
    "retried by hand": Ending(How.RETRIED_BY_HAND, Driver.retry_by_command, BY_HAND, REQUEUED, "Retry: ~"),
    "recovered": Ending(How.RECOVERED, lambda at: at.relay_silent(0), SILENT, REQUEUED, "Relay: ~"),
    "worker lost": Ending(How.WORKER_LOST, lambda at: at.relay_silent(7), LAST_WORKER, ENDED, "Relay: worker lost"),
    "expired": Ending(How.EXPIRED, Driver.relay_overdue, OVERDUE, ENDED, "Relay: expired"),
}


def counted() -> Counter[tuple[str, ...]]:
    kinds = (metrics.ATTEMPTS, metrics.JOBS_ENDED, metrics.JOB_SECONDS, metrics.JOBS_RECOVERED)
    counts = Counter[tuple[str, ...]]()
    for sample in (sample for kind in kinds for metric in kind.collect() for sample in metric.samples):
        if sample.name.endswith(("_total", "_count")):
            counts[sample.name, *sample.labels.values()] = int(sample.value)
    return counts


@pytest.fixture
def driver(
    database: Database,
    table: Table,
    redis: Redis,
    redis_url: str,
    desks: Simulator,
    model: Simulator,
    new_event: NewEvent,
) -> Driver:
    return Driver(database, table, redis, redis_url, desks, model, new_event)


@pytest.fixture
def by_hand(server: Postgres, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", server.url)
    monkeypatch.setenv("REDIS_URL", redis_url)


def test_every_outcome_has_an_ending() -> None:
    assert {ending.how for ending in ENDINGS.values()} == set(How)


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
async def test_row_line_metrics_and_span_agree(
    ending: Ending, driver: Driver, spans: InMemorySpanExporter, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    before = counted()
    job_id = await ending.drive(driver)
    row = driver.table.job(job_id)
    assert (row["state"], row["reason"]) == ending.row
    event = driver.table.run("SELECT * FROM job_events WHERE job_id = %s ORDER BY id DESC LIMIT 1", job_id)[0]
    assert event["what"] == EVENTS.get(ending.how, ending.how)
    assert event["reason"] in (None, row["reason"])
    assert counted() - before == ending.counts()
    lines = log.getvalue() + capsys.readouterr().err
    ((phrase, told),) = [(phrase, told) for phrase, told_of, told in TOLD.findall(lines) if told_of == str(job_id)]
    line = re.fullmatch(ending.filled(ending.line), f"{phrase} {told}")
    assert line is not None
    ended = [span for span in spans.get_finished_spans() if span.name in SPANS and "outcome" in (span.attributes or {})]
    (span,) = ended
    attributes = span.attributes or {}
    assert f"{span.name}: {attributes['outcome']!s}" == ending.filled(ending.span)
    assert event["attempt"] == attributes.get("attempt", event["attempt"])
    held = attributes.get("held_back_seconds")
    assert held == (pytest.approx(int(line[1]), abs=0.5) if ending.how is How.HELD_BACK else None)
    # An error span has the log line's words.
    shown = [(raised.attributes or {})["exception.message"] for raised in span.events]
    assert shown == ([told.removeprefix("reason=")] if ending.red else [])
    assert span.status.description == (shown[0] if ending.red else None)
