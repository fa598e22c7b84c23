"""Reading a request's body within a bound of size and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from webhooks.bodies import read_within

_MOST_DRAINED_BYTES = 16 * 1024 * 1024
_DRAIN_SILENCE_SECONDS = 1.0
_UNSPECIFIC = ("", "*/*", "text/plain", "text/json", "application/octet-stream", "application/x-www-form-urlencoded")


class BodyTooLarge(Exception):
    """The body is larger than the limit."""


class BodyCompressed(Exception):
    """The body is in a coding that would have to be undone first, and could then have any size."""


class BodyOfAnotherType(Exception):
    """The body is declared as something else than JSON."""


class BodyTooSlow(Exception):
    """The body did not come in time."""


async def read_body(request: Request, limit: int, seconds: float, *, any_type: bool = False) -> bytes:
    """Return the body; with `any_type` whatever it is declared as.

    Raises BodyCompressed or BodyOfAnotherType before anything is read, BodyTooLarge above `limit` bytes, BodyTooSlow
    after `seconds`, and starlette's ClientDisconnect. What a client still sends of a body that is too large is read
    and thrown away, within a bound: otherwise it would see a reset connection instead of its 413. A client that waits
    for `100 Continue` sends nothing yet, and has its 413 at once.
    """
    if _compressed(request):
        raise BodyCompressed
    if not any_type and not _may_be_json(request.headers.get("content-type", "")):
        raise BodyOfAnotherType
    stream = request.stream()
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:12]) > limit:
        if "expect" not in request.headers:
            await _drain(stream, seconds)
        raise BodyTooLarge
    try:
        async with asyncio.timeout(seconds):
            body = await read_within(stream, limit)
    except TimeoutError:
        raise BodyTooSlow from None
    if body is None:
        await _drain(stream, seconds)
        raise BodyTooLarge
    return body


def _may_be_json(content_type: str) -> bool:
    """Return True for JSON, and for what tools declare that were told no type: curl says that it sends a form."""
    name = content_type.partition(";")[0].strip().lower()
    return name in _UNSPECIFIC or name == "application/json" or name.endswith("+json")


def _compressed(request: Request) -> bool:
    if "content-encoding" not in request.headers and "transfer-encoding" not in request.headers:
        return False
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
