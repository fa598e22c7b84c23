"""ServiceDesk Plus, both editions: tickets, their numbers, pages and conversations, solutions, lists."""

from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from cli.pilot.free_ports import free_port
from integrations.errors import (
    DeferredError,
    DeskRefusedError,
    DeskUnavailableError,
    ExternalError,
    TicketClosedError,
    TicketNotFoundError,
    TicketTrashedError,
)
from integrations.servicedesk.parsing import ticket_of
from knowledge.models import Document
from tests.integrations.street import desks_of
from tests.kit.clock import Clock
from tests.kit.desk import EDITIONS, TENANT_OF, Edition, has, line_of, new_ticket, opened, settings
from tests.kit.simulators import Simulator
from workflow.note_sources import link_in


@EDITIONS
async def test_a_ticket_is_read_as_plain_text(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(
        desks,
        edition,
        subject="Zoë &amp; the <b>VPN</b> \ud83d",
        description="<div>It drops&nbsp;<br>every 5&nbsp;minutes</div>\udc00",
        priority="High",
        category="Network",
        requester="robin\x00.adeyemi@acme.example",
    )
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        ticket = await desk.read_open_ticket(ticket_id)
        assert await desk.read_ticket(ticket_id) == ticket
    assert (ticket.ticket_id, ticket.subject) == (ticket_id, "Zoë & the VPN")
    assert ticket.description == "It drops\nevery 5 minutes"
    assert (ticket.priority, ticket.category, ticket.status, ticket.resolution) == ("High", "Network", "Open", "")
    assert ticket.requester == "robin.adeyemi@acme.example"
    assert "adeyemi" not in f"{ticket}"


@EDITIONS
@pytest.mark.parametrize(
    "change", [{"status": "Closed"}, {"status": "Done", "in_progress": False}, {"is_trashed": True}]
)
async def test_a_closed_ticket_is_gone(edition: Edition, change: Any, desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(desks, edition)
    desks.change("PATCH", f"/tickets/{TENANT_OF[edition]}/{ticket_id}", **change)
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        with pytest.raises(TicketClosedError) as gone:
            await desk.read_open_ticket(ticket_id)
        assert gone.value.deleted == ("is_trashed" in change)
        if gone.value.deleted:
            with pytest.raises(TicketTrashedError):
                await desk.read_ticket(ticket_id)
            with pytest.raises(DeskRefusedError, match="403"):
                await desk.add_note(ticket_id, "x")
        else:
            assert (await desk.read_ticket(ticket_id)).ticket_id == ticket_id


async def test_a_status_of_the_sites_own_is_closed_only_if_the_settings_say_so(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Erledigt", in_progress=True)
    async with opened(settings(desks.url)) as desk:
        assert (await desk.read_open_ticket(ticket_id)).status == "Erledigt"
    async with opened(settings(desks.url, closed_statuses=frozenset({"erledigt"}))) as desk:
        with pytest.raises(TicketClosedError):
            await desk.read_open_ticket(ticket_id)


async def test_one_of_several_portals_is_named_in_the_address_or_by_a_header(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.change("PATCH", "/desks/acme", portal_id="2")
    try:
        for named in (settings(desks.url, portal_id="2"), settings(desks.url, url=f"{desks.url}/acme/app/itdesk")):
            async with opened(named) as desk:
                assert (await desk.read_ticket(ticket_id)).ticket_id == ticket_id
                assert await desk.add_note(ticket_id, "x")
    finally:
        desks.change("PATCH", "/desks/acme", portal_id="")


@EDITIONS
async def test_a_missing_ticket_is_no_failure(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        for call in (desk.read_open_ticket("999"), desk.add_note("999", "x"), desk.find_note("999", has("x"))):
            with pytest.raises(TicketNotFoundError) as gone:
                await call
            assert gone.value.deleted
            assert gone.value.phrase.template.format(**gone.value.values) == "Ticket not found: 999"


@EDITIONS
async def test_newest_tickets_and_solutions_are_listed(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    newest = [new_ticket(desks, edition, subject=f"T{number}") for number in range(3)]
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        listed = (await desk.list_tickets()).items[:3]
        assert {each.ticket_id for each in listed} == set(newest)
        assert {(each.status, each.is_trashed) for each in listed} == {("Open", False)}
        solutions = (await desk.list_solutions()).items
        first = await desk.read_solution(solutions[0].solution_id)
    assert len(solutions) > 3
    assert first is not None
    assert (first.solution_id, first.title, first.topic) == solutions[0][:3]
    assert all((first.topic, first.title, first.text, "<" not in first.text))


async def test_a_missing_solution_is_none_and_a_missing_list_is_no_missing_ticket(desks: Simulator) -> None:
    async with opened(settings(desks.url)) as desk:
        assert await desk.read_solution("999") is None
        desks.order(kind="status", code=404)
        with pytest.raises(DeskRefusedError) as refused:
            await desk.list_tickets()
    assert line_of(refused.value) == "ServiceDesk Plus API error: 404"


AWAY = {"SERVICEDESK_URL_ACME": f"http://127.0.0.1:{free_port()}", "SERVICEDESK_API_KEY_ACME": "k"}


async def test_a_tenant_has_the_desk_that_is_configured_now() -> None:
    values, clock = dict(AWAY), Clock()
    async with desks_of(values, clock) as desks:
        first = desks.of("acme")
        assert desks.of("acme") is first
        # This must not reset the breaker, the note's key and the calls in flight.
        values |= {"WEBHOOK_SECRET_ACME": "rotated", "WEBHOOK_SECRET_GLOBEX": "s"}
        clock.now += 6
        assert desks.of("acme") is first
        values["SERVICEDESK_API_KEY_ACME"] = "rotated"
        clock.now += 6
        assert desks.of("acme") is not first
        for unknown in ("globex", "nobody"):
            with pytest.raises(DeskUnavailableError, match="no desk configured"):
                desks.of(unknown)
        with pytest.raises(DeskUnavailableError, match="connection"):
            await desks.of("acme").read_ticket("1")
        with pytest.raises(DeferredError, match="desk key changed"):
            await first.read_ticket("1")


async def test_without_its_key_a_desk_is_not_called_and_unusable_settings_wait() -> None:
    values, clock = dict(AWAY), Clock()
    async with desks_of(values, clock) as desks:
        first = desks.of("acme")
        values["tenants.toml"] = "acme.servicedesk.rate_per_minute = 'fast'"
        clock.now += 6
        assert desks.of("acme") is first
        del values["SERVICEDESK_API_KEY_ACME"]
        clock.now += 6
        with pytest.raises(DeferredError, match="tenant closed") as held:
            desks.of("acme")
        assert not held.value.extends_deadline
        with pytest.raises(DeferredError, match="tenant closed"):
            await first.read_ticket("1")


async def test_what_a_desk_lists_twice_counts_once() -> None:
    items = [{"id": str(number // 2), "status": {"name": "Open"}} for number in range(400)]

    def answer(_: httpx2.Request) -> httpx2.Response:
        status = [{"status_code": 2000, "status": "success"}]
        return httpx2.Response(200, json={"requests": items, "solutions": items, "response_status": status})

    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as desk:
        expected = [str(number) for number in range(200)]
        assert [each.ticket_id for each in (await desk.list_tickets()).items] == expected
        assert [each.solution_id for each in (await desk.list_solutions()).items] == expected


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
        listed = {ticket.ticket_id: ticket.display_id for ticket in (await desk.list_tickets()).items}
        assert [listed[ticket_id] for ticket_id in ids] == shown
        with pytest.raises(TicketNotFoundError):
            await desk.id_of("99999999999")
        # A real desk answers a read by this number so.
        with pytest.raises(TicketNotFoundError):
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
async def test_an_unfiltered_search_result_is_rejected(answer: dict[str, Any]) -> None:
    """The note would be in another ticket."""

    def answered(request: httpx2.Request) -> httpx2.Response:
        token = {"access_token": "t", "expires_in": 3600}
        return httpx2.Response(200, json=token if request.url.path.endswith("/token") else answer)

    async with opened(settings("http://desk", "cloud"), transport=httpx2.MockTransport(answered)) as desk:
        with pytest.raises(ExternalError, match=r"ServiceDesk Plus API: (invalid answer|400)"):
            await desk.id_of("102")


@pytest.mark.parametrize(
    ("told", "shown"),
    [("102", "102"), (102, "102"), ({}, "7"), *((odd, "7") for odd in (None, "", "102\nerror", "١٠٢", "1" * 21))],
)
async def test_an_invalid_number_is_not_shown(told: object, shown: str) -> None:
    """It would be in log lines, spans and notes."""
    body = {"request": {"id": "7", "display_id": told}, "response_status": {"status_code": 2000}}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=body))
    async with opened(settings("http://desk"), transport=transport) as desk:
        assert (await desk.read_ticket("7")).shown == shown


ODD = "1/../../x?y&z=2"


@pytest.mark.parametrize(
    ("url", "more", "ticket_id", "page"),
    [
        ("https://d.example:8080", {}, "103", "https://d.example:8080/WorkOrder.do?woMode=viewWO&woID=103"),
        ("https://desk", {"portal_id": "2"}, "103", "https://desk/WorkOrder.do?woMode=viewWO&woID=103&PORTALID=2"),
        ("https://desk/app/it", {}, "103", ""),
        ("https://sdp/app/it", {"edition": "cloud"}, "103", "https://sdp/app/it/ui/requests/103/details"),
        ("https://desk", {}, ODD, "https://desk/WorkOrder.do?woMode=viewWO&woID=1%2F..%2F..%2Fx%3Fy%26z%3D2"),
        ("https://sdp", {"edition": "cloud"}, ODD, "https://sdp/ui/requests/1%2F..%2F..%2Fx%3Fy%26z%3D2/details"),
    ],
)
async def test_a_ticket_has_the_page_that_people_open(url: str, more: Any, ticket_id: str, page: str) -> None:
    async with opened(settings("", url=url, **more)) as desk:
        assert desk.link_to(ticket_id) == page


@pytest.mark.parametrize(
    ("url", "more", "page"),
    [
        ("https://d:1", {}, "https://d:1/AddSolution.do?submitaction=viewsolution&fromListView=true&solutionID=12"),
        ("https://desk", {"portal_id": "2"}, ""),
        ("https://desk/app/it", {}, ""),
        ("https://sdp", {"edition": "cloud"}, ""),
    ],
)
async def test_a_solution_has_the_page_that_people_open(url: str, more: Any, page: str) -> None:
    async with opened(settings("", url=url, **more)) as desk:
        assert desk.link_to_solution("12") == page
        assert link_in(desk, Document("VPN", "text", solution_id="12")) == page
        assert link_in(desk, Document("VPN", "text")) == ""


READS = ("list_conversations", "read_notification", "list_notes", "read_note")


async def said(desks: Simulator, tokens: Redis, edition: Edition, ticket_id: str) -> list[str]:
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        ticket = await desk.read_ticket(ticket_id)
        return await desk.read_conversation(ticket, lambda text: text.startswith("ours"))


def calls(desks: Simulator) -> list[int]:
    return [len(desks.requests(operation=name)) for name in READS]


@EDITIONS
async def test_the_last_of_200_replies_are_read(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(desks, edition)
    assert await said(desks, tokens, edition, ticket_id) == []
    assert calls(desks) == [0, 0, 0, 0]
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
    with pytest.raises(DeskUnavailableError):
        await said(desks, tokens, "onpremises", ticket_id)


@pytest.mark.parametrize(
    ("told", "is_read"),
    [
        *(({"has_conversation": told}, is_read) for told, is_read in ((True, True), ("true", True), ("maybe", None))),
        ({"has_conversation": False, "last_updated_time": {"value": "1700000099000"}}, False),
        ({}, None),
    ],
)
def test_whether_mails_were_sent_is_what_the_desk_tells(told: dict[str, object], *, is_read: bool | None) -> None:
    assert ticket_of({"id": "1", **told}).conversation is is_read


def test_a_ticket_names_what_it_is_about() -> None:
    named = {key: {"id": "1", "name": key} for key in ("subcategory", "item", "service_category")}
    lists = {"assets": [{"name": "NB-1"}, {"name": "NB-2"}], "configuration_items": [{"name": "srv-ex1"}]}
    ticket = ticket_of({"id": "1", **named, **lists})
    assert (ticket.subcategory, ticket.item, ticket.service) == ("subcategory", "item", "service_category")
    assert ticket.assets == "NB-1, NB-2, srv-ex1"
    assert {*ticket.terms} == {*named, "NB-1", "NB-2", "srv-ex1"}


@pytest.mark.parametrize("odd", [None, "Robin", [], 7, {}, {"name": None}, {"name": 7, "phone": 49, "email_id": []}])
def test_people_are_named_whatever_a_desk_has_in_their_place(odd: object) -> None:
    ticket = ticket_of({"id": "1", "requester": {"name": "Zoë Adeyemi", "mobile": "0171"}, "technician": odd})
    assert (ticket.people[0].name, ticket.people[0].numbers) == ("Zoë Adeyemi", ("0171",))
    assert len(ticket.people) <= 2
