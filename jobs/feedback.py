"""Feedback on notes: signed links, votes, the share that resolutions use, and triage.

One row for each job, without text or person. Prompt and model are copied from the job's row, whose answer is purged
earlier.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Self
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import BOOLEAN, TEXT

from config.settings import FeedbackPageSettings, FeedbackSettings
from db.session import Database
from jobs.refresh import JOBS_OF_TICKET
from privacy import tombstones


class Vote(StrEnum):
    """A vote on a note."""

    USEFUL = "useful"
    NOT_USEFUL = "not useful"


class VoteReason(StrEnum):
    """Reason of a vote against a note; no free text."""

    WRONG_CAUSE = "wrong cause"
    STEPS_DO_NOT_FIT = "steps do not fit"
    NOTHING_NEW = "nothing new"
    UNCLEAR = "unclear or too long"
    OTHER = "other"


class NoteVersion(NamedTuple):
    """Prompt and model of a note; empty if unknown."""

    prompt: str
    model: str


class RecordedVote(NamedTuple):
    """A stored vote. `changed`: it is new or differs from the one before."""

    version: NoteVersion
    changed: bool


class LastNote(NamedTuple):
    """The note of a ticket's last completed job, as far as it is measured.

    `suggestions`: field of the ticket (TRIAGE_FIELDS) -> suggested value. `is_unmeasured`: its use is not measured yet,
    and the resolution is not older.
    """

    job_id: UUID
    steps: Sequence[str]
    suggestions: Mapping[str, str]
    is_unmeasured: bool


TRIAGE_FIELDS = ("category", "priority", "group")
"""Fields of a ticket for which a note may suggest a value."""

# A job whose note is or may be in the ticket, unless the ticket was forgotten. The transaction shares the tenant's key.
_OF_JOB = """
    SELECT j.id, coalesce(j.enhancement ->> 'prompt', '') AS prompt, coalesce(j.model, '') AS model FROM jobs j
    WHERE j.id = :id AND (j.state = 'completed' OR j.note_attempted_at IS NOT NULL)
    AND j.reason IS DISTINCT FROM :forgotten AND NOT EXISTS (
        SELECT FROM tombstones WHERE hash = ANY (ARRAY(
            SELECT sha256(k.key || convert_to('ticket' || n, 'UTF8')) FROM tombstone_keys k,
            unnest(array_remove(ARRAY[j.ticket_id, j.desk_id, j.display_id], NULL)) n)))
"""
_SAME = "(excluded.prompt IN ('', f.prompt) OR f.prompt = '') AND (excluded.model IN ('', f.model) OR f.model = '')"
_VERSION = """
    prompt = CASE WHEN excluded.prompt = '' THEN f.prompt ELSE excluded.prompt END,
    model = CASE WHEN excluded.model = '' THEN f.model ELSE excluded.model END
"""
# After a manual retry, the job may have another note: the triage of the earlier one no longer counts.
_TRIAGE = ", ".join(f"{name}_matched = CASE WHEN {_SAME} THEN f.{name}_matched END" for name in TRIAGE_FIELDS)
# Serialises concurrent votes: otherwise both would count as the first one.
_IN_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('feedback ' || CAST(:id AS uuid), 0))")
# After a manual retry, the job may have another note than the one that was measured or voted on.
_VOTE = text(f"""
    WITH job AS ({_OF_JOB}), before AS (SELECT vote, reason FROM feedback WHERE job_id = :id), voted AS (
        INSERT INTO feedback AS f (tenant_id, job_id, prompt, model, vote, reason, voted_at)
        SELECT current_setting('app.tenant_id'), id, prompt, model, :vote, :reason, now() FROM job
        ON CONFLICT (job_id) DO UPDATE SET
            vote = excluded.vote, reason = excluded.reason, voted_at = excluded.voted_at,
            taken_up = CASE WHEN {_SAME} THEN f.taken_up END,
            taken_up_at = CASE WHEN {_SAME} THEN f.taken_up_at END, {_TRIAGE}, {_VERSION}
        RETURNING prompt, model, vote)
    SELECT v.prompt, v.model, b.vote IS DISTINCT FROM v.vote AS changed FROM voted v LEFT JOIN before b ON true
