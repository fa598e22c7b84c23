"""A ticket that was closed, and is open again: its copying notices it, and asks for the note that it may need."""

from collections.abc import Callable
from datetime import timedelta

from dispatch.refresh import ask_for_refresh
from integrations.errors import TicketClosed, TicketNotFound
from integrations.values import DeskTicket
from observability import metrics, phrases
from observability.logging import say
from storage import reconcile_findings, refreshes
from storage.jobs import SEEN_REOPENED
from storage.session import Database

# Then a ticket whose job was skipped is no new one any more.
_WINDOW = timedelta(days=1)
_GONE = (TicketNotFound("").reason, TicketClosed().reason)


class Reopened:
    """What is made of one tenant's.

    `wanted` says at that moment whether it wants further notes for those that have one; `recovers`, whether a job is
    made anew for one whose job was skipped, since it was closed: else that is only told.
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
        """Remember that a ticket with a note was closed; make a job for one that was, and is open again.

        `seconds_ago`: since when the desk may have shown it so, at most. Raises one of DATABASE_FAILURES.
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
        """Tell of an open ticket whose last job was skipped since it was closed, once, and make its job anew.

        As long as that is not made: the wish, or we, may have come later.
        """
        about = (self._database, self._tenant_id, ticket.ticket_id)
        ago = timedelta(seconds=seconds_ago)
        skipped = await reconcile_findings.seen_open_again(*about, reasons=_GONE, window=_WINDOW, ago=ago)
        if skipped is None:
            return
        recovers = self._recovers()
        if skipped.is_new:
            metrics.RECONCILE_FOUND.labels(self._tenant_id, "reopened").inc()
            mode = "on" if recovers else "report"
            say(phrases.TICKET_REOPENED, job_id=skipped.job_id, ticket_id=ticket.ticket_id, reconcile=mode)
        if recovers:
            await ask_for_refresh(*about, SEEN_REOPENED, self._deadline)
