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
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from cli.main import main
from cli.pilot.postgres import Postgres
from integrations.errors import DeskTimeoutError
from integrations.resilience import Breaker
from jobs import claims
from jobs.inbox import Inbox
from jobs.intake import Intake
from jobs.outcomes import OutcomeKind
from jobs.queue import JobQueue
from jobs.queue_relay import Relay
from observability import metrics
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.model import opened as model_opened
from tests.kit.postgres import DEADLINE, Store, accept, claimed
from tests.kit.runner import ANSWER, TICKET, run_job, runner_on
from tests.kit.simulators import Simulator
from worker.tasks import MessageHandler
from workflow.runner import run_next

TOLD = re.compile(
    r"(Task completed|Task skipped|Task failed|Job requeued): job_id=(\S+?), (?:ticket_id=\S+, )?(.*?) \|"
)
# Words of `job_events` that differ from the outcome; a lost claim writes none.
EVENTS = {
    OutcomeKind.LEASE_LOST: "claimed",
    OutcomeKind.DUPLICATE: "skipped",
    OutcomeKind.FORGOTTEN: "skipped",
    OutcomeKind.WORKER_LOST: "failed",
}
SPANS = ("Worker", "Relay", "Forget", "Retry")
POSTED = "now() - interval '2 minutes'"
RAN_OUT = "now() - interval '1 second'"
SHORTLY = "now() + interval '8 seconds'"
Meanwhile = Callable[[UUID], Awaitable[object]]


@dataclass(frozen=True)
class Driver:
    store: Store
    redis: Redis
    redis_url: str
    desks: Simulator
    model: Simulator

    async def job(self, ticket_id: str | None = None, **columns: object) -> UUID:
        """Return a waiting job that has a stored GPT-4 answer."""
        event = self.store.new_event(ticket_id=ticket_id or new_ticket(self.desks))
        await accept(self.store.database, event)
        self.store.table.change(event.job_id, **{"enhancement": ANSWER.model_dump_json(), **columns})
        return event.job_id

    async def run(self, ticket_id: str | None = None, *, code: int = 0, down: bool = False, **columns: object) -> UUID:
        """Run one attempt; the desk answers with `code`, or is known to be `down`."""
        job_id = await self.job(ticket_id, **columns)
        breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
        if code:
            self.desks.order(kind="status", code=code, operation="read_ticket")
        if down:
            with suppress(DeskTimeoutError), breaker.watch():
                raise DeskTimeoutError
        async with opened(settings(self.desks.url), breaker=breaker) as desk:
            assert await run_job(runner_on(desk, self.store.database, self.store.database), job_id) is not None
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
            runner = replace(runner_on(desk, self.store.database, self.store.database), model_of=lambda _: gpt4)
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
        await claimed(self.store.database, await self.job("12345"))
        return await self.run("12345")

    async def relay(self, job_id: UUID) -> UUID:
        queue, inbox = JobQueue(self.redis_url), Inbox(self.redis)
        intake = Intake(self.store.database, queue, inbox, DEADLINE)
        assert await Relay(self.store.database, queue, inbox, intake, DEADLINE).once()
        await queue.close()
        return job_id

    async def duplicate(self) -> UUID:
        event = self.store.new_event()
        await accept(self.store.database, event)
        # Otherwise a worker would claim the first job's turn before the second.
        self.store.table.change(event.job_id, state="completed")
        again = self.store.new_event(dedupe_keys=event.dedupe_keys)
        await Inbox(self.redis).put(again)
        return again.job_id

    async def take_duplicate(self) -> UUID:
        job_id = await self.duplicate()
        async with opened(settings(self.desks.url)) as desk:
            runner = runner_on(desk, self.store.database, self.store.database)
            await MessageHandler(partial(run_next, runner), self.store.database, Inbox(self.redis), DEADLINE).handle(
                job_id
            )
        return job_id

    async def relay_duplicate(self) -> UUID:
        return await self.relay(await self.duplicate())

    async def relay_silent(self, attempt: int) -> UUID:
        job_id = await self.job(attempt=attempt)
        await claimed(self.store.database, job_id)
        self.store.table.change(job_id, lease_until=RAN_OUT)
        return await self.relay(job_id)

    async def relay_overdue(self) -> UUID:
        return await self.relay(await self.job(deadline_at=RAN_OUT))

    async def take_claim(self, job_id: UUID) -> None:
        self.store.table.change(job_id, claim_token=uuid4())

    async def forget(self, _: UUID) -> None:
        await erasure.erase(self.store.database, ErasureScope("acme", ticket_id="12345"))

    async def forget_by_command(self) -> UUID:
        job_id = await self.job("12345")
        assert await asyncio.to_thread(main, ["forget", "--tenant", "acme", "--ticket", "12345", "--yes"]) == 0
        return job_id

    async def retry_by_command(self) -> UUID:
        job_id = await self.job()
        await claims.fail(self.store.database, await claimed(self.store.database, job_id), "GPT-4 timeout")
        assert await asyncio.to_thread(main, ["retry", str(job_id)]) == 0
        return job_id


