"""An application over a listener."""

import asyncio
import socket

from starlette.responses import PlainTextResponse

from serving.bounded import BoundedProtocol
from serving.listening import served


class _Noted(BoundedProtocol):
    """Notes how each connection sends."""

    sends_at_once: bool

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        connection: socket.socket = transport.get_extra_info("socket")
        type(self).sends_at_once = bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        super().connection_made(transport)


async def test_no_part_of_an_answer_waits_for_an_acknowledgement() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    async with served(PlainTextResponse("here"), _Noted, listener, 1.0):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"here")
        writer.close()
    assert _Noted.sends_at_once
