"""Waiting for the database at a process's start."""

import asyncio

from observability import phrases, tracing
from observability.logging import say
from storage.schema import DatabaseUnreachable, check
from storage.session import Database

_PAUSE_SECONDS = 1.0
# A server may take a connection, and then be silent.
_ANSWER_SECONDS = 10.0


async def wait_for_database(database: Database) -> None:
    """Return when the database can be worked with; a server that is not there yet is waited for.

    Raises DatabaseUnfit when waiting would not help.
    """
    told = False
    with tracing.untraced():
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await check(database)
            except (DatabaseUnreachable, TimeoutError):
                if not told:
                    say(phrases.SERVER_AWAITED, server="the database")
                    told = True
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
