"""Keeping rejected webhooks for support, beside the request and never in its way."""

import asyncio
import contextlib

from observability import tracing
from storage import rejections
from storage.session import DATABASE_FAILURES, Database

_MOST_WAITING = 100


class RejectionRecorder:
    """Writes rejections one by one; what comes faster than that is in the log only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[str, str | None, int, str]] = asyncio.Queue(_MOST_WAITING)

    def record(self, tenant_id: str, ticket_id: str | None, status: int, reason: str) -> None:
        """Have one rejection of a known tenant stored soon."""
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait((tenant_id, ticket_id, status, reason))

    async def run(self) -> None:
        """Store until cancelled."""
        with tracing.untraced():
            while True:
                tenant_id, ticket_id, status, reason = await self._waiting.get()
                with contextlib.suppress(*DATABASE_FAILURES):
                    await rejections.record(self._database, tenant_id, ticket_id, status, reason)
