"""The failure note: distinct, once, and not for a job retried since."""

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from db.session import Database
from integrations.rate_limit import DeskRate
from jobs import claims, manual_retry
from jobs.claims import Claim
from knowledge import repository
from knowledge.models import SimilarTicket
from knowledge.search import PostgresSearch
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.postgres import DEADLINE, Store, attempt_at, claimed
from tests.kit.simulators import Simulator
from workflow.failure_note import leave_failure_note
from workflow.note import marker


@dataclass
class FailedJobs:
    """Jobs that fail at GPT-4, in a tenant that wants failure notes."""

    store: Store
    desks: Simulator

    async def fail(self, job_id: UUID) -> Claim:
        claim = await claimed(self.store.database, job_id)
        await claims.fail(self.store.database, claim, "OpenAI API: 401 Unauthorized")
        return claim

    async def leave(self, claim: Claim, search: PostgresSearch | None = None, **opening: Any) -> None:
        async with opened(settings(self.desks.url, failure_note=True), **opening) as desk:
            attempt = attempt_at(claim, self.store.database, desk=desk)
            await leave_failure_note(claim, lambda: replace(attempt, search=search or attempt.search))

    def notes(self, ticket_id: str) -> list[str]:
        return [str(note["description"]) for note in notes_of(self.desks, ticket_id)]


@pytest.fixture
def jobs(store: Store, desks: Simulator) -> FailedJobs:
    return FailedJobs(store, desks)


class FoundThenForgotten(PostgresSearch):
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
    jobs: FailedJobs, log: io.StringIO, *, retried: bool
) -> None:
    ticket_id = new_ticket(jobs.desks)
    job_id = await jobs.store.accept(ticket_id=ticket_id)
    claim = await jobs.fail(job_id)
    if retried:
        await manual_retry.retry(jobs.store.database, job_id, DEADLINE)
    await jobs.leave(claim)
    if not retried:
        # It fails again after a retry by hand: the note is there already.
        await manual_retry.retry(jobs.store.database, job_id, DEADLINE)
        await jobs.leave(await jobs.fail(job_id))
    notes = jobs.notes(ticket_id)
    assert [("No suggestions" in note, marker(job_id) in note) for note in notes] == [(True, False)] * (not retried)
    refused = f"Failure note not posted: ticket_id={ticket_id}, reason=job was retried, or the ticket has"
    assert refused in log.getvalue()


async def test_a_failure_note_names_the_model_and_what_was_found_in_the_tickets_language(jobs: FailedJobs) -> None:
    database = jobs.store.database
    words: dict[str, Any] = {"subject": "Der Scanner zieht das Papier schief ein", "description": "Seit heute."}
    ticket_id = new_ticket(jobs.desks, **words)
    earlier = words | {"ticket_id": "4711", "resolution": "Die Walze wurde gereinigt.", "status": "Closed"}
    await repository.save_ticket(database, "acme", earlier)
    await repository.save_passages(database, "acme", "12", "Scanner: Papier schief", ["Die Walze reinigen."])
    job_id = await jobs.store.accept(ticket_id=ticket_id)
    await jobs.leave(await jobs.fail(job_id), PostgresSearch(database, 2, least=0))
    (note,) = jobs.notes(ticket_id)
    assert note == (
        "<div><b>Keine Hinweise: gpt-6-luna (model.example) hat keine brauchbare Antwort gegeben.</b>"
        f"<p><b>Zu diesem Ticket gefunden: </b><br>#4711 {words['subject']}<br>"
        f"Dokument &#34;Scanner: Papier schief&#34;</p><p>Job {job_id}</p></div>"
    )
    nothing = new_ticket(jobs.desks, subject="Fax", description="Fax")
    await jobs.leave(await jobs.fail(await jobs.store.accept(ticket_id=nothing)))
    (note,) = jobs.notes(nothing)
    assert "<p>No similar ticket or document was found.</p>" in note


async def test_a_ticket_gets_one_failure_note_and_its_echo_is_recognized(jobs: FailedJobs, log: io.StringIO) -> None:
    """A desk may fire on our note: the loop would not end if each failed job left one."""
    ticket_id = new_ticket(jobs.desks)
    job_ids = []
    for number in range(3):
        job_ids.append(await jobs.store.accept(ticket_id=ticket_id))
        claim = await jobs.fail(job_ids[-1])
        assert claim.echo is (number > 0)
        await jobs.leave(claim)
    assert len(jobs.notes(ticket_id)) == 1
    assert log.getvalue().count("reason=job was retried, or the ticket has one") == 2
    await manual_retry.retry(jobs.store.database, job_ids[-1], DEADLINE)
    assert not (await claimed(jobs.store.database, job_ids[-1])).echo


@pytest.mark.parametrize(("calls_a_minute", "left"), [(1, False), (750, True)], ids=["held", "refused"])
async def test_a_refused_failure_note_may_have_an_echo_and_an_unsent_one_has_none(
    calls_a_minute: int, left: bool, jobs: FailedJobs
) -> None:
    """A desk may store a note that it refuses, and fire on the change."""
    ticket_id = new_ticket(jobs.desks)
    job_id = await jobs.store.accept(ticket_id=ticket_id)
    jobs.desks.order(kind="status", code=403, operation="add_note", performed=True)
    # Without Redis a process takes a quarter of the rate: one call only reads the ticket.
    await jobs.leave(await jobs.fail(job_id), rate=DeskRate("acme", 4 * calls_a_minute, None))
    noted = jobs.store.table.job(job_id)["failure_noted_at"] is not None
    assert (noted, len(jobs.notes(ticket_id))) == (left, int(left))


@pytest.mark.parametrize("at", ["before", "after it was read", "of one that it names"])
async def test_a_forgotten_ticket_gets_no_failure_note(at: str, jobs: FailedJobs) -> None:
    database, ticket_id = jobs.store.database, new_ticket(jobs.desks, subject="Scanner jams")
    named = {"ticket_id": "4711", "subject": "Scanner jams", "resolution": "r", "description": "", "status": "Closed"}
    await repository.save_ticket(database, "acme", named | {"display_id": ""}, "")
    job_id = await jobs.store.accept(ticket_id=ticket_id)

    async def forget() -> None:
        await erasure.erase(database, ErasureScope("acme", ticket_id="4711" if at.startswith("of") else ticket_id))

    claim, search = await jobs.fail(job_id), FoundThenForgotten(database, forget)
    if at == "before":
        await forget()
    await jobs.leave(claim, search)
    assert jobs.notes(ticket_id) == []
    assert jobs.store.table.job(job_id)["failure_noted_at"] is None
    assert len(search.found) == (at != "before")
