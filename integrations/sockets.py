"""Connections for httpx2 by asyncio's own transports; all that is above the bytes stays httpx2's.

Its own are read and written by anyio, which makes a scope of cancellation each time, and tells the kernel to begin and
to stop reading for each piece. anyio still connects, which is seldom: it tries several addresses of a host at once.
"""

import asyncio
import select
import ssl
import time
from collections.abc import Iterable
from typing import Any, cast

import httpcore2
import httpx2

# Of what the other side sends, before it has to wait; of what is kept to be sent in one go.
_MOST_UNREAD, _MOST_UNSENT = 262_144, 65_536
# The pool asks all of its idle connections whether they were closed, twice for each request.
_LOOKED_SECONDS = 0.05


def open_transport(
    verify: ssl.SSLContext, limits: httpx2.Limits, proxy: httpx2.Proxy | None = None
) -> httpx2.AsyncHTTPTransport:
    """Return httpx2's transport over such connections, which reads nothing from the environment."""
    transport = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits, proxy=proxy)
    # Its pool takes a backend; the transport, which makes the pool, has no parameter for one.
    transport._pool._network_backend = _Backend()  # noqa: SLF001
    return transport


class _Inbound(asyncio.Protocol):
    """What has come and was not read yet."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.has_ended = False
        self.failure: Exception | None = None
        self.is_full = False
        """True while the other side takes no more of what is written."""
        self._parts: list[bytes] = []
        self._unread = 0
        self._awaited: asyncio.Future[None] | None = None

    @property
    def has_come(self) -> bool:
        return bool(self._parts)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is of no class of asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._unread += len(data)
        if self._unread > _MOST_UNREAD:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self.has_ended = True
        self._wake()

    def connection_lost(self, failure: Exception | None) -> None:
        self.has_ended, self.failure = True, failure
        self._wake()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self._wake()

    async def wait(self, seconds: float | None) -> None:
        """Wait until something happens. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        self._awaited = loop.create_future()
        limit = None if seconds is None else loop.call_later(seconds, _end, self._awaited)
        try:
            await self._awaited
        finally:
            self._awaited = None
            if limit is not None:
                limit.cancel()

    def take(self) -> bytes:
        """Take all that has come."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        if self._unread > _MOST_UNREAD and not self.has_ended:
            self.transport.resume_reading()
        self._unread = 0
        return data

    def _wake(self) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)


def _end(awaited: asyncio.Future[None]) -> None:
    if not awaited.done():
        awaited.set_exception(TimeoutError())


class _Stream(httpcore2.AsyncNetworkStream):
    """One connection."""

    def __init__(self, inbound: _Inbound) -> None:
        self._inbound = inbound
        self._unsent = bytearray()
        self._looked_at = 0.0
        self._poll = select.poll()
        self._poll.register(inbound.transport.get_extra_info("socket").fileno(), select.POLLIN)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 -- their names
        """Send what was written, and return what has come, or what comes next; nothing at the end."""
        inbound = self._inbound
        self._send()
        try:
            while not inbound.has_come and not inbound.has_ended:
                await inbound.wait(timeout)
        except TimeoutError as late:
            raise httpcore2.ReadTimeout from late
        if not inbound.has_come and inbound.failure is not None:
            raise httpcore2.ReadError(str(inbound.failure)) from inbound.failure
        return inbound.take()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- their name
        """Write something: a request's head and body go in one, when its answer is read."""
        inbound = self._inbound
        self._unsent += buffer
        if len(self._unsent) < _MOST_UNSENT:
            return
        self._send()
        try:
            while inbound.is_full and not inbound.has_ended:
                await inbound.wait(timeout)
        except TimeoutError as late:
            raise httpcore2.WriteTimeout from late

    def _send(self) -> None:
        # Into one that was closed nothing is sent; what came before that, or why it was, is told by who reads.
        if self._unsent and not self._inbound.transport.is_closing():
            self._inbound.transport.write(bytes(self._unsent))
        self._unsent.clear()

    async def aclose(self) -> None:
        """Close it."""
        self._inbound.transport.abort()
        # The loop closes it in its next turn.
        await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- their name
    ) -> httpcore2.AsyncNetworkStream:
        """Return this connection, encrypted from now on."""
        inbound, loop = self._inbound, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                secure = await loop.start_tls(inbound.transport, inbound, ssl_context, server_hostname=server_hostname)
        except TimeoutError as late:
            inbound.transport.abort()
            raise httpcore2.ConnectTimeout from late
        except OSError as failure:
            inbound.transport.abort()
            raise httpcore2.ConnectError(str(failure)) from failure
        if secure is None:
            raise httpcore2.ConnectError("closed while it was made")
        inbound.transport = secure
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what is asked of a connection; that an idle one is readable says that the server has closed it."""
        if info == "is_readable":
            return self._is_readable()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._inbound.transport.get_extra_info(names.get(info, info))

    def _is_readable(self) -> bool:
        inbound = self._inbound
        if inbound.has_come or inbound.has_ended or inbound.transport.is_closing():
            return True
        now = time.monotonic()
        if now - self._looked_at < _LOOKED_SECONDS:
            return False
        # A loop that was held still has not heard of it yet.
        self._looked_at = now
        return bool(self._poll.poll(0))


class _Backend(httpcore2.AsyncNetworkBackend):
    """Makes connections."""

    def __init__(self) -> None:
        self._by_anyio = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- their name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect. Raises what anyio's way of it does."""
        made = await self._by_anyio.connect_tcp(host, port, timeout, local_address, socket_options)
        own = made.get_extra_info("socket").dup()
        try:
            await made.aclose()
            own.setblocking(False)
            _, inbound = await asyncio.get_running_loop().create_connection(_Inbound, sock=own)
        except BaseException:
            own.close()
            raise
        return _Stream(inbound)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)
