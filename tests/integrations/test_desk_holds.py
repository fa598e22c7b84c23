"""Holds of a desk that refuses credentials: one call each 30 s, no failed jobs."""

import asyncio
from collections.abc import Iterator

import httpx2
import pytest
from prometheus_client import REGISTRY

from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from dispatch.queue import open_redis
from integrations.errors import DeskRefused, DeskUnavailable, HeldBack, OutsideFailure, TicketGone
from integrations.resilience import DeskHoldReason
from integrations.servicedesk.desks import Desks
from tests.kit.clock import Clock
from tests.kit.desk import holds_by, new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.simulators import Simulator

REFUSED = "ServiceDesk Plus API error: 401"
WHY = DeskHoldReason.CREDENTIALS_REFUSED.value
NO_NOTES = DeskHoldReason.NOTES_REFUSED.value


@pytest.fixture
def expired(desks: Simulator) -> Iterator[str]:
    """Return a ticket of a desk on premises whose key has expired since."""
    ticket_id = new_ticket(desks)
    desks.change("PATCH", "/desks/acme", api_key="made anew")
    yield ticket_id
    desks.change("PATCH", "/desks/acme", api_key="acme-key")


def is_held() -> float | None:
    return REGISTRY.get_sample_value("ai_agents_desk_held", {"server": "desk of acme", "reason": WHY})


async def test_a_key_that_expired_is_tried_each_half_minute_and_told_as_often(
    expired: str, desks: Simulator, start_log: StartLog
) -> None:
    clock, log = Clock(), start_log()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        for tries in (1, 2, 3):
            calls = (desk.read_open_ticket(expired), desk.add_note(expired, "x"), desk.lists.tickets())
            for call in calls:
                with pytest.raises(HeldBack, match=WHY) as held:
                    await call
                assert held.value.extends_deadline
                assert held.value.seconds >= 30
            assert len(desks.requests()) == log.getvalue().count(REFUSED) == tries
            assert is_held() == 1
            clock.now += 30
        desks.change("PATCH", "/desks/acme", api_key="acme-key")
        assert await desk.add_note(expired, "x")
        assert (await desk.read_open_ticket(expired)).ticket_id == expired
    told = log.getvalue()
    assert told.count(f"Hold error: desk of acme: {WHY}") == told.count("Hold ended: desk of acme") == 1
    assert is_held() == 0
    assert len(notes_of(desks, expired)) == 1


async def test_calls_that_are_refused_at_the_same_time_are_told_once(
    expired: str, desks: Simulator, start_log: StartLog
) -> None:
    log = start_log()
    async with opened(settings(desks.url), holds=holds_by(Clock())) as desk:
        calls = [desk.read_open_ticket(expired) for _ in range(6)]
        done = await asyncio.gather(*calls, return_exceptions=True)
    assert {str(failure) for failure in done} == {f"held back: {WHY}"}
    assert log.getvalue().count(REFUSED) == 1


async def test_a_refresh_token_that_was_withdrawn_holds_too_and_no_token_is_asked_for() -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(400, json={"error": "invalid_code"})

    transport = httpx2.MockTransport(answer)
    async with opened(settings("http://desk", "cloud"), transport=transport, holds=holds_by(Clock())) as desk:
        for _ in range(3):
            with pytest.raises(HeldBack, match=WHY):
                await desk.read_ticket("1")
    assert asked == ["/globex/oauth/v2/token"]


async def test_three_tickets_whose_notes_are_refused_in_a_row_hold_those_who_would_pay(
    desks: Simulator, start_log: StartLog
) -> None:
    """Fewer may be refused for good. Unpaid jobs try once in ten minutes."""
    one, two, three = (new_ticket(desks) for _ in range(3))
    clock, log = Clock(), start_log()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        for refused in ([one, two, one, two], [three, one]):
            desks.order(kind="status", code=403, operation="add_note")
            for ticket_id in refused:
                with pytest.raises(DeskRefused, match="403"):
                    await desk.add_note(ticket_id, "x")
                desk.check_notes(answered=False)
            if three not in refused:
                desks.forget()
                await desk.add_note(one, "x")
        with pytest.raises(HeldBack, match=NO_NOTES):
            await desk.add_note(two, "x")
        # The desk's answer to another call is no answer to this one.
        assert (await desk.read_open_ticket(one)).ticket_id == one
        for _ in range(19):
            clock.now += 30
            desk.check_notes(answered=True)
            with pytest.raises(HeldBack, match=NO_NOTES):
                await desk.add_note(two, "x")
            with pytest.raises(HeldBack, match=NO_NOTES):
                desk.check_notes(answered=False)
        clock.now += 30
        desk.check_notes(answered=False)
        with pytest.raises(HeldBack):
            desk.check_notes(answered=False)
        desks.forget()
        await desk.add_note(three, "x")
        desk.check_notes(answered=False)
    assert log.getvalue().count(f"Hold error: desk of acme: {NO_NOTES}") == 1


@pytest.mark.parametrize("code", [400, 403, 404, 408])
async def test_a_hold_for_notes_lasts_until_a_note_is_taken(code: int, desks: Simulator) -> None:
    ticket_id, clock = new_ticket(desks), Clock()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        desks.order(kind="status", code=401, operation="add_note", times=1)
        with pytest.raises(HeldBack, match=NO_NOTES):
            await desk.add_note(ticket_id, "x")
        clock.now += 30
        desks.order(kind="status", code=code, operation="add_note", times=1)
        with pytest.raises((OutsideFailure, TicketGone)):
            await desk.add_note(ticket_id, "x")
        with pytest.raises(HeldBack, match=NO_NOTES):
            desk.check_notes(answered=False)
        clock.now += 30
        assert await desk.add_note(ticket_id, "x")
        desk.check_notes(answered=False)


async def test_a_desk_that_has_had_its_calls_has_not_taken_the_key(expired: str, desks: Simulator) -> None:
    clock = Clock()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        with pytest.raises(HeldBack, match=WHY):
            await desk.read_ticket(expired)
        clock.now += 30
        desks.order(kind="status", code=408, operation="read_ticket", times=1)
        with pytest.raises(DeskUnavailable, match="408"):
            await desk.read_ticket(expired)
        with pytest.raises(HeldBack, match=WHY):
            await desk.read_ticket(expired)
    assert is_held() == 1


async def test_with_another_key_the_desk_is_called_at_once(expired: str, desks: Simulator) -> None:
    values = {"SERVICEDESK_URL_ACME": f"{desks.url}/acme", "SERVICEDESK_API_KEY_ACME": "acme-key"}
    clock = Clock()
    tenants = TenantDirectory(lambda: values, monotonic=clock)
    limits = {"database_url": "postgresql://a@b/c", "redis_url": "redis://d/0", "servicedesk_timeout_seconds": 5}
    found = Desks(
        tenants, DeskClientSettings.model_validate(limits), open_redis("redis://127.0.0.1:1/0"), connections=2
    )
    for _ in range(2):
        with pytest.raises(HeldBack, match=WHY):
            await found.of("acme").read_ticket(expired)
    assert len(desks.requests()) == is_held() == 1
    values["SERVICEDESK_API_KEY_ACME"] = "made anew"
    clock.now += 6
    assert (await found.of("acme").read_ticket(expired)).ticket_id == expired
    assert is_held() == 0
    # The tenant leaves, and the next call for any tenant notices.
    values.clear()
    clock.now += 6
    with pytest.raises(DeskUnavailable, match="no desk configured"):
        found.of("globex")
    assert is_held() is REGISTRY.get_sample_value("ai_agents_breaker_open", {"server": "desk of acme"}) is None
    await found.close()
