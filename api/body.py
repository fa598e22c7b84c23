"""Reading a request's body within a bound of size and time."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

_SLOWEST_SECONDS = 10.0
_MOST_DRAINED_BYTES = 16 * 1024 * 1024


class BodyTooLarge(Exception):
    """More than the limit."""


class BodyTooSlow(Exception):
    """Not here within 10 seconds."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body, at most `limit` bytes.

    Raises BodyTooLarge, BodyTooSlow, or starlette's ClientDisconnect. Of a body that is too large the rest is read and
    thrown away, within a bound: a client that still sends would see a reset connection instead of the 413.
    """
    try:
        async with asyncio.timeout(_SLOWEST_SECONDS):
            stream = request.stream()
            parts: list[bytes] = []
            size = 0
            async for part in stream:
                size += len(part)
                if size > limit:
                    parts.clear()
                    await _drain(stream)
                    raise BodyTooLarge
                parts.append(part)
            return b"".join(parts)
    except TimeoutError:
        raise BodyTooSlow from None


async def _drain(stream: AsyncIterator[bytes]) -> None:
    drained = 0
    try:
        async for part in stream:
            drained += len(part)
            if drained > _MOST_DRAINED_BYTES:
                return
    except ClientDisconnect:
        return
