"""Reading a request's body within a bound of size and time."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

_MOST_DRAINED_BYTES = 16 * 1024 * 1024


class BodyTooLarge(Exception):
    """More than the limit."""


class BodyCompressed(Exception):
    """In a coding that would have to be undone first, to who knows what size."""


class BodyTooSlow(Exception):
    """Not here in time."""


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The body, at most `limit` bytes, within `seconds`.

    Raises BodyCompressed before anything is read, BodyTooLarge, BodyTooSlow, or starlette's ClientDisconnect. Of a body
    that is too large the rest is read and thrown away, within a bound: a client that still sends would see a reset
    connection instead of the 413.
    """
    if _compressed(request):
        raise BodyCompressed
    try:
        async with asyncio.timeout(seconds):
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


def _compressed(request: Request) -> bool:
    codings = ",".join(request.headers.getlist("content-encoding") + request.headers.getlist("transfer-encoding"))
    return any(coding.strip().lower() not in ("", "identity", "chunked") for coding in codings.split(","))


async def _drain(stream: AsyncIterator[bytes]) -> None:
    drained = 0
    try:
        async for part in stream:
            drained += len(part)
            if drained > _MOST_DRAINED_BYTES:
                return
    except ClientDisconnect:
        return
