"""Dry runs: one paid answer for each ticket, like one note outside of a dry run."""

from functools import partial

from storage import by_hand
from workflow.attempt import AlreadyEnhanced, Attempt
from workflow.lease import insist


async def refuse_second_dry_run(attempt: Attempt) -> None:
    """Raise AlreadyEnhanced in a dry run if another job answered this ticket."""
    if not attempt.wishes().dry_run:
        return
    claim = attempt.claim
    other = partial(by_hand.other_of_ticket, attempt.database, claim.tenant_id, claim.job_id)
    if await insist(other) is not None:
        raise AlreadyEnhanced
