"""ORM models of jobs and their events; a test compares them with the tables."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from db.session import Base


class JobState(StrEnum):
    """State of a job. The last three are its outcomes."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"


class Job(Base):
    """One enhancement of a ticket: the source of truth; Redis only wakes a worker."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    ticket_id: Mapped[str]
    event: Mapped[str | None]
    state: Mapped[str]
    reason: Mapped[str | None]  # why it was skipped, failed, deferred or retried: one of our own fixed texts
    attempt: Mapped[int]
    traceparent: Mapped[str | None]  # W3C trace context of the webhook, the parent of all attempts
    accepted_at: Mapped[datetime]
    due_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    published_at: Mapped[datetime | None]  # last publication; null if the message is still to be published
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    retried_at: Mapped[datetime | None]  # last manual retry: earlier attempts and notes no longer count
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    claim_token: Mapped[UUID | None]  # of the current claim, or the last one if its own write ended it
    enhancement: Mapped[dict[str, Any] | None]  # GPT-4's answer, committed before the note is posted: paid for once
    model: Mapped[str | None]
    note_attempted_at: Mapped[datetime | None]  # set before the note is posted: a later attempt first searches for it
    note_id: Mapped[str | None]
    seen_open_at: Mapped[datetime | None]  # when a deferred attempt saw the ticket open
    failure_noted_at: Mapped[datetime | None]  # set before the failure note is posted: a ticket gets one
    requester: Mapped[bytes | None]  # as a keyed hash (`privacy.tombstones`); written with the answer
    desk_id: Mapped[str | None]  # this and `display_id` are null while only the webhook's number is known
    display_id: Mapped[str | None]
    refresh: Mapped[str | None]
    seen_closed_at: Mapped[datetime | None]  # when the ticket was first seen closed after this job's note
    input_tokens: Mapped[int]  # this and the next two: of all paid calls for the job
    output_tokens: Mapped[int]
    dollars: Mapped[float | None]  # null if no cost is known
    is_unchecked: Mapped[bool]  # whether the claims of its answer were not checked
    resolution_seconds: Mapped[float | None]  # from the ticket's creation to its last closing, by the desk's clock
    held_out: Mapped[bool | None]  # null if not decided: excluded before, or without a holdout
    holdout: Mapped[int | None] = mapped_column(SmallInteger)  # the share in percent, of the decision


class JobEvent(Base):
    """History of a job, written with each change and kept as long as its row."""

    __tablename__ = "job_events"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[str]
    attempt: Mapped[int]
    at: Mapped[datetime]
    what: Mapped[str]
    reason: Mapped[str | None]
