"""Tickets that were closed and are open again, found while copying."""

from collections.abc import Callable
from datetime import timedelta

from dispatch.refresh import ask_for_refresh
from integrations.errors import TicketClosed, TicketNotFound
from integrations.values import DeskTicket
from observability import metrics, phrases
from observability.logging import say
from storage import reconciling, refreshes
from storage.jobs import SEEN_REOPENED
from storage.session import Database

# Later, a ticket whose job was skipped is not new any more.
_WINDOW = timedelta(days=1)
_GONE = (TicketNotFound("").reason, TicketClosed().reason)


class Reopened:
    """Reopened tickets of one tenant.

    `wanted`: whether further notes are wanted now; `recovers`: whether a job skipped for a closed ticket is made again,
    or only reported.
    """

    def __init__(
        self,
        database: Database,
        tenant_id: str,
        wanted: Callable[[], bool],
        job_deadline_seconds: int,
        *,
        recovers: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._wanted = wanted
        self._recovers = recovers
        self._deadline = job_deadline_seconds

    async def mind(self, ticket: DeskTicket, seconds_ago: float) -> None:
        """Record that a ticket with a note was closed; make a job if it is open again.

        `seconds_ago`: since when the desk may have shown this state, at most. Raises one of DATABASE_FAILURES.
        """
        about = (self._database, self._tenant_id, ticket.ticket_id)
        if ticket.closed:
            await refreshes.note_closed(*about, seconds_ago)
            return
        if not self._wanted():
            await refreshes.forget_closing(*about)
        elif await refreshes.was_reopened(*about):
            await ask_for_refresh(*about, SEEN_REOPENED, self._deadline)
        await self._mind_skip(ticket, seconds_ago)

    async def _mind_skip(self, ticket: DeskTicket, seconds_ago: float) -> None:
        """Report, once, an open ticket whose job was skipped as closed, and recover it.

        Repeated until the job is made: the setting may have been changed after the skip.
        """
        about = (self._database, self._tenant_id, ticket.ticket_id)
        ago = timedelta(seconds=seconds_ago)
        skipped = await reconciling.seen_open_again(*about, reasons=_GONE, window=_WINDOW, ago=ago)
        if skipped is None:
            return
        recovers = self._recovers()
        if skipped.is_new:
            metrics.RECONCILE_FOUND.labels(self._tenant_id, "reopened").inc()
            mode = "on" if recovers else "report"
            say(phrases.TICKET_REOPENED, job_id=skipped.job_id, ticket_id=ticket.ticket_id, reconcile=mode)
        if recovers:
            await ask_for_refresh(*about, SEEN_REOPENED, self._deadline)
