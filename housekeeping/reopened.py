"""A ticket that was closed after its note, and is open again: its copying notices it, and asks for a further note."""

from collections.abc import Callable

from dispatch.refresh import ask_for_refresh
from integrations.values import DeskTicket
from storage import refreshes
from storage.jobs import SEEN_REOPENED
from storage.session import Database


class Reopened:
    """What is made of one tenant's; `wanted` says at that moment whether it wants further notes for them."""

    def __init__(
        self, database: Database, tenant_id: str, wanted: Callable[[], bool], job_deadline_seconds: int
    ) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._wanted = wanted
        self._deadline = job_deadline_seconds

    async def mind(self, ticket: DeskTicket, seconds_ago: float) -> None:
        """Remember that a ticket with a note was closed; make a job for one that was, and is open again.

        `seconds_ago`: since when the desk may have shown it so, at most. Raises one of DATABASE_FAILURES.
        """
        about = (self._database, self._tenant_id, ticket.ticket_id)
        if ticket.closed:
            await refreshes.note_closed(*about, seconds_ago)
        elif not self._wanted():
            await refreshes.forget_closing(*about)
        elif await refreshes.was_reopened(*about):
            await ask_for_refresh(*about, SEEN_REOPENED, self._deadline)
