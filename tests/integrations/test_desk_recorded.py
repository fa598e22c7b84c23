"""Recorded desk answers, read by our client, each with its expected result."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from integrations.errors import HeldBack, OutsideFailure, TicketGone
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.parsing import is_closed, ticket_of
from tests.kit.desk import Edition, line_of, opened, settings
from tests.kit.recorded import RecordedAnswer, recorded_answers

RECORDED = recorded_answers()
ERROR = "ServiceDesk Plus API error: "
GONE = "Ticket deleted/closed"
# id, displayed number if it differs, subject, status, priority, category, group, template. No category: lists omit it.
CLOUD_KINDS = {"group": "", "template": "Default Request"}
KINDS = {**CLOUD_KINDS, "site": "Test Site"}


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


SOLUTION = ("100000000000033301", "Sample Content", "test-topic-name", None, "<b>The content to be displayed</b>", None)
EXPECTED: dict[str, Any] = {
    "onpremises_ticket_open": (
        *("201", "", "Plugin action test add request 2", "Open"),
        *("Normal", "Software", "", "Default Request"),
    ),
    "onpremises_ticket_closed": GONE,
    "onpremises_ticket_closed_by_another_name": GONE,
    "onpremises_ticket_resolved": GONE,
    "onpremises_ticket_in_the_trash": GONE,
    "onpremises_tickets": [
        ("98", "Open", False, "", KINDS, "Request about monitor", at(1660212951312), None),
        ("97", "Open", False, "", KINDS, "Request about monitor", at(1660212676207), None),
        True,
    ],
    "onpremises_notes": ["200", "332"],
    "onpremises_note": "337",
    "onpremises_older_note": "23",
    "onpremises_resolution": "Get resolution",
    "onpremises_solutions": [SOLUTION, False],
    "onpremises_solution": ("100000000000033301", "Sample Content", "The content to be displayed"),
    "cloud_ticket_open": (
        *("123640000000240013", "102", "Test create request", "Open"),
        *("High", "", "Network", "Default Request"),
    ),
    "cloud_ticket_on_hold": (
        *("123456789", "102", "Create request test", "On Hold"),
        *("High", "", "Network", "Default Request"),
    ),
    "cloud_ticket_closed": GONE,
    "cloud_ticket_in_the_trash": GONE,
    "cloud_tickets": [
        ("123640000000215007", "Open", False, "74", CLOUD_KINDS, "request 1", at(1591618056240), None),
        ("123640000000216003", "Open", False, "73", CLOUD_KINDS, "check request outputs", at(1591617944664), None),
        True,
    ],
    "cloud_notes": ["123640000000300001"],
    "cloud_note": "123640000000300001",
    "cloud_resolution": "changing resolution from demisto",
    "cloud_solutions": [SOLUTION, False],
    "cloud_solution": ("100000000000033301", "Sample Content", "The content to be displayed"),
    "failure_sort_field": ERROR + "400",
    "failure_filter_by": ERROR + "400",
    "failure_not_found": "Ticket not found: 1",
    "failure_already_closed": ERROR + "400",
    "failure_already_in_the_trash": ERROR + "400",
    "failure_forbidden": ERROR + "403",
    "failure_internal": ERROR + "500",
    "failure_rate": "held back: desk throttled",
    "failure_expired_key": ERROR + "401",
    "failure_license": ERROR + "400",
    "failure_extra_key": ERROR + "400",
    "failure_as_a_list": ERROR + "400",
    "failure_under_200": ERROR + "400",
    "failure_warning": ERROR + "3000",
    "token": "123456789",
    "token_refused": ERROR + "401",
    "token_too_many": ERROR + "429",
}


async def ticket(desk: ServiceDeskPlus) -> Any:
    read = await desk.read_open_ticket("1")
    numbers = (read.ticket_id, read.display_id)
    return (*numbers, read.subject, read.status, read.priority, read.category, read.group, read.template)


async def tickets(desk: ServiceDeskPlus) -> Any:
    listed = await desk.lists.tickets()
    told = [(*each[:4], dict(each.kinds), each.subject, each.created_at, each.changed_at) for each in listed.items]
    return [*told, listed.has_more]


async def solutions(desk: ServiceDeskPlus) -> Any:
    listed = await desk.lists.solutions()
    return [*map(tuple, listed.items), listed.has_more]


async def solution(desk: ServiceDeskPlus) -> Any:
    read = await desk.read_solution("100000000000033301")
    return read and (read.solution_id, read.title, read.text)


CALLS: dict[str, Callable[[ServiceDeskPlus], Awaitable[Any]]] = {
    "ticket": ticket,
    "failure": ticket,
    "tickets": tickets,
    "note": lambda desk: desk.add_note("1", "x"),
    "notes": lambda desk: desk.find_note("1", lambda _text: False),
    "solutions": solutions,
    "solution": solution,
}


async def what_comes_of(recorded: RecordedAnswer) -> Any:
    """Return the client's result: a ticket, its notes in order, or a failure's line."""
    notes_read: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/token") and recorded.kind != "token":
            return httpx2.Response(200, json={"access_token": "t"})
        if recorded.kind == "notes" and not request.url.path.endswith("/notes"):
            notes_read.append(request.url.path.rpartition("/")[2])
            gone = next(each for each in RECORDED if each.name == "failure_not_found")
            return httpx2.Response(gone.status, json=gone.body)
        return httpx2.Response(recorded.status, json=recorded.body)

    if recorded.kind == "resolution":
        return ticket_of({"id": "1", "resolution": recorded.body["resolution"]}).resolution
    edition: Edition = "cloud" if recorded.edition == "cloud" else "onpremises"
    transport = httpx2.MockTransport(answer)
    try:
        if recorded.kind == "token":
            tokens = DeskTokens(httpx2.AsyncClient(transport=transport), None, 5)
            return await tokens.get("globex", settings("http://desk", "cloud"))
        async with opened(settings("http://desk", edition), transport=transport) as desk:
            came = await CALLS[recorded.kind](desk)
    except OutsideFailure as failure:
        return line_of(failure)
    except HeldBack as held:
        return str(held)
    except TicketGone as gone:
        return gone.phrase.template.format(**gone.values)
    return notes_read if recorded.kind == "notes" else came


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_an_answer_that_a_desk_gave_is_read_as_what_it_says(recorded: RecordedAnswer) -> None:
    assert await what_comes_of(recorded) == EXPECTED[recorded.name]


# Changes to a recorded ticket, and whether it is closed then; names as other sources document them.
CLOSED: list[tuple[str, dict[str, Any], bool]] = [
    *(("onpremises_ticket_open", {"status": {"name": name}}, True) for name in ("Closed", "resolved", "CANCELLED")),
    ("onpremises_ticket_open", {"status": {"name": "Canceled"}}, True),
    ("onpremises_ticket_open", {"status": {"name": "Erledigt"}}, False),
    ("onpremises_ticket_open", {"completed_time": None}, False),
    ("onpremises_ticket_open", {"completed_time": {"value": "1604655594000"}}, True),
    # If the status has an in-progress flag, neither its name nor a time counts.
    ("cloud_ticket_on_hold", {}, False),
    ("cloud_ticket_open", {"status": {"name": "Closed", "in_progress": True}}, False),
    ("cloud_ticket_open", {"status": {"name": "Open", "in_progress": False}}, True),
    ("cloud_ticket_open", {"completed_time": {"value": "1604655594000"}}, False),
]


@pytest.mark.parametrize(("name", "changed", "closed"), CLOSED)
def test_a_ticket_is_closed_by_what_its_edition_says(name: str, changed: dict[str, Any], *, closed: bool) -> None:
    recorded = next(each.body["request"] for each in RECORDED if each.name == name)
    assert is_closed(recorded | changed, frozenset()) is closed


def test_each_row_has_a_file_and_each_file_says_where_it_is_from() -> None:
    assert {recorded.name for recorded in RECORDED} == EXPECTED.keys()
    for recorded in RECORDED:
        assert re.match(r"[\w-]+/[\w-]+, |(vendor|others) \(", recorded.source), recorded.name
