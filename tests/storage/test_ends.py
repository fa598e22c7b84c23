"""Attempts that end a job, run whole on a real Postgres: what the row and the log say of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from integrations.breaker import Breaker
from integrations.errors import DeskTimeout
from storage.session import Database
from tests.storage.conftest import LEASE, Table
from tests.unit.conftest import StartLog
from tests.unit.desk import opened, settings
from workflow.graph import build_graph
from workflow.run import Runner, run_job


@pytest.fixture
async def runner(database: Database) -> AsyncIterator[Runner]:
    """What runs jobs while the tenant's desk is known to be down."""
    breaker = Breaker("desk of acme", "desk unavailable", most_failures=1)
    with pytest.raises(DeskTimeout), breaker.watch():
        raise DeskTimeout
    nothing: Any = None
    async with opened(settings("http://desk"), breaker=breaker) as desk:
        yield Runner(
            owner="one",
            database=database,
            lease_database=database,
            gpt4=nothing,
            graph=build_graph(),
            desk_of=lambda _: desk,
            search_slots=asyncio.Semaphore(1),
            context_seconds=1,
            attempt_seconds=240,
            note_settle_seconds=60,
            lease_seconds=LEASE,
            answers=nothing,
            capture_messages=False,
        )


@pytest.mark.parametrize("posted", [True, False])
async def test_a_note_that_may_be_there_is_looked_for_though_the_desk_is_down_at_the_deadline(
    waiting: UUID, table: Table, runner: Runner, start_log: StartLog, *, posted: bool
) -> None:
    stream = start_log()
    attempted = "now() - interval '2 minutes'" if posted else None
    table.change(waiting, note_attempted_at=attempted, enhancement="{}", deadline_at="now() + interval '8 seconds'")
    assert await run_job(runner, waiting)
    row = table.job(waiting)
    line = f"Task failed: job_id={waiting}, ticket_id=12345, reason=desk unavailable; "
    if posted:
        assert (row["state"], row["attempt"]) == ("waiting", 8)
        assert f"{line}will be looked for once more in 60s" in stream.getvalue()
        assert row["deadline_at"] > row["due_at"]
        # That look is the last one: a desk that stays down fails the job.
        table.change(waiting, due_at="now()", deadline_at="now() + interval '8 seconds'")
        assert await run_job(runner, waiting)
        row = table.job(waiting)
    assert (row["state"], row["reason"]) == ("failed", "desk unavailable")
    assert f"{line}gave up at its deadline" in stream.getvalue()
