"""Servers that repeat one answer, with or without TLS, and the bodies of a model's answers."""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dev.simulators.serving import serve_in_thread
from tests.kit.proxy import with_tls

TICKET = b'{"request": {"id": "1", "subject": "S"}, "response_status": {"status_code": 2000, "status": "success"}}'


@dataclass
class CannedServer:
    """Repeats one answer, and records requests."""

    url: str = ""
    body: bytes = TICKET
    encoding: str = ""
    authorities: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        await request.body()
        self.authorities.append(request.headers.get("authtoken", "") + request.headers.get("authorization", ""))
        self.cookies.append(request.headers.get("cookie", ""))
        headers = {"set-cookie": "JSESSIONID=session-of-acme; Path=/", "content-type": "application/json"}
        return Response(self.body, headers=headers | ({"content-encoding": self.encoding} if self.encoding else {}))


@contextmanager
def serving(server: CannedServer, tls: ssl.SSLContext | None = None) -> Iterator[CannedServer]:
    routes = [Route("/{path:path}", server.answer, methods=["GET", "POST"])]
    with serve_in_thread(Starlette(routes=routes)) as url:
        port = urlsplit(url).port or 0
        if tls is None:
            server.url = f"http://localhost:{port}"
            yield server
        else:
            with with_tls(port, tls) as tls_port:
                server.url = f"https://localhost:{tls_port}"
                yield server


def with_certificate(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


ADVICE = {
    "summary": "S",
    "likely_cause": {"text": "", "sources": [], "quote": ""},
    "next_steps": [],
    "sources": [],
    "questions": [],
    "category": "",
    "priority": "",
    "group": "",
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
