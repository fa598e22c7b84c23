"""Further notes for a ticket, on request or after reopening (docs/adr/0032)."""

from collections.abc import Callable
from functools import partial

from storage import refreshes
from storage.claims import Claim
from storage.jobs import REFRESHED_LATELY
from storage.session import Database
from workflow.attempt import AlreadyEnhanced, Attempt, Echo, RefreshedLately
from workflow.lease import insist
from workflow.wishes import Wishes


async def why_refresh(database: Database, claim: Claim, wishes: Callable[[], Wishes]) -> str:
    """Return the reason of a further note, `asked` or `reopened`; empty if first.

    Raises AlreadyEnhanced or Echo if the ticket has a note and no further one is wanted, and RefreshedLately if it had
    one within the hour.
    """
    if not (claim.enhanced or claim.echo):
        return ""
    why = await insist(partial(refreshes.begin, database, claim, reopened=wishes().note.if_reopened))
    if why == REFRESHED_LATELY:
        raise RefreshedLately
    if why is None:
        raise AlreadyEnhanced if claim.enhanced else Echo
    return why


async def refuse_second_note(attempt: Attempt) -> None:
    """Set the reason of a further note. Raises as `why_refresh` does."""
    attempt.refresh = await why_refresh(attempt.database, attempt.claim, attempt.wishes) or attempt.refresh
