"""Asking a store for one part of a page, with a time limit of its own: the page is one without it, too."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from redis.exceptions import RedisError

from observability import phrases
from observability.logging import say
from storage.session import DATABASE_FAILURES, is_away

PART_SECONDS = 1.5
_TOO_SLOW = "57014"
"""The SQLSTATE of a statement that took longer than it may."""
Part = TypeVar("Part")


async def in_time(part: Awaitable[Part], seconds: float = PART_SECONDS) -> Part | None:
    """Return what a store says; None if it is away, or does not answer in time.

    What is neither is a fault of ours, and stands in the log.
    """
    try:
        async with asyncio.timeout(seconds):
            return await part
    except DATABASE_FAILURES as failure:
        if not is_silent(failure):
            say(phrases.DATABASE_UNREACHABLE, reason="a part of a page could not be asked for", failure=failure)
        return None
    except (RedisError, OSError, TimeoutError):
        return None


def is_silent(failure: Exception) -> bool:
    """Return True if the database is away, or too slow, and no mistake of ours is the trouble."""
    return is_away(failure) or getattr(getattr(failure, "orig", None), "sqlstate", None) == _TOO_SLOW
