"""The breaker of a desk that is down or silent, and calls that it holds back."""

import asyncio
import time

import pytest

from integrations.errors import DeskTimeout, DeskUnavailable, HeldBack, TicketNotFound
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.simulators import Simulator


async def test_a_desk_that_fails_is_not_called_any_more(desks: Simulator) -> None:
    """A held back note is not recorded as possibly posted."""
    ticket_id = new_ticket(desks)
    written: list[str] = []

    async def about_to_post() -> None:
        written.append("posted")

    desks.order(kind="status", code=503)
    async with opened(settings(desks.url)) as desk:
        for _ in range(5):
            with pytest.raises(DeskUnavailable):
                await desk.read_open_ticket(ticket_id)
        for call in (desk.read_open_ticket(ticket_id), desk.add_note(ticket_id, "x", about_to_post)):
            with pytest.raises(HeldBack, match="desk unavailable"):
                await call
    assert len(desks.requests(ticket_id=ticket_id)) == 5
    assert written == []


async def test_a_silent_desk_holds_a_few_calls_and_the_others_are_held_back(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.order(kind="silence")
    async with opened(settings(desks.url), timeout=2, most_at_once=3) as desk:
        started = time.monotonic()
        calls = [asyncio.ensure_future(desk.read_open_ticket(ticket_id)) for _ in range(10)]
        done, _ = await asyncio.wait(calls, timeout=1.7)
        assert len(done) == 7
        assert all(isinstance(call.exception(), HeldBack) for call in done)
        assert {str(call.exception()) for call in done} == {"held back: desk busy"}
        await asyncio.wait(calls)
        assert sum(isinstance(call.exception(), DeskTimeout) for call in calls) == 3
        assert time.monotonic() - started < 4
    assert len(desks.requests(ticket_id=ticket_id)) == 3


async def test_a_busy_desk_that_answers_holds_nobody_back(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.order(kind="slow", seconds=0.05)
    async with opened(settings(desks.url), most_at_once=8) as desk:
        await asyncio.gather(*(desk.read_open_ticket(ticket_id) for _ in range(30)))


async def test_a_desk_that_has_not_the_ticket_is_not_down(desks: Simulator) -> None:
    async with opened(settings(desks.url)) as desk:
        for _ in range(10):
            with pytest.raises(TicketNotFound):
                await desk.read_open_ticket("999999")
