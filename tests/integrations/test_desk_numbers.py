"""A ticket's displayed number and its cloud id, found by one search."""

from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from integrations.errors import OutsideFailure, TicketNotFound
from tests.kit.desk import EDITIONS, Edition, new_ticket, opened, settings
from tests.kit.simulators import Simulator


@EDITIONS
async def test_an_id_is_called_by_itself_and_nothing_is_asked(edition: Edition, desks: Simulator) -> None:
    ticket_id = new_ticket(desks, edition)
    async with opened(settings(desks.url, edition)) as desk:
        assert await desk.id_of(ticket_id) == ticket_id
        # On premises there is one number; in the cloud an invalid number is not searched for.
        odd = "5" if edition == "onpremises" else "x-5"
        assert await desk.id_of(odd) == odd
    assert desks.requests() == []


async def test_the_number_that_people_see_is_searched_for_and_both_are_read(desks: Simulator, tokens: Redis) -> None:
    ids = [new_ticket(desks, "cloud") for _ in range(3)]
    shown = [desks.look(f"/tickets/globex/{ticket_id}")["display_id"] for ticket_id in ids]
    async with opened(settings(desks.url, "cloud"), redis=tokens) as desk:
        assert [await desk.id_of(number) for number in shown] == ids
        assert (await desk.read_ticket(ids[0])).shown == shown[0]
        listed = {ticket.ticket_id: ticket.display_id for ticket in (await desk.lists.tickets()).items}
        assert [listed[ticket_id] for ticket_id in ids] == shown
        with pytest.raises(TicketNotFound):
            await desk.id_of("99999999999")
        # A real desk answers a read by this number so.
        with pytest.raises(TicketNotFound):
            await desk.read_ticket(shown[0])
    assert [one["operation"] for one in desks.requests() if one["operation"] != "token"][:3] == ["list_tickets"] * 3


def listing(*tickets: Any) -> dict[str, Any]:
    return {"requests": list(tickets), "response_status": [{"status_code": 2000}]}


@pytest.mark.parametrize(
    "answer",
    [
        listing({"id": "123640000000240013", "display_id": "103"}),
        listing({"id": "123640000000240013"}),
        listing({"id": "1 or so", "display_id": "102"}),
        listing({"id": "123640000000240013", "display_id": "102"}, {"id": "2", "display_id": "102"}),
        listing("102"),
        {"response_status": [{"status_code": 4000}]},
    ],
)
async def test_a_desk_that_has_not_searched_is_not_believed(answer: dict[str, Any]) -> None:
    """The note would be in another ticket."""

    def answered(request: httpx2.Request) -> httpx2.Response:
        token = {"access_token": "t", "expires_in": 3600}
        return httpx2.Response(200, json=token if request.url.path.endswith("/token") else answer)

    async with opened(settings("http://desk", "cloud"), transport=httpx2.MockTransport(answered)) as desk:
        with pytest.raises(OutsideFailure, match=r"ServiceDesk Plus API: (invalid answer|400)"):
            await desk.id_of("102")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("102", "102"),
        (102, "102"),
        (None, "7"),
        ("", "7"),
        ("102\nerror", "7"),
        ("١٠٢", "7"),
        ("1" * 21, "7"),
        ({}, "7"),
    ],
)
async def test_a_number_that_is_none_is_not_shown(told: object, shown: str) -> None:
    """It would be in log lines, spans and notes."""
    body = {"request": {"id": "7", "display_id": told}, "response_status": {"status_code": 2000}}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=body))
    async with opened(settings("http://desk"), transport=transport) as desk:
        assert (await desk.read_ticket("7")).shown == shown
