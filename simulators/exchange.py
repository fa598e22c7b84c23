"""One HTTP exchange at byte level, with every transport failure that a fault can order."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send

HANG_UP_EXTENSION = "simulators.hang_up"
_MAX_BODY_BYTES = 20_000_000
_FLOOD_BLOCK = b"A" * 65_536
MAX_FLOOD_MEGABYTES = 50


class ClientLeftError(Exception):
    """The other side closed the connection before the answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP response: status, body bytes and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, status: int, document: Any, headers: Mapping[str, str] | None = None) -> "Answer":
        return cls(
            status,
            json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"),
            {"content-type": "application/json;charset=UTF-8", **(headers or {})},
        )

    @classmethod
    def of_html(cls, status: int, text: str) -> "Answer":
        return cls(status, text.encode(), {"content-type": "text/html;charset=UTF-8"})


PORTAL = "Sign in to the network"


def maintenance_page(title: str = PORTAL) -> str:
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head>"
        f"<body><h1>{title}</h1><p>Please try again in a few minutes.</p></body></html>"
    )


class Exchange:
    """The exchange of one request; waits raise ClientLeftError when the client leaves."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._departure: asyncio.Task[None] | None = None

    async def read_body(self) -> bytes:
        """Read up to 20 MB of the request body; drain and drop the rest."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            part: bytes = message.get("body", b"")
            size += len(part)
            if size <= _MAX_BODY_BYTES:
                parts.append(part)
            if not message.get("more_body", False):
                self._departure = asyncio.ensure_future(self._watch())
                return b"".join(parts)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def release(self) -> None:
        """Stop watching the connection after the exchange."""
        if self._departure is not None:
            self._departure.cancel()

    async def pause(self, seconds: float | None) -> None:
        """Wait `seconds`, or forever if None. Raises ClientLeftError when the client leaves."""
        if self._departure is None:
            raise RuntimeError("read the body before waiting")
        if seconds is not None and seconds <= 0:
            return
        try:
            done, _ = await asyncio.wait({self._departure}, timeout=seconds)
        except asyncio.CancelledError:
            self._close()  # the server is shutting down: a dying server sends no 500 either
            raise
        if done:
            raise ClientLeftError

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def answer(self, answer: Answer) -> None:
        await self.start(answer.status, {**answer.headers, "content-length": str(len(answer.body))})
        await self.write(answer.body, last=True)

    async def answer_half(self, answer: Answer) -> None:
        """Announce the whole response, send half of its body and close the connection."""
        await self.start(answer.status, {**answer.headers, "content-length": str(len(answer.body))})
        await self.write(answer.body[: len(answer.body) // 2])
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close the connection at once; data already written is still delivered."""
        if not self._close():
            return  # other servers close by themselves when the application returns early
        try:
            await self.pause(None)
        except ClientLeftError:
            return

    def _close(self) -> bool:
        extension = self._scope.get("extensions", {}).get(HANG_UP_EXTENSION)
        if extension is None:
            return False
        extension["close"]()
        return True

    async def flood(self, opening: bytes, megabytes: int, content_type: str = "application/json;charset=UTF-8") -> None:
        """Send a body of up to `megabytes` MB that starts well-formed and never ends."""
        await self.start(HTTPStatus.OK, {"content-type": content_type})
        await self.write(opening)
        for _ in range(min(megabytes, MAX_FLOOD_MEGABYTES) * 1_000_000 // len(_FLOOD_BLOCK)):
            await self.write(_FLOOD_BLOCK)
            if self._departure is not None and self._departure.done():
                raise ClientLeftError
            await asyncio.sleep(0)
        await self.write(b"", last=True)