""").bindparams(bindparam("vote", type_=TEXT), bindparam("reason", type_=TEXT))  # noqa: S608 -- constants
_MEASURE = text(f"""
    WITH job AS ({_OF_JOB})
    INSERT INTO feedback AS f (tenant_id, job_id, prompt, model, taken_up, taken_up_at)
    SELECT current_setting('app.tenant_id'), id, prompt, model, :taken_up, now() FROM job
    ON CONFLICT (job_id) DO UPDATE SET
        taken_up = excluded.taken_up, taken_up_at = excluded.taken_up_at, {_TRIAGE}, {_VERSION}
        WHERE f.taken_up IS NULL AND (f.vote IS NULL OR {_SAME})
    RETURNING prompt, model
""")  # noqa: S608 -- constants
# A later closing overwrites the result. A vote or a measure of another note of the same job stays.
_RECORD_TRIAGE = text(f"""
    WITH job AS ({_OF_JOB})
    INSERT INTO feedback AS f (tenant_id, job_id, prompt, model, category_matched, priority_matched, group_matched)
    SELECT current_setting('app.tenant_id'), id, prompt, model, :category, :priority, :group FROM job
    ON CONFLICT (job_id) DO UPDATE SET
        category_matched = excluded.category_matched, priority_matched = excluded.priority_matched,
        group_matched = excluded.group_matched, {_VERSION}
        WHERE (({_SAME}) OR (f.vote IS NULL AND f.taken_up IS NULL))
        AND (f.category_matched, f.priority_matched, f.group_matched)
            IS DISTINCT FROM (excluded.category_matched, excluded.priority_matched, excluded.group_matched)
""").bindparams(*(bindparam(name, type_=BOOLEAN) for name in TRIAGE_FIELDS))  # noqa: S608 -- constants
# A resolution older than the note cannot have taken it up. A step is a text, or an object with one.
_LAST_NOTE = text(f"""
    SELECT l.id AS job_id, ARRAY(
        SELECT CASE jsonb_typeof(s) WHEN 'string' THEN s #>> '{{}}' ELSE s ->> 'text' END
        FROM jsonb_array_elements(
            CASE jsonb_typeof(l.enhancement -> 'next_steps')
            WHEN 'array' THEN l.enhancement -> 'next_steps' ELSE '[]' END) s) AS steps,
        (SELECT jsonb_object_agg(s ->> 'field', s ->> 'value') FROM jsonb_array_elements(
            CASE jsonb_typeof(l.enhancement -> 'suggestions')
            WHEN 'array' THEN l.enhancement -> 'suggestions' ELSE '[]' END) s
        WHERE s ->> 'field' = ANY (CAST(:fields AS text[]))) AS suggestions,
        NOT EXISTS (SELECT FROM feedback f WHERE f.job_id = l.id AND f.taken_up IS NOT NULL) AND NOT EXISTS (
            SELECT FROM tickets c WHERE c.tenant_id = current_setting('app.tenant_id')
            AND c.ticket_id = :ticket AND c.resolution_seen_at < l.finished_at) AS is_unmeasured
    FROM (SELECT j.id, j.enhancement, j.finished_at FROM {JOBS_OF_TICKET} j
    WHERE j.state = 'completed' AND j.enhancement IS NOT NULL ORDER BY j.finished_at DESC LIMIT 1) l
