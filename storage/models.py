"""The tables, typed. The migrations make them; a test holds the two against each other."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import VARCHAR, BigInteger, Computed, DateTime, Double, Identity, Integer, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, REAL, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column


class Base(MappedAsDataclass, DeclarativeBase):
    """The tables of this system."""

    type_annotation_map = {  # noqa: RUF012 -- read by SQLAlchemy
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        bytes: BYTEA(),
        float: Double(),
    }


class JobState(StrEnum):
    """Where a job stands. The last three are its outcomes."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"


class Job(Base):
    """One enhancement of one ticket: the truth about it, while Redis only wakes a worker."""

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
    """From when on a worker may take it; later than `accepted_at` for a retry."""
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
    """Whose ticket it is, as a keyed hash (`storage.tombstones`); written with the answer."""
    desk_id: Mapped[str | None]
    """The ticket's id in the desk. Null, as the next one, while the webhook's number is the only one that is known."""
    display_id: Mapped[str | None]
    """The number of it that people see."""


class JobEvent(Base):
    """What happened to a job, written with the change itself: its story, which lasts as long as its row does."""

    __tablename__ = "job_events"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[str]
    attempt: Mapped[int]
    at: Mapped[datetime]
    what: Mapped[str]
    reason: Mapped[str | None]


class DeliveryKey(Base):
    """A webhook that was seen in the last minutes, so that its duplicate gets the first one's job id."""

    __tablename__ = "delivery_keys"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[UUID]
    expires_at: Mapped[datetime]


class Rejection(Base):
    """A webhook of a known tenant that was refused; no body, kept for days only."""

    __tablename__ = "rejections"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[str]
    ticket_id: Mapped[str | None]
    status: Mapped[int]
    reason: Mapped[str]
    rejected_at: Mapped[datetime]


class Spending(Base):
    """What a tenant's jobs have spent on the model in a day of UTC: those of all workers, together."""

    __tablename__ = "spending"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    tokens: Mapped[int] = mapped_column(BigInteger)
    dollars: Mapped[float]


class Indexed(MappedAsDataclass):
    """What a text is found by. A trigger keeps its postings as `terms` and `weights` are."""

    search_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), init=False)
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer), init=False)
    weights: Mapped[list[float]] = mapped_column(ARRAY(REAL), init=False)
    indexed: Mapped[int] = mapped_column(SmallInteger, init=False)
    """The version of the code that made the terms (`storage.indexing`); 0 where none did."""


class Ticket(Indexed, Base):
    """A copy of a ticket of the desk, to find similar ones in."""

    __tablename__ = "tickets"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    ticket_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    description: Mapped[str]
    resolution: Mapped[str]
    status: Mapped[str]
    synced_at: Mapped[datetime]
    """When the desk last listed it, to the hour; copies are purged by it."""
    seen_at: Mapped[datetime]
    """When the desk last showed it: listed it, or gave it when it was asked for, or then refused to."""
    words: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('english', subject), 'A') || "
            "to_tsvector('english', description || ' ' || resolution)",
            persisted=True,
        ),
        init=False,
    )
    requester: Mapped[bytes | None]
    """Whose ticket it is, as a keyed hash; empty where the ticket names nobody, null where it was not looked at."""
    display_id: Mapped[str | None]
    """The number that people see, where it is another one than the desk's `ticket_id`, and known."""
    kinds: Mapped[dict[str, Any] | None]
    """Its category, group and template, those that the desk has told: names as rules have them, empty for none."""


class Passage(Indexed, Base):
    """A part of a solution of the desk's knowledge base."""

    __tablename__ = "passages"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str]
    synced_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    words: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed("setweight(to_tsvector('english', title), 'A') || to_tsvector('english', body)", persisted=True),
        init=False,
    )


class Posting(Base):
    """A term of a text: where a search finds the texts that have it."""

    __tablename__ = "postings"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    """`t` for tickets, `p` for passages."""
    term: Mapped[int] = mapped_column(primary_key=True)
    """A hash of it (`retrieval.terms`)."""
    weight: Mapped[float] = mapped_column(REAL)
    document: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """The text's `search_id`."""


class TermCount(Base):
    """In how many texts of a tenant a term stands: the rarer, the more it tells."""

    __tablename__ = "term_counts"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    term: Mapped[int] = mapped_column(primary_key=True)
    documents: Mapped[int]


class CollectionSize(Base):
    """How many texts of a tenant can be found."""

    __tablename__ = "collection_sizes"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    documents: Mapped[int]


class TombstoneKey(Base):
    """A tenant's secret, without which its tombstones say nothing: neither ids nor addresses can be tried out."""

    __tablename__ = "tombstone_keys"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[bytes]


class Tombstone(Base):
    """A ticket or a requester that was forgotten, as a keyed hash: what comes of it later is not kept."""

    __tablename__ = "tombstones"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(primary_key=True)
    left_at: Mapped[datetime]
