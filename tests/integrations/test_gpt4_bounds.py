"""Model answers that exceed the size limit."""

import gzip
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from integrations.errors import ModelRefused, ModelUnavailable, OutsideFailure
from integrations.http import LARGEST_ANSWER_BYTES
from simulators.serving import serve_in_thread
from tests.integrations.endpoints import whole
from tests.kit.desk import line_of
from tests.kit.model import failure_of

INVALID = "OpenAI API error: invalid answer"
STREAM, PLAIN = "text/event-stream", "application/json"
MEGABYTES = 40


def flooding(status: int, content_type: str, opening: bytes) -> Starlette:
    """Start an endpoint that sends 40 MB after `opening`."""

    async def body() -> AsyncIterator[bytes]:
        yield opening
        block = b"A" * 100_000
        for _ in range(MEGABYTES * 10):
            yield block

    async def answer(_request: Request) -> Response:
        headers = {"content-type": content_type, "retry-after": "7"}
        return StreamingResponse(body(), status_code=status, headers=headers)

    return Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])


@pytest.mark.parametrize(
    ("status", "content_type", "opening", "kind", "line"),
    [
        (200, PLAIN, b'{"choices": "', ModelUnavailable, INVALID),
        (200, STREAM, b"data: ", ModelUnavailable, INVALID),
        (200, STREAM, b": ", ModelUnavailable, INVALID),
        (200, STREAM, b"data: {}\n" * 2, ModelUnavailable, INVALID),
        (503, PLAIN, b'{"error": "', ModelUnavailable, "OpenAI API error: 503 Service Unavailable"),
        (403, PLAIN, b'{"error": "', ModelRefused, "OpenAI API error: 403 Forbidden"),
        (400, PLAIN, b'{"error": "response_format', ModelRefused, "OpenAI API error: 400 Bad Request"),
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
        return Response(packed, headers={"content-type": PLAIN, "content-encoding": "gzip"})

    app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
    with serve_in_thread(app) as url:
        failure = await failure_of(url)
    assert (type(failure), line_of(failure)) == (ModelUnavailable, INVALID)
    assert seen == ["identity"]
