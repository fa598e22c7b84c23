"""Notes that a job's row claims and its ticket lacks."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

from housekeeping.alone import is_its_own
from integrations.errors import OutsideFailure, TicketGone
from integrations.servicedesk.client import ServiceDeskPlus
from observability import metrics, phrases
from observability.identifiers import bound
from observability.logging import say
from storage import reconciling
from storage.reconciling import Noted
from storage.session import Database
from workflow.note import is_note_of

MOST_LOOKED_FOR = 2
"""Notes that are looked for in a round, the newest ones."""
# By then a technician has seen it.
_SETTLED = timedelta(minutes=15)


async def look_for_notes(
    database: Database,
    desk: ServiceDeskPlus,
    tenant_id: str,
    turn: Callable[[], Awaitable[None]],
    *,
    after: datetime,
    now: datetime,
) -> None:
    """Look once for the notes of some jobs that ended after `after`.

    Missing ones are logged. Raises the desk's failures, or one of DATABASE_FAILURES.
    """
    until = now - _SETTLED
    for job in await reconciling.noted(database, tenant_id, after=after, until=until, most=MOST_LOOKED_FOR):
        with bound(ticket_id=job.ticket_id, job_id=str(job.job_id)):
            removed = await _is_removed(desk, job, turn)
            # One by one: a reported note is not reported again if the desk fails at the next.
            await reconciling.looked_for_notes(database, tenant_id, job.finished_at, removed=removed)
            if removed:
                metrics.RECONCILE_FOUND.labels(tenant_id, "note removed").inc()
                say(phrases.NOTE_REMOVED, job_id=job.job_id, ticket_id=job.ticket_id)
    await reconciling.looked_for_notes(database, tenant_id, until)


async def _is_removed(desk: ServiceDeskPlus, job: Noted, turn: Callable[[], Awaitable[None]]) -> bool:
    is_ours = partial(is_note_of, job.job_id)
    await turn()
    try:
        if await desk.has_note(job.desk_id, job.note_id, is_ours):
            return False
        # One call in the normal case. The note may have another id, or its ticket is gone too.
        await turn()
        await desk.read_ticket(job.desk_id)
        await turn()
        return await desk.find_note(job.desk_id, is_ours, job.note_attempted_at) is None
    except TicketGone:
        return False
    except OutsideFailure as failure:
        if not is_its_own(failure):
            raise
        return False
