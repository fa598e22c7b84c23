"""Log lines of ours and of libraries: support's phrases in both formats, without secrets and noise."""

import asyncio
import io
import json
import logging
import re
import sys
import threading
import warnings

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from redis.exceptions import AuthenticationError

from observability import log_events
from observability.identifiers import bind, bound, current, other_ticket_ids, tags
from observability.log_events import Phrase
from observability.logging import Outage, log_event, refuse_start
from tests.kit.clock import Clock
from tests.kit.logs import StartLog

PROMISED = {
    *("WEBHOOK_RECEIVED", "WEBHOOK_DUPLICATE", "WEBHOOK_REJECTED", "WEBHOOK_NOT_TAKEN", "JOB_QUEUED", "JOB_REQUEUED"),
    *("TASK_STARTED", "WORKFLOW_INITIATED", "CONTEXT_GATHERED", "CONTEXT_TIMEOUT", "GPT4_ANSWERED", "GPT4_TIMEOUT"),
    *("OPENAI_FAILED", "TICKET_UPDATED", "DESK_TIMEOUT", "DESK_FAILED", "TICKET_NOT_FOUND", "TICKET_CLOSED"),
    *("TASK_COMPLETED", "TASK_SKIPPED", "TASK_FAILED", "MESSAGE_FAILED", "SETTINGS_REFUSED", "PROCESS_READY"),
    *("PROCESS_FAILED", "WORKER_STUCK", "HOUSEKEEPING_STUCK", "DATABASE_UNREACHABLE", "REDIS_UNREACHABLE"),
    *("RELAY_FAILED", "REQUEST_FAILED"),
}
DEFINED = {name: value for name, value in vars(log_events).items() if isinstance(value, Phrase)}
JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
TRACE = "0af7651916cd43dd8448eb211c80319c"
IDS = f"ticket_id: 12345, tenant_id: acme, job_id: {JOB}, trace_id: {TRACE}"
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
HERE = r"tests/observability/test_log_lines\.py"


@pytest.fixture(params=["text", "json"])
def log_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def formatted(log_format: str, start_log: StartLog) -> io.StringIO:
    """Start the log in each of the two formats."""
    return start_log(log_format)


def lines(stream: io.StringIO) -> list[str]:
    text = stream.getvalue()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def test_promised_phrases_are_unchanged() -> None:
    assert {name for name, phrase in DEFINED.items() if phrase.promised} == PROMISED


def test_the_word_that_support_greps_for_is_in_failures_only_and_no_two_phrases_read_alike() -> None:
    healthy = [phrase for phrase in DEFINED.values() if phrase.level != "error"]
    assert [phrase.template for phrase in healthy if "error" in phrase.template.lower()] == []
    assert 0 < len(healthy) < len(DEFINED) == len({(phrase.template, phrase.level) for phrase in DEFINED.values()})


def test_a_line_has_its_identifiers_after_the_phrase(log_format: str, formatted: io.StringIO) -> None:
    span = NonRecordingSpan(SpanContext(int(TRACE, 16), 1, is_remote=False, trace_flags=TraceFlags(1)))
    with use_span(span), bound(ticket_id="12345"):
        bind(tenant_id="acme", job_id=JOB)
        log_event(log_events.TASK_STARTED, job_id=JOB, ticket_id="12345")
    log_event(log_events.PROCESS_READY, process="Worker")
    line, without = lines(formatted)
    phrase, moment = f"Task started: job_id={JOB}, ticket_id=12345", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    if log_format == "text":
        assert re.fullmatch(f"{moment} info    " + re.escape(f"{phrase} | {IDS}"), line)
        assert without.endswith("Z info    Worker ready.")
    else:
        fields = json.loads(line)
        assert re.fullmatch(moment, fields.pop("timestamp"))
        ids = {"ticket_id": "12345", "tenant_id": "acme", "job_id": JOB, "trace_id": TRACE}
        assert fields == {"level": "info", "event": phrase, "ids": IDS, **ids}


def test_identifiers_end_with_their_block_and_belong_to_their_thread(formatted: io.StringIO) -> None:
    with bound(ticket_id="12345"):
        with bound(ticket_id="67890", attempt="2"):
            log_event(log_events.WORKFLOW_INITIATED)
        with bound():
            bind(job_id="of a request that is over")
        log_event(log_events.WORKFLOW_INITIATED)
        other = threading.Thread(target=log_event, args=(log_events.WORKFLOW_INITIATED,))
        other.start()
        other.join()
    inner, outer, elsewhere = lines(formatted)
    assert "ticket_id: 67890, attempt: 2" in inner
    assert "ticket_id: 12345" in outer
    assert not re.search("attempt|job_id", outer)
    assert "ticket_id" not in elsewhere


