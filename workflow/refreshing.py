"""A further note for a ticket that has one: where it is asked for, or the ticket was reopened (docs/adr/0032)."""

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
    """Return why a job makes a further note for its ticket, `asked` or `reopened`; empty for a first one.

    Raises AlreadyEnhanced or Echo where the ticket has a note and none is wanted, and RefreshedLately where it had a
    further one within the hour.
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
    """Learn why the attempt's job makes a further note, where its ticket has one. Raises what `why_refresh` does."""
    attempt.refresh = await why_refresh(attempt.database, attempt.claim, attempt.wishes) or attempt.refresh
