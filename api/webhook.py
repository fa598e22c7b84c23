"""`POST /webhook`: what a desk posts, verified, recorded and queued; 202.

Checks come in this order: no compression and no other type than JSON (415), size (413), one readable tenant id (400),
signature and timestamp (403), schema (422). All 403 look alike to the caller; the log says which it was. What is
refused before the application is in `api.http_protocol`.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from opentelemetry.trace import Span, SpanKind
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from uuid_utils.compat import uuid7

from api import schemas, signature
from api.app_state import ApiState
from api.body import BodyCompressed, BodyOfAnotherType, BodyTooLarge, BodyTooSlow, read_body
from api.http_protocol import LARGEST_HEAD_BYTES
from config.tenant_problems import is_tenant_id
from dispatch.acceptance import NotTaken, Taken
from observability import metrics, phrases, tracing
from observability.identifiers import bind, bound
from observability.logging import say
from storage.deliveries import signed_key
from storage.jobs import Event

router = APIRouter()
# Secrets that nobody knows: each check tries two, so that the time it takes tells neither whether a tenant exists nor
# whether it has a previous secret.
_NOBODYS_SECRETS = (token_hex(32), token_hex(32))
_LONGEST_DELIVERY_ID = 200


@dataclass(eq=False)
class WebhookRefused(Exception):
    """A webhook that is not taken: HTTP status, reason for the log, and what the caller may know."""

    status: int
    reason: str
    tenant_id: str | None = None
    ticket_id: str | None = None
    known_tenant: bool = False
    verified: bool = False
    fields: str = ""

    @property
    def answer(self) -> str:
        """The reason, with the fields to mend; but for a 403, which tells nothing."""
        if self.status == 403:
            return "forbidden"
        return f"{self.reason}: {self.fields}" if self.fields else self.reason


_BODY_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": schemas.WebhookPayload.model_json_schema()}},
    }
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.Refused, "description": "Not one JSON object with one tenant id"},
    403: {"model": schemas.Refused, "description": "Not proved to be the tenant's"},
    408: {"model": schemas.Refused, "description": "The headers or the body came too slowly"},
    413: {"model": schemas.Refused, "description": f"More than {schemas.LARGEST_BODY_BYTES // 1024} KiB"},
    415: {"model": schemas.Refused, "description": "A compressed body, or one of another type than JSON"},
    422: {"model": schemas.Refused, "description": "Signed, but without a usable ticket id"},
    429: {"model": schemas.Refused, "description": "Too many requests at once over one connection"},
    431: {"model": schemas.Refused, "description": f"More than {LARGEST_HEAD_BYTES // 1024} KiB of headers"},
    500: {"model": schemas.Refused, "description": "A mistake of ours; the log has a line of it"},
    503: {"model": schemas.Refused, "description": "Try again later: no store could take it"},
}


@router.post(
    "/webhook", status_code=202, response_model=schemas.Accepted, responses=_REFUSALS, openapi_extra=_BODY_SCHEMA
)
async def receive(request: Request) -> JSONResponse:
    """Take a signed webhook; its ticket will get an enhancement."""
    state: ApiState = request.app.state.api
    attributes = {"http.request.method": "POST", "http.route": "/webhook", "url.path": "/webhook"}
    links = tracing.links_to(request.headers.get("traceparent"))
    with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER, links=links, attributes=attributes) as span:
        tenant_id = None
        try:
            event = await _verified_event(request, state)
            tenant_id = event.tenant_id
            say(phrases.WEBHOOK_RECEIVED, ticket_id=event.ticket_id, tenant_id=event.tenant_id)
            taken = await state.acceptance.take(event)
        except WebhookRefused as rejection:
            _log_rejection(rejection, state)
            return _answer(span, rejection.status, {"detail": rejection.answer})
        except NotTaken as failure:
            tracing.record_failure(span, failure, "no store could take the event")
            say(phrases.WEBHOOK_NOT_TAKEN, status=503, reason="database and Redis unreachable")
            metrics.webhook("database and Redis unreachable", tenant_id)
            return _answer(span, 503, {"detail": "try again later"}, {"Retry-After": "30"})
        except Exception as failure:  # noqa: BLE001 -- the line must carry the identifiers, which end with this block
            tracing.record_failure(span, failure)
            say(phrases.REQUEST_FAILED, failure=failure)
            metrics.webhook("unexpected failure", tenant_id)
            return _answer(span, 500, {"detail": "unexpected failure"})
        return _answer(span, 202, _accepted(event, taken))


async def refuse_address(request: Request, failure: Exception) -> JSONResponse:
    """Answer a request for an address or with a method that there is not; a line, if it may be a mistyped webhook."""
    status = failure.status_code if isinstance(failure, HTTPException) else 500
    if request.method == "POST" or request.url.path.rstrip("/") == "/webhook":
        reason = "unknown address" if status == 404 else "wrong method"
        with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER) as span:
            span.set_attributes({"http.request.method": request.method, "http.response.status_code": status})
            say(phrases.WEBHOOK_REJECTED, status=status, reason=reason)
        metrics.webhook(reason)
    return JSONResponse({"detail": getattr(failure, "detail", "refused")}, status, getattr(failure, "headers", None))


def _answer(span: Span, status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> JSONResponse:
    span.set_attribute("http.response.status_code", status)
    return JSONResponse(body, status, headers)


def _accepted(event: Event, taken: Taken) -> dict[str, str]:
    bind(job_id=str(taken.job_id))
    result = "duplicate" if taken.duplicate else "accepted"
    if taken.duplicate:
        say(phrases.WEBHOOK_DUPLICATE, job_id=taken.job_id, ticket_id=event.ticket_id)
    metrics.webhook(result, event.tenant_id)
    # The relay of this process may be what ends it.
    metrics.expect_outcomes(event.tenant_id, "failed")
    return {"job_id": str(taken.job_id), "status": result}


async def _verified_event(request: Request, state: ApiState) -> Event:
    """The event, proved to be the tenant's. Raises WebhookRefused."""
    try:
        body = await read_body(request, schemas.LARGEST_BODY_BYTES, state.sender_seconds)
    except BodyCompressed:
        raise WebhookRefused(415, "compressed body") from None
    except BodyOfAnotherType:
        raise WebhookRefused(415, "unsupported content type") from None
    except BodyTooLarge:
        raise WebhookRefused(413, "body too large") from None
    except BodyTooSlow:
        raise WebhookRefused(408, "body too slow") from None
    except ClientDisconnect:
        raise WebhookRefused(400, "body incomplete") from None
    try:
        payload = schemas.read_object(body)
        tenant_id = schemas.tenant_of(payload)
    except schemas.Malformed:
        raise WebhookRefused(400, "malformed payload") from None
    signed = _check_signature(state, tenant_id, request.headers, body, schemas.ticket_of(payload))
    try:
        parsed = schemas.parse(payload)
    except schemas.Unusable as unusable:
        raise WebhookRefused(
            422,
            "malformed payload",
            tenant_id,
            schemas.ticket_of(payload),
            known_tenant=True,
            verified=True,
            fields=str(unusable),
        ) from None
    bind(ticket_id=parsed.ticket_id, tenant_id=tenant_id)
    return Event(
        job_id=uuid7(),
        tenant_id=tenant_id,
        ticket_id=parsed.ticket_id,
        event=parsed.event,
        dedupe_keys=_dedupe_keys(request.headers, parsed, body, signed),
        traceparent=tracing.traceparent(),
        accepted_at=datetime.now(UTC),
    )


