"""Recorded desk answers and the meaning of others, and markup as plain text."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from integrations.errors import (
    DeferredError,
    DeskDeniedError,
    DeskRefusedError,
    DeskUnavailableError,
    ExternalError,
    TicketGoneError,
)
from integrations.http import retry_after_of
from integrations.plain_text import plain_text
from integrations.servicedesk.auth import AccessToken
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.parsing import UNCLEAR, DeskAnswer, decode, is_closed, ticket_of
from tests.kit.desk import Edition, RecordedAnswer, line_of, opened, recorded_answers, settings

RECORDED = recorded_answers()
# By recorded answer, what our client reads from it.
EXPECTED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded_expected.json").read_text(encoding="utf-8"))


async def ticket(desk: ServiceDeskPlus) -> Any:
    read = await desk.read_open_ticket("1")
    numbers = (read.ticket_id, read.display_id)
    return (*numbers, read.subject, read.status, read.priority, read.category, read.group, read.template)


async def tickets(desk: ServiceDeskPlus) -> Any:
    listed = await desk.list_tickets()
    told = [(*each[:4], dict(each.kinds), each.subject, each.created_at, each.changed_at) for each in listed.items]
    return [*told, listed.has_more]


async def solutions(desk: ServiceDeskPlus) -> Any:
    listed = await desk.list_solutions()
    return [*map(tuple, listed.items), listed.has_more]


async def solution(desk: ServiceDeskPlus) -> Any:
    read = await desk.read_solution("100000000000033301")
    return read and (read.solution_id, read.title, read.text)


CALLS: dict[str, Callable[[ServiceDeskPlus], Awaitable[Any]]] = {
    "ticket": ticket,
    "failure": ticket,
    "tickets": tickets,
    "solutions": solutions,
    "solution": solution,
    "note": lambda desk: desk.add_note("1", "x"),
    "notes": lambda desk: desk.find_note("1", lambda _text: False),
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
            http = httpx2.AsyncClient(transport=transport)
            return await AccessToken("globex", settings("http://desk", "cloud"), http, None, 5).get()
        async with opened(settings("http://desk", edition), transport=transport) as desk:
            came = await CALLS[recorded.kind](desk)
    except ExternalError as failure:
        return line_of(failure)
    except DeferredError as held:
        return str(held)
    except TicketGoneError as gone:
        return gone.phrase.template.format(**gone.values)
    return notes_read if recorded.kind == "notes" else came


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.name)
async def test_an_answer_that_a_desk_gave_is_read_as_what_it_says(recorded: RecordedAnswer) -> None:
    came = await what_comes_of(recorded)
    assert json.loads(json.dumps(came, default=str)) == EXPECTED[recorded.name]


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


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [
        ({"completed_time": {"value": "1604655594000"}, "resolved_time": {"value": "1604650000000"}}, 1604655594),
        ({"completed_time": None, "resolved_time": {"value": "1604650000000"}}, 1604650000),
        ({"completed_time": "soon"}, None),
    ],
)
def test_a_ticket_is_closed_when_it_was_completed_or_else_resolved(
    changed: dict[str, Any], seconds: int | None
) -> None:
    recorded = next(each.body["request"] for each in RECORDED if each.name == "onpremises_ticket_open")
    closed_at = ticket_of(recorded | changed).closed_at
    assert (closed_at and closed_at.timestamp()) == seconds


def test_each_row_has_a_file_and_each_file_says_where_it_is_from() -> None:
    assert {recorded.name for recorded in RECORDED} == EXPECTED.keys()
    for recorded in RECORDED:
        assert re.match(r"[\w-]+/[\w-]+, |(vendor|others) \(", recorded.source), recorded.name


def answer(status: int, response_status: Any, retry_after: str | None = None, *, posted: bool = False) -> DeskAnswer:
    wait = retry_after_of({} if retry_after is None else {"retry-after": retry_after})
    return decode(status, json.dumps({"response_status": response_status}).encode(), wait, posted=posted)


def coded(code: int, inner: int | None = None) -> dict[str, Any]:
    messages = [] if inner is None else [{"status_code": inner, "type": "failed", "message": "ticket text"}]
    return {"status_code": code, "messages": messages, "status": "x"}


def test_success_comes_as_an_object_or_as_a_list() -> None:
    for wrap in (lambda status: status, lambda status: [status]):
        assert answer(200, wrap({"status_code": 2000, "status": "success"})).succeeded
        assert answer(201, wrap({"status_code": "2000"})).succeeded
        for nothing_done in (coded(4000, 4004), coded(3000), coded(2000, 3000), coded(2000, 4004)):
            assert not answer(200, wrap(nothing_done)).succeeded


REFUSED, LATER, DENIED = DeskRefusedError, DeskUnavailableError, DeskDeniedError
OF_CODES = [
    *((code, REFUSED, "400") for code in (4001, 4012, 4014, 4016, 4021)),
    *((4002, REFUSED, "403"), (4004, LATER, "500"), (4015, LATER, "429"), (4022, DENIED, "401")),
]
# HTTP status, the API's status, class and line of the failure, and the code of the desk's own that is logged beside it.
FAILURES = [
    *((200, coded(code), kind, shown, None) for code, kind, shown in OF_CODES),
    *((200, coded(4000, code), kind, shown, None) for code, kind, shown in OF_CODES),
    *((status, None, REFUSED, str(status), None) for status in (302, 400, 403, 404)),
    (401, None, DENIED, "401", None),
    *((status, None, LATER, str(status), None) for status in (408, 425, 429, 500, 502, 503, 504, 507)),
    *((200, coded(4999), REFUSED, "400", 4999), (200, coded(503), LATER, "503", None)),
    *((200, coded(599), LATER, "500", 599), (499, None, REFUSED, "400", 499)),
    *((599, None, LATER, "500", 599), (999, None, LATER, "500", 999)),
    # A strange status is no code.
    *((500, odd, LATER, "500", None) for odd in (17, "x", [], [1], {}, {"status_code": None}, {"status_code": True})),
]


@pytest.mark.parametrize(("status", "told", "kind", "shown", "code"), FAILURES)
def test_each_failure_has_its_class_and_line(status: int, told: Any, kind: Any, shown: str, code: Any) -> None:
    answered = answer(status, told)
    failure = answered.failure()
    assert not answered.succeeded
    assert (type(failure), line_of(failure)) == (kind, f"ServiceDesk Plus API error: {shown}")
    assert failure.also == ({} if code is None else {"desk_code": code})


def test_desk_failures_have_a_few_reasons() -> None:
    """They end up in rows and as a metric's label."""
    failures = [answer(200, coded(4000, code)).failure() for code in range(4000, 9000)]
    failures += [answer(200, coded(code)).failure() for code in (*range(1, 2000), 10**8, 3000)]
    assert len({failure.reason for failure in failures}) < 45
    failures += [decode(status, b"", None).failure() for status in range(300, 1000)]
    assert len({failure.reason for failure in failures}) < 60