async def test_identifiers_bound_in_a_task_hold_for_its_block() -> None:
    """A step of the graph runs in its own task, and learns a ticket's other number."""

    async def learn() -> None:
        bind(**other_ticket_ids("102", "4711", "102"))

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
    assert other_ticket_ids(*numbers) == told


@pytest.mark.parametrize(
    "value",
    [
        "1\n2026-01-01T00:00:00.000Z error   Task failed",
        "1\r\n\x0b\x0c\x85\u2028\u2029",
        "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b31m",
        "\u202etxt.exe\u2066\u200f\u061c\ufeff",
        "\x00\x08\x7f",
        "\ud800",
    ],
)
def test_nothing_in_a_value_starts_a_line_or_moves_the_cursor(log_format: str, value: str, start_log: StartLog) -> None:
    # Not before the test: pytest would capture the lone surrogate, which pytest-xdist cannot send.
    stream = start_log(log_format)
    with bound(ticket_id=value):
        log_event(log_events.SETTINGS_REFUSED, reason=value, also={"model": value})
    logging.getLogger("some.library").warning("of a library %s", value)
    assert len(lines(stream)) == 2
    for line in lines(stream):
        line.encode()
        shown = json.loads(line).values() if log_format == "json" else []
        assert [text for text in (line, *shown) if UNPRINTABLE.search(text)] == []


def test_no_value_is_long(formatted: io.StringIO) -> None:
    with bound(ticket_id="1" * 100_000):
        log_event(log_events.SETTINGS_REFUSED, reason="x" * 100_000, also={"model": "y" * 100_000})
    logging.getLogger("some.library").warning("x%s", "x" * 100_000)
    ours, foreign = lines(formatted)
    assert (len(ours) < 3000, len(foreign) < 1500, "…" in ours) == (True, True, True)


def test_a_failure_is_shown_as_types_and_places_without_messages(formatted: io.StringIO) -> None:
    log = logging.getLogger("uvicorn.error")

    def raise_with_a_secret() -> None:
        try:
            {"id": 1}["ticket text of a person"]
        except KeyError as cause:
            raise ValueError("postgresql://app:hunter2@db") from cause

    try:
        raise_with_a_secret()
    except ValueError as failure:
        log_event(log_events.REQUEST_FAILED, failure=failure)
        log.error("Exception in ASGI application\n", exc_info=True)
        log.error("by itself", exc_info=failure)
        log.error("as a triple", exc_info=sys.exc_info(), stack_info=True)
    assert len(lines(formatted)) == 4
    for line in lines(formatted):
        assert re.search(rf"exception: ValueError at {HERE}:\d+ raise_with_a_secret < {HERE}:\d+ \w+", line)
        assert re.search(rf" caused by KeyError at {HERE}:\d+ raise_with_a_secret", line)
        assert not re.search("hunter2|ticket text|Traceback|Stack", line)


def test_exceptions_that_refer_to_each_other_end(start_log: StartLog) -> None:
    stream = start_log("text")
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    log_event(log_events.REQUEST_FAILED, failure=first)
    assert lines(stream)[0].endswith("exception: ValueError caused by KeyError")


def test_promised_lines_are_printed_at_any_level_and_others_are_not(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format, "ERROR")
    log_event(log_events.PROCESS_STARTING, process="Worker")
    log_event(log_events.SERVER_AWAITED, server="the database")
    log_event(log_events.GPT4_ANSWER_KEPT)
    logging.getLogger("some.library").warning("no")
    assert lines(stream) == []
    log_event(log_events.TASK_STARTED, job_id=JOB, ticket_id="1")
    log_event(log_events.CONTEXT_TIMEOUT, seconds=30)
    log_event(log_events.DESK_TIMEOUT)
    logging.getLogger("some.library").error("yes")
    assert (len(lines(stream)), "_promised" in stream.getvalue()) == (4, False)
    if log_format == "text":
        assert " error   ServiceDesk Plus API timeout" in lines(stream)[2]


