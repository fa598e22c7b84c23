"""Jobs of a cloud desk named by either ticket number: one search and one note."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from cli.pilot.postgres import Postgres
from config.tenants import ReportSection, Tenant
from db.session import Database
from integrations.servicedesk.client import ServiceDeskPlus
from jobs import claims
from knowledge import repository
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit import model as gpt4
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.postgres import Store, attempt_at, claimed
from tests.kit.runner import run_job, runner_on
from tests.kit.simulators import Simulator
from tests.system.by_hand import here
from workflow.exclusions import is_held_out
from workflow.failure_note import leave_failure_note
from workflow.runner import Runner
from workflow.stored_answers import StoredAnswers

SUBJECT = "VPN drops at home"


@pytest.fixture
async def desk(desks: Simulator, tokens: Redis) -> AsyncIterator[ServiceDeskPlus]:
    async with opened(settings(desks.url, "cloud", failure_note=True), redis=tokens) as opened_desk:
        yield opened_desk


@pytest.fixture
async def runner(desk: ServiceDeskPlus, model: Simulator, database: Database, redis: Redis) -> AsyncIterator[Runner]:
    async with gpt4.opened(model.url) as client:
        yield replace(runner_on(desk, database, database), model_of=lambda _: client, answers=StoredAnswers(redis, 60))


@dataclass
class Known:
    """A ticket with two numbers, and the runner of its jobs."""

    desks: Simulator
    store: Store
    model: Simulator
    runner: Runner

    def __post_init__(self) -> None:
        self.desk_id = new_ticket(self.desks, "cloud", subject=SUBJECT)
        self.number = str(self.desks.look(f"/tickets/globex/{self.desk_id}")["display_id"])
        self.numbers = (self.number, self.desk_id)
        self.desks.forget()

    async def job(self, number: str) -> UUID:
        return await self.store.accept(ticket_id=number, tenant_id="globex")

    async def run(self, *job_ids: UUID, **tenant_settings: Any) -> list[dict[str, Any]]:
        runner = replace(self.runner, tenant_of=partial(Tenant, **tenant_settings)) if tenant_settings else self.runner
        for job_id in job_ids:
            assert await run_job(runner, job_id)
        return self.rows(*job_ids)

    def rows(self, *job_ids: UUID) -> list[dict[str, Any]]:
        return [self.store.table.job(job_id) for job_id in job_ids]

    def calls(self) -> list[str]:
        return [one["operation"] for one in self.desks.requests() if one["operation"] != "token"]

    def notes(self) -> list[str]:
        return [str(note["description"]) for note in notes_of(self.desks, self.desk_id, "cloud")]

    def notes_and_calls(self) -> tuple[int, int]:
        """Return the number of notes, and of paid calls."""
        return len(self.notes()), len(self.model.requests(operation="chat"))


@pytest.fixture
def ticket(desks: Simulator, store: Store, model: Simulator, runner: Runner) -> Known:
    return Known(desks, store, model, runner)


async def test_the_id_is_searched_once_and_kept_as_an_identifier(
    ticket: Known, log: io.StringIO, spans: InMemorySpanExporter
) -> None:
    job_id = await ticket.job(ticket.number)
    ticket.model.order(kind="status", code=500, times=1)
    (row,) = await ticket.run(job_id)
    numbers = (row["ticket_id"], row["desk_id"], row["display_id"])
    assert (row["state"], numbers) == ("waiting", (ticket.number, ticket.desk_id, ticket.number))
    ticket.store.table.change(job_id, due_at="now()")
    await ticket.run(job_id)
    assert ticket.calls() == ["list_tickets", "read_ticket", "read_ticket", "read_ticket", "add_note"]
    assert ticket.rows(job_id)[0]["state"] == "completed"
    assert len(ticket.notes()) == 1
    lines = log.getvalue().splitlines()
    began = next(number for number, line in enumerate(lines) if "Context gathered: " in line)
    assert all(f"ticket_id: {ticket.number}, " in line for line in lines)
    assert [f"desk_id: {ticket.desk_id}" in line for line in lines] == [number >= began for number in range(len(lines))]
    assert any(f"ServiceDesk Plus ticket updated: ticket_id={ticket.number} |" in line for line in lines)
    # Spans that are open when it becomes known; later ones have it from their start, as lines do.
    tagged = [span.name for span in spans.get_finished_spans() if dict(span.attributes or {}).get("desk_id")]
    assert [tagged.count(name) for name in ("Context", "Worker")] == [2, 2]


async def test_the_display_number_is_an_identifier_of_a_job_named_by_id(ticket: Known, log: io.StringIO) -> None:
    job_id = await ticket.job(ticket.desk_id)
    await ticket.run(job_id)
    assert ticket.calls() == ["read_ticket", "read_ticket", "add_note"]
    completed = next(line for line in log.getvalue().splitlines() if "Task completed" in line)
    assert f"ticket_id: {ticket.desk_id}, " in completed
    assert f"display_id: {ticket.number}" in completed


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("named_first", [0, 1])
async def test_the_second_of_two_webhooks_is_skipped_unpaid_whichever_number_it_names(
    named_first: int, dry_run: bool, ticket: Known, log: io.StringIO
) -> None:
    numbers = [ticket.numbers[number] for number in (named_first, 1 - named_first)]
    job_ids = [await ticket.job(number) for number in numbers]
    rows = await ticket.run(*job_ids, dry_run=dry_run)
    ended = ("skipped", "dry run") if dry_run else ("completed", None)
    assert [(row["state"], row["reason"]) for row in rows] == [ended, ("skipped", "already enhanced")]
    assert ticket.notes_and_calls() == (0 if dry_run else 1, 1)
    assert f"Task skipped: job_id={job_ids[1]}, ticket_id={numbers[1]}, reason=already enhanced" in log.getvalue()


async def test_a_ticket_is_held_out_by_its_id_whichever_number_a_webhook_names(ticket: Known) -> None:
    for held_out in (True, False):
        while is_held_out("globex", ticket.desk_id, 50) is not held_out or (
            is_held_out("globex", ticket.number, 50) is held_out
        ):
            ticket = replace(ticket)
        job_ids = [await ticket.job(number) for number in ticket.numbers]
        rows = await ticket.run(*job_ids, report=ReportSection(holdout=50))
        reasons = ["held out for comparison"] * 2 if held_out else [None, "already enhanced"]
        assert [row["reason"] for row in rows] == reasons


async def test_two_webhooks_that_run_at_the_same_time_make_one_note(ticket: Known) -> None:
    job_ids = [await ticket.job(number) for number in ticket.numbers]
    await asyncio.gather(*(run_job(ticket.runner, job_id) for job_id in job_ids))
    rows = ticket.rows(*job_ids)
    assert sorted(row["state"] for row in rows) == ["completed", "waiting"]
    (waits,) = [row for row in rows if row["state"] == "waiting"]
    assert (waits["reason"], waits["attempt"]) == ("another job of this ticket", 0)
    ticket.store.table.change(waits["id"], due_at="now()")
    assert (await ticket.run(waits["id"]))[0]["reason"] == "already enhanced"
    assert ticket.notes_and_calls() == (1, 1)


@pytest.mark.usefixtures("untouched_logging")
@pytest.mark.parametrize(("first", "at_once"), [(0, False), (1, False), (0, True)])
async def test_two_jobs_that_failed_with_their_desk_make_one_note_when_retried(
    first: int, at_once: bool, ticket: Known, server: Postgres
) -> None:
    """By `retry --failed`, which cannot know that both are of one ticket either."""
    job_ids = [await ticket.job(number) for number in ticket.numbers]
    ticket.desks.order(kind="status", code=403)
    assert [row["state"] for row in await ticket.run(*job_ids)] == ["failed", "failed"]
    ticket.desks.forget()
    words = ("retry", "--failed", "--since", "1h", "--yes")
    asked = await asyncio.to_thread(here, *words, DATABASE_URL=server.url)
    assert "2 jobs are waiting again" in asked.stdout, asked.stderr
    order = [job_ids[first], job_ids[1 - first]]
    if at_once:
        await asyncio.gather(*(run_job(ticket.runner, job_id) for job_id in order))
    for job_id in order:
        ticket.store.table.change(job_id, due_at="now()")
        await run_job(ticket.runner, job_id)
    ended = sorted((row["state"], row["reason"]) for row in ticket.rows(*job_ids))
    assert ended == [("completed", None), ("skipped", "already enhanced")]
    assert ticket.notes_and_calls() == (1, 1)


async def test_a_number_that_no_ticket_has_ends_its_job_and_the_copy_that_had_it(
    ticket: Known, log: io.StringIO
) -> None:
    copy = {"ticket_id": ticket.desk_id, "subject": SUBJECT, "description": "", "resolution": "R", "status": "Closed"}
    await repository.save_ticket(ticket.store.database, "globex", copy | {"display_id": ticket.number})
    ticket.desks.change("DELETE", f"/tickets/globex/{ticket.desk_id}")
    job_id = await ticket.job(ticket.number)
    assert (await ticket.run(job_id))[0]["reason"] == "ticket not found"
    assert f"Ticket not found: {ticket.number} |" in log.getvalue()
    assert ticket.store.table.run("SELECT 1 FROM tickets") == []


@pytest.mark.parametrize("forgotten_by", [0, 1])
@pytest.mark.parametrize("named_by", [0, 1])
async def test_a_forgotten_ticket_is_not_shown_to_the_model_whichever_number_is_named(
    forgotten_by: int, named_by: int, ticket: Known
) -> None:
    await erasure.erase(ticket.store.database, ErasureScope("globex", ticket_id=ticket.numbers[forgotten_by]))
    job_id = await ticket.job(ticket.numbers[named_by])
    assert (await ticket.run(job_id))[0]["reason"] == "forgotten"
    assert ticket.model.requests(operation="chat") == []


async def test_a_failure_note_is_posted_by_id(ticket: Known, log: io.StringIO) -> None:
    copy = {"ticket_id": "999000000000000001", "subject": SUBJECT, "description": SUBJECT, "status": "Closed"}
    await repository.save_ticket(
        ticket.store.database, "globex", copy | {"resolution": "Restarted.", "display_id": "77"}
    )
    ticket.model.order(kind="status", code=403)
    job_id = await ticket.job(ticket.number)
    await ticket.run(job_id)
    (note,) = ticket.notes()
    assert f">#77</a> {SUBJECT}" in note
    assert f"Failure note posted: ticket_id={ticket.number} |" in log.getvalue()


@pytest.mark.parametrize("named_first", [0, 1])
async def test_jobs_that_never_read_their_ticket_leave_one_failure_note(
    named_first: int, ticket: Known, desk: ServiceDeskPlus, database: Database
) -> None:
    numbers = ticket.numbers
    held = [await claimed(database, await ticket.job(numbers[number])) for number in (named_first, 1 - named_first)]
    for claim in held:
        await claims.fail(database, claim, "model unavailable")
    for claim in held:
        # One instance for all calls, as a worker creates it.
        attempt = attempt_at(claim, database, desk=desk)
        await leave_failure_note(claim, lambda attempt=attempt: attempt)  # type: ignore[misc]
    assert len(ticket.notes()) == 1
