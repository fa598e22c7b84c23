"""`POST /webhook`: verify, record and queue webhooks; answer 202.

Checks in order: no compression and no type but JSON (415), size (413), one readable tenant id (400), signature and
timestamp (403), schema (422). All 403 look alike to the caller. The log has the reason; the cause of a mismatch is
searched after the answer. `api.server` refuses malformed requests before the application.

A desk that can't sign sends a token instead, if its tenant has one. Then the tenant may be in the address, and
`jobs.payloads` reads the body, whatever its declared type. At a tenant's address a wrong token (403) precedes all
other checks, so that other refusals are attributed to the tenant.
"""

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

from api.authentication import Proof, ProvedWebhook, SecretUses, by_token, prove
from api.rejections import RejectionRecorder, WebhookError, tell
from api.server import LARGEST_HEAD_BYTES
from api.signature_diagnosis import Cause, Explainer
from config.tenant_directory import TenantDirectory
from config.tenants import is_tenant_id
from db.known_secrets import PREVIOUS, RETIRED
from db.session import DATABASE_FAILURES, Database
from jobs import rejections
from jobs.claims import is_queue_full
from jobs.intake import Acceptance, Budget, NotAcceptedError, Taken
from jobs.payloads import EVENT, LARGEST_BODY_BYTES, TICKET_ID, DeskWebhook, FieldsError, is_check, parse, ticket_of
from jobs.queue import JobQueue
from jobs.repository import SIGNED_BY_PREVIOUS, Event, signed_key
from jobs.signing import DELIVERY_HEADER
from observability import log_events, metrics, tracing
from observability.identifiers import bind, bound
from observability.logging import log_event

RETRY_SECONDS = 60
_LONGEST_DELIVERY_ID = 200
_LOOK_SECONDS = 1.0


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
    """The answer to a webhook that was taken."""

    job_id: str = Field(description="The job: its Celery task id and what the logs call it.")
    status: str = Field(description="`accepted`, or `duplicate` with the first job's id.")


class Checked(BaseModel):
    """The answer to a check event, which queues no job."""

    status: str = Field(description="`verified`")
    tenant_id: str


class Refused(BaseModel):
    """The answer to a webhook that was not taken."""

    detail: str


_REFUSALS = {
    400: "Not one JSON object with one tenant id",
    403: "Not proved to be the tenant's",
    408: "The headers or the body came too slowly",
    413: f"More than {LARGEST_BODY_BYTES // 1024} KiB",
    415: "A compressed body, or another type than JSON without a token",
    422: "Proved, but without a usable ticket id",
    429: "Too many requests at once over one connection, or too many jobs",
    431: f"More than {LARGEST_HEAD_BYTES // 1024} KiB of headers",
    500: "A mistake of ours; the log has a line of it",
    503: "Try again later: no store could take it",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Checked, "description": "Verified: it only asked for that, and no job comes of it"},
    **{status: {"model": Refused, "description": text} for status, text in _REFUSALS.items()},
}
"""What a webhook is answered with beside 202: status -> model and description."""


@dataclass(frozen=True, slots=True)
class ApiState:
    """Resources of the API, at `request.app.state.api`."""

    tenants: TenantDirectory
    database: Database
    queue: JobQueue
    acceptance: Acceptance
    rejections: RejectionRecorder
    secret_uses: SecretUses
    sender_seconds: float
    explainer: Explainer = field(default_factory=Explainer)
    budget: Budget = field(default_factory=Budget)


class RawRoute(APIRoute):
    """A route whose endpoint gets the raw request: signatures cover the body's bytes.

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
    """Add the webhook routes directly to the router: a nested one is slower to match."""
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
    """Take a signed webhook, or one with a token; its ticket will get an enhancement."""
    return await _receive(request, None)


async def receive_by_token(request: Request, tenant_id: str) -> JSONResponse:
    """Take a webhook that is not signed, with the tenant's token."""
    return await _receive(request, tenant_id)


async def _receive(request: Request, addressed: str | None) -> JSONResponse:
    state: ApiState = request.app.state.api
    links = tracing.links_to(request.headers.get("traceparent"))
    attributes = {"http.request.method": "POST", **_address(addressed)}
    with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER, links=links, attributes=attributes) as span:
        tenant_id = None
        try:
            proved = await prove(request, state.tenants, state.sender_seconds, addressed)
            tenant_id = proved.tenant_id
            state.secret_uses.note(tenant_id, proved.proof)
            if is_check(proved.payload):
                return _answer(span, 200, _checked(tenant_id))
            event = _event(proved)
            await _insist_on_room(state, event)
            log_event(log_events.WEBHOOK_RECEIVED, ticket_id=event.ticket_id, tenant_id=event.tenant_id)
            taken = await state.acceptance.take(event)
        except WebhookError as refused:
            later = {"Retry-After": str(RETRY_SECONDS)} if refused.status == 429 else None
            answer = _answer(span, refused.status, {"detail": refused.answer}, later)
            if refused.asked is None:
                tell(refused, state.rejections)
            else:
                answer.background = BackgroundTask(_explain, refused, state, copy_context())
            return answer
        except NotAcceptedError as failure:
            tracing.record_failure(span, failure, "no store could take the event")
            log_event(log_events.WEBHOOK_NOT_TAKEN, status=503, reason="database and Redis unreachable")
            metrics.webhook("database and Redis unreachable", tenant_id)
            return _answer(span, 503, {"detail": "try again later"}, {"Retry-After": "30"})
        except Exception as failure:  # noqa: BLE001 -- the line must carry the identifiers, which end with this block
            tracing.record_failure(span, failure)
            log_event(log_events.REQUEST_FAILED, failure=failure)
            metrics.webhook("unexpected failure", tenant_id)
            return _answer(span, 500, {"detail": "unexpected failure"})
        return _answer(span, 202, _accepted(event, taken))


