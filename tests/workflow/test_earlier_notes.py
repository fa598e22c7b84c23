"""Notes of earlier attempts: recognition, search, and the row after a note was not posted."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from langgraph.runtime import Runtime

from integrations.errors import DeferredError, DeskTimeoutError
from integrations.resilience import Breaker
from integrations.servicedesk.client import ServiceDeskPlus
from jobs import claims, details
from tests.kit.desk import EXTRA_KEY_REFUSED, new_ticket, opened, settings
from tests.kit.postgres import Store, attempt_at, claimed
from tests.kit.runner import ANSWER, TICKET, run_job, runner_on
from tests.workflow.place import WorkSite, tenant
from workflow.nodes.update_ticket import update_ticket
from workflow.note import marker, to_html
from workflow.state import GraphState

QUOTES = (
    *("&gt; {note}", "On Monday Sam wrote:<br>{note}", "<blockquote>{note}</blockquote><p>Thanks, that was it.</p>"),
    *("{marker}", "Enhancement done by hand, see {marker}", "Fwd: {note} -- Sam"),
)


async def unsettled(place: WorkSite, desk: ServiceDeskPlus, job_id: UUID) -> None:
    """Run the attempt after one that may have posted the note some minutes ago."""
    earlier = {"note_attempted_at": "now() - interval '5 minutes'", "model": "gpt-6-luna"}
    place.change(job_id, **earlier, enhancement=ANSWER.model_dump_json())
    database = place.store.database
    assert await run_job(replace(runner_on(desk, database, database), answers=place.answers), job_id)


@pytest.mark.parametrize("quote", QUOTES)
async def test_a_quoted_note_does_not_complete_the_job(quote: str, place: WorkSite) -> None:
    """The note was lost, and a technician quoted it from a mail: it is posted again."""
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    ours = to_html(ANSWER, job_id, "gpt-6-luna")
    async with opened(settings(place.desks.url)) as desk:
        quoted = await desk.add_note(ticket_id, quote.format(note=ours, marker=marker(job_id)))
        await unsettled(place, desk, job_id)
    row = place.row(job_id)
    assert row["state"] == "completed"
    assert row["note_id"] != quoted
    assert place.notes(ticket_id)[1:] == [ours]


@pytest.mark.parametrize("stored", ["{note}", "<html><body>\n{note}\n&nbsp;</body></html>", "<p>{note}</p><br/>"])
async def test_our_note_is_found_however_the_desk_wraps_it(stored: str, place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    async with opened(settings(place.desks.url)) as desk:
        there = await desk.add_note(ticket_id, stored.format(note=to_html(ANSWER, job_id, "gpt-6-luna")))
        await desk.add_note(ticket_id, "&gt; " + to_html(ANSWER, job_id, "gpt-6-luna"))
        await unsettled(place, desk, job_id)
    row = place.row(job_id)
    assert (row["state"], row["note_id"]) == ("completed", there)
    assert len(place.notes(ticket_id)) == 2


async def test_a_search_for_a_note_reads_those_since_the_attempt(place: WorkSite) -> None:
    """Each note is a call: only the newest three and those since the attempt are read."""
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    async with opened(settings(place.desks.url)) as desk:
        for number in range(9):
            await desk.add_note(ticket_id, f"<p>note {number}</p>")
    place.change(job_id, note_attempted_at="now() + interval '20 minutes'")
    assert (await place.run(job_id))[1] == "note may still arrive"
    assert len(place.desks.requests(operation="read_note")) == 3


@pytest.mark.parametrize("other", ["may have posted", "was accepted earlier"])
async def test_a_lost_note_is_not_posted_while_another_job_runs_first(other: str, place: WorkSite) -> None:
    """A retry by hand may have started it, and its note may arrive as well."""
    ticket_id = new_ticket(place.desks)
    first, job_id = [await place.job(ticket_id) for _ in range(2)]
    if other == "may have posted":
        place.change(first, note_attempted_at="now() - interval '20 seconds'", accepted_at="now()")
    async with opened(settings(place.desks.url)) as desk:
        await unsettled(place, desk, job_id)
    row = place.row(job_id)
    assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "another job of this ticket", 0)
    assert (row["note_attempted_at"], place.notes(ticket_id)) == (None, [])
    place.change(first, state="completed", finished_at="now()")
    place.change(job_id, due_at="now()")
    assert await place.run(job_id) == ("skipped", "already enhanced")
    assert place.notes(ticket_id) == []


async def test_a_lost_note_is_not_posted_after_another_job_enhanced_the_ticket(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    job_id, other = [await place.job(ticket_id) for _ in range(2)]
    place.change(other, state="completed", finished_at="now()")
    async with opened(settings(place.desks.url)) as desk:
        await unsettled(place, desk, job_id)
    assert (place.row(job_id)["reason"], place.notes(ticket_id)) == ("already enhanced", [])


class OtherKey:
    """A desk that requires the other edition's key and fails after the first refusal."""

    def __init__(self, breaker: Breaker, second: str) -> None:
        self.posts = 0
        self._breaker = breaker
        self._second = second

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=TICKET)
        self.posts += 1
        if self.posts == 1:
            if self._second == "held back":
                with pytest.raises(DeskTimeoutError), self._breaker.watch():
                    raise DeskTimeoutError
            return httpx2.Response(400, json=EXTRA_KEY_REFUSED)
        raise httpx2.ReadTimeout("?")


