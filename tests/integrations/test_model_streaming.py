"""Answers that are cut anywhere, odd, silent, slow or too large."""

import asyncio
import gzip
import io
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

from dev.simulators.serving import serve_in_thread
from integrations.errors import ExternalError, ModelRefusedError, ModelTimeoutError, ModelUnavailableError
from integrations.http import LARGEST_ANSWER_BYTES
from integrations.values import ModelAnswer, Usage
from tests.integrations.canned import ADVICE, endpoint, piece, stream, whole
from tests.kit.desk import line_of
from tests.kit.model import PROMPT, ask, failure_of, opened
from tests.kit.simulators import Simulator
from workflow.answer import Enhancement

SUMMARY = "Zoë's VPN — it's “down”"
TEXT = json.dumps(ADVICE | {"summary": SUMMARY}, ensure_ascii=False)
USAGE_EVENT = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
PIECES = [piece(TEXT[:20]), piece(TEXT[20:], finish_reason="stop"), USAGE_EVENT]
STREAMED = stream(*(json.dumps(event, ensure_ascii=False) for event in PIECES), "[DONE]")

STREAM, JSON = "text/event-stream", "application/json"
NO_DELTA = {"choices": [{"index": 0, "delta": None}]}
CHARACTERS = stream(*map(piece, TEXT), NO_DELTA, piece(None, finish_reason="stop"), USAGE_EVENT, "[DONE]")
WHOLE = whole(choices=[{"message": {"content": TEXT}, "finish_reason": "stop"}], usage=USAGE_EVENT["usage"])


async def answer_of(app: Starlette) -> ModelAnswer[Enhancement]:
    with serve_in_thread(app) as url:
        return await ask(url)


async def failure_from(app: Starlette) -> tuple[type[ExternalError], str]:
    with serve_in_thread(app) as url:
        failure = await failure_of(url)
    return type(failure), line_of(failure)


@pytest.mark.parametrize(
    ("content_type", "parts"),
    [
        pytest.param(STREAM, [STREAMED], id="one part"),
        pytest.param(STREAM, [STREAMED[at : at + 1] for at in range(len(STREAMED))], id="a byte each"),
        pytest.param(
            STREAM, [STREAMED[at : at + 7] for at in range(0, len(STREAMED), 7)], id="in the middle of letters"
        ),
        pytest.param(STREAM, [STREAMED.replace(b"\n", b"\r\n")], id="lines that end with CRLF"),
        pytest.param(STREAM, [STREAMED.replace(b"data: ", b"data:")], id="no space before the data"),
        pytest.param(STREAM, [STREAMED.replace(b'"choices": ', b'\ndata: "choices": ')], id="an event of two lines"),
        pytest.param(STREAM, [b": wait\n\nevent: x\nid: 1\nretry: 5\n" + STREAMED], id="comments and other fields"),
        pytest.param(STREAM, [b"\n\n" + STREAMED + b"data: {}\n\n"], id="more after the end"),
        pytest.param(STREAM, [STREAMED.removesuffix(b"data: [DONE]\n\n")], id="no word of the end"),
        pytest.param(f"{STREAM}; charset=utf-8", [CHARACTERS], id="many pieces"),
        pytest.param(JSON, [b" \n" * 50, WHOLE], id="whole after white space"),
    ],
)
async def test_an_answer_is_read_however_it_is_cut(content_type: str, parts: list[bytes]) -> None:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    answer = await answer_of(endpoint(body, content_type))
    assert answer.content.summary == SUMMARY
    assert (answer.usage, answer.finish_reason) == (Usage(7, 3, None), "stop")


