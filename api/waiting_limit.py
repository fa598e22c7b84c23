"""A tenant may have a limit of waiting jobs: past it a webhook is refused, to be sent again later."""

from api.app_state import ApiState
from api.causes import Cause
from api.webhook_refusals import WebhookRefused
from storage.jobs import Event
from storage.session import DATABASE_FAILURES
from storage.turns import is_queue_full

RETRY_SECONDS = 60
_SECONDS = 1.0


async def insist_on_room(state: ApiState, event: Event) -> None:
    """Ask Postgres, for a tenant with a limit alone. Raises WebhookRefused.

    While Postgres is away nobody counts: the event is kept, as any other one.
    """
    tenant = state.tenants.get(event.tenant_id)
    most = tenant.share.most_waiting if tenant else None
    if most is None:
        return
    try:
        is_full = await state.budget.within(_SECONDS, is_queue_full(state.database, event, most))
    except (*DATABASE_FAILURES, TimeoutError):
        return
    if is_full:
        cause = Cause(f"{most} or more of this tenant wait")
        raise WebhookRefused(429, "too many jobs waiting", ticket_id=event.ticket_id, cause=cause).proved(
            event.tenant_id
        )
