"""The ports of webhooks, feedback and console with their real applications."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2

from api import feedback_port
from api.refusals import WebhookPort
from api.server import MOST_CONNECTIONS, serve
from support.console import process
from tests.feedback.visiting import NOWHERE, visiting
from tests.kit.receiver import Receiver
from tests.support.console.site import console_site

HEAD_SECONDS = 1.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class ServedPort:
    """A port, a path with its status, and limits: connections, seconds to a cut-off."""

    host: str
    port: int
    path: str
    status: int
    most: int
    seconds: float

    def request(self, *headers: str, method: str = "GET", length: int | None = None) -> bytes:
        """Return a request's head; `length` announces a body that is not sent."""
        sized = [] if length is None else [f"Content-Length: {length}"]
        head = [f"{method} {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}", *sized, *headers, "", ""]
        return "\r\n".join(head).encode()

    @contextlib.asynccontextmanager
    async def connect(self, sent: bytes = b"") -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(sent)
            yield reader, writer
        finally:
            writer.transport.abort()

    async def visit(self) -> tuple[int, float]:
        """Return status and seconds of a request over a new connection."""
        began = time.monotonic()
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.get(f"http://{self.host}:{self.port}{self.path}")
        return answer.status_code, time.monotonic() - began


@contextlib.asynccontextmanager
async def served_port(kind: str) -> AsyncIterator[ServedPort]:
    async with PORTS[kind]() as served:
        yield served


@contextlib.asynccontextmanager
async def _webhooks() -> AsyncIterator[ServedPort]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    host, port = listener.getsockname()
    async with serve(Receiver().app, listener, WebhookPort(HEAD_SECONDS)):
        yield ServedPort(host, port, "/nothing", 404, MOST_CONNECTIONS, 5)


@contextlib.asynccontextmanager
async def _feedback() -> AsyncIterator[ServedPort]:
    async with visiting(NOWHERE, webhook_timeout_seconds=str(HEAD_SECONDS)) as visit:
        address = httpx2.URL(visit.url)
        yield ServedPort(address.host, address.port or 80, "/f/unknown", 404, feedback_port.MOST_CONNECTIONS, 5)


@contextlib.asynccontextmanager
async def _console() -> AsyncIterator[ServedPort]:
    async with console_site(head_seconds=HEAD_SECONDS) as site:
        address = httpx2.URL(site.url)
        yield ServedPort(address.host, address.port or 80, "/login", 200, process.MOST_CONNECTIONS, 5)


PORTS = {"webhooks": _webhooks, "feedback": _feedback, "console": _console}
