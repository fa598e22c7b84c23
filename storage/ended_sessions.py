"""Console sessions ended by a logout, whose cookies no console process accepts."""

import asyncio
from datetime import timedelta

from sqlalchemy import text

from storage.session import Database

_SECONDS = 2.0
_END = text(
    "INSERT INTO ended_sessions (id, expires_at) VALUES (:id, now() + CAST(:lasts AS interval)) ON CONFLICT DO NOTHING"
)
_HAS = text("SELECT EXISTS (SELECT FROM ended_sessions WHERE id = :id)")


class EndedSessions:
    """Ids of ended sessions; raises one of DATABASE_FAILURES, or TimeoutError (2 s)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def end(self, session_id: str, lasts: timedelta) -> None:
        """End a session; `lasts` is the longest validity of its cookie."""
        async with asyncio.timeout(_SECONDS):
            await self._database.call(_END, id=session_id, lasts=lasts)

    async def has(self, session_id: str) -> bool:
        async with asyncio.timeout(_SECONDS):
            return bool(await self._database.call_for_one(_HAS, id=session_id))
