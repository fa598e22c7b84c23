"""Further notes: on request or after a reopening, at most one an hour."""

import re
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from config.tenants import NoteSettings
from integrations.errors import DeskUnavailableError
from jobs import manual_retry
from jobs.repository import OWN_EVENTS, RECOVERED, REFRESH_BY_HAND, SEEN_REOPENED
from tests.kit.desk import new_ticket
from tests.kit.runner import run_job
from tests.workflow.place import WorkSite, tenant

FIRST = "Ask the requester"
ASKED = "Updated on request."
REOPENED = "Updated because the ticket was reopened."
ALREADY = ("skipped", "already enhanced")
LATELY = ("skipped", "refreshed within the hour")
DONE = ("completed", None)


@dataclass
class Noted:
    """A ticket and its notes."""

    place: WorkSite
    ticket_id: str

    async def webhook(self, event: str | None = None) -> tuple[str, str | None]:
        return await self.place.run(await self.job(event))

    async def job(self, event: str | None = None) -> UUID:
        return await self.place.job(self.ticket_id, event=event)

    async def retried(self, job_id: UUID) -> tuple[str, str | None]:
        await manual_retry.retry(self.place.store.database, job_id, 1800)
        return await self.place.run(job_id)

    def begins(self) -> list[str]:
        texts = [re.sub("<[^>]+>", "", note) for note in self.place.notes(self.ticket_id)]
        return [re.match(r"Updated[^.]*\.|[A-Z][a-z ]*", text)[0] for text in texts]  # type: ignore[index]

    def earlier(self) -> None:
        """Move all times back by an hour."""
        moments = ("accepted_at", "started_at", "finished_at", "retried_at", "seen_closed_at")
        put_back = (f"{moment} = {moment} - interval '61 minutes'" for moment in moments)
        self.place.store.table.run(f"UPDATE jobs SET {', '.join(put_back)}")  # noqa: S608 -- of those above

    def seen_closed(self) -> None:
        self.place.store.table.run("UPDATE jobs SET seen_closed_at = now()")


@pytest.fixture
def bare(place: WorkSite) -> Noted:
    return Noted(place, new_ticket(place.desks))


@pytest.fixture
async def noted(bare: Noted) -> Noted:
    """Return a ticket with its first note."""
    assert await bare.webhook() == DONE
    return bare


@pytest.mark.parametrize(
    ("event", "begin"),
    [
        *(("refresh", ASKED), ("ticket.refresh", ASKED), ("Refresh", ASKED), ("TicketRefresh. ", ASKED)),
        *((REFRESH_BY_HAND, ASKED), ("ticket.reopened", REOPENED), ("Reopen", REOPENED), (SEEN_REOPENED, REOPENED)),
    ],
)
async def test_an_event_that_asks_for_it_makes_a_further_note(event: str, begin: str, noted: Noted) -> None:
    assert await noted.webhook(event) == DONE
    assert noted.begins() == [FIRST, begin]
    assert noted.place.paid() == 2


@pytest.mark.parametrize("event", [None, "ticket.updated", "refreshed_note", "reopen.later"])
async def test_another_event_makes_none(event: str | None, noted: Noted) -> None:
    assert await noted.webhook(event) == ALREADY
    assert noted.place.paid() == 1


async def test_a_first_note_says_nothing_of_an_update_and_there_is_one_further_note_an_hour(bare: Noted) -> None:
    assert await bare.webhook("refresh") == DONE
    assert bare.begins() == [FIRST]
    for expected in (DONE, LATELY, LATELY):
        assert await bare.webhook("refresh") == expected
    assert (bare.place.paid(), len(bare.begins())) == (2, 2)
    bare.earlier()
    assert await bare.webhook("refresh") == DONE
    assert bare.begins() == [FIRST, ASKED, ASKED]


async def test_the_hour_counts_from_the_request(noted: Noted) -> None:
    """A webhook triggered by a further note makes no other one after a long wait."""
    assert await noted.webhook("refresh") == DONE
    job_ids = [await noted.job("refresh") for _ in range(2)]
    assert [await noted.place.run(job_id) for job_id in job_ids] == [LATELY, LATELY]
    assert [await noted.retried(job_id) for job_id in job_ids] == [LATELY, LATELY]
    echo = await noted.job("refresh")
    noted.earlier()
    assert await noted.place.run(echo) == LATELY
    assert [await noted.retried(job_id) for job_id in job_ids] == [DONE, LATELY]
    assert noted.begins() == [FIRST, ASKED, ASKED]


