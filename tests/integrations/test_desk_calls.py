"""Calls of ServiceDesk Plus: failures and their possible effects, breaker, holds, no call done twice."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from integrations.errors import (
    DeferredError,
    DeskRefusedError,
    DeskTimeoutError,
    DeskUnavailableError,
    ExternalError,
    TemporaryError,
    TicketGoneError,
    TicketNotFoundError,
)
from integrations.ports import DeskLimits
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker, DeskHoldReason
from integrations.servicedesk.auth import AccessToken
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.transport import DeskCalls
from tests.integrations.street import desks_of
from tests.kit.clock import Clock
from tests.kit.desk import EDITIONS, Edition, has, holds_by, line_of, new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.simulators import Simulator

TIMEOUT = "ServiceDesk Plus API timeout"
ERROR = "ServiceDesk Plus API error: "
FAULTS: list[tuple[dict[str, Any], type[ExternalError], str]] = [
    ({"kind": "silence"}, DeskTimeoutError, TIMEOUT),
    ({"kind": "slow", "seconds": 1}, DeskTimeoutError, TIMEOUT),
    ({"kind": "status", "code": 408}, DeskUnavailableError, ERROR + "408"),
    ({"kind": "status", "code": 500}, DeskUnavailableError, ERROR + "500"),
    ({"kind": "status", "code": 503}, DeskUnavailableError, ERROR + "503"),
    ({"kind": "status", "code": 400}, DeskRefusedError, ERROR + "400"),
    ({"kind": "status", "code": 403}, DeskRefusedError, ERROR + "403"),
    ({"kind": "inner_failure"}, DeskUnavailableError, ERROR + "500"),
    ({"kind": "inner_failure", "inner_code": 4002}, DeskRefusedError, ERROR + "403"),
    ({"kind": "warning"}, DeskRefusedError, ERROR + "3000"),
    ({"kind": "html"}, DeskUnavailableError, ERROR + "invalid answer"),
    ({"kind": "not_json"}, DeskUnavailableError, ERROR + "invalid answer"),
    ({"kind": "huge", "megabytes": 6}, DeskUnavailableError, ERROR + "invalid answer"),
    ({"kind": "redirect"}, DeskRefusedError, ERROR + "302"),
    ({"kind": "cut"}, DeskUnavailableError, ERROR + "connection"),
    ({"kind": "cut_after"}, DeskUnavailableError, ERROR + "connection"),
]


async def call(desk: ServiceDeskPlus, operation: str, ticket_id: str) -> object:
    return await (desk.add_note(ticket_id, "x") if operation == "add_note" else desk.read_open_ticket(ticket_id))


@pytest.mark.parametrize(
    ("operation", "edition"), [("read_ticket", "onpremises"), ("read_ticket", "cloud"), ("add_note", "onpremises")]
)
@pytest.mark.parametrize(("fault", "kind", "shown"), FAULTS, ids=[str(fault[0]) for fault in FAULTS])
async def test_each_failure_has_its_class_and_line(
    fault: Any, kind: Any, shown: str, operation: str, edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    ticket_id = new_ticket(desks, edition)
    desks.order(operation=operation, **fault)
    timeout = 0.5 if kind is DeskTimeoutError else 5
    async with opened(settings(desks.url, edition), redis=tokens, timeout=timeout) as desk:
        with pytest.raises(ExternalError) as failed:
            await call(desk, operation, ticket_id)
    assert (type(failed.value), line_of(failed.value)) == (kind, shown)
    assert len(desks.requests(operation=operation)) == 1
    done_all_the_same = operation == "add_note" and fault["kind"] in ("slow", "cut", "cut_after")
    assert len(notes_of(desks, ticket_id, edition)) == done_all_the_same


@EDITIONS
@pytest.mark.parametrize("operation", ["read_ticket", "add_note"])
@pytest.mark.parametrize(
    "fault",
    [
        *({"kind": "throttled", "shape": shape} for shape in ("code", "object")),
        *({"kind": "status", "code": 429}, {"kind": "inner_failure", "inner_code": 4015}),
    ],
    ids=str,
)
async def test_a_throttled_call_holds_all(
    fault: Any, operation: str, edition: Edition, desks: Simulator, tokens: Redis, log: io.StringIO
) -> None:
    ticket_id = new_ticket(desks, edition)
    desks.order(operation=operation, **fault)
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        for _ in range(2):
            with pytest.raises(DeferredError, match="desk throttled") as held:
                await call(desk, operation, ticket_id)
            assert held.value.extends_deadline
    assert log.getvalue().count(ERROR + "429") == len(desks.requests(operation=operation)) == 1


async def test_of_an_answer_without_end_only_some_megabytes_are_read(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.order(kind="huge", megabytes=50, operation="read_ticket")
    async with opened(settings(desks.url)) as desk:
        with pytest.raises(DeskUnavailableError):
            await desk.read_ticket(ticket_id)
    async with asyncio.timeout(5):
        while (outcome := desks.requests(operation="read_ticket")[0]["outcome"]) == "open":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert outcome == "client_left"


@pytest.mark.parametrize(("header", "seconds"), [(7, 7.0), ("soon", None), (None, None)])
@pytest.mark.parametrize("code", [408, 503])
async def test_retry_after_goes_along(code: int, header: Any, seconds: float | None, desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.order(kind="status", code=code, **({} if header is None else {"retry_after": header}))
    async with opened(settings(desks.url)) as desk:
        with pytest.raises(DeskUnavailableError) as failed:
            await desk.read_ticket(ticket_id)
    assert failed.value.retry_after == seconds


async def test_a_failing_desk_is_not_called_again(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    written: list[str] = []

    async def about_to_post() -> None:
        written.append("posted")

    desks.order(kind="status", code=503)
    async with opened(settings(desks.url)) as desk:
        for _ in range(5):
            with pytest.raises(DeskUnavailableError):
                await desk.read_open_ticket(ticket_id)
        for call in (desk.read_open_ticket(ticket_id), desk.add_note(ticket_id, "x", about_to_post)):
            with pytest.raises(DeferredError, match="desk unavailable"):
                await call
    assert len(desks.requests(ticket_id=ticket_id)) == 5
    assert written == []


async def test_a_silent_desk_holds_a_few_calls_and_the_others_are_held_back(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.order(kind="silence")
    async with opened(settings(desks.url), timeout=2, most_at_once=3) as desk:
        calls = [asyncio.ensure_future(desk.read_open_ticket(ticket_id)) for _ in range(10)]
        done, pending = await asyncio.wait(calls, timeout=1.7)
        assert [str(call.exception()) for call in done] == ["held back: desk busy"] * 7
        done, _ = await asyncio.wait(pending, timeout=2.3)
        assert [type(call.exception()) for call in done] == [DeskTimeoutError] * 3
    assert len(desks.requests(ticket_id=ticket_id)) == 3


async def test_a_desk_that_answers_or_has_not_the_ticket_holds_nobody_back(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.order(kind="slow", seconds=0.05)
    async with opened(settings(desks.url), most_at_once=8) as desk:
        await asyncio.gather(*(desk.read_open_ticket(ticket_id) for _ in range(30)))
        desks.forget()
        for _ in range(10):
            with pytest.raises(TicketNotFoundError):
                await desk.read_open_ticket("999999")


NOTE = {"request_note": {"id": "7"}, "response_status": {"status_code": 2000}}


async def test_the_retry_with_a_fresh_token_respects_the_rate() -> None:
    """The refused call did nothing, so its repeat waits like any other."""
    posted, begun = list[str](), []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/token"):
            return httpx2.Response(200, json={"access_token": f"t{len(posted)}"})
        posted.append(request.url.path)
        return httpx2.Response(401) if len(posted) == 1 else httpx2.Response(200, json=NOTE)

    async def about_to_post() -> None:
        begun.append(len(posted))

    desk, transport = settings("http://desk", "cloud"), httpx2.MockTransport(answer)
    # One call each four minutes.
    async with opened(desk, transport=transport, rate=DeskRate("globex", 1, None)) as hurried:
        with pytest.raises(DeferredError, match="desk rate limit"):
            await hurried.add_note("1", "x", about_to_post)
    assert (begun, len(posted)) == ([0], 1)
    async with opened(desk, transport=transport) as unhurried:
        assert await unhurried.add_note("1", "x", about_to_post) == "7"
    assert (begun, len(posted)) == ([0, 1], 2)


async def test_a_missing_permission_costs_one_token_an_hour() -> None:
    """The next token would have the same scopes."""
    clock, tokens = Clock(), list[int]()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/token"):
            tokens.append(len(tokens))
            return httpx2.Response(200, json={"access_token": f"t{len(tokens)}"})
        return httpx2.Response(401 if request.url.path.endswith("/solutions") else 200, json={})

    limits = DeskLimits(Breaker("desk", "desk unavailable"), DeskRate("globex", 100_000, None), 8)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        desk = settings("http://desk", "cloud")
        calls = DeskCalls("globex", desk, http, AccessToken("globex", desk, http, None, 5), 5, limits, monotonic=clock)
        for seconds, fetched in ((0, 2), (3599, 2), (1, 3)):
            clock.now += seconds
            await calls.make("GET", "/requests")
            with pytest.raises(DeskRefusedError, match="401"):
                await calls.make("GET", "/solutions", own_permission=True)
            assert len(tokens) == fetched


@pytest.mark.parametrize(
    ("failure", "kind", "unknown"),
    [
        *((failure, DeskTimeoutError, True) for failure in (httpx2.ReadTimeout("?"), TimeoutError())),
        *(
            (failure, DeskUnavailableError, True)
            for failure in (httpx2.ReadError("?"), httpx2.RemoteProtocolError("?"))
        ),
        *((failure, DeskTimeoutError, False) for failure in (httpx2.ConnectTimeout("?"), httpx2.PoolTimeout("?"))),
        (httpx2.ConnectError("?"), DeskUnavailableError, False),
        *((httpx2.Response(status), DeskUnavailableError, True) for status in (500, 502, 504)),
        (httpx2.Response(200, text="<html>"), DeskUnavailableError, True),
        (httpx2.Response(200, json={}), DeskUnavailableError, True),
        (httpx2.Response(200, json={"response_status": {"status": "failed"}}), DeskUnavailableError, True),
        (httpx2.Response(408), DeskUnavailableError, False),
    ],
    ids=repr,
)
async def test_only_a_posting_has_an_unknown_outcome(failure: Any, kind: type[TemporaryError], unknown: bool) -> None:
    def answer(_request: httpx2.Request) -> Any:
        if isinstance(failure, Exception):
            raise failure
        return failure

    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as client:
        calls = (client.add_note("1", "x"), client.read_ticket("1"), client.find_note("1", has("x")))
        for called, outcome in zip(calls, (unknown, False, False), strict=True):
            with pytest.raises(kind) as failed:
                await called
            assert failed.value.outcome_unknown is outcome


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


async def test_an_expired_key_is_tried_every_half_minute(expired: str, desks: Simulator, log: io.StringIO) -> None:
    clock = Clock()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        at_once = [desk.read_open_ticket(expired) for _ in range(6)]
        refused = await asyncio.gather(*at_once, return_exceptions=True)
        assert {str(failure) for failure in refused} == {f"held back: {WHY}"}
        assert log.getvalue().count(REFUSED) == 1
        desks.forget()
        for tries in (1, 2, 3):
            clock.now += 30
            for call in (desk.read_open_ticket(expired), desk.add_note(expired, "x"), desk.list_tickets()):
                with pytest.raises(DeferredError, match=WHY) as held:
                    await call
                assert (held.value.extends_deadline, held.value.seconds >= 30) == (True, True)
            assert len(desks.requests()) == log.getvalue().count(REFUSED) - 1 == tries
            assert is_held() == 1
        clock.now += 30
        desks.change("PATCH", "/desks/acme", api_key="acme-key")
        assert await desk.add_note(expired, "x")
        assert (await desk.read_open_ticket(expired)).ticket_id == expired
    log_text = log.getvalue()
    assert log_text.count(f"Hold error: desk of acme: {WHY}") == log_text.count("Hold ended: desk of acme") == 1
    assert is_held() == 0
    assert len(notes_of(desks, expired)) == 1


async def test_a_refresh_token_that_was_withdrawn_holds_too_and_no_token_is_asked_for() -> None:
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(400, json={"error": "invalid_code"})

    transport = httpx2.MockTransport(answer)
    async with opened(settings("http://desk", "cloud"), transport=transport, holds=holds_by(Clock())) as desk:
        for _ in range(3):
            with pytest.raises(DeferredError, match=WHY):
                await desk.read_ticket("1")
    assert asked == ["/globex/oauth/v2/token"]


async def test_notes_refused_in_three_tickets_hold_all(desks: Simulator, start_log: StartLog) -> None:
    """Fewer may be refused for good. Unpaid jobs try once in ten minutes."""
    one, two, three = (new_ticket(desks) for _ in range(3))
    clock, log = Clock(), start_log()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        for refused in ([one, two, one, two], [three, one]):
            desks.order(kind="status", code=403, operation="add_note")
            for ticket_id in refused:
                with pytest.raises(DeskRefusedError, match="403"):
                    await desk.add_note(ticket_id, "x")
                desk.check_notes(answered=False)
            if three not in refused:
                desks.forget()
                await desk.add_note(one, "x")
        with pytest.raises(DeferredError, match=NO_NOTES):
            await desk.add_note(two, "x")
        # The desk's answer to another call is no answer to this one.
        assert (await desk.read_open_ticket(one)).ticket_id == one
        for _ in range(19):
            clock.now += 30
            desk.check_notes(answered=True)
            with pytest.raises(DeferredError, match=NO_NOTES):
                await desk.add_note(two, "x")
            with pytest.raises(DeferredError, match=NO_NOTES):
                desk.check_notes(answered=False)
        clock.now += 30
        desk.check_notes(answered=False)
        with pytest.raises(DeferredError):
            desk.check_notes(answered=False)
        desks.forget()
        await desk.add_note(three, "x")
        desk.check_notes(answered=False)
    assert log.getvalue().count(f"Hold error: desk of acme: {NO_NOTES}") == 1


async def test_a_desk_that_puts_calls_off_has_not_taken_the_key(expired: str, desks: Simulator) -> None:
    clock = Clock()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        with pytest.raises(DeferredError, match=WHY):
            await desk.read_ticket(expired)
        clock.now += 30
        desks.order(kind="status", code=408, operation="read_ticket", times=1)
        for failure, why in ((DeskUnavailableError, "408"), (DeferredError, WHY)):
            with pytest.raises(failure, match=why):
                await desk.read_ticket(expired)
    assert is_held() == 1


@pytest.mark.parametrize("code", [400, 403, 404, 408])
async def test_a_hold_for_notes_lasts_until_a_note_is_taken(code: int, desks: Simulator) -> None:
    ticket_id, clock = new_ticket(desks), Clock()
    async with opened(settings(desks.url), holds=holds_by(clock)) as desk:
        desks.order(kind="status", code=401, operation="add_note", times=1)
        with pytest.raises(DeferredError, match=NO_NOTES):
            await desk.add_note(ticket_id, "x")
        clock.now += 30
        desks.order(kind="status", code=code, operation="add_note", times=1)
        with pytest.raises((ExternalError, TicketGoneError)):
            await desk.add_note(ticket_id, "x")
        with pytest.raises(DeferredError, match=NO_NOTES):
            desk.check_notes(answered=False)
        clock.now += 30
        assert await desk.add_note(ticket_id, "x")
        desk.check_notes(answered=False)


async def test_with_another_key_the_desk_is_called_at_once(expired: str, desks: Simulator) -> None:
    clock, values = Clock(), {"SERVICEDESK_URL_ACME": f"{desks.url}/acme", "SERVICEDESK_API_KEY_ACME": "acme-key"}
    async with desks_of(values, clock) as found:
        for _ in range(2):
            with pytest.raises(DeferredError, match=WHY):
                await found.of("acme").read_ticket(expired)
        assert len(desks.requests()) == is_held() == 1
        values["SERVICEDESK_API_KEY_ACME"] = "made anew"
        clock.now += 6
        assert (await found.of("acme").read_ticket(expired)).ticket_id == expired
        assert is_held() == 0
        # The tenant leaves, and the next call for any tenant notices.
        values.clear()
        clock.now += 6
        with pytest.raises(DeskUnavailableError, match="no desk configured"):
            found.of("globex")
        assert is_held() is REGISTRY.get_sample_value("ai_agents_breaker_open", {"server": "desk of acme"}) is None
