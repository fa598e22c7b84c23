"""Tables of jobs that the ORM reads or writes; a test compares them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
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
    """One enhancement of one ticket: the source of truth; Redis only wakes a worker."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    ticket_id: Mapped[str]
    event: Mapped[str | None]
    state: Mapped[str]
    reason: Mapped[str | None]
    """Why it was skipped or failed, why its last attempt failed, or that it was retried by hand: our own words."""
    attempt: Mapped[int]
    traceparent: Mapped[str | None]
    """W3C trace context of the webhook: every attempt belongs to that trace."""
    accepted_at: Mapped[datetime]
    due_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    """When its message was last given to Redis; null while that is still to be done."""
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    retried_at: Mapped[datetime | None]
    """When a person had it retried: its attempts count from then on, and no note of before is in its way."""
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    claim_token: Mapped[UUID | None]
    """Names the claim that holds the job, or whose own write freed it; null once somebody else did."""
    enhancement: Mapped[dict[str, Any] | None]
    """GPT-4's validated answer, committed before the note is posted, so that it is paid for once."""
    model: Mapped[str | None]
    note_attempted_at: Mapped[datetime | None]
    """Set before the note is posted: a later attempt then looks for the note first."""
    note_id: Mapped[str | None]
    seen_open_at: Mapped[datetime | None]
    """When an attempt that was then held back saw the ticket open: the next one need not look again."""
    failure_noted_at: Mapped[datetime | None]
    """Set before a note with the context alone is posted: a ticket gets one."""
    requester: Mapped[bytes | None]
    """Whose ticket it is, as a keyed hash (`privacy.tombstones`); written with the answer."""
    desk_id: Mapped[str | None]
    """The ticket's id in the desk. Null, as the next one, while the webhook's number is the only one that is known."""
    display_id: Mapped[str | None]
    refresh: Mapped[str | None]
    seen_closed_at: Mapped[datetime | None]
    """When its ticket was first seen closed after this job's note."""


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
