"""Further notes: on request or after a reopening, at most one an hour."""

import re
from dataclasses import replace
from typing import Any

import pytest

from config.tenants import NoteSettings
from integrations.errors import DeskUnavailable
from storage import by_hand
from storage.jobs import ASKED_BY_HAND, OWN_EVENTS, RECOVERED, SEEN_REOPENED
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket
from tests.workflow.place import WorkSite, place, tenant

__all__ = ["place"]

ASKED = "Updated because it was asked for."
REOPENED = "Updated because the ticket was reopened."
ALREADY = ("skipped", "already enhanced")
LATELY = ("skipped", "refreshed within the hour")
DONE = ("completed", None)


def begins(place: WorkSite, ticket_id: str) -> list[str]:
    texts = [re.sub("<[^>]+>", "", note) for note in place.notes(ticket_id)]
    return [re.match(r".*?(?:\.|(?= \())", text)[0] for text in texts]  # type: ignore[index]


def earlier(place: WorkSite) -> None:
    """Move all times back by an hour."""
    moments = ("accepted_at", "started_at", "finished_at", "retried_at", "seen_closed_at")
    put_back = (f"{moment} = {moment} - interval '61 minutes'" for moment in moments)
    place.store.table.run(f"UPDATE jobs SET {', '.join(put_back)}")  # noqa: S608 -- of those above


async def webhook(place: WorkSite, ticket_id: str, event: str | None) -> tuple[str, str | None]:
    return await place.run(await place.job(ticket_id, event=event))


