"""Queries for parts of a page, each with a time limit."""

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
    """Return the result; None if the store is unavailable or slow.

    Other database errors are bugs of ours: they are logged and return None.
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
    """Return True if the database is unavailable or slow, False for a bug of ours."""
    return is_away(failure) or getattr(getattr(failure, "orig", None), "sqlstate", None) == _TOO_SLOW
