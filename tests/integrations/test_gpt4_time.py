"""Silence, slowness and strange streams: what counts as an answer in time."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from integrations.errors import ModelTimeout
from integrations.values import Usage
from simulators.serving import serve_in_thread
from tests.integrations.endpoints import ADVICE, endpoint, piece, stream, whole
from tests.kit.desk import line_of
from tests.kit.model import ask, failure_of
from tests.kit.simulators import Simulator

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


@pytest.mark.parametrize("tail", ["silence", "cut"])
async def test_an_answer_that_is_whole_counts_though_its_stream_does_not_end(tail: str) -> None:
    """It is paid for; what had not come yet is only what it cost."""

    async def events() -> AsyncIterator[bytes]:
        yield stream(piece(json.dumps(ADVICE)), piece(None, finish_reason="stop"))
        if tail == "cut":
            raise ConnectionError
        await asyncio.sleep(3)

    async def answer(_request: object) -> StreamingResponse:
        return StreamingResponse(events(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    with serve_in_thread(app) as url:
        assert (await ask(url, idle=IDLE)).content.summary == "S"


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