async def test_an_uncaught_exception_is_one_line_without_its_message(formatted: io.StringIO) -> None:

    def crash() -> None:
        raise RuntimeError("hunter2")

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    task = asyncio.create_task(asyncio.to_thread(crash))
    await asyncio.wait({task})
    # As asyncio does for a task that was never awaited.
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    )
    of_thread, of_task = lines(formatted)
    assert "Process error: unexpected failure" in of_thread
    assert "Task exception was never retrieved" in of_task
    for line in (of_thread, of_task):
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
    refused = [f"error   Start refused: {name} is missing" for name in ("DATABASE_URL", "REDIS_URL")]
    assert [line.partition("Z ")[2] for line in told] == refused


def test_an_outage_is_told_at_its_beginning_and_once_a_minute(log: io.StringIO) -> None:
    clock = Clock(0)
    outage = Outage(log_events.REDIS_UNREACHABLE, monotonic=clock)
    for clock.now, told in ((0.0, 1), (1.0, 1), (59.0, 1), (60.0, 2)):
        outage.seen("jobs wait in the database", OSError("hunter2"))
        assert log.getvalue().count("Redis error: jobs wait in the database") == told
    outage.over()
    outage.seen("x")
    assert log.getvalue().count("Redis error") == 3
    assert "hunter2" not in log.getvalue()


def test_the_name_of_a_logger_is_never_printed(log_format: str, formatted: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 17)
    (line,) = lines(formatted)
    assert "Started server process [17]" in line
    assert not re.search("error|uvicorn", line, re.IGNORECASE)
    if log_format == "json":
        assert json.loads(line).keys() == {"timestamp", "level", "event"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://:hunter2@redis:6379/0", "redis://***@redis:6379/0"),
        ("postgresql://app:hunter2@db/x", "postgresql://***@db/x"),
        ("redis://:hun@hunter2@redis:6379/0", "redis://***@redis:6379/0"),
        ("https://desk.example/me@here", "https://desk.example/me@here"),
    ],
)
def test_addresses_lose_their_credentials(address: str, shown: str, log: io.StringIO) -> None:
    logging.getLogger("kombu").warning("Connected to %s.", address)
    assert lines(log)[0].endswith(f"Connected to {shown}.")


def test_a_record_whose_arguments_do_not_fit_harms_nobody(log: io.StringIO) -> None:
    arguments = ("one",)
    logging.getLogger("some.library").warning("%s and %s", *arguments)
    assert len(lines(log)) == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2", "httpcore", "openai", "celery.worker.strategy", "langgraph"])
def test_libraries_that_log_each_call_are_quiet_and_debug_is_never_printed(library: str, start_log: StartLog) -> None:
    stream = start_log("text", "DEBUG")
    logging.getLogger(library).info('HTTP Request: GET https://desk/api/v3/requests?input_data={"ticket text"}')
    logging.getLogger("some.library").debug("payload of a ticket")
    assert lines(stream) == []


def test_a_logger_that_brought_its_own_handler_joins_the_one_stream(start_log: StartLog) -> None:
    stray = io.StringIO()
    log = logging.getLogger("a.library.with.a.handler")
    log.addHandler(logging.StreamHandler(stray))
    log.propagate = False
    stream = start_log()
    log.warning("careful")
    assert (stray.getvalue(), len(lines(stream))) == ("", 1)


def test_warnings_are_lines_too_without_their_text(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("ticket text: of a person", DeprecationWarning, stacklevel=1)
        warnings.warn_explicit("ticket text", UserWarning, "/lib/site-packages/pydantic/main.py", 5)
    logging.getLogger("py.warnings").warning("ticket text")
    ours, foreign, odd = (line.split("Z ", 1)[1] for line in lines(log))
    assert re.fullmatch(rf"warning DeprecationWarning at {HERE}:\d+", ours)
    assert foreign == "warning UserWarning of a library"
    assert odd == "warning Warning of a library"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (AuthenticationError("invalid username-password pair"), "password refused"),
        ("Connection refused", "connection lost"),
        (None, "connection lost"),
    ],
    ids=repr,
)
def test_a_lost_broker_is_told_in_our_own_words(reason: object, told: str, start_log: StartLog) -> None:
    stream = start_log()
    log = logging.getLogger("celery.worker.consumer.consumer")
    if reason is None:
        text = "consumer: Connection to broker lost. Trying to re-establish the connection..."
        log.warning(text, exc_info=OSError("x"))
    else:
        given = ("redis://:hunter2@redis", reason, "Trying again in 2s")
        log.error("consumer: Cannot connect to %s: %s.\n%s\n", *given)
    (line,) = lines(stream)
    assert line.endswith(f"error   Redis error: {told}, trying again")