NOTHING: list[Any] = []
NO_STREAMS = [
    *(b"", b": comment\n\n", b"data: \xff\xfe\n\n"),
    *(stream(event) for event in ("[DONE]", "not json", "17", NOTHING, "[" * 100_000)),
    *(stream({"choices": odd}) for odd in (5, ["x"], [None], [NOTHING], {"0": NOTHING})),
    *(stream({"choices": [{"delta": odd}]}) for odd in ("abc", [1], {"content": 5}, {"content": ["a"]})),
]
NO_WHOLES = [
    *(b"", b"null", b"[]", b'"ok"', b"{}", b"[" * 100_000, b"\xff\xfe"),
    *(whole(choices=odd) for odd in (None, NOTHING, [{"message": None}], ["x"], "x")),
    *(whole(choices=[{"message": {"content": odd}}]) for odd in (5, ["a"], {"a": 1})),
]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        *((body, STREAM) for body in NO_STREAMS),
        *((body, JSON) for body in NO_WHOLES),
        (b"<html>Sign in</html>", "text/html"),
    ],
)
async def test_a_200_that_is_no_answer_may_be_one_later(body: bytes, content_type: str) -> None:
    assert await failure_from(endpoint(body, content_type)) == (ModelUnavailableError, INVALID)


INVALID = "OpenAI API error: invalid answer"
USAGES = [
    *("null", "{}", '{"prompt_tokens": null}', '{"cost": "much"}', '"hunter2 ticket text"', '["hunter2"]', "5", "true"),
    '{"prompt_tokens": [1], "completion_tokens": "hunter2", "cost": {"a": 1}}',
    '{"prompt_tokens": 1e400, "completion_tokens": -5, "cost": 1e400}',
    '{"prompt_tokens": NaN, "completion_tokens": true, "cost": true}',
    '{"prompt_tokens": 1%s, "completion_tokens_details": "hunter2"}' % ("0" * 4000),
]


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("content_type", [STREAM, JSON])
async def test_odd_numbers_are_not_counted_and_never_logged(usage: str, content_type: str, log: io.StringIO) -> None:
    streamed = stream(piece(json.dumps(ADVICE)), {"choices": [], "usage": "U"}, "[DONE]")
    body = (streamed if content_type == STREAM else whole(usage="U")).replace(b'"U"', usage.encode())
    answer = await answer_of(endpoint(body, content_type))
    assert (answer.content.summary, answer.usage) == ("S", Usage(0, 0, None))
    assert "hunter2" not in log.getvalue()
    assert "Warning" not in log.getvalue()


@pytest.mark.parametrize("odd", [{"model": 5, "id": ["a"]}, {"model": None, "id": {"a": 1}}])
async def test_odd_names_beside_an_answer_do_not_harm_it(odd: dict[str, Any]) -> None:
    bodies = [(whole(**odd), JSON), (stream({**piece(json.dumps(ADVICE), finish_reason=5), **odd}, "[DONE]"), STREAM)]
    for body, content_type in bodies:
        answer = await answer_of(endpoint(body, content_type))
        assert (answer.content.summary, answer.model, answer.response_id) == ("S", "gpt-6-luna", "")


@pytest.mark.parametrize("odd", ["\ud83d", "\x00"])
async def test_characters_that_no_database_accepts_are_removed(odd: str) -> None:
    names = {"model": f"gpt{odd}-6", "id": f"{odd}1"}
    text = json.dumps(ADVICE | {"summary": "SX"}).replace("X", odd)
    escaped = json.dumps(ADVICE | {"summary": f"S{odd}"})
    finish = f"stop{odd}"
    messages = [[{"message": {"content": one}, "finish_reason": finish}] for one in (text, escaped)]
    bodies = [(whole(choices=choices, **names), JSON) for choices in messages]
    for body, kind in (*bodies, (stream({**piece(text, finish_reason=finish), **names}, "[DONE]"), STREAM)):
        answer = await answer_of(endpoint(body, kind))
        assert (answer.content.summary, answer.model, answer.response_id) == ("S", "gpt-6", "1")
        assert answer.finish_reason == "stop"