THROTTLE = "URL_ROLLING_THROTTLES_LIMIT_EXCEEDED"
THROTTLED: list[Any] = [
    (400, {"error": {"title": THROTTLE}}),
    (400, {"code": "INTERNAL_ERROR", "message": "URL_FIXED_THROTTLES_LIMIT_EXCEEDED"}),
    (200, {"response_status": [{"status_code": 4000, "status": "failed", "messages": [{"message": THROTTLE}]}]}),
    (200, [{"title": THROTTLE}]),
    (401, {"cause": "throttles_limit_exceeded"}),
    (404, {"response_status": {"status_code": 4007, "messages": THROTTLE}}),
    (503, f"<html>{THROTTLE}</html>"),
    (400, {"response_status": coded(4015)}),
    (400, {"response_status": [coded(4000, 4015)]}),
    (200, {"response_status": coded(4000, 4015)}),
    *((400, {name: {"title": THROTTLE}}) for name in ("details", "message", "status", "Error", "exception")),
    (400, {"operation": {"result": {"message": THROTTLE}}}),
]


@pytest.mark.parametrize(("status", "body"), THROTTLED)
def test_a_throttling_is_one_under_any_status_and_in_any_field(status: int, body: Any) -> None:
    throttled = decode(status, json.dumps(body).encode(), 7, posted=True)
    assert (throttled.throttled, throttled.effective_status, throttled.retry_after) == (True, 429, 7)
    assert not any((throttled.succeeded, throttled.not_found, throttled.unauthorized, throttled.down))
    failure = throttled.failure()
    assert isinstance(failure, DeskUnavailableError)
    assert (failure.reason, failure.outcome_unknown) == ("ServiceDesk Plus API: 429", False)


@pytest.mark.parametrize("more", [{"response_status": coded(2000)}, {}])
def test_a_ticket_about_a_throttling_is_none(more: dict[str, Any]) -> None:
    body = {"request": {"id": "1", "subject": THROTTLE}} | more
    assert decode(200, json.dumps(body).encode(), None).succeeded
    if more:
        assert decode(200, json.dumps(more | {"subject": THROTTLE, "error": THROTTLE}).encode(), None).succeeded
    for echoed in (body, {"data": body}, {"notes": [THROTTLE]}):
        refused = decode(400, json.dumps(echoed | {"response_status": coded(4001)}).encode(), None)
        assert (refused.throttled, refused.effective_status) == (False, 400)


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([coded(2000), coded(4004)], 4004),
        ([coded(2000), coded(4000)], 4000),
        ([coded(2000), coded(3000)], 3000),
        ([coded(3000), coded(4000, 4001)], 4001),
        ([coded(2000), {"status": "failed"}], UNCLEAR),
        ([coded(3000), {"status": "failed"}], UNCLEAR),
        ([17, coded(2000)], 2000),
    ],
)
def test_of_several_statuses_the_worst_counts(statuses: list[Any], code: int) -> None:
    for order in (statuses, statuses[::-1]):
        assert answer(200, order).code == code


