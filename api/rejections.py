"""Refusals of webhooks (log line, record for support, answer), and bodies limited in size and time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Self

from opentelemetry.trace import SpanKind
from starlette.requests import ClientDisconnect, Request

from api.server import WHOLE_BODY, Port
from api.signature_diagnosis import Cause, Question
from config.tenants import is_tenant_id
from db.session import DATABASE_FAILURES, Database
from jobs import rejections
from observability import log_events, metrics, tracing
from observability.identifiers import bound
from observability.logging import log_event

_MOST_WAITING = 100
# The remaining places are for senders that proved a secret.
_MOST_OF_ANYONE_WAITING = 50
_MOST_DRAINED_BYTES = 16 * 1024 * 1024
_DRAIN_SILENCE_SECONDS = 1.0
_UNSPECIFIC = ("", "*/*", "text/plain", "text/json", "application/octet-stream", "application/x-www-form-urlencoded")
WRONGLY_NAMED = "signed with this tenant's secret, and named for one that there is not"


@dataclass(eq=False)
class WebhookError(Exception):
    """A refused webhook: HTTP status, reason for the log, and detail for the caller.

    `cause` adds detail, and `asked` is the input for its search. `explained`: the search found the cause, which proves
    that the sender has a secret. `is_recorded`: it is in the database already.
    """

    status: int
    reason: str
    tenant_id: str | None = None
    ticket_id: str | None = None
    known_tenant: bool = False
    verified: bool = False
    fields: str = ""
    cause: Cause | None = None
    asked: Question | None = None
    explained: bool = False
    is_recorded: bool = False

    def proved(self, tenant_id: str) -> Self:
        return replace(self, tenant_id=tenant_id, known_tenant=True, verified=True)

    @property
    def answer(self) -> str:
        if self.status == 403:
            return "forbidden"
        return f"{self.reason}: {self.cause.told}" if self.cause else self.reason


class RejectionRecorder:
    """Writes refusals to the database one by one; excess ones are only logged."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[str, str | None, int, str, bool]] = asyncio.Queue(_MOST_WAITING)

    def record(self, tenant_id: str, ticket_id: str | None, status: int, reason: str, *, proved: bool) -> None:
        """Queue one refusal of a known tenant; `proved`: its sender has a secret or token."""
        if proved or self._waiting.qsize() < _MOST_OF_ANYONE_WAITING:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait((tenant_id, ticket_id, status, reason, proved))

    async def run(self) -> None:
        with tracing.untraced():
            while True:
                tenant_id, ticket_id, status, reason, proved = await self._waiting.get()
                with contextlib.suppress(*DATABASE_FAILURES):
                    await rejections.record(self._database, tenant_id, ticket_id, status, reason, proved=proved)


def tell(refused: WebhookError, recorder: RejectionRecorder) -> None:
    """Log and count the refusal, and queue it for its tenant's record.

    The line has well-formed identifiers only, marked as unverified if the sender did not prove them.
    """
    tenant_id, cause = refused.tenant_id, refused.cause
    named = tenant_id if tenant_id is not None and is_tenant_id(tenant_id) else None
    verified = None if refused.verified or not (refused.ticket_id or named) else "no"
    fields = {"ticket_id": refused.ticket_id, "tenant_id": named, "verified": verified, "fields": refused.fields}
    also = {name: value for name, value in (fields | {"cause": cause.told if cause else None}).items() if value}
    log_event(log_events.WEBHOOK_REJECTED, status=refused.status, reason=refused.reason, also=also)
    metrics.webhook(refused.reason, tenant_id if refused.known_tenant else None)
    if refused.is_recorded:
        return
    if refused.known_tenant and tenant_id is not None:
        kept = f"{refused.reason}: {cause.kept or cause.told}" if cause else refused.reason
        proved = refused.verified or refused.explained
        recorder.record(tenant_id, refused.ticket_id, refused.status, kept, proved=proved)
    elif cause and cause.owner:
        # The sender has this tenant's secret but names an unknown tenant. Support would search under this one.
        kept = f"{refused.reason}: {WRONGLY_NAMED}"
        recorder.record(cause.owner, refused.ticket_id, refused.status, kept, proved=True)


class WebhookPort(Port):
    """A port that logs and counts each refused request as a possibly lost webhook."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__(seconds, crowded=log_events.CROWDED)

    def log_refused(self, status: int, reason: str) -> None:
        attributes = {"http.response.status_code": status}
        with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER, attributes=attributes):
            log_event(log_events.WEBHOOK_REJECTED, status=status, reason=reason)
        metrics.webhook(reason)

    def log_turned_away(self) -> None:
        metrics.webhook("too many connections")
        if self.is_due(log_events.WEBHOOK_NOT_TAKEN):
            log_event(log_events.WEBHOOK_NOT_TAKEN, status=503, reason="too many connections")


async def read_body(request: Request, limit: int, seconds: float, *, any_type: bool = False) -> bytes:
    """Return the body. Raises WebhookError.

    `any_type` accepts every content type. The rest of an oversized body is drained within a limit: otherwise the client
    sees a reset connection instead of the 413. A client that waits for `100 Continue` gets the 413 at once.
    """
    if _compressed(request):
        raise WebhookError(415, "compressed body", cause=Cause("send it as it is"))
    if not any_type and not _may_be_json(request.headers.get("content-type", "")):
        raise WebhookError(415, "unsupported content type")
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
                body = await _read_within(stream, limit)
    except TimeoutError:
        raise WebhookError(408, "body too slow") from None
    except ClientDisconnect:
        raise WebhookError(400, "body incomplete") from None
    if body is None:
        await _drain(stream, seconds)
        raise _too_large(limit)
    return body


async def _read_within(parts: AsyncIterator[bytes], limit: int) -> bytes | None:
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > limit:
            return None
    return bytes(body)


def _too_large(limit: int) -> WebhookError:
    return WebhookError(413, "body too large", cause=Cause(f"more than {limit // 1024} KiB, send ids only"))


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
