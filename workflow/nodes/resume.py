"""The step that resumes a job after the steps of earlier attempts."""

import time
from dataclasses import replace
from datetime import datetime
from functools import partial

from langgraph.runtime import Runtime
from opentelemetry.trace import SpanKind

from integrations.errors import DeferredError, DeskRefusedError
from jobs import claims
from jobs.repository import ANOTHER_FIRST, ANOTHER_FIRST_WAIT, MAX_ATTEMPTS
from observability import log_events, tracing
from observability.logging import log_event
from workflow.answer import Content
from workflow.exclusions import refuse_event, refuse_second_dry_run, refuse_second_note
from workflow.lease import retry_until_available
from workflow.model_requests import write_deferred_records
from workflow.note import is_note_of
from workflow.state import Attempt, GraphState
from workflow.stored_answers import StoredKind, UnfinishedCheck

# Longer than a hundred notes take at one call a minute.
_SEARCH_SECONDS = 7200.0


class NoteMissingError(DeskRefusedError):
    """A note of unknown outcome did not arrive, and no attempt is left."""

    def __init__(self) -> None:
        super().__init__("note did not arrive")


class NoteUnsettledError(DeferredError):
    """The desk may still store the note of a stopped attempt."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__("note may still arrive", wait_seconds)


async def resume(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:  # noqa: ARG001 -- LangGraph's signature
    """Return earlier attempts' results: the note's id, the answer, or nothing.

    Unwritten audit records are written first. Then a note that an earlier attempt may have posted is looked up. Raises
    NoNoteWantedError, and DeferredError if that note did not arrive and another job of the ticket precedes this one.
    """
    attempt = runtime.context
    await write_deferred_records(attempt)
    posted_at = attempt.claim.note_attempted_at
    if posted_at is not None:
        if note_id := await _note_of_earlier_attempt(attempt, posted_at):
            return {"note_id": note_id}
        await refuse_second_note(attempt)
        if await retry_until_available(claims.must_wait_for_another, attempt.database, attempt.claim):
            # The claim considered only running jobs, because this job may have posted; the next claim considers all.
            raise DeferredError(ANOTHER_FIRST, ANOTHER_FIRST_WAIT.total_seconds())
    await refuse_event(attempt)
    committed = await claims.load_answer(attempt.database, attempt.claim) if attempt.claim.answered else None
    if committed is None:
        await refuse_second_dry_run(attempt)
        return {}
    log_event(log_events.GPT4_ANSWER_KEPT)
    answer, model = committed
    return {"content": Content.model_validate(answer), "model": model}


async def _note_of_earlier_attempt(attempt: Attempt, posted_at: datetime) -> str | None:
    """Return the id of the note, or None if it is finally not in the ticket.

    Raises NoteUnsettledError while it may still arrive: a slow desk stores a note long after the timeout, and a second
    post would make two. Raises NoteMissingError if it did not arrive and this attempt was only for the search.
    """
    claim = attempt.claim
    with tracing.span(tracing.SERVICEDESK_UPDATE, kind=SpanKind.CLIENT):
        started = time.monotonic()
        note_id, listed_at = await _find_note(attempt, posted_at)
        if note_id is not None:
            took = round((time.monotonic() - started) * 1000)
            log_event(log_events.TICKET_UPDATED, ticket_id=claim.ticket_id, also={"took_ms": took})
            return note_id
        if (listed_at - posted_at).total_seconds() < attempt.note_settle_seconds:
            raise NoteUnsettledError(attempt.note_settle_seconds - (claim.claimed_at - posted_at).total_seconds())
        if claim.attempt > MAX_ATTEMPTS:
            raise NoteMissingError
        await retry_until_available(claims.note_missing, attempt.database, claim)
        attempt.claim = replace(claim, note_attempted_at=None)
    return None


async def _find_note(attempt: Attempt, posted_at: datetime) -> tuple[str | None, datetime]:
    """Search for the note, or continue a search that was held back.

    Returns the note's id, or None, and the time at which the desk listed the ticket's notes.
    """
    claim = attempt.claim
    check: UnfinishedCheck | None = await attempt.answers.get(StoredKind.LOOK, claim.job_id)
    listed_at = datetime.fromisoformat(check.listed_at) if check else claim.claimed_at
    is_old = (claim.claimed_at - listed_at).total_seconds() > _SEARCH_SECONDS
    if check is None or check.posted_at != posted_at.isoformat() or is_old:
        listed_at = claim.claimed_at
        check = UnfinishedCheck(posted_at.isoformat(), listed_at.isoformat(), [])

    async def keep(unread: list[str]) -> None:
        await attempt.answers.put(StoredKind.LOOK, claim.job_id, replace(check, unread=unread))

    note_id = await attempt.desk.find_note(
        claim.id_in_desk, partial(is_note_of, claim.job_id), posted_at, unread=check.unread or None, on_held_back=keep
    )
    if check.unread:
        # This search is complete. The note may still arrive: a later search lists the notes again.
        await attempt.answers.drop(claim.job_id, StoredKind.LOOK)
    return note_id, listed_at
