"""A ticket's conversation: last mails and notes, and no call if it is empty."""

import pytest
from redis.asyncio import Redis

from integrations.errors import DeskUnavailable
from integrations.servicedesk.parsing import ticket_of
from tests.kit.desk import EDITIONS, TENANT_OF, Edition, new_ticket, opened, settings
from tests.kit.simulators import Simulator

READS = ("list_conversations", "read_notification", "list_notes", "read_note")


async def said(desks: Simulator, tokens: Redis, edition: Edition, ticket_id: str) -> list[str]:
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        ticket = await desk.read_ticket(ticket_id)
        return await desk.read_conversation(ticket, lambda text: text.startswith("ours"))


def calls(desks: Simulator) -> list[int]:
    return [len(desks.requests(operation=name)) for name in READS]


@EDITIONS
async def test_of_a_new_ticket_nothing_is_read(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    assert await said(desks, tokens, edition, new_ticket(desks, edition)) == []
    assert calls(desks) == [0, 0, 0, 0]


@EDITIONS
async def test_of_200_replies_the_last_are_read_and_notes_of_ours_are_left_out(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    ticket_id = new_ticket(desks, edition)
    where = f"/tickets/{TENANT_OF[edition]}/{ticket_id}"
    for number in range(200):
        desks.change("POST", f"{where}/mails", text=f"<p>Try number {number}.</p>")
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        for text in ("Replaced the cable.", "ours"):
            await desk.add_note(ticket_id, f"<p>{text}</p>")
    desks.change("PATCH", where, subject="Still")
    texts = await said(desks, tokens, edition, ticket_id)
    assert "Replaced the cable." in texts
    assert "ours" not in texts
    assert [text for text in texts if text.startswith("Try")] == [f"Try number {n}." for n in range(195, 200)]
    assert calls(desks) == [2 if edition == "onpremises" else 3, 5, 1, 2]


async def test_what_was_read_before_a_failure_is_kept(desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(desks)
    desks.change("POST", f"/tickets/acme/{ticket_id}/mails", text="Try it again.")
    async with opened(settings(desks.url), redis=tokens) as desk:
        await desk.add_note(ticket_id, "<p>Replaced the cable.</p>")
    desks.order(kind="status", code=500, operation="list_notes")
    assert await said(desks, tokens, "onpremises", ticket_id) == ["Try it again."]
    desks.order(kind="status", code=500, operation="list_conversations")
    with pytest.raises(DeskUnavailable):
        await said(desks, tokens, "onpremises", ticket_id)


@pytest.mark.parametrize(
    ("told", "is_read"),
    [
        ({"has_conversation": True}, True),
        ({"has_conversation": "true"}, True),
        ({"has_conversation": False, "last_updated_time": {"value": "1700000099000"}}, False),
        ({"has_conversation": "maybe"}, None),
        ({}, None),
    ],
)
def test_whether_mails_were_sent_is_what_the_desk_tells(told: dict[str, object], *, is_read: bool | None) -> None:
    assert ticket_of({"id": "1", **told}).conversation is is_read


@pytest.mark.parametrize("odd", [None, "Robin", [], 7, {}, {"name": None}, {"name": 7, "phone": 49, "email_id": []}])
def test_people_are_named_whatever_a_desk_has_in_their_place(odd: object) -> None:
    ticket = ticket_of({"id": "1", "requester": {"name": "Zoë Adeyemi", "mobile": "0171"}, "technician": odd})
    assert (ticket.people[0].name, ticket.people[0].numbers) == ("Zoë Adeyemi", ("0171",))
    assert len(ticket.people) <= 2
