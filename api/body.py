"""Reading a request's body within a bound of size and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

_MOST_DRAINED_BYTES = 16 * 1024 * 1024
_DRAIN_SILENCE_SECONDS = 1.0
_UNSPECIFIC = ("", "*/*", "text/plain", "text/json", "application/octet-stream", "application/x-www-form-urlencoded")


class BodyTooLarge(Exception):
    """More than the limit."""


class BodyCompressed(Exception):
    """In a coding that would have to be undone first, to who knows what size."""


class BodyOfAnotherType(Exception):
    """Declared as what is no JSON."""


class BodyTooSlow(Exception):
    """Not here in time."""


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The body, at most `limit` bytes, within `seconds`.

    Raises BodyCompressed or BodyOfAnotherType before anything is read, BodyTooLarge, BodyTooSlow, or starlette's
    ClientDisconnect. Of a body that is too large what the client is sending is read and thrown away, within a
    bound: it would see a reset connection instead of the 413. One that waits to be told to go on is told at once.
    """
    if _compressed(request):
        raise BodyCompressed
    if not _may_be_json(request.headers.get("content-type", "")):
        raise BodyOfAnotherType
    stream = request.stream()
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:12]) > limit:
        if "expect" not in request.headers:
            await _drain(stream, seconds)
        raise BodyTooLarge
    try:
        async with asyncio.timeout(seconds):
            body = await _read(stream, limit)
    except TimeoutError:
        raise BodyTooSlow from None
    if body is None:
        await _drain(stream, seconds)
        raise BodyTooLarge
    return body


async def _read(stream: AsyncIterator[bytes], limit: int) -> bytes | None:
    """The body, or None as soon as it is more than the limit."""
    parts: list[bytes] = []
    size = 0
    async for part in stream:
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def _may_be_json(content_type: str) -> bool:
    """JSON by its name, or one of the types that tools send when they are told none (curl's is that of forms)."""
    name = content_type.partition(";")[0].strip().lower()
    return name in _UNSPECIFIC or name == "application/json" or name.endswith("+json")


def _compressed(request: Request) -> bool:
    codings = ",".join(request.headers.getlist("content-encoding") + request.headers.getlist("transfer-encoding"))
    return any(coding.strip().lower() not in ("", "identity", "chunked") for coding in codings.split(","))


async def _drain(stream: AsyncIterator[bytes], seconds: float) -> None:
    """Read on until the end, for `seconds` at most, as long as something comes."""
    drained = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(seconds):
            while drained <= _MOST_DRAINED_BYTES:
                async with asyncio.timeout(_DRAIN_SILENCE_SECONDS):
                    drained += len(await anext(stream))
