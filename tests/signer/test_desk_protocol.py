"""Who holds a connection to the signer without using it, makes room for who does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from devstack.free_ports import free_port
from signer.desk_protocol import MOST_CONNECTIONS, DeskProtocol
from tests.kit.logs import StartLog

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
    config, state, port = Config(app, log_config=None, lifespan="off", ws="none"), ServerState(), free_port()
    server = await asyncio.get_running_loop().create_server(
        lambda: DeskProtocol(config, state, {}, head_seconds=head_seconds), "127.0.0.1", port
    )

    @contextlib.asynccontextmanager
    async def connect(sent: bytes) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        try:
            yield reader, writer
        finally:
            writer.close()

    try:
        yield connect
    finally:
        server.close()


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
