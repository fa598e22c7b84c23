"""Refused webhooks: log line, record for support, and answer."""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import Self

from opentelemetry.trace import SpanKind

from api.causes import Cause, Question
from api.server import Port
from config.tenant_names import is_tenant_id
from observability import counting, phrases, tracing
from observability.identifiers import bound
from observability.logging import say
from storage import rejections
from storage.session import DATABASE_FAILURES, Database

_MOST_WAITING = 100
# The remaining places are for senders that proved a secret.
_MOST_OF_ANYONE_WAITING = 50
WRONGLY_NAMED = "signed with this tenant's secret, and named for one that there is not"


@dataclass(eq=False)
class WebhookRefused(Exception):
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
        """Return the reason and the fix; a 403 reveals neither."""
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


def tell(refused: WebhookRefused, recorder: RejectionRecorder) -> None:
    """Log and count the refusal, and queue it for its tenant's record.

    The line has well-formed identifiers only, marked as unverified if the sender did not prove them.
    """
    also: dict[str, object] = {}
    tenant_id = refused.tenant_id
    if refused.ticket_id is not None:
        also["ticket_id"] = refused.ticket_id
    if tenant_id is not None and is_tenant_id(tenant_id):
        also["tenant_id"] = tenant_id
    if also and not refused.verified:
        also["verified"] = "no"
    if refused.fields:
        also["fields"] = refused.fields
    if refused.cause:
        also["cause"] = refused.cause.told
    say(phrases.WEBHOOK_REJECTED, status=refused.status, reason=refused.reason, also=also)
    counting.webhook(refused.reason, tenant_id if refused.known_tenant else None)
    if refused.is_recorded:
        return
    if refused.known_tenant and tenant_id is not None:
        kept = f"{refused.reason}: {refused.cause.kept or refused.cause.told}" if refused.cause else refused.reason
        proved = refused.verified or refused.explained
        recorder.record(tenant_id, refused.ticket_id, refused.status, kept, proved=proved)
    elif refused.cause and refused.cause.owner:
        # The sender has this tenant's secret but names an unknown tenant. Support would search under this one.
        kept = f"{refused.reason}: {WRONGLY_NAMED}"
        recorder.record(refused.cause.owner, refused.ticket_id, refused.status, kept, proved=True)


class WebhookPort(Port):
    """A port that logs and counts each refused request as a possibly lost webhook."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__(seconds, crowded=phrases.CROWDED)

    def log_refused(self, status: int, reason: str) -> None:
        attributes = {"http.response.status_code": status}
        with bound(), tracing.span(tracing.WEBHOOK, kind=SpanKind.SERVER, attributes=attributes):
            say(phrases.WEBHOOK_REJECTED, status=status, reason=reason)
        counting.webhook(reason)

    def log_turned_away(self) -> None:
        counting.webhook("too many connections")
        if self.is_due(phrases.WEBHOOK_NOT_TAKEN):
            say(phrases.WEBHOOK_NOT_TAKEN, status=503, reason="too many connections")
