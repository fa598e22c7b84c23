"""Request bodies, limited in size and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from api.causes import Cause
from api.server import WHOLE_BODY
from api.webhook_refusals import WebhookRefused
from webhooks.bodies import read_within

_MOST_DRAINED_BYTES = 16 * 1024 * 1024
_DRAIN_SILENCE_SECONDS = 1.0
_UNSPECIFIC = ("", "*/*", "text/plain", "text/json", "application/octet-stream", "application/x-www-form-urlencoded")


async def read_body(request: Request, limit: int, seconds: float, *, any_type: bool = False) -> bytes:
    """Return the body. Raises WebhookRefused.

    `any_type` accepts every content type. The rest of an oversized body is drained within a limit: otherwise the client
    sees a reset connection instead of the 413. A client that waits for `100 Continue` gets the 413 at once.
    """
    if _compressed(request):
        raise WebhookRefused(415, "compressed body", cause=Cause("send it as it is"))
    if not any_type and not _may_be_json(request.headers.get("content-type", "")):
        raise WebhookRefused(415, "unsupported content type")
    stream = request.stream()
    announced = request.headers.get("content-length", "")
    try:
        if announced.isdecimal() and int(announced[:12]) > limit:
            if "expect" in request.headers:
                raise _too_large(limit)
            body = None
        else:
            # A timer costs 3 % of a webhook's time.
            async with contextlib.nullcontext() if request.scope.get(WHOLE_BODY) else asyncio.timeout(seconds):
                body = await read_within(stream, limit)
    except TimeoutError:
        raise WebhookRefused(408, "body too slow") from None
    except ClientDisconnect:
        raise WebhookRefused(400, "body incomplete") from None
    if body is None:
        await _drain(stream, seconds)
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> WebhookRefused:
    return WebhookRefused(413, "body too large", cause=Cause(f"more than {limit // 1024} KiB, send ids only"))


def _may_be_json(content_type: str) -> bool:
    """Return True for JSON and for default types: curl without a type declares a form."""
    name = content_type.partition(";")[0].strip().lower()
    return name in _UNSPECIFIC or name == "application/json" or name.endswith("+json")


def _compressed(request: Request) -> bool:
    if "content-encoding" not in request.headers and "transfer-encoding" not in request.headers:
        return False
    codings = ",".join(request.headers.getlist("content-encoding") + request.headers.getlist("transfer-encoding"))
    return any(coding.strip().lower() not in ("", "identity", "chunked") for coding in codings.split(","))


async def _drain(stream: AsyncIterator[bytes], seconds: float) -> None:
    drained = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(seconds):
            while drained <= _MOST_DRAINED_BYTES:
                async with asyncio.timeout(_DRAIN_SILENCE_SECONDS):
                    drained += len(await anext(stream))
