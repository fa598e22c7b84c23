"""Connection limits of a port: number, size, time and rate.

uvicorn's protocol accepts a head of any length and waits for its end for ever. If there are too many
connections, the longest waiting one is closed (ADR 5).
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

import httptools
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from observability import log_events
from observability.logging import log_event

PORT = "port"  # key of the `Port` in the lifespan state
WHOLE_BODY = "whole_body"  # key in a request's scope: True if its body has arrived
MAX_CONNECTIONS, MAX_IN_A_RUSH = 500, 750
MAX_WAITING_REQUESTS = 32  # pipelined, per connection
LARGEST_HEAD_BYTES = 32 * 1024
FIRST_BYTE_SECONDS = 5.0
# Longer than the keep-alive of clients and proxies (60 s): a request on a connection that closes is lost.
KEEP_ALIVE_SECONDS = 75
_UNREAD_SECONDS, _LINE_SECONDS = 2.0, 10.0
# Longer than the loop takes to read arrived data, which may contain a request.
_MOMENT_SECONDS = 0.1


class Connections:
    """Waiting connections, longest first, and connections being served.

    A connection waits until its request is complete, and again after the answer; one with pipelined requests always
    waits. Times are the event loop's.
    """

    def __init__(self, most: int = MAX_CONNECTIONS, in_a_rush: int = MAX_IN_A_RUSH) -> None:
        self._most = most
        self._in_a_rush = in_a_rush
        self._served: set[Hashable] = set()
        self._waiting: dict[Any, float] = {}

    def __len__(self) -> int:
        return len(self._served) + len(self._waiting)

    @property
    def is_busy(self) -> bool:
        return len(self._served) >= self._most

    def wait(self, connection: Hashable, now: float) -> None:
        self._served.discard(connection)
        self._waiting.setdefault(connection, now)

    def serve(self, connection: Hashable) -> None:
        self._waiting.pop(connection, None)
        self._served.add(connection)

    def leave(self, connection: Hashable) -> None:
        self._waiting.pop(connection, None)
        self._served.discard(connection)

    def make_room(self, now: float) -> Iterator[Any]:
        """Remove and yield connections; those waiting under 0.1 s only above `in_a_rush`."""
        while self._waiting and len(self) > self._most:
            connection, since = next(iter(self._waiting.items()))
            if now - since < _MOMENT_SECONDS and len(self) <= self._in_a_rush:
                return
            self.leave(connection)
            yield connection


@dataclass(eq=False)
class Port:
    """Connections and log limits of one listener.

    `seconds`: limit of a head, and of an unread answer. `crowded`: logged when a connection is closed for a new one.
    """

    seconds: float = 10.0
    connections: Connections = field(default_factory=Connections)
    crowded: log_events.Phrase | None = None
    _next: dict[log_events.Phrase, float] = field(default_factory=dict)

    def log_refused(self, status: int, reason: str) -> None:
        """Log a request refused before the application; a plain port logs nothing."""

    def log_turned_away(self) -> None:
        self.log_crowded()

    def log_crowded(self) -> None:
        if self.crowded is not None and self.is_due(self.crowded):
            log_event(self.crowded)

    def is_due(self, phrase: log_events.Phrase) -> bool:
        """Return True at most every ten seconds for each phrase."""
        if is_due := (now := time.monotonic()) >= self._next.get(phrase, 0.0):
            self._next[phrase] = now + _LINE_SECONDS
        return is_due


class AnswerWriter:
    """Write head and body at once: two writes cost 6 % of the throughput."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._head and data.startswith(b"HTTP/1.1 ") and data[9:12] != b"100":
            self._head = data
        else:
            self._transport.write(self._head + data)
            self._head = b""

    def end_answer(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.end_answer()
        self._transport.close()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with limits."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, server_state, app_state, **kwargs)
        self._port: Port = app_state[PORT]
        self._pending = 0  # bytes since the last end of a head or body chunk
        self._head_open = self._head_begun = self._in_body = self._resuming = self._over = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def _start(self, timer: str, seconds: float, call: Callable[[], object]) -> None:
        if timer not in self._timers:
            self._timers[timer] = self.loop.call_later(seconds, call)

    def _stop(self, timer: str) -> None:
        if (handle := self._timers.pop(timer, None)) is not None:
            handle.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection; send 503 if all connections are being served."""
        super().connection_made(transport)
        self._answers: Any = AnswerWriter(transport)
        now, connections = self.loop.time(), self._port.connections
        if connections.is_busy:
            self._port.log_turned_away()
            self._answer(503, "try again later")
            return
        connections.wait(self, now)
        for connection in connections.make_room(now):
            # The application gets a disconnect.
            self._port.log_crowded()
            connection.transport.abort()
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_BYTE_SECONDS, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.connections.leave(self)
        for timer in self._timers.values():
            timer.cancel()
        self._stop_keepalive()
        super().connection_lost(exc)

    def _stop_keepalive(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("blocked_write", self._port.seconds, self.transport.abort)
        self._update_place()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("blocked_write")
        self._update_place()

    def _update_place(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_body or self.pipeline or self._all_answered() or self.flow.write_paused:
            self._port.connections.wait(self, self.loop.time())
        else:
            self._port.connections.serve(self)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._stop_keepalive()
        self._pending += len(data)
        self._head_open = self._head_open or not self._in_body
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            refused = error.__context__
            if not isinstance(refused, HTTPException):
                refused = HTTPException(400, "malformed request")
            self._refuse(refused.status_code, refused.detail)
        else:
            if self._pending > LARGEST_HEAD_BYTES:
                self._refuse(431, "headers too large")
        if self._head_open and not self._over:
            self._start("head", self._port.seconds, self._head_too_slow)
        else:
            self._stop("head")
        self._update_place()

    def _parse(self, data: bytes) -> None:
        """Parse the data, ignoring offers of HTTP/2 (RFC 9110, 7.8) from curl and Java."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return
            # The parser stops after the head of an offer. A new one continues, with the framing of the body.
            self.parser = httptools.HttpRequestParser(self)
            if self._in_body:
                self._resuming = True
                self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(self._framing()) + b"\r\n")
                self._resuming = False

    def _framing(self) -> list[bytes]:
        names = (b"content-length", b"transfer-encoding")
        return [name + b": " + value + b"\r\n" for name, value in self.scope["headers"] if name in names]

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        super().on_message_begin()
        self._head_open = self._head_begun = True
        self._pending = 0

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > LARGEST_HEAD_BYTES:
            raise HTTPException(431, "headers too large")
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            raise HTTPException(429, "too many requests at once")
        self._head_open = self._head_begun = False
        self._stop("head")  # the next head, perhaps in the same data, has its own limit
        super().on_headers_complete()
        self.cycle.transport = self._answers
        self.headers = []  # trailers are dropped
        self._in_body, self._pending = True, 0

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._framing():  # an HTTP/2 offer; the body follows
            return
        super().on_message_complete()
        cast("dict[str, Any]", self.scope)[WHOLE_BODY] = True
        self._pending = 0
        self._head_open = self._in_body = False
        self._stop("unread")

    def on_response_complete(self) -> None:
        self._answers.end_answer()
        super().on_response_complete()
        self._update_place()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            # An immediate close would reset a client that sends everything before it reads the answer.
            self._stop_keepalive()
            self._start("unread", _UNREAD_SECONDS, self.transport.close)

    def _head_too_slow(self) -> None:
        if self._head_begun:
            self._refuse(408, "headers too slow")
        else:  # only empty lines
            self.transport.close()

    def _refuse(self, status: int, reason: str) -> None:
        """Close the connection with one log line.

        Sends an answer unless the client could take it for the answer of another request.
        """
        if self._over or self.transport.is_closing():
            return
        self._over, all_answered = True, self._all_answered()
        if self._in_body and self.cycle.response_started:
            self.transport.close()
        elif self._in_body and not self.pipeline:
            # The application awaits this body, and logs that it is incomplete.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(400, "malformed request")
        else:
            self._port.log_refused(status, reason)
            if all_answered:
                self._answer(status, reason)
            elif self._in_body:
                self.transport.close()
            else:
                self.cycle.keep_alive = False

    def _answer(self, status: int, reason: str) -> None:
        """Send a last answer; close later, so that a sending client gets no reset."""
        self._over = True
        body = f'{{"detail":"{reason}"}}'
        retry_header = "retry-after: 30\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
        self.transport.write(
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n{retry_header}\r\n{body}".encode()
        )
        self.transport.write_eof()
        self._start("unread", _UNREAD_SECONDS, self.transport.close)

    def _all_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp, listener: socket.socket, port: Port, last_answer_seconds: float = 3.0
) -> AsyncIterator[None]:
    """Serve the application; at the end, open requests get `last_answer_seconds`."""
    config = Config(
        app, log_config=None, access_log=False, ws="none", proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_SECONDS
    )
    state = ServerState()
    # asyncio sets this only on listeners that name their protocol. Without it a body waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LimitedProtocol(config, state, {PORT: port}), sock=listener)
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=last_answer_seconds)