async def _insist_on_room(state: ApiState, event: Event) -> None:
    """Apply the tenant's limit of waiting jobs. Raises WebhookError.

    The limit does not apply while Postgres is unavailable: the event is kept. The refusal is recorded before the
    answer, because the desk may never resend the webhook; reconciliation then creates the job.
    """
    tenant = state.tenants.get(event.tenant_id)
    most = tenant.share.most_waiting if tenant else None
    if most is None:
        return
    try:
        if not await state.budget.within(_LOOK_SECONDS, is_queue_full(state.database, event, most)):
            return
        cause = Cause(f"{most} or more of this tenant wait")
        refused = WebhookError(429, "too many jobs waiting", None, event.ticket_id, cause=cause, is_recorded=True)
        record = rejections.record_full(state.database, event.tenant_id, event.ticket_id, refused.answer)
        await state.budget.within(_LOOK_SECONDS, record)
    except (*DATABASE_FAILURES, TimeoutError):
        return
    raise refused.proved(event.tenant_id)


def _address(addressed: str | None) -> dict[str, str]:
    if addressed is None:
        return {"http.route": "/webhook", "url.path": "/webhook"}
    path = {"url.path": f"/webhook/{addressed}"} if is_tenant_id(addressed) else {}
    return {"http.route": "/webhook/{tenant_id}", **path}


async def _explain(refused: WebhookError, state: ApiState, context: Context) -> None:
    try:
        if refused.asked is not None:
            found = await state.explainer.cause(refused.asked)
            refused.cause, refused.explained = found or refused.cause, found is not None
            if found is not None and found.is_retired:
                state.secret_uses.note(refused.asked.tenant_id, Proof(RETIRED, refused.asked.retired))
    finally:
        context.run(tell, refused, state.rejections)


async def refuse_address(request: Request, failure: Exception) -> JSONResponse:
    """Answer 404 or 405; log it if it may be a mistyped webhook address.

    A request with a tenant's token and the tenant in its address is recorded for support under that tenant.
    """
    if isinstance(failure, HTTPException) and failure.status_code == 404:
        cause = Cause("it is /webhook, or with a token /webhook/<tenant>")
        refused = WebhookError(404, "unknown address", cause=cause)
    else:
        refused = WebhookError(405, "wrong method", cause=Cause("a webhook is sent with POST"))
    room, addressed = (*request.url.path.split("/"), "", "")[1:3]
    if request.method == "POST" or room == "webhook":
        state: ApiState = request.app.state.api
        with contextlib.suppress(WebhookError):
            by_token(state.tenants, addressed, request.headers, None)
            refused = refused.proved(addressed)
        with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER) as span:
            span.set_attributes({"http.request.method": request.method, "http.response.status_code": refused.status})
            tell(refused, state.rejections)
    return JSONResponse({"detail": refused.answer}, refused.status, getattr(failure, "headers", None))


def _answer(span: Span, status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> JSONResponse:
    span.set_attribute("http.response.status_code", status)
    return JSONResponse(body, status, headers)


def _accepted(event: Event, taken: Taken) -> dict[str, str]:
    result = "duplicate" if taken.duplicate else "accepted"
    if taken.duplicate:
        bind(job_id=str(taken.job_id))
        log_event(log_events.WEBHOOK_DUPLICATE, job_id=taken.job_id, ticket_id=event.ticket_id)
    metrics.webhook(result, event.tenant_id)
    # This process's relay may count the job's failure.
    metrics.expect_outcomes(event.tenant_id, "failed")
    return {"job_id": str(taken.job_id), "status": result}


def _checked(tenant_id: str) -> dict[str, str]:
    log_event(log_events.WEBHOOK_CHECKED, tenant_id=tenant_id)
    metrics.webhook("checked", tenant_id)
    return {"status": "verified", "tenant_id": tenant_id}


def _event(proved: ProvedWebhook) -> Event:
    try:
        said = parse(proved.payload)
    except FieldsError as unusable:
        ticket_id, cause = ticket_of(proved.payload), Cause(unusable.cause)
        refused = WebhookError(422, "malformed payload", ticket_id=ticket_id, fields=str(unusable), cause=cause)
        raise refused.proved(proved.tenant_id) from None
    bind(ticket_id=said.ticket_id, tenant_id=proved.tenant_id)
    return Event(
        job_id=uuid7(),
        tenant_id=proved.tenant_id,
        ticket_id=said.ticket_id,
        event=said.event,
        dedupe_keys=_dedupe_keys(said, proved),
        traceparent=tracing.traceparent(),
        accepted_at=datetime.now(UTC),
        remark=SIGNED_BY_PREVIOUS if proved.proof.setting == PREVIOUS else None,
    )


def _dedupe_keys(said: DeskWebhook, proved: ProvedWebhook) -> tuple[str, ...]:
    """Return the keys of the delivery and of the signed bytes.

    Most schemes do not sign the delivery id, so a replay under another id is found by the signed bytes. Desks that
    can't sign have fixed headers, without an id per delivery; their key is the content.
    """
    signed, headers = proved.proof.signed, proved.headers
    delivery = headers.get("webhook-id") or headers.get(DELIVERY_HEADER.lower())
    parts = [proved.tenant_id, said.ticket_id, said.event or "", hashlib.sha256(proved.body).hexdigest()]
    if signed is not None and delivery:
        # Includes the ticket: desks send fixed header texts, and one id would make every ticket a duplicate.
        parts = ["delivery", said.ticket_id, delivery[:_LONGEST_DELIVERY_ID]]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return (key,) if signed is None else (key, signed_key(hashlib.sha256(signed).hexdigest()))