@pytest.mark.parametrize(
    "status",
    [
        {"status": "failed"},
        {"status": "Failure", "status_code": 2000},
        {"status_code": "9" * 5000},
        {"status_code": 10**4000},
        {"status_code": 2000, "messages": [{"status_code": "9" * 5000}]},
    ],
)
def test_a_failure_without_a_reason_and_a_code_that_is_none_are_no_answer(status: Any) -> None:
    answered = answer(200, status, posted=True)
    failure = answered.failure()
    assert not answered.succeeded
    assert isinstance(failure, DeskUnavailableError)
    assert (line_of(failure), failure.outcome_unknown) == ("ServiceDesk Plus API error: invalid answer", True)
    # An HTTP failure decides alone, and gives no verdict on the ticket.
    assert line_of(answer(503, status).failure()) == "ServiceDesk Plus API error: 503"
    assert not answer(404, status).not_found


@pytest.mark.parametrize(
    ("status", "body", "missing"),
    [
        *((404, {"response_status": told}, True) for told in (coded(4000, 4007), coded(4007), coded(4000))),
        (200, {"response_status": coded(4000, 4007)}, True),
        (200, {"response_status": coded(2000)}, False),
        (400, {"response_status": coded(4000, 4001)}, False),
        # Not the API's own.
        *((404, "<html>Not Found</html>", False), (404, [], False), (404, {}, False)),
        (404, {"message": "no Route matched"}, False),
    ],
)
def test_a_missing_ticket_is_told_by_the_apis_code_or_by_its_404(status: int, body: Any, missing: bool) -> None:
    assert decode(status, json.dumps(body).encode(), None).not_found is missing


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>Sign in</html>", b"[]", b"null", b'"ok"', b'{"request": {', b"\xff\xfe"),
        *(b"[" * 100_000, *(b'{"a": ' + b"[" * deep + b"]" * deep + b"}" for deep in (100, 900))),
    ],
)
def test_a_200_that_is_not_the_apis_json_may_not_have_happened(body: bytes) -> None:
    with pytest.raises(DeskUnavailableError) as failed:
        decode(200, body, None)
    assert line_of(failed.value) == "ServiceDesk Plus API error: invalid answer"
    assert not decode(404, body, None).not_found


TOMORROW = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
ODD_ZONES = (" EST GMT", " -0500 GMT", "", " +9999", " -0000", " EST", " UTC", " Z", " 99999999999", "GMT")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *[("7", 7.0), (" 7 ", 7.0), ("0", 0.0), (None, None), ("", None), ("soon", None), ("-1", None), ("²", None)],
        *[("Wed, 04 Nov 2020 09:00:00 GMT", 0.0), ("Wed, 99 Nov 2020 09:00:00 GMT", None)],
        ("9" * 5000, 999999999.0),
        *[(f"Wed, 04 Nov 2099 09:00:00{zone}", None) for zone in ODD_ZONES],
        *[("Fri, 31 Dec 9999 23:59:59 GMT", 999999999.0), ("Wed, 04 Nov 99999 09:00:00 GMT", None), (" GMT", None)],
        pytest.param(TOMORROW, pytest.approx(86400, abs=3600), id="tomorrow"),
    ],
)
def test_a_retry_after_as_seconds_or_date_is_kept(header: str | None, seconds: float | None) -> None:
    failure = answer(429, coded(4000, 4015), header).failure()
    assert isinstance(failure, DeskUnavailableError)
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("plain", "within", "wait"),
    [
        *(("7", "5", 7.0), ("soon", "5", 5.0), ("0", "5", 5.0), ("", "5", 5.0), (None, "5", 5.0)),
        *(("0", None, 0.0), ("soon", None, None), (None, None, None)),
    ],
)
def test_x_rate_limit_counts_without_retry_after(plain: Any, within: Any, wait: Any) -> None:
    named = {"retry-after": plain, "x-rate-limit": within and f"retry_after={within}"}
    assert retry_after_of({name: value for name, value in named.items() if value is not None}) == wait


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("one<br>two<br/><b>three</b>", "one two three"),
        ("a &amp; b &lt;c&gt; &#8364; &nbsp;&eacute;", "a & b <c> € é"),
        (" \n\t many \r\n  spaces ", "many spaces"),
        ("a &#0; &#xd800;", "a \ufffd \ufffd"),
        ("load < 5 and rising <b>fast</b>", "load < 5 and rising fast"),
        ("if a<b then <b>restart</b>", "if a<b then restart"),
        ("", ""),
    ],
)
def test_markup_becomes_plain_text(markup: str, text: str) -> None:
    assert plain_text(markup) == text


@pytest.mark.parametrize("odd", [b"\\ud83d", b"\\u0000", b"\xed\xa0\xbd"])
def test_what_no_database_takes_does_not_get_any_further_in_whatever_field(odd: bytes) -> None:
    """Desks cut subjects by UTF-16 units, so that half an emoji can be left."""
    body = b'{"request": [{"id": "1X", "X\\ud83d\\ude00": {"nameX": null}, "n": [1, true, "aXb"]}]}'.replace(b"X", odd)
    assert decode(200, body, None).body == {"request": [{"id": "1", "😀": {"name": None}, "n": [1, True, "ab"]}]}
