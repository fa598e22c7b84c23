"""Silence, slowness and odd streams: answers that are in time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from math import ceil
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from integrations.errors import ModelRefused, ModelTimeout, ModelUnavailable
from integrations.values import Usage
from simulators.serving import serve_in_thread
from tests.integrations.endpoints import ADVICE, endpoint, piece, stream, whole
from tests.kit.desk import line_of
from tests.kit.model import PROMPT, ask, failure_of, opened
from tests.kit.simulators import Simulator
from workflow.answer import Enhancement

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

    async def answer(self, _request: object) -> StreamingResponse:
        self.calls += 1
        return StreamingResponse(self.events(), media_type="text/event-stream")

    def serving(self) -> AbstractContextManager[str]:
        return serve_in_thread(Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])]))


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
