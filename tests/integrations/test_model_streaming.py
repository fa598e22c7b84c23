"""Answers that are cut anywhere, odd, silent, slow or too large."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from math import ceil
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.errors import ModelRefused, ModelTimeout, ModelUnavailable, OutsideFailure
from integrations.http import LARGEST_ANSWER_BYTES
from integrations.values import Usage
from simulators.serving import serve_in_thread
from tests.integrations.endpoints import ADVICE, endpoint, piece, stream, whole
from tests.kit.desk import line_of
from tests.kit.logs import StartLog
from tests.kit.model import PROMPT, ask, failure_of, opened
from tests.kit.simulators import Simulator
from workflow.answer import Enhancement

SUMMARY = "Zoë's VPN — it's “down”"
TEXT = json.dumps(ADVICE | {"summary": SUMMARY}, ensure_ascii=False)
USAGE_EVENT = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
PIECES = [piece(TEXT[:20]), piece(TEXT[20:], finish_reason="stop"), USAGE_EVENT]
STREAMED = stream(*(json.dumps(event, ensure_ascii=False) for event in PIECES), "[DONE]")


def in_parts(parts: list[bytes]) -> Starlette:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return endpoint(body)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([STREAMED], id="one part"),
        pytest.param([STREAMED[at : at + 1] for at in range(len(STREAMED))], id="a byte each"),
        pytest.param([STREAMED[at : at + 7] for at in range(0, len(STREAMED), 7)], id="in the middle of letters"),
        pytest.param([STREAMED.replace(b"\n", b"\r\n")], id="lines that end with CRLF"),
        pytest.param([STREAMED.replace(b"data: ", b"data:")], id="no space before the data"),
        pytest.param([STREAMED.replace(b'"choices": ', b'\ndata: "choices": ')], id="an event of two lines"),
        pytest.param([b": wait\n\nevent: x\nid: 1\nretry: 5\n" + STREAMED], id="comments and other fields"),
        pytest.param([b"\n\n" + STREAMED + b"data: {}\n\n"], id="more after the end"),
        pytest.param([STREAMED.removesuffix(b"data: [DONE]\n\n")], id="no word of the end"),
    ],
)
async def test_a_stream_is_read_however_it_is_cut(parts: list[bytes]) -> None:
    with serve_in_thread(in_parts(parts)) as url:
        answer = await ask(url)
    assert answer.content.summary == SUMMARY
    assert (answer.usage, answer.finish_reason) == (Usage(7, 3, None), "stop")


STREAM, JSON = "text/event-stream", "application/json"


def message(content: Any) -> bytes:
    return whole(choices=[{"message": {"content": content}}])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (stream({"choices": ["x"]}), STREAM),
        (stream({"choices": [None]}), STREAM),
        (stream({"choices": [[]]}), STREAM),
        (stream({"choices": {"0": {}}}), STREAM),
        (stream({"choices": [{"delta": "abc"}]}), STREAM),
        (stream({"choices": [{"delta": [1]}]}), STREAM),
        (stream({"choices": [{"delta": {"content": 5}}]}), STREAM),
        (stream({"choices": [{"delta": {"content": ["a"]}}]}), STREAM),
        (stream("[" * 100_000), STREAM),
        (b"data: \xff\xfe\n\n", STREAM),
        (b"", STREAM),
        (b": comment\n\n", STREAM),
        (stream("[DONE]"), STREAM),
        (stream("not json"), STREAM),
        (stream("17"), STREAM),
        (stream([]), STREAM),
        (stream({"choices": 5}), STREAM),
        *((body, JSON) for body in (b"", b"null", b"[]", b'"ok"', b"{}", b"[" * 100_000, b"\xff\xfe")),
        (whole(choices=None), JSON),
        (whole(choices=[]), JSON),
        (whole(choices=[{}]), JSON),
        (whole(choices=[{"message": None}]), JSON),
        (b"<html>Sign in</html>", "text/html"),
        (whole(choices=["x"]), JSON),
        (whole(choices="x"), JSON),
        (message(5), JSON),
        (message(["a"]), JSON),
        (message({"a": 1}), JSON),
    ],
)
async def test_a_200_that_is_no_answer_may_be_one_later(body: bytes, content_type: str) -> None:
    with serve_in_thread(endpoint(body, content_type)) as url:
        failure = await failure_of(url)
    assert (type(failure), line_of(failure)) == (ModelUnavailable, "OpenAI API error: invalid answer")


USAGES = [
    *("null", "{}", '{"prompt_tokens": null}', '{"cost": "much"}'),
    '"hunter2 ticket text"',
    '["hunter2"]',
    "5",
    "true",
    '{"prompt_tokens": [1], "completion_tokens": "hunter2", "cost": {"a": 1}}',
    '{"prompt_tokens": 1e400, "completion_tokens": -5, "cost": 1e400}',
    '{"prompt_tokens": NaN, "completion_tokens": true, "cost": true}',
    '{"prompt_tokens": 1%s, "completion_tokens_details": "hunter2"}' % ("0" * 4000),
]


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("content_type", [STREAM, JSON])
async def test_odd_numbers_are_not_counted_and_never_logged(usage: str, content_type: str, start_log: StartLog) -> None:
    log = start_log()
    streamed = stream(piece(json.dumps(ADVICE)), {"choices": [], "usage": "U"}, "[DONE]")
    body = (streamed if content_type == STREAM else whole(usage="U")).replace(b'"U"', usage.encode())
    with serve_in_thread(endpoint(body, content_type)) as url:
        answer = await ask(url)
    assert answer.content.summary == "S"
    assert answer.usage == Usage(0, 0, None)
    assert "hunter2" not in log.getvalue()
    assert "Warning" not in log.getvalue()


@pytest.mark.parametrize("odd", [{"model": 5, "id": ["a"]}, {"model": None, "id": {"a": 1}}])
async def test_odd_names_beside_an_answer_do_not_harm_it(odd: dict[str, Any]) -> None:
    bodies = [(whole(**odd), JSON), (stream({**piece(json.dumps(ADVICE), finish_reason=5), **odd}, "[DONE]"), STREAM)]
    for body, content_type in bodies:
        with serve_in_thread(endpoint(body, content_type)) as url:
            answer = await ask(url)
        assert (answer.content.summary, answer.model, answer.response_id) == ("S", "gpt-6-luna", "")


@pytest.mark.parametrize("odd", ["\ud83d", "\x00"])
async def test_what_no_database_takes_does_not_get_any_further(odd: str) -> None:
    """Raw or escaped, in the answer and in the names beside it."""
    names = {"model": f"gpt{odd}-6", "id": f"{odd}1"}
    text = json.dumps(ADVICE | {"summary": "SX"}).replace("X", odd)
    escaped = json.dumps(ADVICE | {"summary": f"S{odd}"})
    bodies = [
        *(
            (whole(choices=[{"message": {"content": one}, "finish_reason": f"stop{odd}"}], **names), JSON)
            for one in (text, escaped)
        ),
        (stream({**piece(text, finish_reason=f"stop{odd}"), **names}, "[DONE]"), STREAM),
    ]
    for body, content_type in bodies:
        with serve_in_thread(endpoint(body, content_type)) as url:
            answer = await ask(url)
        assert (answer.content.summary, answer.model, answer.response_id) == ("S", "gpt-6", "1")
        assert answer.finish_reason == "stop"


@pytest.mark.parametrize("nothing", [None, {}, False, ""])
async def test_no_error_beside_an_answer_is_none(nothing: Any) -> None:
    with serve_in_thread(endpoint(whole(error=nothing), JSON)) as url:
        assert (await ask(url)).content.summary == "S"


IDLE = 0.4


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "silence"},
        {"kind": "stall"},
        {"kind": "stall", "chunks": 0},
        {"kind": "keep_alive", "seconds": 0.05},
        {"kind": "keep_alive", "seconds": 0.05, "chunks": 3},
        {"kind": "empty_deltas", "seconds": 0.05},
        {"kind": "empty_deltas", "seconds": 0.05, "chunks": 3},
    ],
)
async def test_no_content_for_too_long_is_the_timeout_whatever_else_is_sent(
    fault: dict[str, Any], model: Simulator
) -> None:
    model.order(**fault)
    failure = await failure_of(model.url, idle=IDLE)
    assert type(failure) is ModelTimeout
    assert line_of(failure) == "GPT-4 API call failed: timeout after 0.4s"


async def test_a_slow_but_steady_answer_may_take_longer_than_the_silence_allowed(model: Simulator) -> None:
    model.order(kind="slow_stream", seconds=0.15)
    answer = await ask(model.url, idle=0.6)
    assert answer.content.summary
    assert answer.milliseconds > 1000


async def test_an_answer_that_begins_late_but_in_time_is_an_answer(model: Simulator) -> None:
    model.order(kind="keep_alive", seconds=0.05, comments=3)
    assert (await ask(model.url, idle=IDLE)).content.summary


async def test_the_whole_is_capped_however_steady_it_is(model: Simulator) -> None:
    model.order(kind="slow_stream", seconds=0.15)
    failure = await failure_of(model.url, idle=0.4, total=0.5)
    assert type(failure) is ModelTimeout
    assert line_of(failure) == "GPT-4 API call failed: timeout after 0.5s"


class BreaksOff:
    """An endpoint that sends these pieces, and then a cut or silence."""

    def __init__(self, *pieces: Any, tail: str = "cut") -> None:
        self.pieces, self.tail, self.calls = pieces, tail, 0

    async def events(self) -> AsyncIterator[bytes]:
        yield stream(*self.pieces)
        if self.tail == "cut":
            raise ConnectionError
        await asyncio.sleep(3)

    def body(self) -> AsyncIterator[bytes]:
        self.calls += 1
        return self.events()

    def serving(self) -> AbstractContextManager[str]:
        return serve_in_thread(endpoint(self.body))


ASKED = ceil((len(PROMPT.system) + len(PROMPT.user)) / 4)
"""Tokens of the question, as a stream that broke off is counted."""


@pytest.mark.parametrize("tail", ["silence", "cut"])
async def test_an_answer_that_is_whole_counts_though_its_stream_does_not_end(tail: str) -> None:
    """It is paid for; only its cost had not arrived, and is estimated."""
    text = json.dumps(ADVICE)
    with BreaksOff(piece(text), piece(None, finish_reason="stop"), tail=tail).serving() as url:
        answer = await ask(url, idle=IDLE)
    assert answer.content.summary == "S"
    assert answer.usage == Usage(ASKED, ceil(len(text) / 4), estimated=True)


@pytest.mark.parametrize(("finish", "calls"), [("length", 2), ("content_filter", 1)])
async def test_a_stream_that_breaks_after_any_finish_was_the_whole_answer(finish: str, calls: int) -> None:
    """Otherwise each attempt pays again. A cut at the length limit gets one repair."""
    endless = BreaksOff(piece('{"summary": "half'), piece(None, finish_reason=finish))
    with endless.serving() as url:
        assert type(await failure_of(url)) is ModelRefused
    assert endless.calls == calls


@pytest.mark.parametrize(
    ("pieces", "paid"),
    [
        ([piece("a very long answer")], [Usage(ASKED, 5, estimated=True)]),
        ([piece("a"), piece("b", finish_reason="error")], [Usage(ASKED, 1, estimated=True)]),
        ([piece("a") | {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "cost": 0.25}}], [Usage(7, 5, 0.25)]),
        ([piece(None), piece("")], []),
    ],
    ids=["content", "an error", "told on the way", "nothing"],
)
async def test_what_came_of_a_stream_that_breaks_off_is_paid_for(pieces: list[Any], paid: list[Usage]) -> None:
    heard: list[Usage] = []
    with BreaksOff(*pieces).serving() as url:
        async with opened(url) as gpt4:
            with pytest.raises(ModelUnavailable):
                await gpt4.ask(PROMPT, Enhancement, heard.append)
    assert heard == paid


USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cost": 0.25}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (whole(usage=USAGE), "application/json"),
        (b" \n" * 50 + whole(usage=USAGE), "application/json"),
        (stream(piece(json.dumps(ADVICE)), {"choices": [], "usage": USAGE}, "[DONE]"), "text/event-stream"),
        (
            b": OPENROUTER PROCESSING\n\n"
            + stream(*(piece(character) for character in json.dumps(ADVICE)))
            + stream({"choices": [{"index": 0, "delta": None}]}, piece(None, finish_reason="stop"))
            + stream({"choices": [], "usage": USAGE}, "[DONE]"),
            "text/event-stream; charset=utf-8",
        ),
    ],
    ids=["whole", "whole after white space", "one piece", "many pieces"],
)
async def test_an_answer_counts_in_whatever_pieces_it_comes(body: bytes, content_type: str) -> None:
    with serve_in_thread(endpoint(body, content_type)) as url:
        answer = await ask(url)
    assert answer.content.summary == "S"
    assert answer.usage == Usage(7, 5, 0.25)


INVALID = "OpenAI API error: invalid answer"
MEGABYTES = 40


def flooding(status: int, content_type: str, opening: bytes) -> Starlette:
    """Start an endpoint that sends 40 MB after `opening`."""

    async def body() -> AsyncIterator[bytes]:
        yield opening
        block = b"A" * 100_000
        for _ in range(MEGABYTES * 10):
            yield block

    return endpoint(body, content_type, status)


@pytest.mark.parametrize(
    ("status", "content_type", "opening", "kind", "line"),
    [
        (200, JSON, b'{"choices": "', ModelUnavailable, INVALID),
        (200, STREAM, b"data: ", ModelUnavailable, INVALID),
        (200, STREAM, b": ", ModelUnavailable, INVALID),
        (200, STREAM, b"data: {}\n" * 2, ModelUnavailable, INVALID),
        (503, JSON, b'{"error": "', ModelUnavailable, "OpenAI API error: 503 Service Unavailable"),
        (403, JSON, b'{"error": "', ModelRefused, "OpenAI API error: 403 Forbidden"),
        (400, JSON, b'{"error": "response_format', ModelRefused, "OpenAI API error: 400 Bad Request"),
    ],
)
async def test_an_answer_without_end_is_not_kept_in_memory(
    status: int, content_type: str, opening: bytes, kind: type[OutsideFailure], line: str
) -> None:
    with serve_in_thread(flooding(status, content_type, opening)) as url:
        tracemalloc.start()
        try:
            failure = await failure_of(url)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (type(failure), line_of(failure)) == (kind, line)
    assert most < 5 * LARGEST_ANSWER_BYTES < MEGABYTES * 1_000_000
    if status == 503:
        assert getattr(failure, "retry_after", None) == 7


async def test_an_answer_is_asked_for_plain_and_a_packed_one_is_refused() -> None:
    seen: list[str | None] = []

    async def answer(request: Request) -> Response:
        seen.append(request.headers.get("accept-encoding"))
        packed = gzip.compress(whole() + b" " * 1_000_000)
        return Response(packed, headers={"content-type": JSON, "content-encoding": "gzip"})

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    with serve_in_thread(app) as url:
        failure = await failure_of(url)
    assert (type(failure), line_of(failure)) == (ModelUnavailable, INVALID)
    assert seen == ["identity"]
