"""Telling a pooler between us and Postgres (PgBouncer), and whether a session through it is ours alone.

The leader's lock and the settings of a session last as long as the session does. In transaction mode a pooler gives
each transaction to whichever session is free.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.session import Database

REMEDY = "connect to Postgres itself, or see docs/kubernetes.md for a pooler in session mode"
# A busy pooler may have given the session to somebody else between two looks.
_LOOKS = 5


async def shares_sessions(database: Database) -> bool:
    """Return True if two connections were served by one session. Raises what a statement raises.

    A pooler tells its clients ids of its own, so that one look is enough to see that there is none.
    """
    async with database.connection() as one:
        first = await _session_of(one)
        raw: Any = (await one.get_raw_connection()).driver_connection
        if raw.info.backend_pid == first:
            return False
        async with database.connection() as other:
            for _ in range(_LOOKS):
                if await _session_of(one) != first or await _session_of(other) == first:
                    return True
    return False


async def _session_of(connection: AsyncConnection) -> int:
    return int(str(await connection.scalar(text("SELECT pg_backend_pid()"))))
