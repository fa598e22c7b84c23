"""One leader among several processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy import text

from observability import tracing
from storage.session import Database

_PAUSE_SECONDS = 5.0


@asynccontextmanager
async def lead(database: Database, office: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Wait to be the only one inside this block. The lock ends with its connection, so a dead leader is replaced.

    Await what it gives before each round: it raises one of DATABASE_FAILURES when the connection, and with it the
    office, is gone.
    """
    async with database.connection() as connection:
        with tracing.untraced():
            question = text("SELECT pg_try_advisory_lock(hashtext(:office))")
            while not await connection.scalar(question, {"office": f"ai-agents {office}"}):  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_SECONDS)

        async def still_leads() -> None:
            with tracing.untraced():
                await connection.execute(text("SELECT 1"))

        yield still_leads