""").bindparams(bindparam("ticket", type_=TEXT))  # noqa: S608


async def record_vote(
    database: Database, tenant_id: str, job_id: UUID, vote: Vote, reason: VoteReason | None
) -> RecordedVote | None:
    """Store a vote on a job's note, in place of an earlier one.

    None without a note or for a forgotten ticket. Delete an older note's measurement. Raises one of DATABASE_FAILURES.
    """
    row = await _write(database, tenant_id, _VOTE, id=job_id, vote=vote.value, reason=reason and reason.value)
    return None if row is None else RecordedVote(NoteVersion(row["prompt"], row["model"]), row["changed"])


async def last_note(database: Database, tenant_id: str, ticket_id: str) -> LastNote | None:
    """Return a ticket's last note; None without one, and once its answer is purged."""
    (rows,) = await database.call_as(tenant_id, _LAST_NOTE, ticket=ticket_id, fields=list(TRIAGE_FIELDS))
    if not rows:
        return None
    row = rows[0]
    suggestions = {name: value for name, value in (row["suggestions"] or {}).items() if value}
    return LastNote(row["job_id"], [step for step in row["steps"] if step], suggestions, row["is_unmeasured"])


async def record_triage(database: Database, tenant_id: str, job_id: UUID, matched: Mapping[str, bool]) -> None:
    """Store which suggestions of a note match its closed ticket (field -> bool)."""
    values = {name: matched.get(name) for name in TRIAGE_FIELDS}
    await _write(database, tenant_id, _RECORD_TRIAGE, id=job_id, **values)


async def record_taken_up(database: Database, tenant_id: str, job_id: UUID, taken_up: float) -> NoteVersion | None:
    """Store the share (0 to 1) of steps in the resolution; None if not stored."""
    row = await _write(database, tenant_id, _MEASURE, id=job_id, taken_up=taken_up)
    return None if row is None else NoteVersion(row["prompt"], row["model"])


async def _write(database: Database, tenant_id: str, statement: Any, **values: Any) -> Any:
    values |= {"forgotten": tombstones.FORGOTTEN, "key": tombstones.new_key()}
    before = (tombstones.MAKE_KEY, tombstones.SHARE_KEY, _IN_TURN)
    *_, rows = await database.call_as(tenant_id, *before, statement, **values)
    return rows[0] if rows else None


LASTS_DAYS = 90
PATH = "/f/"
_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")


class JobLink(NamedTuple):
    """Content of a valid token."""

    tenant_id: str
    job_id: UUID
    expired: bool


@dataclass(frozen=True, slots=True)
class FeedbackLinks:
    """Signed links below `url`: the first key signs, all of them verify."""

    url: str
    keys: tuple[bytes, ...] = field(repr=False)
    today: Callable[[], date] = lambda: datetime.now(UTC).date()

    @classmethod
    def of(cls, settings: FeedbackSettings) -> Self | None:
        """Return the links; None without FEEDBACK_URL or FEEDBACK_KEY."""
        if settings.feedback_url is None or settings.feedback_key is None:
            return None
        previous = settings.feedback_previous_key if isinstance(settings, FeedbackPageSettings) else None
        return cls(settings.feedback_url, tuple(key.encode() for key in (settings.feedback_key, previous) if key))

    def link(self, tenant_id: str, job_id: UUID) -> str:
        """Return the link for a job's note, valid for 90 days."""
        last = self.today() + timedelta(days=LASTS_DAYS)
        return f"{self.url}{PATH}{self._serializer().dumps([last.toordinal(), job_id.hex, tenant_id])}"

    def read(self, token: str) -> JobLink | None:
        """Return a token's content; None if its signature is invalid."""
        # The decoder ignores other characters, but a token must have one form only.
        if not _TOKEN.fullmatch(token):
            return None
        try:
            last, job_id, tenant_id = self._serializer().loads(token)
        except BadData:
            return None
        return JobLink(tenant_id, UUID(job_id), expired=self.today().toordinal() > last)

    def _serializer(self) -> URLSafeSerializer:
        # itsdangerous signs with the last key. 48 bytes (SHA-384) have one form in base64, 32 bytes (SHA-256) four.
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha384}
        return URLSafeSerializer(self.keys[::-1], salt=b"ai-agents feedback link", signer_kwargs=options)
