"""A desk that does not take our credentials any more: one call each half minute tries, and nothing fails by it."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import REGISTRY

from config.settings import DeskClientSettings
from config.tenant_directory import TenantDirectory
from dispatch.queue import open_redis
from integrations.errors import DeskRefused, DeskUnavailable, HeldBack
from integrations.holds import DeskHoldReason
from integrations.servicedesk.desks import Desks
from tests.kit.clock import Clock
from tests.kit.desk import holds_by, new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.simulators import Simulator

REFUSED = "ServiceDesk Plus API error: 401"
WHY = DeskHoldReason.CREDENTIALS_REFUSED.value


@pytest.fixture
def expired(desks: Simulator) -> Iterator[str]:
    """A ticket of a desk on premises, whose key has expired since."""
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
            calls = (desk.read_open_ticket(expired), desk.add_note(expired, "x"), desk.list_newest(5))
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

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(400, json={"error": "invalid_code"})

    transport = httpx.MockTransport(answer)
    async with opened(settings("http://desk", "cloud"), transport=transport, holds=holds_by(Clock())) as desk:
        for _ in range(3):
            with pytest.raises(HeldBack, match=WHY):
                await desk.read_ticket("1")
    assert asked == ["/globex/oauth/v2/token"]


async def test_three_notes_refused_in_a_row_hold_those_who_would_pay_for_one(
    desks: Simulator, start_log: StartLog
) -> None:
    """Fewer may be refused for their tickets. Where nobody tries who has paid, one who has not does in ten minutes."""
    ticket_id, clock, log = new_ticket(desks), Clock(), start_log()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        for refused in (2, 2, 3):
            desks.order(kind="status", code=403, operation="add_note", times=refused)
            for _ in range(2):
                with pytest.raises(DeskRefused, match="403"):
                    await desk.add_note(ticket_id, "x")
                desk.check_notes(answered=False)
            if refused == 2:
                await desk.add_note(ticket_id, "x")
        with pytest.raises(HeldBack, match="desk notes not permitted"):
            await desk.add_note(ticket_id, "x")
        # The desk's answer to anything else is no answer to this.
        assert (await desk.read_open_ticket(ticket_id)).ticket_id == ticket_id
        clock.now += 30
        desk.check_notes(answered=True)
        for seconds in (0, 599):
            clock.now += seconds
            with pytest.raises(HeldBack, match="desk notes not permitted"):
                desk.check_notes(answered=False)
        clock.now += 1
        desk.check_notes(answered=False)
        with pytest.raises(HeldBack):
            desk.check_notes(answered=False)
        await desk.add_note(ticket_id, "x")
        desk.check_notes(answered=False)
    assert log.getvalue().count("Hold error: desk of acme: desk notes not permitted") == 1


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
    # It leaves, and the next call for anybody finds out.
    values.clear()
    clock.now += 6
    with pytest.raises(DeskUnavailable, match="no desk configured"):
        found.of("globex")
    assert is_held() is REGISTRY.get_sample_value("ai_agents_breaker_open", {"server": "desk of acme"}) is None
    await found.close()
