"""What stands before the signer's application: a desk that finds no place is told so, and so is the log."""

import asyncio
from typing import ClassVar

from observability import phrases
from observability.logging import say
from serving.bounded import BoundedProtocol

_LOST_LINE_SECONDS = 10.0
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\nretry-after: 30\r\n\r\n"


class DeskProtocol(BoundedProtocol):
    """A connection of a desk."""

    unheard_seconds: ClassVar[float] = 10.0

    def _send_away(self, transport: asyncio.Transport) -> None:
        """Answer 503, and say once in a while that newcomers find no place: the desk may be among them."""
        transport.write(_BUSY)
        now = self.loop.time()
        if now >= self._listener.get("lost_again_at", 0.0):
            self._listener["lost_again_at"] = now + _LOST_LINE_SECONDS
            say(phrases.WEBHOOK_LOST, status=503, reason="too many requests are being answered")
