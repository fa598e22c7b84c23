"""Keeping rejected webhooks for support, beside the request and never in its way."""

import asyncio
import contextlib

from observability import tracing
from storage import rejections
from storage.session import DATABASE_FAILURES, Database

_MOST_WAITING = 100
# The other places are for what is proved to be of someone with a secret.
_MOST_OF_ANYONE_WAITING = 50


class RejectionRecorder:
    """Writes rejections one by one; what comes faster than that is in the log only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[str, str | None, int, str, bool]] = asyncio.Queue(_MOST_WAITING)

    def record(self, tenant_id: str, ticket_id: str | None, status: int, reason: str, *, proved: bool) -> None:
        """Have one rejection of a known tenant stored soon; `proved`: it is of someone with a secret or a token."""
        if proved or self._waiting.qsize() < _MOST_OF_ANYONE_WAITING:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait((tenant_id, ticket_id, status, reason, proved))

    async def run(self) -> None:
        """Store until cancelled."""
        with tracing.untraced():
            while True:
                tenant_id, ticket_id, status, reason, proved = await self._waiting.get()
                with contextlib.suppress(*DATABASE_FAILURES):
                    await rejections.record(self._database, tenant_id, ticket_id, status, reason, proved=proved)