class Records(NamedTuple):
    """What an outcome leaves beside its row; `~` is the reason of the row."""

    line: str
    """The phrase, and as a pattern what follows the identifiers."""
    span: str
    """Its name and its `outcome`."""
    attempt: str | None = None
    """As ATTEMPTS counts it; None where there was none, or of a process that is gone."""


LOST = "Task failed reason=claim lost; left to another attempt"
SKIPPED, REQUEUED, ENDED = "Task skipped reason=~", "Job requeued reason=~", "Task failed reason=~; not retried"
RECORDS = {
    OutcomeKind.COMPLETED: Records(r"Task completed duration=\ds", "Worker: completed", "completed"),
    OutcomeKind.SKIPPED: Records(SKIPPED, "Worker: ~", "skipped"),
    OutcomeKind.FAILED: Records(ENDED, "Worker: failed", "failed"),
    OutcomeKind.RETRIED: Records("Task failed reason=~; will be retried in 2s", "Worker: retried", "retried"),
    OutcomeKind.FINAL_CHECK: Records(
        "Task failed reason=~; will be looked for once more in 60s", "Worker: looked for once more", "retried"
    ),
    OutcomeKind.DEFERRED: Records(REQUEUED + r", held back for (\d+)s", "Worker: held back: ~", "held back"),
    OutcomeKind.RELEASED: Records("Job requeued reason=worker stopping", "Worker: given back", "given back"),
    OutcomeKind.LEASE_LOST: Records(LOST, "Worker: claim lost", "claim lost"),
    OutcomeKind.DUPLICATE: Records(SKIPPED, "Relay: ~"),
    OutcomeKind.FORGOTTEN: Records(SKIPPED, "Forget: ~"),
    OutcomeKind.RETRIED_BY_HAND: Records(REQUEUED, "Retry: ~"),
    OutcomeKind.RECOVERED: Records(REQUEUED, "Relay: ~"),
    OutcomeKind.WORKER_LOST: Records(ENDED, "Relay: worker lost"),
    OutcomeKind.EXPIRED: Records(ENDED, "Relay: expired"),
}
AT_DEADLINE = RECORDS[OutcomeKind.FAILED]._replace(line="Task failed reason=~; gave up at its deadline")
AT_WORKER = RECORDS[OutcomeKind.DUPLICATE]._replace(span="Worker: ~")
FORGOTTEN, DUPLICATE, DOWN = "skipped: forgotten", "skipped: duplicate webhook", "waiting: desk unavailable"
NEAR: dict[str, Any] = {"down": True, "deadline_at": SHORTLY}


class Ending(NamedTuple):
    """An outcome, the state and reason of its row, and one way to reach it."""

    how: OutcomeKind
    row: str
    drive: Callable[[Driver], Awaitable[UUID]]
    other_records: Records | None = None


ENDINGS = {
    "completed": Ending(OutcomeKind.COMPLETED, "completed", lambda at: at.run()),
    "gone": Ending(OutcomeKind.SKIPPED, "skipped: ticket not found", lambda at: at.run("404404")),
    "forgotten at work": Ending(OutcomeKind.SKIPPED, FORGOTTEN, lambda at: at.run_to_its_end(at.forget)),
    "forgotten at a stop": Ending(OutcomeKind.SKIPPED, FORGOTTEN, lambda at: at.stop(at.forget)),
    "refused": Ending(OutcomeKind.FAILED, "failed: ServiceDesk Plus API: 403", lambda at: at.run(code=403)),
    "down at the deadline": Ending(
        OutcomeKind.FAILED, "failed: desk unavailable", lambda at: at.run(**NEAR), AT_DEADLINE
    ),
    "stopped at its failure note": Ending(
        OutcomeKind.FAILED, "failed: OpenAI API: 403 Forbidden", lambda at: at.stop(hangs_at=2, enhancement=None)
    ),
    "retried": Ending(OutcomeKind.RETRIED, "waiting: ServiceDesk Plus API: 500", lambda at: at.run(code=500)),
    "looked for": Ending(OutcomeKind.FINAL_CHECK, DOWN, lambda at: at.run(**NEAR, note_attempted_at=POSTED)),
    "held back": Ending(OutcomeKind.DEFERRED, DOWN, lambda at: at.run(down=True)),
    "another first": Ending(OutcomeKind.DEFERRED, "waiting: another job of this ticket", Driver.run_second),
    "given back": Ending(OutcomeKind.RELEASED, "waiting", lambda at: at.stop()),
    "claim lost": Ending(OutcomeKind.LEASE_LOST, "running", lambda at: at.run_to_its_end(at.take_claim)),
    "claim lost at a stop": Ending(OutcomeKind.LEASE_LOST, "running", lambda at: at.stop(at.take_claim)),
    "duplicate at a worker": Ending(OutcomeKind.DUPLICATE, DUPLICATE, Driver.take_duplicate, AT_WORKER),
    "duplicate at the relay": Ending(OutcomeKind.DUPLICATE, DUPLICATE, Driver.relay_duplicate),
    "forgotten by command": Ending(OutcomeKind.FORGOTTEN, FORGOTTEN, Driver.forget_by_command),
    "retried by hand": Ending(OutcomeKind.RETRIED_BY_HAND, "waiting: retried by hand", Driver.retry_by_command),
    "recovered": Ending(OutcomeKind.RECOVERED, "waiting: worker lost", lambda at: at.relay_silent(0)),
    "worker lost": Ending(
        OutcomeKind.WORKER_LOST, "failed: worker lost at its last attempt", lambda at: at.relay_silent(7)
    ),
    "expired": Ending(OutcomeKind.EXPIRED, "failed: deadline passed", Driver.relay_overdue),
}


