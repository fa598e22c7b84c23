"""Stores for the report whether a ticket is held out, and finds requests for its note."""

from sqlalchemy import text

from db.session import Database
from jobs.claims import Claim
from jobs.refresh import JOBS_OF_TICKET
from jobs.repository import HELD_OUT

# Only the first decision is stored. Later webhooks of a ticket with a note end before the next decision, those of a
# held-out ticket do not, so the comparison would get old tickets in one group only.
_STORE = text(f"""
    UPDATE jobs SET held_out = :held_out, holdout = :share WHERE id = :id AND claim_token = :token
    AND NOT EXISTS (SELECT FROM {JOBS_OF_TICKET} f WHERE f.held_out IS NOT NULL)
""")  # noqa: S608 -- constants
_IS_REQUESTED = text(
    "SELECT j.event ~* 'refresh[^a-z]*$' OR EXISTS (SELECT FROM job_events e WHERE e.job_id = j.id"
    " AND e.what = 'skipped' AND e.reason = :reason) AS is_requested FROM jobs j WHERE j.id = :id"
)


async def store(database: Database, held: Claim, *, held_out: bool, share: int) -> None:
    """Store the decision and the share (in percent) in the job, unless the ticket has a decision already."""
    values = {"id": held.job_id, "token": held.token, "ticket": held.id_in_desk}
    await database.call_as(held.tenant_id, _STORE, **values, held_out=held_out, share=share)


async def is_requested(database: Database, held: Claim) -> bool:
    """Return True if a person requested the note of a held-out ticket.

    By a refresh event, as in `begin_refresh`, or by a manual retry of a job that was held out. A retry of a failed job
    is no request, because a retry of many includes it.
    """
    (rows,) = await database.call_as(held.tenant_id, _IS_REQUESTED, id=held.job_id, reason=HELD_OUT)
    return any(row["is_requested"] for row in rows)
