"""The failure note: distinct, once, and not for a job retried since."""

import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from integrations.rate_limit import DeskRate
from integrations.values import SimilarTicket
from storage import by_hand, claims, erasing, history
from storage.claims import Claim
from storage.erasable import Which
from storage.search import SearchInPostgres
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, NewEvent, Store, accept, attempt_at, claimed
from tests.kit.runner import runner_on
from tests.kit.simulators import Simulator
from workflow.failure_note import leave_failure_note
from workflow.note import marker


async def failed(database: Database, job_id: UUID) -> Claim:
    claim = await claimed(database, job_id)
    await claims.fail(database, claim, "OpenAI API: 401 Unauthorized")
    return claim


class FoundThenForgotten(SearchInPostgres):
    """A search whose found tickets are erased right after it."""

    def __init__(self, database: Database, forget: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database, 2)
        self._forget = forget
        self.found: list[SimilarTicket] = []

    async def similar_tickets(self, *given: Any, **named: Any) -> list[SimilarTicket]:
        self.found = list(await super().similar_tickets(*given, **named))
        await self._forget()
        return self.found


@pytest.mark.parametrize("retried", [False, True])
async def test_a_failed_job_gets_one_failure_note_unless_it_was_retried_meanwhile(
    database: Database, new_event: NewEvent, desks: Simulator, start_log: StartLog, *, retried: bool
) -> None:
    stream: io.StringIO = start_log()
    ticket_id = new_ticket(desks)
    job_id = await accept(database, new_event(ticket_id=ticket_id))
    async with opened(settings(desks.url, failure_note=True)) as desk:
        claim = await failed(database, job_id)
        if retried:
            await by_hand.retry(database, job_id, DEADLINE)
        await leave_failure_note(claim, lambda: attempt_at(claim, database, desk=desk))
        if not retried:
            # It fails again after a retry by hand: the note is there already.
            await by_hand.retry(database, job_id, DEADLINE)
            again = await failed(database, job_id)
            await leave_failure_note(again, lambda: attempt_at(again, database, desk=desk))
        notes = [str(note["description"]) for note in notes_of(desks, ticket_id)]
    if retried:
        assert notes == []
        assert (
            f"Note with context only not left: ticket_id={ticket_id}, reason=job was retried, or the ticket has one"
            in stream.getvalue()
        )
    else:
        (note,) = notes
        assert "No enhancement" in note
        assert marker(job_id) not in note


async def test_a_ticket_gets_one_failure_note_and_its_echo_is_told(
    database: Database, new_event: NewEvent, desks: Simulator, start_log: StartLog
) -> None:
    """A desk may fire on our note: the loop would not end if each failed job left one."""
    stream: io.StringIO = start_log()
    ticket_id = new_ticket(desks)
    async with opened(settings(desks.url, failure_note=True)) as desk:
        job_ids = [new_event().job_id for _ in range(3)]
        for job_id in job_ids:
            event = new_event(ticket_id=ticket_id, job_id=job_id, dedupe_keys=(str(job_id),))
            await accept(database, event)
            claim = await claimed(database, job_id)
            assert claim.echo is (job_id != job_ids[0])
            await claims.fail(database, claim, "OpenAI API: 401 Unauthorized")
            await leave_failure_note(claim, partial(attempt_at, claim, database, desk=desk))
        assert len(notes_of(desks, ticket_id)) == 1
    assert stream.getvalue().count("reason=job was retried, or the ticket has one") == 2
    await by_hand.retry(database, job_ids[-1], DEADLINE)
    assert not (await claimed(database, job_ids[-1])).echo


async def test_an_unsent_failure_note_has_no_echo_and_a_refused_one_may_have(desks: Simulator, store: Store) -> None:
    """A desk may store a note that it refuses, and fire on the change."""
    held, refused = [new_ticket(desks) for _ in range(2)]
    for ticket_id in (held, refused):
        event = store.new_event(ticket_id=ticket_id, dedupe_keys=(ticket_id,))
        await store.accept(event)
        # One call only: reading the ticket.
        rate = DeskRate("acme", 4 if ticket_id == held else 3000, None)
        desks.order(kind="status", code=403, operation="add_note", performed=True)
        async with opened(settings(desks.url, failure_note=True), rate=rate) as desk:
            claim = await failed(store.database, event.job_id)
            await leave_failure_note(claim, partial(attempt_at, claim, store.database, desk=desk))
        noted = store.table.job(event.job_id)["failure_noted_at"] is not None
        assert (noted, len(notes_of(desks, ticket_id))) == (ticket_id == refused, int(ticket_id == refused))


@pytest.mark.parametrize("at", ["before", "after it was read", "of one that it names"])
async def test_a_ticket_that_was_forgotten_gets_no_failure_note(at: str, desks: Simulator, store: Store) -> None:
    """Nor a note that names an erased ticket, whose text is gone by then."""
    ticket_id = new_ticket(desks, subject="Scanner jams")
    named = {"ticket_id": "4711", "subject": "Scanner jams", "resolution": "r", "description": "", "status": "Closed"}
    await history.save_ticket(store.database, "acme", named | {"display_id": ""}, "")
    job_id = await store.accept(ticket_id=ticket_id)

    async def forget() -> None:
        await erasing.erase(store.database, Which("acme", ticket_id="4711" if at.startswith("of") else ticket_id))

    async with opened(settings(desks.url, failure_note=True)) as desk:
        claim = await failed(store.database, job_id)
        attempt = attempt_at(claim, store.database, desk=desk)
        search = FoundThenForgotten(store.database, forget)
        if at == "before":
            await forget()
        await leave_failure_note(claim, lambda: replace(attempt, search=search))
    assert notes_of(desks, ticket_id) == []
    assert store.table.job(job_id)["failure_noted_at"] is None
    assert len(search.found) == (at != "before")


async def test_the_echo_of_a_failure_note_ends_before_anything_is_asked(desks: Simulator, store: Store) -> None:
    ticket_id = new_ticket(desks)
    failed_id, echo_id = [await store.accept(ticket_id=ticket_id, dedupe_keys=(key,)) for key in ("one", "two")]
    store.table.change(failed_id, state="failed", failure_noted_at="now() - interval '1 minute'")
    async with opened(settings(desks.url)) as desk:
        assert await run_job(runner_on(desk, store.database, store.database), echo_id)
    row = store.table.job(echo_id)
    assert (row["state"], row["reason"]) == ("skipped", "own failure note")
    assert desks.requests(ticket_id=ticket_id) == []
