"""What the log, support and the sender are told when a webhook is not taken."""

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
# The other places are for what is proved to be of someone with a secret.
_MOST_OF_ANYONE_WAITING = 50
WRONGLY_NAMED = "signed with this tenant's secret, and named for one that there is not"


@dataclass(eq=False)
class WebhookRefused(Exception):
    """A webhook that is not taken: HTTP status, reason for the log, and what the caller may know.

    `cause` says more of the reason, and `asked` is what it may still be searched by; `explained` once that has found
    the cause, which proves that the sender has a secret. `is_recorded`: it is in the database already.
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
        """Return the same, of a webhook that was proved to be this tenant's."""
        return replace(self, tenant_id=tenant_id, known_tenant=True, verified=True)

    @property
    def answer(self) -> str:
        """The reason, with what is to be mended; but for a 403, which tells nothing."""
        if self.status == 403:
            return "forbidden"
        return f"{self.reason}: {self.cause.told}" if self.cause else self.reason


class RejectionRecorder:
    """Writes rejections one by one; what comes faster than that is in the log only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[tuple[str, str | None, int, str, bool]] = asyncio.Queue(_MOST_WAITING)

    def record(self, tenant_id: str, ticket_id: str | None, status: int, reason: str, *, proved: bool) -> None:
        """Have one rejection of a known tenant stored soon; `proved`: it is of someone with a secret or a token."""
        if proved or self._waiting.qsize() < _MOST_OF_ANYONE_WAITING:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait((tenant_id, ticket_id, status, reason, proved))

    async def run(self) -> None:
        """Store until cancelled."""
        with tracing.untraced():
            while True:
                tenant_id, ticket_id, status, reason, proved = await self._waiting.get()
                with contextlib.suppress(*DATABASE_FAILURES):
                    await rejections.record(self._database, tenant_id, ticket_id, status, reason, proved=proved)


def tell(refused: WebhookRefused, recorder: RejectionRecorder) -> None:
    """Say it in one line, count it, and have it stored under a tenant that there is.

    Identifiers are in the line only if they are well-formed, and marked where the sender did not prove them.
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
        # A tenant's own, which names it wrongly: looked for under the tenant, it would have never come.
        kept = f"{refused.reason}: {WRONGLY_NAMED}"
        recorder.record(refused.cause.owner, refused.ticket_id, refused.status, kept, proved=True)


class WebhookPort(Port):
    """A port where each refused request may be a lost webhook: it is logged and counted as one."""

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
