"""Answers of the simulators, and failures of a connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from dev.simulators.control import Entry

HANG_UP_EXTENSION = "simulators.hang_up"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PORTAL = "Sign in to the network"
_FLOOD_BLOCK = b"A" * 65_536


class Json(JSONResponse):
    """JSON that may contain lone surrogates, as a desk's texts do."""

    media_type = "application/json;charset=UTF-8"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


class HalfResponse(Response):
    """An answer that announces its whole length, but ends after half of its body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        # The server closes the connection of an application that returns before its answer is complete.


class ConnectionCutError(Exception):
    """Ends a stream: the server closes the connection."""


def page(title: str = PORTAL, status: int = 200) -> Response:
    """Return the page of a portal or proxy in place of an answer."""
    return HTMLResponse(
        f"<!DOCTYPE html><html><head><title>{title}</title></head>"
        f"<body><h1>{title}</h1><p>Please try again in a few minutes.</p></body></html>",
        status,
    )


async def pause(request: Request, seconds: float | None = None) -> None:
    """Wait for `seconds` or forever. Raises ClientDisconnect when the client leaves."""
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
    except asyncio.CancelledError:
        hang_up(request)  # the server is shutting down: a dying server sends no 500 either
        raise
    raise ClientDisconnect


def hang_up(request: Request) -> None:
    request.scope["extensions"][HANG_UP_EXTENSION]["close"]()


async def flood(opening: bytes, megabytes: int) -> AsyncIterator[bytes]:
    """Yield a body of so many MB, well-formed only at its start."""
    yield opening
    for _ in range(megabytes * 1_000_000 // len(_FLOOD_BLOCK)):
        yield _FLOOD_BLOCK
        await asyncio.sleep(0)


async def followed(entry: Entry, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for part in parts:
            yield part
        entry.end("answered")
    except (asyncio.CancelledError, GeneratorExit):
        entry.end("client_left")
        raise
    except ConnectionCutError:
        entry.end("cut")
        raise


async def gone(_request: Request, _error: Exception) -> Response:
    """Handle ClientDisconnect: no answer can be sent."""
    return Response()
