"""Our log lines: support's phrases in both formats, and escaped input."""

import asyncio
import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from observability import phrases
from observability.identifiers import bind, bound, current, other_numbers, tags
from observability.logging import Outage, refuse_start, say
from tests.kit.clock import Clock
from tests.kit.logs import StartLog

JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
TRACE = "0af7651916cd43dd8448eb211c80319c"
IDS = f"ticket_id: 12345, tenant_id: acme, job_id: {JOB}, trace_id: {TRACE}"
FORMATS = pytest.mark.parametrize("log_format", ["text", "json"])
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
HERE = r"tests/observability/test_log_lines\.py"


@contextmanager
def traced() -> Iterator[None]:
    context = SpanContext(int(TRACE, 16), 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with use_span(NonRecordingSpan(context)):
        yield


def lines(stream: io.StringIO) -> list[str]:
    text = stream.getvalue()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def raise_with_a_secret() -> None:
    try:
        {"id": 1}["ticket text of a person"]
    except KeyError as cause:
        raise ValueError("postgresql://app:hunter2@db") from cause


def test_a_line_carries_its_identifiers_after_the_phrase(start_log: StartLog) -> None:
    stream = start_log("text")
    with traced(), bound(ticket_id="12345"):
        bind(tenant_id="acme", job_id=JOB)
        say(phrases.TASK_STARTED, job_id=JOB, ticket_id="12345")
    (line,) = lines(stream)
    phrase = f"Task started: job_id={JOB}, ticket_id=12345"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info    " + re.escape(f"{phrase} | {IDS}"), line)


def test_in_json_the_phrase_the_identifiers_and_each_of_them_are_fields(start_log: StartLog) -> None:
    stream = start_log("json")
    with traced(), bound(ticket_id="12345", tenant_id="acme", job_id=JOB):
        say(phrases.TASK_STARTED, job_id=JOB, ticket_id="12345")
    (line,) = lines(stream)
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("timestamp"))
    assert fields == {
        "level": "info",
        "event": f"Task started: job_id={JOB}, ticket_id=12345",
        "ids": IDS,
        "ticket_id": "12345",
        "tenant_id": "acme",
        "job_id": JOB,
        "trace_id": TRACE,
    }


@FORMATS
def test_identifiers_end_with_their_block_and_belong_to_their_thread(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)
    with bound(ticket_id="12345"):
        with bound(ticket_id="67890", attempt="2"):
            say(phrases.WORKFLOW_INITIATED)
        with bound():
            bind(job_id="of a request that is over")
        say(phrases.WORKFLOW_INITIATED)
        other = threading.Thread(target=say, args=(phrases.WORKFLOW_INITIATED,))
        other.start()
        other.join()
    inner, outer, elsewhere = lines(stream)
    assert "ticket_id: 67890, attempt: 2" in inner
    assert "ticket_id: 12345" in outer
    assert "attempt" not in outer
    assert "job_id" not in outer
    assert "ticket_id" not in elsewhere


async def test_what_a_task_of_a_block_learns_holds_for_all_of_the_block() -> None:
    """A step of the graph runs in its own task, and learns a ticket's other number."""

    async def learn() -> None:
        bind(**other_numbers("102", "4711", "102"))

    with bound(ticket_id="102"):
        await asyncio.create_task(learn())
        assert dict(tags()) == dict(current()) == {"ticket_id": "102", "desk_id": "4711"}
    assert current() == {}
    await asyncio.create_task(learn())
    assert current() == {}


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        (("102", None, None), {}),
        (("102", "4711", "102"), {"desk_id": "4711"}),
        (("4711", "4711", "102"), {"display_id": "102"}),
        (("7", "4711", "102"), {"desk_id": "4711", "display_id": "102"}),
    ],
)
def test_a_tickets_other_number_is_told_under_its_own_name(
    numbers: tuple[str, str | None, str | None], told: dict[str, str]
) -> None:
    assert other_numbers(*numbers) == told


def test_a_line_without_identifiers_ends_with_its_phrase(start_log: StartLog) -> None:
    stream = start_log("text")
    say(phrases.PROCESS_READY, process="Worker")
    (line,) = lines(stream)
    assert line.endswith("Z info    Worker ready.")


