"""Attempts that end a job, run whole on a real Postgres: row and log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis
from sqlalchemy import TextClause
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from devstack.postgres import Postgres
from integrations.errors import DeskTimeout
from integrations.resilience import Breaker
from storage import by_hand
from storage.direct import Row
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, NewEvent, Table, accept
from tests.kit.runner import ANSWER, TICKET, runner_on
from tests.kit.simulators import Simulator
from workflow.kept_answers import AnswersInRedis
from workflow.note import to_html
from workflow.ports import Kept, UnfinishedLook
from workflow.run import Runner


@pytest.fixture
async def runner(database: Database) -> AsyncIterator[Runner]:
    breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
    with pytest.raises(DeskTimeout), breaker.watch():
        raise DeskTimeout
    async with opened(settings("http://desk"), breaker=breaker) as desk:
        yield runner_on(desk, database, database)


@pytest.mark.parametrize("posted", [True, False])
async def test_a_note_that_may_be_there_is_looked_for_though_the_desk_is_down(
    waiting: UUID, table: Table, runner: Runner, start_log: StartLog, *, posted: bool, spans: InMemorySpanExporter
) -> None:
    stream = start_log()
    attempted = "now() - interval '2 minutes'" if posted else None
    table.change(
        waiting,
        note_attempted_at=attempted,
        enhancement=ANSWER.model_dump_json(),
        deadline_at="now() + interval '8 seconds'",
    )
    assert await run_job(runner, waiting)
    row = table.job(waiting)
    line = f"Task failed: job_id={waiting}, ticket_id=12345, reason=desk unavailable; "
    if posted:
        assert (row["state"], row["attempt"]) == ("waiting", 8)
        assert f"{line}will be looked for once more in 60s" in stream.getvalue()
        assert row["deadline_at"] > row["due_at"]
        # This look is the last one: a desk that stays down fails the job.
        table.change(waiting, due_at="now()", deadline_at="now() + interval '8 seconds'")
        assert await run_job(runner, waiting)
        row = table.job(waiting)
    assert (row["state"], row["reason"]) == ("failed", "desk unavailable")
    assert f"{line}gave up at its deadline" in stream.getvalue()
    attempt = [span for span in spans.get_finished_spans() if span.name == "Worker"][-1]
    assert attempt.status.description == "desk unavailable; gave up at its deadline"
    assert not attempt.status.is_ok


class Failing(Database):
    """Fails one statement on request."""

    away = False

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[AsyncSession]:
        if self.away:
            self.away = False
            raise PoolTimeout
        async with super().tenant(tenant_id) as session:
            yield session


async def test_a_note_that_may_be_there_is_looked_for_though_the_database_is_away(
    waiting: UUID, server: Postgres, database: Database, table: Table
) -> None:
    """At the deadline the desk is silent; only the row shows that the note may exist."""
    failing = Failing(server.url, application_name="failing")

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=TICKET)
        failing.away = True
        raise httpx2.ReadTimeout("?")

    table.change(waiting, enhancement=ANSWER.model_dump_json(), deadline_at="now() + interval '30 seconds'")
    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as desk:
        assert await run_job(runner_on(desk, failing, database), waiting)
    await failing.close()
    row = table.job(waiting)
    assert (row["state"], row["reason"]) == ("waiting", "ServiceDesk Plus timeout")


@pytest.mark.parametrize("kept_by", ["its end", "its age"])
async def test_a_look_of_a_job_that_has_ended_is_begun_anew_by_a_retry(
    kept_by: str, database: Database, table: Table, new_event: NewEvent, desks: Simulator, redis: Redis
) -> None:
    """The note may have arrived since, and the stored list lacks it."""
    ticket_id = new_ticket(desks)
    job_id = await accept(database, new_event(ticket_id=ticket_id))
    answers = AnswersInRedis(redis, 1000)
    posted = "now() - interval '3 hours'" if kept_by == "its age" else "now() - interval '5 minutes'"
    last = {"attempt": 8, "note_attempted_at": posted, "deadline_at": "now() + interval '5 seconds'"}
    table.change(job_id, **last, enhancement=ANSWER.model_dump_json())
    breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
    async with opened(settings(desks.url), breaker=breaker) as down, opened(settings(desks.url)) as desk:
        other = await desk.add_note(ticket_id, "<p>call back</p>")
        posted_at = table.job(job_id)["note_attempted_at"].astimezone(UTC)
        look = UnfinishedLook(posted_at.isoformat(), (posted_at + timedelta(seconds=100)).isoformat(), [other])
        await answers.put(Kept.LOOK, job_id, look)
        with pytest.raises(DeskTimeout), breaker.watch():
            raise DeskTimeout
        assert await run_job(replace(runner_on(down, database, database), answers=answers), job_id)
        assert table.job(job_id)["state"] == "failed"
        if kept_by == "its age":
            await answers.put(Kept.LOOK, job_id, look)
        await desk.add_note(ticket_id, to_html(ANSWER, job_id, "gpt-6-luna"))
        await by_hand.retry(database, job_id, DEADLINE)
        assert await run_job(replace(runner_on(desk, database, database), answers=answers), job_id)
    assert table.job(job_id)["state"] == "completed"
    assert len(notes_of(desks, ticket_id)) == 2


class Silent(Database):
    """Commits a completed job without a confirmation."""

    def __init__(self, url: str) -> None:
        super().__init__(url, application_name="silent")
        self.committed = asyncio.Event()

    async def call(self, question: TextClause, **values: Any) -> Sequence[Row]:
        rows = await super().call(question, **values)
        if "complete_job" in str(question):
            self.committed.set()
            await asyncio.sleep(60)
        return rows


async def test_an_outcome_whose_commit_is_in_doubt_at_a_stop_is_told_as_it_stands(
    waiting: UUID, server: Postgres, database: Database, table: Table, desks: Simulator, start_log: StartLog
) -> None:
    stream, silent, ticket_id = start_log(), Silent(server.url), new_ticket(desks)
    table.change(waiting, enhancement=ANSWER.model_dump_json(), ticket_id=ticket_id)
    async with opened(settings(desks.url)) as desk:
        running = asyncio.ensure_future(run_job(runner_on(desk, silent, database), waiting))
        await silent.committed.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert table.job(waiting)["state"] == "completed"
    assert "Task completed" in stream.getvalue()
    assert "claim lost" not in stream.getvalue()
    await silent.close()
