"""Log records of libraries: our renderer, without secrets, noise and names."""

import asyncio
import io
import json
import logging
import re
import sys
import warnings

import pytest
from redis.exceptions import AuthenticationError

from tests.kit.logs import StartLog

FORMATS = pytest.mark.parametrize("log_format", ["text", "json"])


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


@FORMATS
def test_the_name_of_a_logger_is_never_printed(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 17)
    (line,) = lines(stream)
    assert "Started server process [17]" in line
    assert "error" not in line.lower()
    assert "uvicorn" not in line
    if log_format == "json":
        assert json.loads(line).keys() == {"timestamp", "level", "event"}


@FORMATS
def test_a_traceback_is_types_and_places_on_the_same_line(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)
    log = logging.getLogger("uvicorn.error")
    try:
        int("ticket text of a person")
    except ValueError as failure:
        log.error("Exception in ASGI application\n", exc_info=True)
        log.error("by itself", exc_info=failure)
        log.error("as a triple", exc_info=sys.exc_info(), stack_info=True)
    assert len(lines(stream)) == 3
    for line in lines(stream):
        assert "exception: ValueError at tests/observability/test_foreign_lines.py" in line
        assert "ticket text" not in line
        assert "Traceback" not in line
        assert "Stack" not in line


@FORMATS
async def test_a_forgotten_tasks_exception_is_shown_without_its_message(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)

    async def crash() -> None:
        raise ValueError("ticket text of a person")

    task = asyncio.create_task(crash())
    await asyncio.wait({task})
    # As asyncio does for a task that was never awaited.
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    )
    (line,) = lines(stream)
    assert "Task exception was never retrieved" in line
    assert "ValueError" in line
    assert "ticket text" not in line


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://:hunter2@redis:6379/0", "redis://***@redis:6379/0"),
        ("postgresql://app:hunter2@db/x", "postgresql://***@db/x"),
        ("redis://:hun@hunter2@redis:6379/0", "redis://***@redis:6379/0"),
        ("https://desk.example/me@here", "https://desk.example/me@here"),
    ],
)
def test_addresses_lose_their_credentials(address: str, shown: str, start_log: StartLog) -> None:
    stream = start_log()
    logging.getLogger("kombu").warning("Connected to %s.", address)
    (line,) = lines(stream)
    assert line.endswith(f"Connected to {shown}.")


@FORMATS
def test_nothing_in_a_record_starts_a_line_or_goes_on_for_ever(log_format: str, start_log: StartLog) -> None:
    stream = start_log(log_format)
    logging.getLogger("some.library").warning("a\n2026 error Task failed\x1b[31m\u202e%s", "x" * 100_000)
    (line,) = lines(stream)
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert len(line) < 1500


def test_a_record_whose_arguments_do_not_fit_harms_nobody(start_log: StartLog) -> None:
    stream = start_log()
    arguments = ("one",)
    logging.getLogger("some.library").warning("%s and %s", *arguments)
    assert len(lines(stream)) == 1


def test_the_level_holds_for_records_and_debug_is_never_printed(start_log: StartLog) -> None:
    stream = start_log("text", "ERROR")
    log = logging.getLogger("some.library")
    log.info("no")
    log.warning("no")
    log.error("yes")
    assert [line.split()[-1] for line in lines(stream)] == ["yes"]
    stream = start_log("text", "DEBUG")
    log.debug("payload of a ticket")
    assert lines(stream) == []


@pytest.mark.parametrize("library", ["httpx", "httpx2", "httpcore", "openai", "celery.worker.strategy", "langgraph"])
def test_libraries_that_log_each_call_are_quiet(library: str, start_log: StartLog) -> None:
    stream = start_log("text", "DEBUG")
    logging.getLogger(library).info('HTTP Request: GET https://desk/api/v3/requests?input_data={"ticket text"}')
    assert lines(stream) == []


def test_a_logger_that_brought_its_own_handler_joins_the_one_stream(start_log: StartLog) -> None:
    stray = io.StringIO()
    log = logging.getLogger("a.library.with.a.handler")
    log.addHandler(logging.StreamHandler(stray))
    log.propagate = False
    stream = start_log()
    log.warning("careful")
    assert stray.getvalue() == ""
    assert len(lines(stream)) == 1


def test_warnings_are_lines_too_without_their_text(start_log: StartLog) -> None:
    stream = start_log()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("ticket text: of a person", DeprecationWarning, stacklevel=1)
        warnings.warn_explicit("ticket text", UserWarning, "/lib/site-packages/pydantic/main.py", 5)
    logging.getLogger("py.warnings").warning("ticket text")
    ours, foreign, odd = (line.split("Z ", 1)[1] for line in lines(stream))
    assert re.fullmatch(r"warning DeprecationWarning at tests/observability/test_foreign_lines\.py:\d+", ours)
    assert foreign == "warning UserWarning of a library"
    assert odd == "warning Warning of a library"


def test_a_collector_that_fails_again_and_again_is_one_line_without_the_word(start_log: StartLog) -> None:
    stream = start_log()
    log = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    for _ in range(5):
        log.error("Failed to export span batch code: 500, reason: Internal Server Error", exc_info=OSError("refused"))
    (line,) = lines(stream)
    assert line.endswith("warning Trace export failing: the collector does not take spans")


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
