"""Endpoints that repeat one answer, and the bodies of answers."""

import json
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
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


def endpoint(body: bytes, content_type: str) -> Starlette:
    async def answer(_request: object) -> Response:
        return Response(body, headers={"content-type": content_type})

    return Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])


def stream(*events: Any) -> bytes:
    return b"".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode() for event in events)


def piece(text: str | None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


def whole(**changed: Any) -> bytes:
    message = {"role": "assistant", "content": json.dumps(ADVICE)}
    body = {"id": "c1", "model": "m-1", "choices": [{"message": message, "finish_reason": "stop"}]}
    return json.dumps(body | changed).encode()
