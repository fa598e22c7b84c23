"""A failed call: its possible effect, and its second try with a fresh token."""

import httpx2
import pytest

from integrations.errors import DeskRefused, DeskTimeout, DeskUnavailable, HeldBack, Temporary
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.calls import DeskCalls, Limits
from tests.kit.clock import Clock
from tests.kit.desk import has, opened, settings

NOTE = {"request_note": {"id": "7"}, "response_status": {"status_code": 2000}}


class TokenRefusingDesk:
    def __init__(self) -> None:
        self.notes = 0

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/token"):
            return httpx2.Response(200, json={"access_token": f"t{self.notes}"})
        self.notes += 1
        return httpx2.Response(401) if self.notes == 1 else httpx2.Response(200, json=NOTE)


async def test_the_second_try_with_a_fresh_token_is_within_the_rate_too() -> None:
    """The refused call did nothing, so its repeat waits like any other."""
    server, begun = TokenRefusingDesk(), []

    async def about_to_post() -> None:
        begun.append(server.notes)

    desk, transport = settings("http://desk", "cloud"), httpx2.MockTransport(server.answer)
    # One call each four minutes.
    async with opened(desk, transport=transport, rate=DeskRate("globex", 1, None)) as hurried:
        with pytest.raises(HeldBack, match="desk rate limit"):
            await hurried.add_note("1", "x", about_to_post)
    assert (begun, server.notes) == ([0], 1)
    async with opened(desk, transport=transport) as unhurried:
        assert await unhurried.add_note("1", "x", about_to_post) == "7"
    assert (begun, server.notes) == ([0, 1], 2)


async def test_a_right_that_the_token_lacks_costs_one_token_an_hour() -> None:
    """The next token would have the same scopes."""
    clock, tokens = Clock(), list[int]()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/token"):
            tokens.append(len(tokens))
            return httpx2.Response(200, json={"access_token": f"t{len(tokens)}"})
        return httpx2.Response(401 if request.url.path.endswith("/solutions") else 200, json={})

    limits = Limits(Breaker("desk", "desk unavailable"), DeskRate("globex", 100_000, None), 8)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        desk = settings("http://desk", "cloud")
        calls = DeskCalls("globex", desk, http, DeskTokens(http, None, 5), 5, limits, monotonic=clock)
        for seconds, fetched in ((0, 2), (3599, 2), (1, 3)):
            clock.now += seconds
            await calls.make("GET", "/requests")
            with pytest.raises(DeskRefused, match="401"):
                await calls.make("GET", "/solutions", own_right=True)
            assert len(tokens) == fetched


@pytest.mark.parametrize(
    ("failure", "kind", "unknown"),
    [
        (httpx2.ReadTimeout("?"), DeskTimeout, True),
        (TimeoutError(), DeskTimeout, True),
        (httpx2.ReadError("?"), DeskUnavailable, True),
        (httpx2.RemoteProtocolError("?"), DeskUnavailable, True),
        (httpx2.ConnectTimeout("?"), DeskTimeout, False),
        (httpx2.PoolTimeout("?"), DeskTimeout, False),
        (httpx2.ConnectError("?"), DeskUnavailable, False),
        (httpx2.Response(500), DeskUnavailable, True),
        (httpx2.Response(200, text="<html>"), DeskUnavailable, True),
        (httpx2.Response(200, json={}), DeskUnavailable, True),
        (httpx2.Response(200, json={"response_status": {"status": "failed"}}), DeskUnavailable, True),
        (httpx2.Response(408), DeskUnavailable, False),
    ],
    ids=repr,
)
async def test_only_a_posting_that_may_have_been_done_has_an_unknown_outcome(
    failure: Exception | httpx2.Response, kind: type[Temporary], *, unknown: bool
) -> None:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        if isinstance(failure, Exception):
            raise failure
        return failure

    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as client:
        for call, outcome in (
            (client.add_note("1", "x"), unknown),
            (client.read_ticket("1"), False),
            (client.find_note("1", has("x")), False),
        ):
            with pytest.raises(kind) as failed:
                await call
            assert failed.value.outcome_unknown is outcome
