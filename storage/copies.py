"""The tables of copies and their search index; typed, as `storage.models`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import VARCHAR, BigInteger, Computed, Identity, Integer, LargeBinary, SmallInteger
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL, TSVECTOR
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from storage.models import Base


class Indexed(MappedAsDataclass):
    """Search columns of a text; a trigger derives its postings from them."""

    search_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), init=False)
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer), init=False)
    weights: Mapped[list[float]] = mapped_column(ARRAY(REAL), init=False)
    indexed: Mapped[int] = mapped_column(SmallInteger, init=False)
    """The version of the code that made the terms (`storage.indexing`); 0 where none did."""


class Ticket(Indexed, Base):
    """A copy of a ticket, searched for similar ones."""

    __tablename__ = "tickets"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    ticket_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    description: Mapped[str]
    resolution: Mapped[str]
    status: Mapped[str]
    synced_at: Mapped[datetime]
    """When it was last read; by it copies are purged of which no list is noted."""
    seen_at: Mapped[datetime]
    """The same; of copies from before lists were noted, when the desk last showed it."""
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
    """Its category, group, site and template, those that the desk told: names as rules have them, empty for none."""
    created_at: Mapped[datetime | None]
    """By the desk's clock."""
    conversation: Mapped[str]
    """What was said in it, oldest first, where the tenant wants that copied."""
    people: Mapped[list[list[Any]]] = mapped_column(JSONB, init=False)
    """Whom the desk names for it: the fields of each `Person` of `privacy.redaction.people`."""
    resolution_seen_at: Mapped[datetime | None] = mapped_column(init=False)
    """When its resolution was first read as it is; null where that was before this was kept."""


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
    topic: Mapped[str | None]
    """The topic of its solution, as rules have names; null where the desk has told none."""
    expires_at: Mapped[datetime | None] = mapped_column(init=False)
    """When its solution expires, by the desk's clock; null for never."""


class Listing(Base):
    """A ticket or solution in the desk's lists, without its text."""

    __tablename__ = "listings"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    """`t` for tickets, `p` for passages of solutions."""
    item_id: Mapped[str] = mapped_column(primary_key=True)
    told: Mapped[str]
    """A keyed hash of what the list told of it (`storage.tombstones`): with another one it has changed."""
    created_at: Mapped[datetime | None]
    """As the next one by the desk's clock, where the desk has told it."""
    changed_at: Mapped[datetime | None]
    listed_at: Mapped[datetime | None]
    """When a pass over the desk's lists last met it."""
    seen_at: Mapped[datetime]
    """When the desk last listed it, or gave it when it was asked for, or refused to."""
    read_at: Mapped[datetime | None]
    to_read: Mapped[datetime | None]
    """Set where it is to be read, not before that moment: when it changed, so that the newest are read first."""


class Pass(Base):
    """Progress through a desk's lists of a collection. A pass reads all their pages."""

    __tablename__ = "passes"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    began_at: Mapped[datetime | None]
    """Of the one that is under way, as the next three."""
    next_start: Mapped[int]
    last_created: Mapped[datetime | None]
    in_order: Mapped[bool]
    """True while each ticket was at most as new as the one before it: then the old ones are all at the end."""
    complete_from: Mapped[datetime | None]
    """When the last one that came to its end began."""
    complete_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When the last one ended, whether it saw all or not."""
    missing: Mapped[int]
    """How many it did not list of those that the desk had listed before."""
    changes_until: Mapped[datetime | None]
    """Up to when, by the desk's clock, changes were asked for."""
    rules: Mapped[str]
    """A hash of the rules by which copies were left out."""
    held_by: Mapped[UUID | None]
    """Who copies this desk just now, until when (in the row of tickets)."""
    held_until: Mapped[datetime | None]


class Posting(Base):
    """A term of a text, for the search."""

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
    """The number of a tenant's texts with a term: rare terms weigh more."""

    __tablename__ = "term_counts"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    term: Mapped[int] = mapped_column(primary_key=True)
    documents: Mapped[int]


class CollectionSize(Base):
    """The number of a tenant's searchable texts."""

    __tablename__ = "collection_sizes"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    documents: Mapped[int]


class Embedding(Base):
    """The vector of a text in a model's space (`retrieval.space`)."""

    __tablename__ = "embeddings"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str] = mapped_column(VARCHAR, primary_key=True)
    """`t` for tickets, `p` for passages."""
    document: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """The text's `search_id`."""
    model: Mapped[int]
    """A number of the model that it is of (`integrations.embeddings`)."""
    language: Mapped[str]
    embedding: Mapped[bytes] = mapped_column(LargeBinary)
    """A signed byte for each dimension."""
