"""An application that answers over a listener, beside other work of its process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from serving.bounded import BoundedProtocol

# Longer than clients and proxies keep theirs (60 s): what is sent over one that is just being closed is lost.
_KEEP_ALIVE_SECONDS = 75


@contextlib.asynccontextmanager
async def accepting(
    new_protocol: Callable[[], asyncio.BaseProtocol],
    listener: socket.socket,
    state: ServerState,
    last_answer_seconds: float,
) -> AsyncIterator[None]:
    """Take connections in the block; at its end requests that run have that long to be answered."""
    # asyncio sees to it where a listener's protocol is named, which it is not here: a body would wait for the client
    # to acknowledge the head, 40 ms an answer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    server = await asyncio.get_running_loop().create_server(new_protocol, sock=listener)
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=last_answer_seconds)


@contextlib.asynccontextmanager
async def served(
    application: ASGIApp, protocol: type[BoundedProtocol], listener: socket.socket, last_answer_seconds: float
) -> AsyncIterator[None]:
    """Answer as the ASGI `application` does; at the end, what is being answered just now still is, for so long."""
    config = Config(
        application,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    state = ServerState()
    async with accepting(lambda: protocol(config, state, {}), listener, state, last_answer_seconds):
        yield
