"""Jobs of a desk that allows reads and refuses notes, on a real Postgres."""

from dataclasses import replace
from uuid import UUID

import pytest

from config.tenant_settings import TicketRules, parse_names
from config.tenants import Tenant
from tests.kit import model as kit
from tests.kit.clock import Clock
from tests.kit.desk import Edition, holds_by, new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from tests.kit.runner import run_when_due, runner_on
from tests.kit.simulators import Simulator

REFUSED = "desk notes not permitted"


async def test_a_job_whose_note_is_refused_loses_nothing_and_is_paid_once(
    store: Store, desks: Simulator, model: Simulator, start_log: StartLog
) -> None:
    log = start_log()
    ticket_id = new_ticket(desks)
    job_id = await store.accept(ticket_id=ticket_id)
    before = store.table.job(job_id)["deadline_at"]
    clock = Clock()
    desks.order(kind="status", code=401, operation="add_note")
    wanted = settings(desks.url, failure_note=True)
    async with opened(wanted, holds=holds_by(clock)) as desk, kit.opened(model.url) as gpt4:
        runner = replace(runner_on(desk, store.database, store.database), model_of=lambda _: gpt4)
        for held_for in (30, 60):
            row = await run_when_due(runner, store.table, job_id)
            assert (row["state"], row["reason"], row["attempt"]) == ("waiting", REFUSED, 0)
            assert held_for <= (row["deadline_at"] - before).total_seconds() < held_for + 30
            # The ticket, the same again, and the note; then nothing.
            assert len(desks.requests()) == 3
        desks.forget()
        clock.now += 30
        assert (await run_when_due(runner, store.table, job_id))["state"] == "completed"
    told = log.getvalue()
    assert len(notes_of(desks, ticket_id)) == len(model.requests(operation="chat")) == 1
    assert told.count("ServiceDesk Plus API error: 401") == 1
    assert "Task failed" not in told


@pytest.mark.parametrize(("code", "edition", "before"), [(401, "cloud", 0), (403, "onpremises", 2)])
async def test_nothing_is_paid_while_notes_are_refused_and_who_has_paid_finds_out(
    code: int, edition: Edition, before: int, store: Store, desks: Simulator, model: Simulator
) -> None:
    """A scope or right is missing: other reads work.

    Earlier 403s may be single tickets'.
    """
    clock = Clock()
    tickets = [new_ticket(desks, edition) for _ in range(before + 2)]
    job_ids = [await store.accept(ticket_id=ticket_id) for ticket_id in tickets]
    desks.order(kind="status", code=code, operation="add_note")
    async with opened(settings(desks.url, edition), holds=holds_by(clock)) as desk, kit.opened(model.url) as gpt4:
        runner = replace(runner_on(desk, store.database, store.database), model_of=lambda _: gpt4)

        async def ran(job_id: UUID) -> tuple[str, str]:
            row = await run_when_due(runner, store.table, job_id)
            return row["state"], row["reason"]

        *refused, answered, unpaid = job_ids
        assert [(await ran(job_id))[0] for job_id in refused] == ["failed"] * before
        for _ in range(3):
            assert await ran(answered) == await ran(unpaid) == ("waiting", REFUSED)
            clock.now += 30
            # The job that probes is the one with a paid answer.
            assert await ran(unpaid) == ("waiting", REFUSED)
        assert len(model.requests(operation="chat")) == before + 1
        assert desks.requests(ticket_id=tickets[-1]) == []
        desks.forget()
        assert [(await ran(job_id))[0] for job_id in (answered, unpaid)] == ["completed"] * 2
    assert len(model.requests(operation="chat")) == before + 2
    assert len(notes_of(desks, tickets[-2], edition)) == 1


@pytest.mark.parametrize("since", [{"status": "Closed"}, {"group": "HR"}], ids=["closed", "left out"])
async def test_a_ticket_that_changed_while_the_key_was_refused_gets_no_note(
    since: dict[str, str], store: Store, desks: Simulator, model: Simulator
) -> None:
    """Exchanging the key takes longer than a desk's rate, so the ticket is read again."""
    ticket_id = new_ticket(desks)
    job_id = await store.accept(ticket_id=ticket_id)
    desks.order(kind="status", code=401, operation="add_note")
    clock = Clock()
    wishes = Tenant("acme", rules=TicketRules(never=parse_names("group:HR")))
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk, kit.opened(model.url) as gpt4:
        runner = runner_on(desk, store.database, store.database)
        runner = replace(runner, model_of=lambda _: gpt4, wishes_of=lambda _: wishes)
        assert (await run_when_due(runner, store.table, job_id))["reason"] == REFUSED
        desks.forget()
        desks.change("PATCH", f"/tickets/acme/{ticket_id}", **since)
        clock.now += 30
        assert (await run_when_due(runner, store.table, job_id))["state"] == "skipped"
    assert notes_of(desks, ticket_id) == []