@pytest.mark.parametrize("nothing", [None, {}, False, ""])
async def test_no_error_beside_an_answer_is_none(nothing: Any) -> None:
    assert (await answer_of(endpoint(whole(error=nothing), JSON))).content.summary == "S"


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
async def test_no_content_for_too_long_is_a_timeout(fault: dict[str, Any], model: Simulator) -> None:
    model.order(**fault)
    failure = await failure_of(model.url, idle=IDLE)
    assert type(failure) is ModelTimeoutError
    assert line_of(failure) == "GPT-4 API call failed: timeout after 0.4s"


async def test_a_slow_but_steady_answer_may_exceed_the_silence_limit(model: Simulator) -> None:
    model.order(kind="slow_stream", seconds=0.15)
    answer = await ask(model.url, idle=0.6)
    assert answer.content.summary
    assert answer.milliseconds > 1000
    failure = await failure_of(model.url, idle=0.4, total=0.5)
    assert type(failure) is ModelTimeoutError
    assert line_of(failure) == "GPT-4 API call failed: timeout after 0.5s"
    model.forget()
    model.order(kind="keep_alive", seconds=0.05, comments=3)
    assert (await ask(model.url, idle=IDLE)).content.summary


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
async def test_a_complete_answer_counts_although_its_stream_does_not_end(tail: str) -> None:
    """It is paid for; only its cost had not arrived, and is estimated."""
    text = json.dumps(ADVICE)
    with BreaksOff(piece(text), piece(None, finish_reason="stop"), tail=tail).serving() as url:
        answer = await ask(url, idle=IDLE)
    assert answer.content.summary == "S"
    assert answer.usage == Usage(ASKED, ceil(len(text) / 4), estimated=True)


@pytest.mark.parametrize(("finish", "calls"), [("length", 2), ("content_filter", 1)])
async def test_a_stream_that_breaks_after_a_finish_is_complete(finish: str, calls: int) -> None:
    """Otherwise each attempt pays again. A cut at the length limit gets one repair."""
    endless = BreaksOff(piece('{"summary": "half'), piece(None, finish_reason=finish))
    with endless.serving() as url:
        assert type(await failure_of(url)) is ModelRefusedError
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
            with pytest.raises(ModelUnavailableError):
                await gpt4.complete(PROMPT, Enhancement, heard.append)
    assert heard == paid


MEGABYTES = 40


@pytest.mark.parametrize(
    ("status", "content_type", "opening", "expected"),
    [
        (200, JSON, b'{"choices": "', (ModelUnavailableError, INVALID)),
        (200, STREAM, b"data: ", (ModelUnavailableError, INVALID)),
        (200, STREAM, b": ", (ModelUnavailableError, INVALID)),
        (200, STREAM, b"data: {}\n" * 2, (ModelUnavailableError, INVALID)),
        (503, JSON, b'{"error": "', (ModelUnavailableError, "OpenAI API error: 503 Service Unavailable")),
        (403, JSON, b'{"error": "', (ModelRefusedError, "OpenAI API error: 403 Forbidden")),
        (400, JSON, b'{"error": "response_format', (ModelRefusedError, "OpenAI API error: 400 Bad Request")),
    ],
)
async def test_an_answer_without_end_is_not_kept_in_memory(
    status: int, content_type: str, opening: bytes, expected: Any
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield opening
        for _ in range(MEGABYTES * 10):
            yield b"A" * 100_000

    tracemalloc.start()
    try:
        assert await failure_from(endpoint(body, content_type, status)) == expected
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * LARGEST_ANSWER_BYTES < MEGABYTES * 1_000_000


async def test_an_answer_is_asked_for_plain_and_a_packed_one_is_refused() -> None:
    seen: list[str | None] = []

    async def answer(request: Request) -> Response:
        seen.append(request.headers.get("accept-encoding"))
        packed = gzip.compress(whole() + b" " * 1_000_000)
        return Response(packed, headers={"content-type": JSON, "content-encoding": "gzip"})

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    assert await failure_from(app) == (ModelUnavailableError, INVALID)
    assert seen == ["identity"]
