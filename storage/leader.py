"""Leader election among processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import text

from observability import tracing
from storage.session import Database

_PAUSE_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


@asynccontextmanager
async def lead(database: Database, office: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Wait for the lead, and hold it in this block, by a lock of its connection.

    Await the yielded function before each round, from any number of tasks: it raises one of DATABASE_FAILURES when the
    connection, and so the lead, is lost. Both raise TimeoutError if the database does not answer for 10 s.
    """
    question = text("SELECT pg_try_advisory_lock(hashtext(:office))")
    async with AsyncExitStack() as stack:
        with tracing.untraced():
            async with asyncio.timeout(_ANSWER_SECONDS):
                connection = await stack.enter_async_context(database.connection())
            while True:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if await connection.scalar(question, {"office": f"ai-agents {office}"}):
                        break
                await asyncio.sleep(_PAUSE_SECONDS)

        one_at_a_time = asyncio.Lock()
        lost = False

        async def still_leads() -> None:
            nonlocal lost
            async with one_at_a_time:
                # The failed connection cannot show why.
                if lost:
                    raise TimeoutError
                lost = True
                with tracing.untraced():
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        await connection.execute(text("SELECT 1"))
                lost = False

        yield still_leads
