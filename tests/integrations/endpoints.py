"""Endpoints that repeat one answer, and the bodies of answers."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

_NONE = {"value": "", "strength": "weak"}
ADVICE = {
    "summary": "S",
    "likely_cause": {"text": "", "sources": []},
    "next_steps": [],
    "sources": [],
    "confidence": "low",
    "questions": [],
    "category": _NONE,
    "priority": _NONE,
    "group": _NONE,
}


def endpoint(
    body: bytes | Callable[[], AsyncIterator[bytes]], content_type: str = "text/event-stream", status: int = 200
) -> Starlette:
    async def answer(_request: object) -> Response:
        headers = {"content-type": content_type, "retry-after": "7"}
        if isinstance(body, bytes):
            return Response(body, status, headers)
        return StreamingResponse(body(), status, headers)

    return Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])


def stream(*events: Any) -> bytes:
    return b"".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode() for event in events)


def piece(text: str | None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


def whole(**changed: Any) -> bytes:
    message = {"role": "assistant", "content": json.dumps(ADVICE)}
    body = {"id": "c1", "model": "m-1", "choices": [{"message": message, "finish_reason": "stop"}]}
    return json.dumps(body | changed).encode()
