"""What stands before the application: the heads of requests, bounded in size, number and time.

uvicorn's own protocol keeps a head of any length, waits for its end for ever, and logs lines of its own for what is no
HTTP. This one refuses such a sender with one `Webhook rejected` line, as the application does with what it refuses. Of
too many connections the one whose sender has kept it waiting longest is closed.
"""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
from opentelemetry.trace import SpanKind
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.crowd import Crowd
from observability import metrics, phrases, tracing
from observability.identifiers import bound
from observability.logging import say

SENDER_SECONDS = "sender_seconds"
"""Where the application's lifespan state has the time that a head may take."""

LARGEST_HEAD_BYTES = 32 * 1024
FIRST_BYTE_SECONDS = 5.0
_CROWDED_LINE_SECONDS = 10.0
_MOST_WAITING_REQUESTS = 32
_UNREAD_SECONDS = 2.0
_DEFAULT_SECONDS = 10.0


class _Refused(Exception):
    """Raised inside the parser, to end it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class FrontDoorProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, for senders that may be hostile."""

    crowd_told: ClassVar[dict[phrases.Phrase, float]] = {}
    """When each line about too many connections was said last (the event loop's time)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds = float(self.app_state.get(SENDER_SECONDS, _DEFAULT_SECONDS))
        self._head_size = 0
        self._unaccounted = 0  # bytes since the last sign that the sender gets on: an end of a head, a piece of a body
        self._head_open = False
        self._head_begun = False
        self._in_body = False
        self._over = False
        self._reads_old_head = False
        # One for all connections of a listener.
        self._crowd: Crowd[FrontDoorProtocol] = vars(self.server_state).setdefault("crowd", Crowd())
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._unheard_timer: asyncio.TimerHandle | None = None

    # -- The connection -----------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a connection over which nothing comes is closed long before one that was used."""
        super().connection_made(transport)
        if self._crowd.is_busy:
            self._refuse_connection()
            return
        now = self.loop.time()
        self._crowd.wait(self, now)
        for other in self._crowd.make_room(now):
            other.give_way()
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_BYTE_SECONDS, self.timeout_keep_alive_handler)

    def give_way(self) -> None:
        """End, for a newcomer; a request that has begun breaks off as if its sender had left."""
        self._over = True
        if self._may_tell(phrases.CROWDED):
            say(phrases.CROWDED)
        self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for a sender that does not read its answers, but not for long: nobody else could take its place."""
        super().pause_writing()
        self._unheard_timer = self.loop.call_later(self._seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it reads."""
        super().resume_writing()
        self._heard()

    def _heard(self) -> None:
        if self._unheard_timer is not None:
            self._unheard_timer.cancel()
            self._unheard_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._over = True
        self._heard()
        self._crowd.leave(self)
        self._set_head_timer(wanted=False)
        self._unread_done()
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
            refused = cause if isinstance(cause, _Refused) else _Refused(400, "malformed request")
            self._refuse(refused.status, refused.reason)
        else:
            if self._unaccounted > LARGEST_HEAD_BYTES:
                self._refuse(431, "headers too large")
        self._set_head_timer(wanted=self._head_open and not self._over)
        self._take_place()

    def _take_place(self) -> None:
        """Among those that wait for their sender, or among those that are served."""
        if self.pipeline or not (self._in_body or self._all_answered()):
            self._crowd.serve(self)
        else:
            self._crowd.wait(self, self.loop.time())

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
        """The headers that say where the body ends."""
        names = (b"content-length", b"transfer-encoding")
        return [name + b": " + value + b"\r\n" for name, value in self.headers if name in names]

    # -- What the parser finds ----------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """A request begins."""
        if self._reads_old_head:
            return
        super().on_message_begin()
        self._head_open = self._head_begun = True
        self._head_size = self._unaccounted = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        if self._reads_old_head:
            return
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after a body in chunks also a trailer, which nobody reads."""
        if self._reads_old_head:
            return
        self._count(len(name) + len(value) + 4)
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: the application may begin."""
        if self._reads_old_head:
            return
        if len(self.pipeline) >= _MOST_WAITING_REQUESTS:
            raise _Refused(429, "too many requests at once")
        self._head_open = self._head_begun = False
        self._set_head_timer(wanted=False)  # the next one, in the same data perhaps, has a time of its own
        super().on_headers_complete()
        self._in_body = True
        self._unaccounted = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unaccounted = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there as a whole; or it is one whose body the parser leaves unread."""
        if self.parser.should_upgrade() and self._framing():
            return
        super().on_message_complete()
        self._unaccounted = 0
        self._head_open = self._in_body = False
        self._unread_done()

    def on_response_complete(self) -> None:
        """Answered. What the sender still has to send of this request is awaited for a moment only.

        Closing at once would reset the connection of a client that sends its body before it reads the answer.
        """
        super().on_response_complete()
        self._take_place()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._unread_timer = self.loop.call_later(_UNREAD_SECONDS, self.transport.close)

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > LARGEST_HEAD_BYTES:
            raise _Refused(431, "headers too large")

    # -- Time ---------------------------------------------------------------------------------------------------------
    def _set_head_timer(self, *, wanted: bool) -> None:
        if wanted and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._seconds, self._head_too_slow)
        elif not wanted and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self._head_begun:
            self._refuse(408, "headers too slow")
        elif not self.transport.is_closing():  # nothing but empty lines
            self.transport.close()

    def _unread_done(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    # -- Ends ---------------------------------------------------------------------------------------------------------
    def _refuse(self, status: int, reason: str) -> None:
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
        attributes = {"http.response.status_code": status}
        with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER, attributes=attributes):
            say(phrases.WEBHOOK_REJECTED, status=status, reason=reason)
        metrics.webhook(reason)
        if answered:
            self._answer(status, reason)
        elif self._in_body:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _refuse_connection(self) -> None:
        """One too many: what each may keep in memory is bounded, so that all of them are."""
        self._over = True
        metrics.webhook("too many connections")
        if self._may_tell(phrases.WEBHOOK_NOT_TAKEN):
            say(phrases.WEBHOOK_NOT_TAKEN, status=503, reason="too many connections")
        self._answer(503, "try again later")

    def _may_tell(self, phrase: phrases.Phrase) -> bool:
        """Of each kind of line one in ten seconds."""
        now, told = self.loop.time(), FrontDoorProtocol.crowd_told
        if now - told.get(phrase, -_CROWDED_LINE_SECONDS) < _CROWDED_LINE_SECONDS:
            return False
        told[phrase] = now
        return True

    def _answer(self, status: int, reason: str) -> None:
        body = f'{{"detail":"{reason}"}}'
        lines = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *(["retry-after: 30"] if status == HTTPStatus.SERVICE_UNAVAILABLE else []),
        )
        self.transport.write("\r\n".join((*lines, "", body)).encode())
        # Not closed at once: a client that still sends would see a reset connection instead of its answer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._unread_timer = self.loop.call_later(_UNREAD_SECONDS, self.transport.close)

    def _all_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete
