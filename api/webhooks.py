"""`POST /webhook`: verify, record and queue webhooks; answer 202.

Checks in order: uncompressed JSON (415), size (413), exactly one tenant id (400), signature and timestamp (403), schema
(422). Every 403 has the same body; the log has the reason. The cause of a signature mismatch is searched for after the
response. `api.server` rejects malformed requests before they reach the application.

A desk that can't sign sends a token instead, if its tenant has one. The tenant id may then be in the path, and
`jobs.payloads` parses the body regardless of its content type. With a tenant id in the path, the token is
checked before any other refusal is sent, so that the refusal can be stored under its tenant.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from opentelemetry.trace import Span, SpanKind
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send
from uuid_utils.compat import uuid7

from api import signature_diagnosis
from api.authentication import Cause, Proof, SecretUsage, Webhook, WebhookError, authenticate, verify_token
from api.server import LARGEST_HEAD_BYTES, Port
from api.signature_diagnosis import SignatureDiagnosis
from config.tenant_directory import TenantDirectory
from config.tenants import is_tenant_id
from db.session import DATABASE_FAILURES, Database
from jobs import rejections
from jobs.intake import Intake, NotAcceptedError, within
from jobs.payloads import DELIVERY_HEADER, EVENT, LARGEST_BODY_BYTES, TICKET_ID
from jobs.queue import JobQueue
from jobs.repository import SIGNED_BY_PREVIOUS, SIGNED_KEY, Event, is_queue_full
from observability import log_events, metrics, tracing
from observability.identifiers import bind, bound
from observability.logging import log_event
from privacy.secret_fingerprints import PREVIOUS, RETIRED

_MAX_WAITING = 100
# The other slots are reserved for senders with a valid secret or token.
_MAX_UNVERIFIED_WAITING = 50
WRONGLY_NAMED = "signed with this tenant's secret, but with an unknown tenant id"


class RejectionRecorder:
    """Stores refusals in the background; drops them while its queue is full."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[str, str | None, int, str, bool]] = asyncio.Queue(_MAX_WAITING)

    def record(self, tenant_id: str, ticket_id: str | None, status: int, reason: str, *, proved: bool) -> None:
        """Queue a refusal of a known tenant; `proved`: the sender has a secret or token."""
        if proved or self._waiting.qsize() < _MAX_UNVERIFIED_WAITING:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait((tenant_id, ticket_id, status, reason, proved))

    async def run(self) -> None:
        with tracing.untraced():
            while True:
                tenant_id, ticket_id, status, reason, proved = await self._waiting.get()
                with contextlib.suppress(*DATABASE_FAILURES):
                    await rejections.record(self._database, tenant_id, ticket_id, status, reason, proved=proved)


def report(refused: WebhookError, recorder: RejectionRecorder) -> None:
    """Log, count and store a refusal.

    Identifiers are logged if well-formed, with `verified: no` unless the sender authenticated.
    """
    tenant_id, cause = refused.tenant_id, refused.cause
    shown_tenant = tenant_id if tenant_id is not None and is_tenant_id(tenant_id) else None
    verified = None if refused.verified or not (refused.ticket_id or shown_tenant) else "no"
    fields = {"ticket_id": refused.ticket_id, "tenant_id": shown_tenant, "verified": verified, "fields": refused.fields}
    also = {name: value for name, value in (fields | {"cause": cause.text if cause else None}).items() if value}
    log_event(log_events.WEBHOOK_REJECTED, status=refused.status, reason=refused.reason, also=also)
    metrics.webhook(refused.reason, tenant_id if refused.known_tenant else None)
    if refused.is_recorded:
        return
    if refused.known_tenant and tenant_id is not None:
        stored = f"{refused.reason}: {cause.stored or cause.text}" if cause else refused.reason
        proved = refused.verified or refused.cause_found
        recorder.record(tenant_id, refused.ticket_id, refused.status, stored, proved=proved)
    elif cause and cause.owner:
        # Stored under the owner of the secret, where support will search.
        stored = f"{refused.reason}: {WRONGLY_NAMED}"
        recorder.record(cause.owner, refused.ticket_id, refused.status, stored, proved=True)


class WebhookPort(Port):
    """A port that logs and counts refused requests: each may be a lost webhook."""

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


RETRY_SECONDS = 60
_MAX_DELIVERY_ID_LENGTH = 200
_LIMIT_CHECK_SECONDS = 1.0
_DELIVERY_HEADER = DELIVERY_HEADER.lower()


class WebhookPayload(BaseModel):
    """The known fields of the body; other fields are ignored."""

    tenant_id: str = Field(description="The tenant, as in `WEBHOOK_SECRET_<TENANT>`.", examples=["acme"])
    ticket_id: str = Field(
        pattern=f"^{TICKET_ID.pattern}$", description="The ticket, as text or number.", examples=["12345"]
    )
    event: str | None = Field(
        None, pattern=f"^{EVENT.pattern}$", description="What happened.", examples=["ticket.created"]
    )


class Accepted(BaseModel):
    """The answer to an accepted webhook."""

    job_id: str = Field(description="Id of the job in logs and traces, and of its Celery task.")
    status: str = Field(description="`accepted`, or `duplicate` with the first job's id.")


class Checked(BaseModel):
    """The answer to a check event, which queues no job."""

    status: str = Field(description="`verified`")
    tenant_id: str


class Refused(BaseModel):
    """The answer to a refused webhook."""

    detail: str


_REFUSALS = {
    400: "The body is not one JSON object with one tenant id",
    403: "Authentication failed",
    408: "Headers or body arrived too slowly",
    413: f"More than {LARGEST_BODY_BYTES // 1024} KiB",
    415: "A compressed body, or, without a token, a content type other than JSON",
    422: "Authenticated, but without a usable ticket id",
    429: "Too many requests at once over one connection, or too many waiting jobs",
    431: f"More than {LARGEST_HEAD_BYTES // 1024} KiB of headers",
    500: "Internal failure, which is logged",
    503: "No store could accept the event: try again later",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Checked, "description": "A check event was verified; no job is created"},
    **{status: {"model": Refused, "description": text} for status, text in _REFUSALS.items()},
}
"""Answers other than 202: status -> model and description."""


@dataclass(frozen=True, slots=True)
class ApiState:
    """Resources of the API, at `request.app.state.api`."""

    tenants: TenantDirectory
    database: Database
    queue: JobQueue
    intake: Intake
    rejections: RejectionRecorder
    secret_usage: SecretUsage
    body_seconds: float
    diagnosis: SignatureDiagnosis = field(default_factory=SignatureDiagnosis)


class RawRoute(APIRoute):
    """A route whose endpoint gets the raw request: signatures cover its bytes.

    FastAPI's own handling takes 43 of the 77 microseconds of an empty endpoint.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            response = await endpoint(request, **request.path_params)
            await response(scope, receive, send)

        self.app = app


def add_routes(router: APIRouter) -> None:
    """Add the webhook routes to `router` itself: a nested router matches slower."""
    content = {"application/json": {"schema": WebhookPayload.model_json_schema()}}
    shared: dict[str, Any] = {
        "methods": ["POST"],
        "status_code": 202,
        "response_model": Accepted,
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "route_class_override": RawRoute,
    }
    not_found = {"model": Refused, "description": "Another address"}
    router.add_api_route("/webhook", receive, responses=ANSWERS, **shared)
    router.add_api_route("/webhook/{tenant_id}", receive_by_token, responses=ANSWERS | {404: not_found}, **shared)


async def receive(request: Request) -> JSONResponse:
    """Accept a signed webhook, or one with a token; its ticket gets an enhancement."""
    return await _receive(request, None)


async def receive_by_token(request: Request, tenant_id: str) -> JSONResponse:
    """Accept an unsigned webhook with the tenant's token."""
    return await _receive(request, tenant_id)


async def _receive(request: Request, tenant_in_path: str | None) -> JSONResponse:
    state: ApiState = request.app.state.api
    links = tracing.links_to(request.headers.get("traceparent"))
    attributes = {"http.request.method": "POST", **_route_attributes(tenant_in_path)}
    with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER, links=links, attributes=attributes) as span:
        tenant_id = None
        try:
            webhook = await authenticate(request, state.tenants, state.secret_usage, state.body_seconds, tenant_in_path)
            tenant_id = webhook.tenant_id
            if webhook.payload.is_check:
                log_event(log_events.WEBHOOK_CHECKED, tenant_id=tenant_id)
                metrics.webhook("checked", tenant_id)
                return _answer(span, 200, {"status": "verified", "tenant_id": tenant_id})
            event = _event(webhook)
            if (most := webhook.tenant.share.most_waiting) is not None:
                await _refuse_if_full(state.database, event, most)
            log_event(log_events.WEBHOOK_RECEIVED, ticket_id=event.ticket_id, tenant_id=event.tenant_id)
            job_id = await state.intake.accept(event)
        except WebhookError as refused:
            headers = {"Retry-After": str(RETRY_SECONDS)} if refused.status == 429 else None
            answer = _answer(span, refused.status, {"detail": refused.detail}, headers)
            if refused.mismatch is None:
                report(refused, state.rejections)
            else:
                answer.background = BackgroundTask(_diagnose, refused, state, copy_context())
            return answer
        except NotAcceptedError as failure:
            tracing.record_failure(span, failure, "no store could take the event")
            log_event(log_events.WEBHOOK_NOT_TAKEN, status=503, reason="database and Redis unreachable")
            metrics.webhook("database and Redis unreachable", tenant_id)
            return _answer(span, 503, {"detail": "try again later"}, {"Retry-After": "30"})
        except Exception as failure:  # noqa: BLE001 -- logged here, where the identifiers are bound
            tracing.record_failure(span, failure)
            log_event(log_events.REQUEST_FAILED, failure=failure)
            metrics.webhook("unexpected failure", tenant_id)
            return _answer(span, 500, {"detail": "unexpected failure"})
        result = "accepted" if job_id == event.job_id else "duplicate"
        if job_id != event.job_id:
            bind(job_id=str(job_id))
            log_event(log_events.WEBHOOK_DUPLICATE, job_id=job_id, ticket_id=event.ticket_id)
        metrics.webhook(result, event.tenant_id)
        # Start the counter at 0: this process's relay may be the one that counts the job's failure.
        metrics.expect_outcomes(event.tenant_id, "failed")
        return _answer(span, 202, {"job_id": str(job_id), "status": result})


def _event(webhook: Webhook) -> Event:
    payload = webhook.payload
    if payload.ticket_id is None or payload.problems:
        fields, cause = ", ".join(payload.problems), Cause("; ".join(payload.problems.values()))
        refused = WebhookError(422, "malformed payload", ticket_id=payload.ticket_id, fields=fields, cause=cause)
        raise refused.verified_for(webhook.tenant_id)
    bind(ticket_id=payload.ticket_id, tenant_id=webhook.tenant_id)
    return Event(
        job_id=uuid7(),
        tenant_id=webhook.tenant_id,
        ticket_id=payload.ticket_id,
        event=payload.event,
        dedupe_keys=_dedupe_keys(webhook, payload.ticket_id),
        traceparent=tracing.traceparent(),
        accepted_at=datetime.now(UTC),
        remark=SIGNED_BY_PREVIOUS if webhook.proof.setting == PREVIOUS else None,
    )


def _dedupe_keys(webhook: Webhook, ticket_id: str) -> tuple[str, ...]:
    """Return the keys of the delivery and of the signed bytes.

    Most schemes do not sign the delivery id, so a replay with another id is detected by the signed bytes. Desks that
    can't sign send no delivery id, so their key is the content.
    """
    signed = webhook.proof.signed
    delivery_id = webhook.headers.get("webhook-id") or webhook.headers.get(_DELIVERY_HEADER)
    parts = [webhook.tenant_id, ticket_id, webhook.payload.event or "", hashlib.sha256(webhook.body).hexdigest()]
    if signed is not None and delivery_id:
        # Includes the ticket: a desk may send the same delivery id for all tickets.
        parts = ["delivery", ticket_id, delivery_id[:_MAX_DELIVERY_ID_LENGTH]]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return (key,) if signed is None else (key, SIGNED_KEY + hashlib.sha256(signed).hexdigest())


async def _refuse_if_full(database: Database, event: Event, most: int) -> None:
    """Raise WebhookError if the tenant has reached its limit of waiting jobs.

    The limit is not checked while Postgres is unavailable. The refusal is recorded before the response: if the desk
    does not resend the webhook, reconciliation creates the job.
    """
    try:
        if not await within(_LIMIT_CHECK_SECONDS, is_queue_full(database, event, most)):
            return
        cause = Cause(f"{most} or more jobs of this tenant wait")
        refused = WebhookError(429, "too many jobs waiting", None, event.ticket_id, cause=cause, is_recorded=True)
        record = rejections.record_full(database, event.tenant_id, event.ticket_id, refused.detail)
        await within(_LIMIT_CHECK_SECONDS, record)
    except (*DATABASE_FAILURES, TimeoutError):
        return
    raise refused.verified_for(event.tenant_id)


def _route_attributes(tenant_in_path: str | None) -> dict[str, str]:
    if tenant_in_path is None:
        return {"http.route": "/webhook", "url.path": "/webhook"}
    path = {"url.path": f"/webhook/{tenant_in_path}"} if is_tenant_id(tenant_in_path) else {}
    return {"http.route": "/webhook/{tenant_id}", **path}


async def _diagnose(refused: WebhookError, state: ApiState, context: Context) -> None:
    mismatch = refused.mismatch
    try:
        if mismatch is not None and (cause := await state.diagnosis.cause(mismatch, state.tenants)) is not None:
            refused.cause, refused.cause_found = cause, True
            if signature_diagnosis.RETIRED_CAUSE in cause.text:
                state.secret_usage.count(mismatch.tenant_id, Proof(RETIRED, mismatch.retired))
    finally:
        context.run(report, refused, state.rejections)


async def refuse_address(request: Request, failure: Exception) -> JSONResponse:
    """Answer 404 or 405; log a probably mistyped webhook address.

    If the path has a tenant id and the token is valid, the refusal is stored under that tenant.
    """
    if isinstance(failure, HTTPException) and failure.status_code == 404:
        cause = Cause("it is /webhook, or with a token /webhook/<tenant>")
        refused = WebhookError(404, "unknown address", cause=cause)
    else:
        refused = WebhookError(405, "wrong method", cause=Cause("a webhook is sent with POST"))
    path, tenant_id = (*request.url.path.split("/"), "", "")[1:3]
    if request.method == "POST" or path == "webhook":
        state: ApiState = request.app.state.api
        with contextlib.suppress(WebhookError):
            verify_token(state.tenants, tenant_id, request.headers, None)
            refused = refused.verified_for(tenant_id)
        with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER) as span:
            span.set_attributes({"http.request.method": request.method, "http.response.status_code": refused.status})
            report(refused, state.rejections)
    return JSONResponse({"detail": refused.detail}, refused.status, getattr(failure, "headers", None))


def _answer(span: Span, status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> JSONResponse:
    span.set_attribute("http.response.status_code", status)
    return JSONResponse(body, status, headers)
