"""Streams cut into lines and bytes at any point, with any content."""

import json
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from integrations.values import Usage
from simulators.serving import serve_in_thread
from tests.integrations.endpoints import ADVICE, piece, stream
from tests.kit.model import ask

SUMMARY = "Zoë's VPN — it's “down”"
TEXT = json.dumps(ADVICE | {"summary": SUMMARY}, ensure_ascii=False)
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
EVENTS = [piece(TEXT[:20]), piece(TEXT[20:], finish_reason="stop"), USAGE]
PLAIN = stream(*(json.dumps(event, ensure_ascii=False) for event in EVENTS), "[DONE]")


def in_parts(parts: list[bytes]) -> Starlette:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def answer(_request: object) -> StreamingResponse:
        return StreamingResponse(body(), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([PLAIN], id="one part"),
        pytest.param([PLAIN[at : at + 1] for at in range(len(PLAIN))], id="a byte each"),
        pytest.param([PLAIN[at : at + 7] for at in range(0, len(PLAIN), 7)], id="in the middle of letters"),
        pytest.param([PLAIN.replace(b"\n", b"\r\n")], id="lines that end with CRLF"),
        pytest.param([PLAIN.replace(b"data: ", b"data:")], id="no space before the data"),
        pytest.param([PLAIN.replace(b'"choices": ', b'\ndata: "choices": ')], id="an event of two lines"),
        pytest.param([b": wait\n\nevent: x\nid: 1\nretry: 5\n" + PLAIN], id="comments and other fields"),
        pytest.param([b"\n\n" + PLAIN + b"data: {}\n\n"], id="more after the end"),
        pytest.param([PLAIN.removesuffix(b"data: [DONE]\n\n")], id="no word of the end"),
    ],
)
async def test_a_stream_is_read_however_it_is_cut(parts: list[bytes]) -> None:
    with serve_in_thread(in_parts(parts)) as url:
        answer = await ask(url)
    assert answer.content.summary == SUMMARY
    assert (answer.usage, answer.finish_reason) == (Usage(7, 3, None), "stop")
