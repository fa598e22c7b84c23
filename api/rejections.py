"""Refusals of webhooks: log line, metric, and record for support."""

import asyncio
import contextlib

from opentelemetry.trace import SpanKind

from api.authentication import WebhookError
from api.server import Port
from config.tenants import is_tenant_id
from db.session import DATABASE_FAILURES, Database
from jobs import rejections
from observability import log_events, metrics, tracing
from observability.identifiers import bound
from observability.logging import log_event

_MOST_WAITING = 100
# The remaining places are for senders that proved a secret.
_MOST_OF_ANYONE_WAITING = 50
WRONGLY_NAMED = "signed with this tenant's secret, but with an unknown tenant id"


class RejectionRecorder:
    """Stores refusals one by one; excess ones are only logged."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[str, str | None, int, str, bool]] = asyncio.Queue(_MOST_WAITING)

    def record(self, tenant_id: str, ticket_id: str | None, status: int, reason: str, *, proved: bool) -> None:
        """Queue a refusal of a known tenant; `proved`: the sender has a secret or token."""
        if proved or self._waiting.qsize() < _MOST_OF_ANYONE_WAITING:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait((tenant_id, ticket_id, status, reason, proved))

    async def run(self) -> None:
        with tracing.untraced():
            while True:
                tenant_id, ticket_id, status, reason, proved = await self._waiting.get()
                with contextlib.suppress(*DATABASE_FAILURES):
                    await rejections.record(self._database, tenant_id, ticket_id, status, reason, proved=proved)


def report(refused: WebhookError, recorder: RejectionRecorder) -> None:
    """Log, count and store a refusal. Identifiers are logged if well-formed, with `verified: no` if not proved."""
    tenant_id, cause = refused.tenant_id, refused.cause
    named = tenant_id if tenant_id is not None and is_tenant_id(tenant_id) else None
    verified = None if refused.verified or not (refused.ticket_id or named) else "no"
    fields = {"ticket_id": refused.ticket_id, "tenant_id": named, "verified": verified, "fields": refused.fields}
    also = {name: value for name, value in (fields | {"cause": cause.text if cause else None}).items() if value}
    log_event(log_events.WEBHOOK_REJECTED, status=refused.status, reason=refused.reason, also=also)
    metrics.webhook(refused.reason, tenant_id if refused.known_tenant else None)
    if refused.is_recorded:
        return
    if refused.known_tenant and tenant_id is not None:
        stored = f"{refused.reason}: {cause.stored or cause.text}" if cause else refused.reason
        proved = refused.verified or refused.explained
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
