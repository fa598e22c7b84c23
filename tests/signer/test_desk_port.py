"""Who holds a connection to the signer without using it, makes room for who does."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.server import serve
from config.tenant_directory import TenantDirectory
from signer.desk_port import MOST_CONNECTIONS, DeskPort
from signer.door import SignerDoor
from signer.forwarding import Forwarding, open_client
from signer.spool import Spool
from tests.kit.logs import StartLog
from tests.kit.world import wait_for
from tests.signer.site import KEY

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Door = Callable[[bytes], contextlib.AbstractAsyncContextManager[Streams]]


async def answering(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer at once, without reading a body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def silent(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Never answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def door(app: ASGIApp, head_seconds: float = 10.0) -> AsyncIterator[Door]:
    """A server, and how to connect to it and send something; connections are closed at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    @contextlib.asynccontextmanager
    async def connect(sent: bytes) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        try:
            yield reader, writer
        finally:
            writer.close()

    async with serve(app, listener, DeskPort(head_seconds), 0.1):
        yield connect


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /hea", HEALTH, HEALTH + b"P", b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"],
)
async def test_a_crowd_that_begins_requests_keeps_nobody_out(sent: bytes) -> None:
    async with door(answering) as connect, contextlib.AsyncExitStack() as crowd:
        for _ in range(MOST_CONNECTIONS):
            await crowd.enter_async_context(connect(sent))
        await asyncio.sleep(0.2)
        for _ in range(3):
            async with connect(HEALTH) as (reader, _):
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("answered", [b"", HEALTH, HEALTH * 2])
async def test_each_head_must_end_in_time(answered: bytes) -> None:
    """However often a byte of it comes; one that has not begun has the time of a connection kept alive."""
    async with door(answering, head_seconds=0.3) as connect:
        async with connect(answered + b"GET /health HTTP/1.1\r\n") as (reader, writer), asyncio.timeout(3):
            while not reader.at_eof():
                writer.write(b"x")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 0.1)
        async with connect(HEALTH) as (reader, writer):
            await reader.readuntil(b"ok")
            await asyncio.sleep(0.5)
            writer.write(HEALTH)
            await reader.readuntil(b"ok")


async def test_while_all_places_are_served_a_newcomer_is_told_and_so_is_the_log(start_log: StartLog) -> None:
    stream = start_log()
    async with door(silent) as connect, contextlib.AsyncExitStack() as crowd:
        for _ in range(MOST_CONNECTIONS):
            await crowd.enter_async_context(connect(HEALTH))
        await asyncio.sleep(0.2)
        for _ in range(2):
            async with connect(b"") as (reader, _):
                assert (await reader.read()).startswith(b"HTTP/1.1 503")
    assert stream.getvalue().count("Webhook of the desk lost: status=503, reason=too many requests") == 1


async def test_a_desk_that_breaks_off_for_a_newcomer_is_told_as_lost(start_log: StartLog, tmp_path: Path) -> None:
    """Once its key has come, and not what a stranger has begun."""
    stream, spool = start_log(), Spool(tmp_path, "acme", 1)
    spool.open()
    async with open_client(ssl.create_default_context()) as client, contextlib.AsyncExitStack() as crowd:
        forwarding = Forwarding(spool, TenantDirectory(dict), "acme", "http://127.0.0.1:1/webhook", client)
        connect = await crowd.enter_async_context(door(SignerDoor(spool, forwarding, "acme", KEY).create_app()))
        for key in (KEY, "a stranger's"):
            begun = f"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Signer-Key: {key}\r\nContent-Length: 9\r\n\r\n{{"
            await crowd.enter_async_context(connect(begun.encode()))
        await asyncio.sleep(0.2)
        for _ in range(MOST_CONNECTIONS):
            await crowd.enter_async_context(connect(b""))
        await asyncio.to_thread(
            wait_for, lambda: "of the desk lost: status=408, reason=the connection" in stream.getvalue()
        )
    assert stream.getvalue().count("desk lost") == 1
    spool.close()
