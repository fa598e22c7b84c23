"""What the log, support and the sender are told when a webhook is not taken."""

from dataclasses import dataclass, replace
from typing import Self

from api.causes import Cause, Question
from api.rejection_recorder import RejectionRecorder
from config.tenant_names import is_tenant_id
from observability import counting, phrases
from observability.logging import say

WRONGLY_NAMED = "signed with this tenant's secret, and named for one that there is not"


@dataclass(eq=False)
class WebhookRefused(Exception):
    """A webhook that is not taken: HTTP status, reason for the log, and what the caller may know.

    `cause` says more of the reason, and `asked` is what it may still be searched by; `explained` once that has found
    the cause, which proves that the sender has a secret.
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

    def proved(self, tenant_id: str) -> Self:
        """Return the same, of a webhook that was proved to be this tenant's."""
        return replace(self, tenant_id=tenant_id, known_tenant=True, verified=True)

    @property
    def answer(self) -> str:
        """The reason, with what is to be mended; but for a 403, which tells nothing."""
        if self.status == 403:
            return "forbidden"
        return f"{self.reason}: {self.cause.told}" if self.cause else self.reason


def tell(refused: WebhookRefused, rejections: RejectionRecorder) -> None:
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
    if refused.known_tenant and tenant_id is not None:
        kept = f"{refused.reason}: {refused.cause.kept or refused.cause.told}" if refused.cause else refused.reason
        proved = refused.verified or refused.explained
        rejections.record(tenant_id, refused.ticket_id, refused.status, kept, proved=proved)
    elif refused.cause and refused.cause.owner:
        # A tenant's own, which names it wrongly: looked for under the tenant, it would have never come.
        kept = f"{refused.reason}: {WRONGLY_NAMED}"
        rejections.record(refused.cause.owner, refused.ticket_id, refused.status, kept, proved=True)
