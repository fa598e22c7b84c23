"""Limit of a tenant's waiting jobs: past it a webhook is refused with 429.

The refusal is recorded before the answer: a desk may never send it again, and then reconciliation makes the job.
"""

from api.app_state import ApiState
from api.causes import Cause
from api.webhook_refusals import WebhookRefused
from storage import rejections
from storage.jobs import Event
from storage.session import DATABASE_FAILURES
from storage.turns import is_queue_full

RETRY_SECONDS = 60
_SECONDS = 1.0


async def insist_on_room(state: ApiState, event: Event) -> None:
    """Raise WebhookRefused if the event's tenant has a limit and has reached it.

    While Postgres is away the event is accepted.
    """
    tenant = state.tenants.get(event.tenant_id)
    most = tenant.share.most_waiting if tenant else None
    if most is None:
        return
    try:
        if not await state.budget.within(_SECONDS, is_queue_full(state.database, event, most)):
            return
        cause = Cause(f"{most} or more of this tenant wait")
        refused = WebhookRefused(429, "too many jobs waiting", ticket_id=event.ticket_id, cause=cause, is_recorded=True)
        record = rejections.record_full(state.database, event.tenant_id, event.ticket_id, refused.answer)
        await state.budget.within(_SECONDS, record)
    except (*DATABASE_FAILURES, TimeoutError):
        return
    raise refused.proved(event.tenant_id)
