"""Whether a ticket has a note that GPT-4 failed: written into the row of the job that leaves it, before it does."""

from sqlalchemy import text

from storage.claims import Claim
from storage.jobs import NOTE_MISSING
from storage.session import Database

_BEGIN = text("SELECT begin_failure_note(:tenant, :id, :token, :attempt, :desk_id, :display_id, :missing)")
_END = text("SELECT end_failure_note(:tenant, :id, :token, :attempt)")


async def may_leave(database: Database, held: Claim) -> bool:
    """Return True if the failure note may be left, and record that it is; not after a retry, nor if the ticket has one.

    Nor if it has another job's enhancement, or may have it. A ticket gets one failure note, whatever comes later: the
    note changes the ticket, and its desk may send a webhook for that. Recorded with the ticket's numbers of the claim.
    """
    numbers = {"desk_id": held.desk_id, "display_id": held.display_id}
    return bool(await database.call_for_one(_BEGIN, **_of(held), **numbers, missing=NOTE_MISSING))


async def not_left(database: Database, held: Claim) -> None:
    """Undo `may_leave`: the note was not sent."""
    await database.call_for_one(_END, **_of(held))


def _of(held: Claim) -> dict[str, object]:
    return {"tenant": held.tenant_id, "id": held.job_id, "token": held.token, "attempt": held.attempt}