def _check_signature(
    state: ApiState, tenant_id: str, headers: Mapping[str, str], body: bytes, ticket_id: str | None
) -> bytes:
    """The bytes that were signed. Raises WebhookRefused."""
    tenant = state.tenants.get(tenant_id)
    secrets = tenant.webhook_secrets if tenant is not None else ()
    signed = b""
    try:
        signed = signature.verify(
            (*secrets, *_NOBODYS_SECRETS)[:2],
            headers,
            body,
            time.time(),
            require_timestamp=tenant is not None and tenant.require_timestamp,
        )
    except signature.SignatureRefused as refused:
        reason = str(refused)
    else:
        reason = ""
    if not secrets and tenant is not None and not tenant.usable:
        raise WebhookRefused(403, "tenant closed", tenant_id, ticket_id, known_tenant=True)
    if not secrets:
        raise WebhookRefused(403, "unknown tenant", tenant_id, ticket_id)
    if reason:
        raise WebhookRefused(403, reason, tenant_id, ticket_id, known_tenant=True)
    return signed


def _dedupe_keys(
    headers: Mapping[str, str], payload: schemas.WebhookPayload, body: bytes, signed: bytes
) -> tuple[str, str]:
    """The delivery's id, or what makes two posts the same; and what was signed.

    Most schemes do not sign the id: a captured request that is sent again under another one is the same all the same.
    """
    return _delivery_key(headers, payload, body), signed_key(hashlib.sha256(signed).hexdigest())


def _delivery_key(headers: Mapping[str, str], payload: schemas.WebhookPayload, body: bytes) -> str:
    """Hashed, so that it is short whatever came."""
    delivery = headers.get("webhook-id") or headers.get("x-servicedesk-delivery")
    if delivery:
        # With the ticket: desks send headers of fixed text, and one id for all would make every ticket a duplicate.
        named = f"delivery\0{payload.ticket_id}\0{delivery[:_LONGEST_DELIVERY_ID]}"
        return hashlib.sha256(named.encode()).hexdigest()
    parts = (payload.tenant_id, payload.ticket_id, payload.event or "", hashlib.sha256(body).hexdigest())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _log_rejection(rejection: WebhookRefused, state: ApiState) -> None:
    """One line; identifiers only if they are well-formed, and marked where the sender did not prove them."""
    also: dict[str, object] = {}
    tenant_id = rejection.tenant_id
    if rejection.ticket_id is not None:
        also["ticket_id"] = rejection.ticket_id
    if tenant_id is not None and is_tenant_id(tenant_id):
        also["tenant_id"] = tenant_id
    if also and not rejection.verified:
        also["verified"] = "no"
    if rejection.fields:
        also["fields"] = rejection.fields
    say(phrases.WEBHOOK_REJECTED, status=rejection.status, reason=rejection.reason, also=also)
    metrics.webhook(rejection.reason, tenant_id if rejection.known_tenant else None)
    if rejection.known_tenant and tenant_id is not None:
        state.rejections.record(tenant_id, rejection.ticket_id, rejection.status, rejection.reason)