@pytest.mark.parametrize("second", ["held back", "unknown"])
async def test_a_second_posting_decides_whether_a_note_may_exist(second: str, waiting: UUID, store: Store) -> None:
    """The first was refused for its key without an effect, so a hold leaves no doubt."""
    breaker = Breaker("desk", "desk unavailable", most_failures=1)
    server = OtherKey(breaker, second)
    claim = await claimed(store.database, waiting)
    transport = httpx2.MockTransport(server.answer)
    async with opened(settings("http://desk"), transport=transport, breaker=breaker) as desk:
        attempt = attempt_at(claim, store.database, desk=desk)
        state: GraphState = {"content": ANSWER, "model": "gpt-6-luna"}
        with pytest.raises(DeferredError if second == "held back" else DeskTimeoutError):
            await update_ticket(state, Runtime(context=attempt))
    attempted = store.table.job(waiting)["note_attempted_at"]
    if second == "held back":
        assert (server.posts, attempted) == (1, None)
        await claims.defer(store.database, claim, 0, "desk unavailable")
        # The next attempt posts at once instead of waiting for a note that cannot exist.
        assert (await claimed(store.database, waiting)).note_attempted_at is None
    else:
        assert server.posts == 2
        assert attempted - store.table.job(waiting)["started_at"] < timedelta(seconds=30)
        assert await claims.may_have_posted(store.database, claim)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"code": 403}, "dry run"), ({"code": 429}, "dry run"), ({}, "dry run"), (None, "ticket not found")],
    ids=["refused", "busy", "closed", "deleted"],
)
async def test_a_dry_run_keeps_its_paid_answer_without_reading_the_ticket(
    fault: dict[str, Any] | None, reason: str, place: WorkSite
) -> None:
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    first, second = [await place.job(ticket_id) for _ in range(2)]
    place.change(first, enhancement=ANSWER.model_dump_json(), model="gpt-6-luna", started_at="now()")
    if fault is None:
        place.desks.change("DELETE", f"/tickets/acme/{ticket_id}")
    elif fault:
        place.desks.order(kind="status", operation="read_ticket", times=1, **fault)
    else:
        place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Closed")
    assert (await place.run(first))[1] == reason
    if fault is not None:
        assert (await place.run(second))[1] == "already enhanced"
        assert await details.answer_of(place.store.database, "acme", first)
    assert place.paid() == 0


async def test_a_ticket_seen_open_is_not_looked_at_again_after_a_hold_for_an_hour(waiting: UUID, store: Store) -> None:
    claim = await claimed(store.database, waiting)
    assert not claim.was_recently_open()
    await claims.seen_open(store.database, claim)
    for ago, counts in (("59 minutes", True), ("61 minutes", False)):
        await claims.defer(store.database, claim, 0, "desk rate limit")
        store.table.change(waiting, seen_open_at=f"now() - interval '{ago}'")
        claim = await claimed(store.database, waiting)
        assert claim.was_recently_open() is counts
    # A failed attempt ends what was seen.
    await claims.retry_later(store.database, claim, 0, "ServiceDesk Plus timeout")
    assert (await claimed(store.database, waiting)).seen_open_at is None
