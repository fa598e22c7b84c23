"""What stands before the application: the heads of requests, bounded in size, number and time.

uvicorn's own protocol keeps a head of any length, waits for its end for ever, and logs lines of its own for what is no
HTTP. This one refuses such a sender with one `Webhook rejected` line, as the application does with what it refuses. Of
too many connections the one whose sender has kept it waiting longest is closed.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.answer_writer import AnswerWriter
from api.body import WHOLE_BODY
from api.head_refusals import CrowdLog, HeadRefused, last_answer
from serving.alarm import Alarm
from serving.crowd import MOST_WAITING_REQUESTS, Crowd

SENDER_SECONDS = "sender_seconds"
"""Where the application's lifespan state has the time that a head may take."""

LARGEST_HEAD_BYTES = 32 * 1024
FIRST_BYTE_SECONDS = 5.0
_UNREAD_SECONDS = 2.0
_DEFAULT_SECONDS = 10.0


class FrontDoorProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, for senders that may be hostile."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds = float(self.app_state.get(SENDER_SECONDS, _DEFAULT_SECONDS))
        self._head_size = 0
        self._unaccounted = 0  # bytes since the last sign that the sender gets on: an end of a head, a piece of a body
        self._head_open = self._head_begun = False
        self._in_body = self._over = self._reads_old_head = False
        listener = vars(self.server_state)  # the same for all connections
        self._crowd: Crowd[FrontDoorProtocol] = listener.setdefault("crowd", Crowd())
        self._crowd_log: CrowdLog = listener.setdefault("crowd_log", CrowdLog(self.loop.time))
        self._slow_head, self._unread, self._unheard = (Alarm(self.loop) for _ in range(3))

    # -- The connection -----------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a connection over which nothing comes is closed long before one that was used."""
        super().connection_made(transport)
        self._answers: Any = AnswerWriter(transport)
        if self._crowd.is_busy:
            # What each may keep in memory is bounded, so that all of them are.
            self._over = True
            self._crowd_log.one_turned_away()
            self._answer(503, "try again later")
            return
        now = self.loop.time()
        self._crowd.wait(self, now)
        for other in self._crowd.make_room(now):
            other.give_way()
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_BYTE_SECONDS, self.timeout_keep_alive_handler)

    def give_way(self) -> None:
        """End, for a newcomer; a request that has begun breaks off as if its sender had left."""
        self._over = True
        self._crowd_log.one_closed()
        self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for a sender that does not read its answers, but not for long: nobody else could take its place."""
        super().pause_writing()
        self._unheard.set(self._seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it reads."""
        super().resume_writing()
        self._unheard.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._over = True
        self._crowd.leave(self)
        for alarm in (self._slow_head, self._unread, self._unheard):
            alarm.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and look whether the sender keeps within the bounds."""
        if self._over:
            return
        self._unset_keepalive_if_required()
        self._unaccounted += len(data)
        self._head_open = self._head_open or not self._in_body
        try:
            self._parse(data)
        except httptools.HttpParserError as failure:
            cause = failure.__context__
            self._refuse(cause if isinstance(cause, HeadRefused) else HeadRefused(400, "malformed request"))
        else:
            if self._unaccounted > LARGEST_HEAD_BYTES:
                self._refuse(HeadRefused(431, "headers too large"))
        if self._head_open and not self._over:
            self._slow_head.set(self._seconds, self._head_too_slow)
        else:
            self._slow_head.cancel()
        self._take_place()

    def _take_place(self) -> None:
        """Register as served, or as one that may go: it waits for its sender, or it pipelines."""
        if self._in_body or self.pipeline or self._all_answered():
            self._crowd.wait(self, self.loop.time())
        else:
            self._crowd.serve(self)

    def _parse(self, data: bytes) -> None:
        """Parse all of it, whatever is offered in between."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return
            self._pass_over_offer()

    def _pass_over_offer(self) -> None:
        """Go on behind a head with an offer, of HTTP/2 by Java's client or by curl, that nobody has to take up.

        The parser goes no further, and leaves the body unread. Another one goes on, as if nothing had been offered: it
        is told where the body ends by a head that says nothing else.
        """
        self.parser = httptools.HttpRequestParser(self)
        if self._in_body:
            self._reads_old_head = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(self._framing()) + b"\r\n")
            self._reads_old_head = False

    def _framing(self) -> list[bytes]:
        """Return the headers that say where the body ends."""
        names = (b"content-length", b"transfer-encoding")
        return [name + b": " + value + b"\r\n" for name, value in self.headers if name in names]

    # -- What the parser finds ----------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._reads_old_head:
            return
        super().on_message_begin()
        self._head_open = self._head_begun = True
        self._head_size = self._unaccounted = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        if self._reads_old_head:
            return
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; after a body in chunks also a trailer, which nobody reads."""
        if self._reads_old_head:
            return
        self._count(len(name) + len(value) + 4)
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application: the head is complete."""
        if self._reads_old_head:
            return
        if len(self.pipeline) >= MOST_WAITING_REQUESTS:
            raise HeadRefused(429, "too many requests at once")
        self._head_open = self._head_begun = False
        self._slow_head.cancel()  # the next one, in the same data perhaps, has a time of its own
        super().on_headers_complete()
        self.cycle.transport = self._answers
        self._in_body = True
        self._unaccounted = 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unaccounted = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; the parser may have left its body unread."""
        if self.parser.should_upgrade() and self._framing():
            return
        super().on_message_complete()
        scope: Any = self.scope
        scope[WHOLE_BODY] = True
        self._unaccounted = 0
        self._head_open = self._in_body = False
        self._unread.cancel()

    def on_response_complete(self) -> None:
        """Answered. What the sender still has to send of this request is awaited for a moment only.

        Closing at once would reset the connection of a client that sends its body before it reads the answer.
        """
        self._answers.end_answer()
        super().on_response_complete()
        self._take_place()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._unread.set(_UNREAD_SECONDS, self.transport.close)

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > LARGEST_HEAD_BYTES:
            raise HeadRefused(431, "headers too large")

    # -- Ends ---------------------------------------------------------------------------------------------------------
    def _head_too_slow(self) -> None:
        self._slow_head.cancel()
        if self._head_begun:
            self._refuse(HeadRefused(408, "headers too slow"))
        elif not self.transport.is_closing():  # nothing but empty lines
            self.transport.close()

    def _refuse(self, refused: HeadRefused) -> None:
        """End the connection, with one line and, if it can't be taken for another request's, with an answer."""
        if self._over or self.transport.is_closing():
            return
        self._over = True
        answered = self._all_answered()
        if self._in_body and answered:
            self.transport.close()
            return
        if self._in_body and not self.pipeline:
            # The application waits for this body: that it breaks off is its rejection, and its line.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer(400, "malformed request")
            return
        self._crowd_log.one_refused(refused)
        if answered:
            self._answer(refused.status, refused.reason)
        elif self._in_body:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _answer(self, status: int, reason: str) -> None:
        self._answers.write_last(last_answer(status, reason))
        self._unread.set(_UNREAD_SECONDS, self.transport.close)

    def _all_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete
