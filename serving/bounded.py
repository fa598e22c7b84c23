"""What stands before a small application: connections, bounded in number, and in the time that a head may take."""

import asyncio
import re
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from serving.alarm import Alarm
from serving.crowd import MOST_WAITING_REQUESTS, Crowd

MOST_CONNECTIONS = 200
_MOST_IN_A_RUSH = 300
_HEAD_SECONDS = 10.0
_HEAD_END = re.compile(rb"\n\r?\n")


class BoundedProtocol(H11Protocol):
    """uvicorn's plainest, which bounds the size of heads. Of too many clients the one that is silent longest goes.

    `unheard_seconds`: how long one is waited for that does not read its answers.
    """

    unheard_seconds: ClassVar[float] = 30.0

    def __init__(self, *args: Any, head_seconds: float = _HEAD_SECONDS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds
        # One for all connections of a listener.
        self._listener = vars(self.server_state)
        self._crowd: Crowd[BoundedProtocol] = self._listener.setdefault(
            "crowd", Crowd(MOST_CONNECTIONS, _MOST_IN_A_RUSH)
        )
        self._slow, self._unheard = Alarm(self.loop), Alarm(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; while as many as there may be are answered, a newcomer is sent away."""
        super().connection_made(transport)
        if self._crowd.is_busy:
            self._send_away(transport)
            transport.close()
            return
        self._take_place()
        for other in self._crowd.make_room(self.loop.time()):
            # A request that has begun breaks off as if its client had left.
            other.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._crowd.leave(self)
        self._slow.cancel()
        self._unheard.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data. A client with too many pipelined requests gets one more answer, then its connection ends."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and len(_HEAD_END.findall(self.conn.trailing_data[0])) > MOST_WAITING_REQUESTS:
            cycle.keep_alive = False
        self._take_place()

    def on_response_complete(self) -> None:
        """Go on to the next request, which may have come already."""
        super().on_response_complete()
        self._take_place()

    def pause_writing(self) -> None:
        """Wait for a client that does not read its answers, but not for long."""
        super().pause_writing()
        self._unheard.set(self.unheard_seconds, self.transport.abort)
        self._take_place()

    def resume_writing(self) -> None:
        """Go on: it reads."""
        super().resume_writing()
        self._unheard.cancel()
        self._take_place()

    def _send_away(self, transport: asyncio.Transport) -> None:
        """Say something to a newcomer for whom there is no place, before its connection is closed; here nothing."""

    def _take_place(self) -> None:
        """Among those that wait for their client, or those that are served; what has begun must go on in time."""
        if self.transport.is_closing():
            return
        in_body = self.conn.their_state is h11.SEND_BODY
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is None or cycle.response_complete
        # Clients that never read, or that pipeline, would otherwise hold all places.
        if answered or in_body or self.flow.write_paused or self.conn.trailing_data[0]:
            self._crowd.wait(self, self.loop.time())
        else:
            self._crowd.serve(self)
        # The application bounds the time of a body that it waits for.
        if answered and (cycle is None or in_body or self.conn.trailing_data[0]):
            self._slow.set(self._head_seconds, self.transport.close)
        else:
            self._slow.cancel()