def expected_counts(ending: Ending, attempt: str | None) -> Counter[tuple[str, ...]]:
    state, _, reason = ending.row.partition(": ")
    grown: list[tuple[str, ...]] = [("ai_agents_job_attempts_total", "acme", attempt)] if attempt else []
    if state in ("completed", "skipped", "failed"):
        grown.append(("ai_agents_jobs_ended_total", "acme", state, reason))
        grown.append(("ai_agents_job_duration_seconds_count", "acme", state))
    if ending.how is OutcomeKind.RECOVERED:
        grown.append(("ai_agents_jobs_recovered_total",))
    return Counter(grown)


def counted() -> Counter[tuple[str, ...]]:
    kinds = (metrics.ATTEMPTS, metrics.JOBS_ENDED, metrics.JOB_SECONDS, metrics.JOBS_RECOVERED)
    counts = Counter[tuple[str, ...]]()
    for sample in (sample for kind in kinds for metric in kind.collect() for sample in metric.samples):
        if sample.name.endswith(("_total", "_count")):
            counts[sample.name, *sample.labels.values()] = int(sample.value)
    return counts


@pytest.fixture
def driver(store: Store, redis: Redis, redis_url: str, desks: Simulator, model: Simulator) -> Driver:
    return Driver(store, redis, redis_url, desks, model)


@pytest.fixture
def by_hand(server: Postgres, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", server.url)
    monkeypatch.setenv("REDIS_URL", redis_url)


def test_every_outcome_has_an_ending() -> None:
    assert {ending.how for ending in ENDINGS.values()} == set(OutcomeKind)


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
async def test_row_line_metrics_and_span_agree(
    ending: Ending, driver: Driver, spans: InMemorySpanExporter, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    before, (line, span_of, attempt) = counted(), ending.other_records or RECORDS[ending.how]
    job_id = await ending.drive(driver)
    row = driver.store.table.job(job_id)
    state, _, reason = ending.row.partition(": ")
    assert (row["state"], row["reason"] or "") == (state, reason)
    event = driver.store.table.run("SELECT * FROM job_events WHERE job_id = %s ORDER BY id DESC LIMIT 1", job_id)[0]
    assert event["what"] == EVENTS.get(ending.how, ending.how)
    assert event["reason"] in (None, row["reason"])
    assert counted() - before == expected_counts(ending, attempt)
    lines = log.getvalue() + capsys.readouterr().err
    ((phrase, told),) = [(phrase, told) for phrase, told_of, told in TOLD.findall(lines) if told_of == str(job_id)]
    found = re.fullmatch(line.replace("~", reason), f"{phrase} {told}")
    assert found is not None
    ended = [span for span in spans.get_finished_spans() if span.name in SPANS and "outcome" in (span.attributes or {})]
    (span,) = ended
    attributes = span.attributes or {}
    assert f"{span.name}: {attributes['outcome']!s}" == span_of.replace("~", reason)
    assert event["attempt"] == attributes.get("attempt", event["attempt"])
    held = attributes.get("held_back_seconds")
    assert held == (pytest.approx(int(found[1]), abs=0.5) if ending.how is OutcomeKind.DEFERRED else None)
    # An error span has the log line's words.
    red = line.startswith("Task failed")
    shown = [(raised.attributes or {})["exception.message"] for raised in span.events]
    assert shown == ([told.removeprefix("reason=")] if red else [])
    assert span.status.description == (shown[0] if red else None)
