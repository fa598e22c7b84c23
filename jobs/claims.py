"""Reads and writes of a claimed job, from its lease to its end.

Writes to the job are bound to the claim's token: after the claim expired or was replaced, they change nothing. Most
then raise LeaseLostError. `renew`, `release` and `may_leave_failure_note` return False. `erase_answer`, `is_forgotten`,
`failure_note_not_left` and `add_usage` do not report it.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Text, TextClause, bindparam, or_, select, text, update

from db.session import DATABASE_FAILURES, Database, is_locked
from jobs.models import Job, JobState
from jobs.repository import (
    CONTEXT_INCOMPLETE,
    ECHO,
    FINAL_CHECK_TIME,
    MAX_ATTEMPTS,
    MAX_LIFE,
    NOTE_MISSING,
    SEEN_OPEN_VALID,
)
from privacy import tombstones

if TYPE_CHECKING:
    # The API does not load it.
    from integrations.values import Usage


class LeaseLostError(Exception):
    """The worker's claim expired or was replaced."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's claim of one job, for one attempt."""

    job_id: UUID
    token: UUID  # identifies the claim: the same process may claim the same job again
    owner: str
    tenant_id: str
    ticket_id: str
    attempt: int
    traceparent: str | None
    waiting_since: datetime
    claimed_at: datetime
    deadline_at: datetime
    started_before: bool
    answered: bool
    note_attempted_at: datetime | None
    seen_open_at: datetime | None  # when an earlier, deferred attempt found the ticket open
    enhanced: bool  # another job posted its note, or may have
    echo: bool  # a failure note of another job may have caused this webhook; false after a manual retry
    another_first: bool  # another job of the ticket must end first: this waits, unclaimed (`store_numbers`: claimed)
    desk_id: str | None = None  # this and `display_id` are None while only `ticket_id` is known
    display_id: str | None = None
    # Monotonic time right before the claim: independent of the wall clocks of worker and database.
    requested_at: float = field(default_factory=time.monotonic, compare=False)

    @property
    def id_in_desk(self) -> str:
        """Return the desk's id of the ticket, or its webhook's number while unknown."""
        return self.desk_id or self.ticket_id

    def seconds_left(self) -> float:
        """Return the seconds to the job's deadline."""
        at_claim = (self.deadline_at - self.claimed_at).total_seconds()
        return at_claim - (time.monotonic() - self.requested_at)

    def was_recently_open(self) -> bool:
        """Return True if the ticket was open within the last hour."""
        return self.seen_open_at is not None and self.claimed_at - self.seen_open_at < SEEN_OPEN_VALID


_STORE_NUMBERS = text("SELECT * FROM know_numbers(:tenant, :id, :token, :desk_id, :display_id, :echo, :missing)")


async def store_numbers(database: Database, held: Claim, desk_id: str, display_id: str) -> Claim:
    """Store both numbers of the ticket and return the updated claim.

    Raises LeaseLostError. The caller must defer the job, still claimed, if the claim has `another_first`.
    """
    values = {"tenant": held.tenant_id, "id": held.job_id, "token": held.token, "echo": ECHO, "missing": NOTE_MISSING}
    rows = await database.call(_STORE_NUMBERS, **values, desk_id=desk_id, display_id=display_id)
    if not rows:
        raise LeaseLostError
    return replace(held, desk_id=desk_id, display_id=display_id, **rows[0])


@lru_cache
def _call(function: str, *parameters: str) -> TextClause:
    return text(f"SELECT {function}({', '.join(f':{name}' for name in parameters)})")


async def _change(database: Database, held: Claim, function: str, **values: Any) -> bool:
    values = {"tenant": held.tenant_id, "id": held.job_id, "token": held.token, **values}
    return bool(await database.call_for_one(_call(function, *values), **values))


async def _write(database: Database, held: Claim, function: str, **values: Any) -> None:
    if not await _change(database, held, function, attempt=held.attempt, **values):
        raise LeaseLostError


async def _read(database: Database, held: Claim, *columns: Any) -> Any:
    async with database.tenant(held.tenant_id) as session:
        return (await session.execute(select(*columns).where(Job.id == held.job_id))).one_or_none()


async def load_answer(database: Database, held: Claim) -> tuple[dict[str, Any], str] | None:
    """Return GPT-4's committed answer and its model, or None."""
    row = await _read(database, held, Job.enhancement, Job.model)
    return None if row is None or row.enhancement is None else (row.enhancement, row.model or "")


async def event_of(database: Database, held: Claim) -> str:
    """Return the event name of the webhook, empty if it had none."""
    row = await _read(database, held, Job.event)
    return (row and row.event) or ""


async def may_have_posted(database: Database, held: Claim) -> bool:
    """Return True if an attempt has begun to post the note."""
    row = await _read(database, held, Job.note_attempted_at)
    return row is not None and row.note_attempted_at is not None


