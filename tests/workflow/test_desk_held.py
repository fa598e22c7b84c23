"""Jobs of a desk whose key expires while they run, on a real Postgres."""

from dataclasses import replace

import pytest

from config.tenants import Tenant
from config.ticket_rules import TicketRules, parse_names
from integrations.holds import DeskHoldReason, Hold
from observability import metrics
from storage import jobs
from storage.session import Database
from tests.kit import model as kit
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, NewEvent, Store, Table
from tests.kit.runner import runner_on
from tests.kit.simulators import Simulator
from workflow.run import run_job


async def test_a_job_whose_note_is_refused_for_the_key_loses_nothing_and_is_paid_once(
    database: Database, table: Table, new_event: NewEvent, desks: Simulator, model: Simulator, start_log: StartLog
) -> None:
    log = start_log()
    ticket_id = new_ticket(desks)
    job_id = await jobs.accept(database, new_event(ticket_id=ticket_id), DEADLINE, published=True)
    before = table.job(job_id)["deadline_at"]
    clock = Clock()
    desks.order(kind="status", code=401, operation="add_note")
    hold = Hold(
        "desk of acme",
        reasons=DeskHoldReason,
        gauge=metrics.DESK_HELD,
        monotonic=clock,
        jitter=lambda low, _high: low,
    )
    async with opened(settings(desks.url, failure_note=True), hold=hold) as desk, kit.opened(model.url) as gpt4:
        runner = replace(runner_on(desk, database, database), model_of=lambda _: gpt4)
        for held_for in (30, 60):
            table.change(job_id, due_at="now()")
            assert await run_job(runner, job_id)
            row = table.job(job_id)
            assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "desk credentials refused", 0)
            assert (row["deadline_at"] - before).total_seconds() == held_for
            # The ticket, the same once more, and the note; then nothing.
            assert len(desks.requests()) == 3
        desks.forget()
        clock.now += 30
        table.change(job_id, due_at="now()")
        assert await run_job(runner, job_id)
    told = log.getvalue()
    assert table.job(job_id)["state"] == "completed"
    assert len(notes_of(desks, ticket_id)) == len(model.requests(operation="chat")) == 1
    assert told.count("ServiceDesk Plus API error: 401") == 1
    assert "Task failed" not in told


@pytest.mark.parametrize("since", [{"status": "Closed"}, {"group": "HR"}], ids=["closed", "left out"])
async def test_a_ticket_that_changed_while_the_key_was_refused_gets_no_note(
    since: dict[str, str], store: Store, desks: Simulator, model: Simulator
) -> None:
    """Somebody has to exchange the key, and that takes longer than a desk's rate: the ticket is read again."""
    ticket_id = new_ticket(desks)
    job_id = await store.accept(ticket_id=ticket_id)
    desks.order(kind="status", code=401, operation="add_note")
    clock = Clock()
    hold = Hold("desk of acme", reasons=DeskHoldReason, gauge=metrics.DESK_HELD, monotonic=clock)
    wishes = Tenant("acme", rules=TicketRules(never=parse_names("group:HR")))
    async with opened(settings(desks.url), hold=hold) as desk, kit.opened(model.url) as gpt4:
        runner = runner_on(desk, store.database, store.database)
        runner = replace(runner, model_of=lambda _: gpt4, wishes_of=lambda _: wishes)
        assert await run_job(runner, job_id)
        assert store.table.job(job_id)["reason"] == "desk credentials refused"
        desks.forget()
        desks.change("PATCH", f"/tickets/acme/{ticket_id}", **since)
        clock.now += 30
        store.table.change(job_id, due_at="now()")
        assert await run_job(runner, job_id)
    assert store.table.job(job_id)["state"] == "skipped"
    assert notes_of(desks, ticket_id) == []