HOSTILE = [
    "1\n2026-01-01T00:00:00.000Z error   Task failed",
    "1\r\n\x0b\x0c\x85\u2028\u2029",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b31m",
    "\u202etxt.exe\u2066\u200f\u061c\ufeff",
    "\x00\x08\x7f",
    "\ud800",
]


@FORMATS
@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_in_a_value_starts_a_line_or_moves_the_cursor(log_format: str, value: str, start_log: StartLog) -> None:
    stream = start_log(log_format)
    with bound(ticket_id=value):
        say(phrases.SETTINGS_REFUSED, reason=value, also={"model": value})
    (line,) = lines(stream)
    line.encode()
    shown = json.loads(line).values() if log_format == "json" else []
    assert [text for text in (line, *shown) if UNPRINTABLE.search(text)] == []


@FORMATS
def test_no_value_is_long(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)
    with bound(ticket_id="1" * 100_000):
        say(phrases.SETTINGS_REFUSED, reason="x" * 100_000, also={"model": "y" * 100_000})
    (line,) = lines(stream)
    assert len(line) < 3000
    assert "…" in line


@FORMATS
def test_a_failure_is_shown_as_types_and_places_without_messages(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)
    try:
        raise_with_a_secret()
    except ValueError as failure:
        say(phrases.REQUEST_FAILED, failure=failure)
    (line,) = lines(stream)
    assert re.search(
        rf"exception: ValueError at {HERE}:\d+ raise_with_a_secret < {HERE}:\d+ \w+"
        rf" caused by KeyError at {HERE}:\d+ raise_with_a_secret",
        line,
    )
    assert "hunter2" not in line
    assert "ticket text" not in line


def test_exceptions_that_refer_to_each_other_end(start_log: StartLog) -> None:
    stream = start_log("text")
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    say(phrases.REQUEST_FAILED, failure=first)
    assert lines(stream)[0].endswith("exception: ValueError caused by KeyError")


@FORMATS
def test_promised_lines_are_printed_at_any_level_and_others_are_not(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format, "ERROR")
    say(phrases.PROCESS_STARTING, process="Worker")
    say(phrases.SERVER_AWAITED, server="the database")
    say(phrases.GPT4_ANSWER_KEPT)
    assert lines(stream) == []
    say(phrases.TASK_STARTED, job_id=JOB, ticket_id="1")
    say(phrases.CONTEXT_TIMEOUT, seconds=30)
    say(phrases.DESK_TIMEOUT)
    assert [line for line in lines(stream) if "_promised" in line] == []
    assert len(lines(stream)) == 3
    if log_format == "text":
        assert " error   ServiceDesk Plus API timeout" in lines(stream)[2]


@FORMATS
def test_what_nobody_caught_is_one_line_without_its_message(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)

    def crash() -> None:
        raise RuntimeError("hunter2")

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    (line,) = lines(stream)
    assert "Process error: unexpected failure" in line
    assert "RuntimeError at tests/observability/test_log_lines.py" in line
    assert "hunter2" not in line


@pytest.mark.usefixtures("untouched_logging")
@pytest.mark.parametrize("log_format", ["json", "xml"])
def test_a_start_is_refused_in_the_format_of_the_settings_or_in_text(
    log_format: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FORMAT", log_format)
    refuse_start(["DATABASE_URL is missing", "REDIS_URL is missing"])
    told = capsys.readouterr().out.splitlines()
    if log_format == "json":
        told = [f"Z error   {json.loads(line)['event']}" for line in told]
    assert [line.partition("Z ")[2] for line in told] == [
        "error   Start refused: DATABASE_URL is missing",
        "error   Start refused: REDIS_URL is missing",
    ]


def test_an_outage_is_told_at_its_beginning_and_once_a_minute(start_log: StartLog) -> None:
    stream, clock = start_log(), Clock(0)
    outage = Outage(phrases.REDIS_UNREACHABLE, monotonic=clock)
    for clock.now in (0.0, 1.0, 59.0):
        outage.seen("jobs wait in the database", OSError("hunter2"))
    assert stream.getvalue().count("Redis error: jobs wait in the database") == 1
    clock.now = 60.0
    outage.seen("jobs wait in the database")
    assert stream.getvalue().count("Redis error") == 2
    outage.over()
    outage.seen("x")
    assert stream.getvalue().count("Redis error") == 3
    assert "hunter2" not in stream.getvalue()