async def was_forgotten(database: Database, held: Claim) -> bool:
    """Return True if the job ended because its ticket was erased."""
    row = await _read(database, held, Job.state, Job.reason)
    return row is not None and (row.state, row.reason) == (JobState.SKIPPED, tombstones.FORGOTTEN)


async def erase_answer(database: Database, held: Claim) -> None:
    """Erase GPT-4's answer from the claimed job."""
    erased = update(Job).where(Job.id == held.job_id, Job.claim_token == held.token)
    async with database.tenant(held.tenant_id) as session:
        await session.execute(erased.values(enhancement=None))


async def save_answer(
    database: Database,
    held: Claim,
    answer: dict[str, Any],
    model: str,
    paid: "Usage | None" = None,
    took_seconds: float | None = None,
) -> None:
    """Commit GPT-4's answer; `took_seconds` is None for one of an earlier attempt."""
    took = None if took_seconds is None else timedelta(seconds=took_seconds)
    values = {"answer": json.dumps(answer), "model": model, "took": took, **_columns(paid)}
    await _write(database, held, "keep_answer", **values)


async def add_usage(database: Database, held: Claim, paid: "Usage") -> None:
    """Add paid calls without a usable answer to the job's tokens and dollars."""
    await _change(database, held, "add_usage", model=paid.model, **_columns(paid))


def _columns(paid: "Usage | None") -> dict[str, Any]:
    if paid is None:
        return {"input_tokens": 0, "output_tokens": 0, "dollars": None}
    return {"input_tokens": paid.input_tokens, "output_tokens": paid.output_tokens, "dollars": paid.cost}


async def about_to_post(database: Database, held: Claim, lease_seconds: float) -> None:
    """Record that the note is being posted, and renew the lease."""
    await _write(database, held, "begin_posting", lease=timedelta(seconds=lease_seconds))


async def undo_posting(database: Database, held: Claim) -> None:
    """Undo `about_to_post`: the desk certainly has no note."""
    await _write(database, held, "end_posting", event="not posted", before=held.note_attempted_at)


async def note_missing(database: Database, held: Claim) -> None:
    """Record that the note of an earlier attempt is not in the ticket."""
    await _write(database, held, "end_posting", event="note not there", before=None)


async def seen_open(database: Database, held: Claim) -> None:
    """Record that the ticket is open, for the attempt after a hold."""
    if not await _change(database, held, "see_open"):
        raise LeaseLostError


async def context_incomplete(database: Database, held: Claim, reason: str) -> None:
    """Add an event: this attempt's context is incomplete, with the reason."""
    await _write(database, held, "tell_of_attempt", event=CONTEXT_INCOMPLETE, reason=reason)


async def complete(database: Database, held: Claim, note_id: str) -> None:
    """End the job as completed, with the id of its note."""
    await _write(database, held, "complete_job", note=note_id)


async def skip(database: Database, held: Claim, reason: str) -> None:
    """End the job as skipped: it needs no note."""
    await _write(database, held, "skip_job", reason=reason)


async def fail(database: Database, held: Claim, reason: str) -> None:
    """End the job as failed; only a manual retry starts it again."""
    await _write(database, held, "fail_job", reason=reason)


async def retry_later(database: Database, held: Claim, seconds: float, reason: str) -> None:
    """End the attempt as failed; the next one is due in `seconds`."""
    await _write(database, held, "retry_job_later", later=timedelta(seconds=seconds), reason=reason)


async def schedule_final_check(database: Database, held: Claim, seconds: float, reason: str) -> None:
    """Schedule a search for the note, beyond MAX_ATTEMPTS and with a later deadline."""
    values = {"attempts": MAX_ATTEMPTS, "later": timedelta(seconds=seconds), "reason": reason}
    await _write(database, held, "look_once_more", **values, time_limit=FINAL_CHECK_TIME)


async def defer(database: Database, held: Claim, seconds: float, reason: str, *, extends_deadline: bool = True) -> None:
    """Undo the claim; the relay publishes the job in `seconds`.

    `extends_deadline` moves the deadline by `seconds` plus the time since the job was due, within MAX_LIFE.
    """
    pause = timedelta(seconds=seconds)
    extension = pause if extends_deadline else timedelta(0)
    await _write(database, held, "hold_job_back", pause=pause, reason=reason, extension=extension, most=MAX_LIFE)


async def may_leave_failure_note(database: Database, held: Claim) -> bool:
    """Record that a failed job posts its failure note; return False if it must not.

    A ticket gets one failure note, because its desk may send a webhook for each. It gets none if this job was retried
    since it failed, or if another job may have posted its enhancement. The claim must have the ticket's numbers.
    """
    values = {"attempt": held.attempt, "desk_id": held.desk_id, "display_id": held.display_id, "missing": NOTE_MISSING}
    return await _change(database, held, "begin_failure_note", **values)


