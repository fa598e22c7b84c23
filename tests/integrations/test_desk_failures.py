"""ServiceDesk Plus failures: class, log line, and no call done twice."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from integrations.errors import DeskRefused, DeskTimeout, DeskUnavailable, HeldBack, OutsideFailure
from tests.kit.desk import EDITIONS, Edition, line_of, new_ticket, notes_of, opened, settings
from tests.kit.logs import StartLog
from tests.kit.simulators import Simulator

TIMEOUT = "ServiceDesk Plus API timeout"
ERROR = "ServiceDesk Plus API error: "
FAULTS: list[tuple[dict[str, Any], type[OutsideFailure], str]] = [
    ({"kind": "silence"}, DeskTimeout, TIMEOUT),
    ({"kind": "slow", "seconds": 2}, DeskTimeout, TIMEOUT),
    ({"kind": "status", "code": 408}, DeskUnavailable, ERROR + "408"),
    ({"kind": "status", "code": 500}, DeskUnavailable, ERROR + "500"),
    ({"kind": "status", "code": 503}, DeskUnavailable, ERROR + "503"),
    ({"kind": "status", "code": 400}, DeskRefused, ERROR + "400"),
    ({"kind": "status", "code": 403}, DeskRefused, ERROR + "403"),
    ({"kind": "inner_failure"}, DeskUnavailable, ERROR + "500"),
    ({"kind": "inner_failure", "inner_code": 4002}, DeskRefused, ERROR + "403"),
    ({"kind": "warning"}, DeskRefused, ERROR + "3000"),
    ({"kind": "html"}, DeskUnavailable, ERROR + "invalid answer"),
    ({"kind": "not_json"}, DeskUnavailable, ERROR + "invalid answer"),
    ({"kind": "huge", "megabytes": 6}, DeskUnavailable, ERROR + "invalid answer"),
    ({"kind": "redirect"}, DeskRefused, ERROR + "302"),
    ({"kind": "cut"}, DeskUnavailable, ERROR + "connection"),
    ({"kind": "cut_after"}, DeskUnavailable, ERROR + "connection"),
]


@EDITIONS
@pytest.mark.parametrize(("fault", "kind", "shown"), FAULTS, ids=[str(fault[0]) for fault in FAULTS])
async def test_each_failure_of_a_reading_has_its_class_and_its_line_after_one_call(
    fault: dict[str, Any], kind: type[OutsideFailure], shown: str, edition: Edition, desks: Simulator, tokens: Redis
) -> None:
    ticket_id = new_ticket(desks, edition)
    desks.order(operation="read_ticket", **fault)
    async with opened(settings(desks.url, edition), redis=tokens, timeout=1.5) as desk:
        with pytest.raises(OutsideFailure) as failed:
            await desk.read_open_ticket(ticket_id)
    assert (type(failed.value), line_of(failed.value)) == (kind, shown)
    assert len(desks.requests(operation="read_ticket")) == 1


@pytest.mark.parametrize(("fault", "kind", "shown"), FAULTS, ids=[str(fault[0]) for fault in FAULTS])
async def test_each_failure_of_a_writing_is_told_and_the_note_is_posted_once(
    fault: dict[str, Any], kind: type[OutsideFailure], shown: str, desks: Simulator
) -> None:
    ticket_id = new_ticket(desks)
    desks.order(operation="add_note", **fault)
    async with opened(settings(desks.url), timeout=1.5) as desk:
        with pytest.raises(OutsideFailure) as failed:
            await desk.add_note(ticket_id, "<p>x</p>")
    assert (type(failed.value), line_of(failed.value)) == (kind, shown)
    assert len(desks.requests(operation="add_note")) == 1
    done_all_the_same = {"slow", "cut", "cut_after"}
    assert len(notes_of(desks, ticket_id)) == (1 if fault["kind"] in done_all_the_same else 0)


@EDITIONS
@pytest.mark.parametrize("operation", ["read_ticket", "add_note"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "throttled", "shape": "code"},
        {"kind": "throttled", "shape": "object"},
        {"kind": "status", "code": 429},
        {"kind": "inner_failure", "inner_code": 4015},
    ],
    ids=str,
)
async def test_a_throttled_call_holds_the_calls_of_the_desk(
    fault: dict[str, Any], operation: str, edition: Edition, desks: Simulator, tokens: Redis, start_log: StartLog
) -> None:
    ticket_id, log = new_ticket(desks, edition), start_log()
    desks.order(operation=operation, **fault)
    async with opened(settings(desks.url, edition), redis=tokens) as desk:
        for _ in range(2):
            with pytest.raises(HeldBack, match="desk throttled") as held:
                await (desk.add_note(ticket_id, "x") if operation == "add_note" else desk.read_open_ticket(ticket_id))
            assert held.value.extends_deadline
    assert log.getvalue().count(ERROR + "429") == len(desks.requests(operation=operation)) == 1


async def test_of_an_answer_without_end_only_some_megabytes_are_read(desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    desks.order(kind="huge", megabytes=50, operation="read_ticket")
    async with opened(settings(desks.url)) as desk:
        with pytest.raises(DeskUnavailable):
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
        with pytest.raises(DeskUnavailable) as failed:
            await desk.read_ticket(ticket_id)
    assert failed.value.retry_after == seconds