@pytest.mark.parametrize(
    ("event", "begin"),
    [
        ("refresh", ASKED),
        ("ticket.refresh", ASKED),
        ("Refresh", ASKED),
        ("TicketRefresh. ", ASKED),
        (ASKED_BY_HAND, ASKED),
        ("ticket.reopened", REOPENED),
        ("Reopen", REOPENED),
        (SEEN_REOPENED, REOPENED),
    ],
)
async def test_an_event_that_asks_for_it_makes_a_further_note(event: str, begin: str, place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    assert await webhook(place, ticket_id, event) == DONE
    assert begins(place, ticket_id) == ["Enhancement", begin]
    assert place.paid() == 2


@pytest.mark.parametrize("event", [None, "ticket.updated", "refreshed_note", "reopen.later"])
async def test_another_event_makes_none(event: str | None, place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    assert await webhook(place, ticket_id, event) == ALREADY
    assert place.paid() == 1


async def test_a_first_note_says_nothing_of_an_update(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, "refresh") == DONE
    assert begins(place, ticket_id) == ["Enhancement"]


async def test_a_ticket_gets_one_further_note_an_hour(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    for expected in (DONE, DONE, LATELY, LATELY):
        assert await webhook(place, ticket_id, "refresh") == expected
    assert (place.paid(), len(begins(place, ticket_id))) == (2, 2)
    earlier(place)
    assert await webhook(place, ticket_id, "refresh") == DONE
    assert begins(place, ticket_id) == ["Enhancement", ASKED, ASKED]


async def test_the_hour_counts_from_when_it_was_asked_for(place: WorkSite) -> None:
    """A webhook triggered by a further note makes no other one after a long wait."""
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    assert await webhook(place, ticket_id, "refresh") == DONE
    echo = await place.job(ticket_id, event="refresh")
    earlier(place)
    assert await place.run(echo) == LATELY


async def test_what_came_too_soon_may_be_retried_by_hand_after_an_hour(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    assert await webhook(place, ticket_id, "refresh") == DONE
    job_ids = [await place.job(ticket_id, event="refresh") for _ in range(2)]
    for job_id in job_ids:
        assert await place.run(job_id) == LATELY
    for job_id in job_ids:
        await by_hand.retry(place.store.database, job_id, 1800)
        assert await place.run(job_id) == LATELY
    earlier(place)
    for job_id, expected in zip(job_ids, (DONE, LATELY), strict=True):
        await by_hand.retry(place.store.database, job_id, 1800)
        assert await place.run(job_id) == expected
    assert begins(place, ticket_id) == ["Enhancement", ASKED, ASKED]


async def test_what_was_asked_for_before_the_note_was_begun_is_that_note(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    job_ids = [await place.job(ticket_id, event=event) for event in (None, "refresh", ASKED_BY_HAND)]
    assert [await place.run(job_id) for job_id in job_ids] == [DONE, ALREADY, ALREADY]
    assert begins(place, ticket_id) == ["Enhancement"]


async def test_one_that_had_its_enhancement_may_be_retried_for_a_further_note(place: WorkSite) -> None:
    """Once: of two that are retried together the other one ends as before."""
    ticket_id = new_ticket(place.desks)
    job_ids = [await place.job(ticket_id) for _ in range(3)]
    assert [await place.run(job_id) for job_id in job_ids] == [DONE, ALREADY, ALREADY]
    for job_id in job_ids[1:]:
        await by_hand.retry(place.store.database, job_id, 1800)
    assert [await place.run(job_id) for job_id in job_ids[1:]] == [DONE, ALREADY]
    assert begins(place, ticket_id) == ["Enhancement", ASKED]


async def test_one_reopening_is_paid_for_once_whatever_comes_of_it(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    place.store.table.run("UPDATE jobs SET seen_closed_at = now()")
    place.model.order(kind="status", code=400)
    assert (await webhook(place, ticket_id, "ticket.updated"))[0] == "failed"
    asked = place.paid()
    assert await webhook(place, ticket_id, "ticket.updated") == ALREADY
    assert place.paid() == asked


async def test_a_tenant_that_is_closed_by_now_has_its_webhooks_skipped(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    job_id = await place.job(ticket_id)
    async with place.runner() as runner:

        def closed(tenant_id: str) -> Any:
            raise DeskUnavailable(tenant_id)

        assert await run_job(replace(runner, desk_of=closed), job_id)
    assert place.row(job_id)["reason"] == "already enhanced"


async def test_any_webhook_after_the_ticket_was_closed_makes_one_once(place: WorkSite) -> None:
    """The copy was seen closed; the job sees that it is open again."""
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    place.store.table.run("UPDATE jobs SET seen_closed_at = now()")
    place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Closed")
    assert await webhook(place, ticket_id, "ticket.updated") == ("skipped", "ticket deleted or closed")
    place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Open")
    assert await webhook(place, ticket_id, "ticket.updated") == DONE
    assert await webhook(place, ticket_id, "ticket.updated") == ALREADY
    assert begins(place, ticket_id) == ["Enhancement", REOPENED]


async def test_a_tenant_may_want_none_for_reopened_tickets(place: WorkSite) -> None:
    place.tenant = replace(place.tenant, note=NoteSettings(if_reopened=False))
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    place.store.table.run("UPDATE jobs SET seen_closed_at = now()")
    assert await webhook(place, ticket_id, "ticket.reopened") == ALREADY
    assert await webhook(place, ticket_id, "refresh") == DONE


@pytest.mark.parametrize("event", sorted(OWN_EVENTS))
async def test_a_job_without_a_webhook_is_not_left_out_by_events(event: str, place: WorkSite) -> None:
    place.tenant = tenant(only="event:ticket.created", never="event:ticket.refresh")
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, "ticket.created") == DONE
    assert await webhook(place, ticket_id, "ticket.refresh") == ("skipped", "left out by the tenant's rules")
    # Only a ticket found in the desk requests a first note.
    assert await webhook(place, ticket_id, event) == (ALREADY if event == RECOVERED else DONE)


async def test_why_it_is_made_outlives_an_attempt(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    place.desks.order(ticket_id=ticket_id, operation="add_note", kind="status", code=429, times=1)
    job_id = await place.job(ticket_id, event="refresh")
    state, _ = await place.run(job_id)
    assert (state, place.row(job_id)["refresh"]) == ("waiting", "asked")
    place.change(job_id, due_at="now()", event=None)
    assert await place.run(job_id) == DONE
    assert begins(place, ticket_id) == ["Enhancement", ASKED]
    assert place.paid() == 2


async def test_one_that_is_retried_by_hand_still_says_so(place: WorkSite) -> None:
    ticket_id = new_ticket(place.desks)
    assert await webhook(place, ticket_id, None) == DONE
    job_id = await place.job(ticket_id, event="refresh")
    place.change(job_id, state="failed", reason="x", finished_at="now()", refresh="asked")
    await by_hand.retry(place.store.database, job_id, 1800)
    assert await place.run(job_id) == DONE
    assert begins(place, ticket_id) == ["Enhancement", ASKED]


async def test_a_person_gets_a_note_right_after_a_failure_note(place: WorkSite) -> None:
    """A webhook of those minutes gets none: the failure note may have triggered it."""
    ticket_id = new_ticket(place.desks)
    failed = await place.job(ticket_id)
    ended: dict[str, Any] = {"state": "failed", "reason": "x", "finished_at": "now()"}
    place.change(failed, failure_noted_at="now()", **ended)
    assert await webhook(place, ticket_id, None) == ("skipped", "own failure note")
    assert await webhook(place, ticket_id, ASKED_BY_HAND) == DONE
    assert begins(place, ticket_id) == [ASKED]