@pytest.mark.parametrize("events", [(None, None, None), (None, "refresh", REFRESH_BY_HAND)])
async def test_a_request_before_the_note_began_is_that_note(events: Any, bare: Noted) -> None:
    """Retried it is a further one, once: of two that are retried together the other one ends as before."""
    job_ids = [await bare.job(event) for event in events]
    assert [await bare.place.run(job_id) for job_id in job_ids] == [DONE, ALREADY, ALREADY]
    assert bare.begins() == [FIRST]
    for job_id in job_ids[1:]:
        await manual_retry.retry(bare.place.store.database, job_id, 1800)
    assert [await bare.place.run(job_id) for job_id in job_ids[1:]] == [DONE, ALREADY]
    assert bare.begins() == [FIRST, ASKED]


async def test_one_reopening_is_paid_for_once_whatever_comes_of_it(noted: Noted) -> None:
    noted.seen_closed()
    noted.place.model.order(kind="status", code=400)
    assert (await noted.webhook("ticket.updated"))[0] == "failed"
    asked = noted.place.paid()
    assert await noted.webhook("ticket.updated") == ALREADY
    assert noted.place.paid() == asked


async def test_a_tenant_that_is_closed_by_now_has_its_webhooks_skipped(noted: Noted) -> None:
    job_id = await noted.job()
    async with noted.place.runner() as runner:

        def closed(tenant_id: str) -> Any:
            raise DeskUnavailableError(tenant_id)

        assert await run_job(replace(runner, desk_of=closed), job_id)
    assert noted.place.row(job_id)["reason"] == "already enhanced"


async def test_one_webhook_after_the_closing_makes_one_note(noted: Noted) -> None:
    noted.seen_closed()
    for status, expected in (("Closed", ("skipped", "ticket deleted or closed")), ("Open", DONE), ("Open", ALREADY)):
        noted.place.desks.change("PATCH", f"/tickets/acme/{noted.ticket_id}", status=status)
        assert await noted.webhook("ticket.updated") == expected
    assert noted.begins() == [FIRST, REOPENED]


async def test_a_tenant_may_want_none_for_reopened_tickets(noted: Noted) -> None:
    noted.place.tenant = replace(noted.place.tenant, note=NoteSettings(if_reopened=False))
    noted.seen_closed()
    assert await noted.webhook("ticket.reopened") == ALREADY
    assert await noted.webhook("refresh") == DONE


@pytest.mark.parametrize("event", sorted(OWN_EVENTS))
async def test_a_job_without_a_webhook_is_not_left_out_by_events(event: str, bare: Noted) -> None:
    bare.place.tenant = tenant(only="event:ticket.created", never="event:ticket.refresh")
    assert await bare.webhook("ticket.created") == DONE
    assert await bare.webhook("ticket.refresh") == ("skipped", "left out by the tenant's rules")
    # Only a ticket found in the desk requests a first note.
    assert await bare.webhook(event) == (ALREADY if event == RECOVERED else DONE)


@pytest.mark.parametrize("by_hand_", [False, True])
async def test_why_it_is_made_outlives_an_attempt(noted: Noted, by_hand_: bool) -> None:
    noted.place.desks.order(ticket_id=noted.ticket_id, operation="add_note", kind="status", code=429, times=1)
    job_id = await noted.job("refresh")
    state, _ = await noted.place.run(job_id)
    assert (state, noted.place.row(job_id)["refresh"]) == ("waiting", "asked")
    if by_hand_:
        noted.place.change(job_id, state="failed", reason="x", finished_at="now()")
        assert await noted.retried(job_id) == DONE
    else:
        noted.place.change(job_id, due_at="now()", event=None)
        assert await noted.place.run(job_id) == DONE
    assert noted.begins() == [FIRST, ASKED]
    assert noted.place.paid() == 2


async def test_a_person_gets_a_note_right_after_a_failure_note(bare: Noted) -> None:
    """A webhook of those minutes gets none: the failure note may have triggered it."""
    ended: dict[str, Any] = {"state": "failed", "reason": "x", "finished_at": "now()", "failure_noted_at": "now()"}
    bare.place.change(await bare.job(), **ended)
    assert await bare.webhook() == ("skipped", "own failure note")
    assert bare.place.desks.requests(ticket_id=bare.ticket_id) == []
    assert await bare.webhook(REFRESH_BY_HAND) == DONE
    assert bare.begins() == [ASKED]