async def failure_note_not_left(database: Database, held: Claim) -> None:
    """Undo `may_leave_failure_note`: the note was not posted."""
    await _change(database, held, "end_failure_note", attempt=held.attempt)


_HELD = (
    "unnest(CAST(:tenants AS text[]), CAST(:ids AS uuid[]), CAST(:tokens AS uuid[]), CAST(:attempts AS integer[]))"
    " WITH ORDINALITY AS h (tenant, id, token, attempt, number) ORDER BY h.number"
)
_RENEW = text(f"SELECT renew_lease(h.tenant, h.id, h.token, :lease) AS changed FROM {_HELD}")  # noqa: S608 -- text above
_GIVE_BACK = text(f"SELECT give_job_back(h.tenant, h.id, h.token, h.attempt) AS changed FROM {_HELD}")  # noqa: S608
_LOCKED = text(
    "WITH free AS (SELECT j.id FROM jobs j WHERE j.id = ANY (:ids) FOR NO KEY UPDATE SKIP LOCKED)"
    " SELECT j.id FROM jobs j WHERE j.id = ANY (:ids) AND NOT EXISTS (SELECT FROM free f WHERE f.id = j.id)"
)


async def renew(database: Database, held: Sequence[Claim], lease_seconds: float) -> list[bool | Exception]:
    """Renew leases; return False for lost claims, an exception for locked rows."""
    return await _change_held(database, held, _RENEW, lease=timedelta(seconds=lease_seconds))


async def release(database: Database, held: Sequence[Claim]) -> list[bool | Exception]:
    """Return unfinished jobs to the queue; results as of `renew`."""
    return await _change_held(database, held, _GIVE_BACK)


async def _change_held(
    database: Database, held: Sequence[Claim], change: TextClause, **values: Any
) -> list[bool | Exception]:
    try:
        return [*await _change_all(database, held, change, **values)]
    except DATABASE_FAILURES as failure:
        if len(held) == 1 or not is_locked(failure):
            raise
        refused = failure
    # Locked rows must not delay the others. Row-level security requires a query for each tenant.
    locked: set[UUID] = set()
    for tenant_id in {claim.tenant_id for claim in held}:
        ids = [claim.job_id for claim in held if claim.tenant_id == tenant_id]
        (found,) = await database.call_as(tenant_id, _LOCKED, ids=ids)
        locked.update(row["id"] for row in found)
    free = [claim for claim in held if claim.job_id not in locked]
    changed = iter(await _change_all(database, free, change, **values))
    return [refused if claim.job_id in locked else next(changed) for claim in held]


async def _change_all(database: Database, held: Sequence[Claim], change: TextClause, **values: Any) -> list[bool]:
    columns = {
        "tenants": [one.tenant_id for one in held],
        "ids": [one.job_id for one in held],
        "tokens": [one.token for one in held],
        "attempts": [one.attempt for one in held],
    }
    return [bool(row["changed"]) for row in await database.call(change, **columns, **values)]


_MUST_WAIT = text("SELECT o.posted OR o.earlier FROM other_jobs_of_ticket(:id, :echo, :missing) o")


async def must_wait_for_another(database: Database, held: Claim) -> bool:
    """Return True if an older job of the ticket, or one that may have posted, waits."""
    async with database.tenant(held.tenant_id) as session:
        return bool(await session.scalar(_MUST_WAIT, {"id": held.job_id, "echo": ECHO, "missing": NOTE_MISSING}))


async def erase_answers(database: Database, held: Claim) -> None:
    """Erase GPT-4's answers from ended jobs of a forgotten ticket."""
    numbers = (held.ticket_id, held.id_in_desk)
    erased = update(Job).where(
        Job.tenant_id == held.tenant_id,
        Job.id != held.job_id,
        or_(Job.ticket_id.in_(numbers), Job.desk_id.in_(numbers)),
        Job.finished_at.is_not(None),
        Job.enhancement.is_not(None),
    )
    async with database.tenant(held.tenant_id) as session:
        await session.execute(erased.values(enhancement=None))


_STORE_REQUESTER = text(
    f"UPDATE jobs SET requester = {tombstones.OF_REQUESTER} WHERE id = :id AND claim_token = :token"  # noqa: S608
).bindparams(bindparam("folded", type_=Text))


async def is_forgotten(database: Database, held: Claim, ticket_id: str, requester: str) -> bool:
    """Store the requester; return True if requester or ticket was forgotten."""
    numbers = [number for number in (held.ticket_id, ticket_id, held.desk_id, held.display_id) if number]
    values = {"numbers": numbers, "folded": tombstones.fold(requester), "id": held.job_id, "token": held.token}
    statements = (tombstones.MAKE_KEY, _STORE_REQUESTER, tombstones.ARE_LEFT)
    *_, (row,) = await database.call_as(held.tenant_id, *statements, key=tombstones.new_key(), **values)
    return bool(row["are_left"])
