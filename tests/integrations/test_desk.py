"""ServiceDesk Plus, both editions: reading tickets, writing and finding notes."""

import httpx2
import pytest
from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from devstack.free_ports import free_port
from dispatch.queue import open_redis
from integrations.errors import DeskRefused, DeskUnavailable, HeldBack, TicketClosed, TicketNotFound, TicketTrashed
from integrations.servicedesk.desks import Desks
from tests.kit.clock import Clock
from tests.kit.desk import EDITIONS, TENANT_OF, Edition, has, line_of, new_ticket, opened, settings
from tests.kit.simulators import Simulator


@EDITIONS
async def test_a_ticket_is_read_as_plain_text(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(
        desks,
        edition,
        subject="Zoë &amp; the <b>VPN</b>",
        description="<div>It drops&nbsp;<br>every 5&nbsp;minutes</div>",
        priority="High",
        category="Network",
    )
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        ticket = await desk.read_open_ticket(ticket_id)
        assert await desk.read_ticket(ticket_id) == ticket
    assert (ticket.ticket_id, ticket.subject) == (ticket_id, "Zoë & the VPN")
    assert ticket.description == "It drops\nevery 5 minutes"
    assert (ticket.priority, ticket.category, ticket.status, ticket.resolution) == ("High", "Network", "Open", "")


@EDITIONS
async def test_whose_ticket_it_is_is_read_and_stands_in_no_text_of_it(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    ticket_id = new_ticket(desks, edition, requester="robin\x00.adeyemi@acme.example")
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        ticket = await desk.read_ticket(ticket_id)
    assert ticket.requester == "robin.adeyemi@acme.example"
    assert "adeyemi" not in f"{ticket}"


@EDITIONS
async def test_a_ticket_whose_text_was_cut_within_a_character_can_be_worked_with(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    ticket_id = new_ticket(desks, edition, subject="My screen \ud83d", description="\udc00 broke")
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        ticket = await desk.read_ticket(ticket_id)
    assert (ticket.subject + ticket.description).encode()


@EDITIONS
@pytest.mark.parametrize(
    "change",
    [{"status": "Closed"}, {"status": "Done", "in_progress": False}, {"is_trashed": True}],
)
async def test_a_closed_or_trashed_ticket_is_gone(
    edition: Edition, change: dict[str, object], desks: Simulator, tokens: Redis
) -> None:
    ticket_id = new_ticket(desks, edition)
    desks.change("PATCH", f"/tickets/{TENANT_OF[edition]}/{ticket_id}", **change)
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        with pytest.raises(TicketClosed) as gone:
            await desk.read_open_ticket(ticket_id)
        assert gone.value.deleted == ("is_trashed" in change)
        if gone.value.deleted:
            with pytest.raises(TicketTrashed):
                await desk.read_ticket(ticket_id)
            with pytest.raises(DeskRefused, match="403"):
                await desk.add_note(ticket_id, "x")
        else:
            assert (await desk.read_ticket(ticket_id)).ticket_id == ticket_id


async def test_a_status_of_the_sites_own_is_closed_only_if_the_settings_say_so(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Erledigt", in_progress=True)
    async with opened(settings(desks.url)) as desk:
        assert (await desk.read_open_ticket(ticket_id)).status == "Erledigt"
    async with opened(settings(desks.url, closed_statuses=frozenset({"erledigt"}))) as desk:
        with pytest.raises(TicketClosed):
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
async def test_a_ticket_on_hold_is_open(edition: Edition, desks: Simulator, tokens: Redis) -> None:
    ticket_id = new_ticket(desks, edition)
    desks.change("PATCH", f"/tickets/{TENANT_OF[edition]}/{ticket_id}", status="On Hold")
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        assert (await desk.read_open_ticket(ticket_id)).status == "On Hold"


@EDITIONS
async def test_a_ticket_that_is_not_there_is_told_from_one_that_fails(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        for call in (desk.read_open_ticket("999"), desk.add_note("999", "x"), desk.find_note("999", has("x"))):
            with pytest.raises(TicketNotFound) as gone:
                await call
            assert gone.value.deleted
            assert gone.value.phrase.template.format(**gone.value.values) == "Ticket not found: 999"


@EDITIONS
async def test_the_newest_tickets_and_the_approved_solutions_are_listed(
    edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    newest = [new_ticket(desks, edition, subject=f"T{number}") for number in range(3)]
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        listed = (await desk.lists.tickets()).items[:3]
        assert {each.ticket_id for each in listed} == set(newest)
        assert {(each.status, each.is_trashed) for each in listed} == {("Open", False)}
        solutions = (await desk.lists.solutions()).items
        first = await desk.read_solution(solutions[0].solution_id)
    assert len(solutions) > 3
    assert first is not None
    assert (first.solution_id, first.title, first.topic) == solutions[0][:3]
    assert first.topic
    assert first.title
    assert first.text
    assert "<" not in first.text


async def test_a_missing_solution_is_none_and_a_missing_list_is_no_missing_ticket(desks: Simulator) -> None:
    async with opened(settings(desks.url)) as desk:
        assert await desk.read_solution("999") is None
        desks.order(kind="status", code=404)
        with pytest.raises(DeskRefused) as refused:
            await desk.lists.tickets()
    assert line_of(refused.value) == "ServiceDesk Plus API error: 404"


async def test_a_tenant_has_the_desk_that_is_configured_now() -> None:
    values = {
        "SERVICEDESK_URL_ACME": f"http://127.0.0.1:{free_port()}",
        "SERVICEDESK_API_KEY_ACME": "k",
        "WEBHOOK_SECRET_GLOBEX": "s",
    }
    clock = Clock()
    tenants = TenantDirectory(lambda: values, monotonic=clock)
    found = Desks(tenants, _desk_client_settings(), open_redis("redis://127.0.0.1:1/0"), connections=2)
    first = found.of("acme")
    assert found.of("acme") is first
    # This must not reset the breaker, the note's key and the calls in flight.
    values["WEBHOOK_SECRET_ACME"] = "rotated"
    clock.now += 6
    assert [tenant.webhook_secrets for tenant in tenants.all()] == [("rotated",), ("s",)]
    assert found.of("acme") is first
    values["SERVICEDESK_API_KEY_ACME"] = "rotated"
    clock.now += 6
    assert found.of("acme") is not first
    for unknown in ("globex", "nobody"):
        with pytest.raises(DeskUnavailable, match="no desk configured"):
            found.of(unknown)
    with pytest.raises(DeskUnavailable, match="connection"):
        await found.of("acme").read_ticket("1")
    with pytest.raises(HeldBack, match="desk key changed"):
        await first.read_ticket("1")
    await found.close()


async def test_unusable_settings_are_waited_for_and_without_its_key_a_desk_is_not_called() -> None:
    """Also for callers that already hold the desk."""
    values = {"SERVICEDESK_URL_ACME": f"http://127.0.0.1:{free_port()}", "SERVICEDESK_API_KEY_ACME": "k"}
    clock = Clock()
    tenants = TenantDirectory(lambda: values, monotonic=clock)
    found = Desks(tenants, _desk_client_settings(), open_redis("redis://127.0.0.1:1/0"), connections=2)
    first = found.of("acme")
    values["tenants.toml"] = "acme.servicedesk.rate_per_minute = 'fast'"
    clock.now += 6
    assert found.of("acme") is first
    del values["SERVICEDESK_API_KEY_ACME"]
    clock.now += 6
    with pytest.raises(HeldBack, match="tenant closed") as held:
        found.of("acme")
    assert not held.value.extends_deadline
    with pytest.raises(HeldBack, match="tenant closed"):
        await first.read_ticket("1")
    await found.close()


def _desk_client_settings() -> DeskClientSettings:
    return DeskClientSettings.model_validate(
        {"database_url": "postgresql://a@b/c", "redis_url": "redis://d/0", "servicedesk_timeout_seconds": 5}
    )


async def test_what_a_desk_lists_twice_counts_once() -> None:
    items = [{"id": str(number // 2), "status": {"name": "Open"}} for number in range(400)]

    def answer(_: httpx2.Request) -> httpx2.Response:
        status = [{"status_code": 2000, "status": "success"}]
        return httpx2.Response(200, json={"requests": items, "solutions": items, "response_status": status})

    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as desk:
        expected = [str(number) for number in range(200)]
        assert [each.ticket_id for each in (await desk.lists.tickets()).items] == expected
        assert [each.solution_id for each in (await desk.lists.solutions()).items] == expected
