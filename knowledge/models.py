"""Tables of copies, which a test compares with the database, and search results."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Integer, SmallInteger
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from db.session import Base
from integrations.values import Person


class Indexed(MappedAsDataclass):
    """Search columns of a text; a trigger derives its postings from them."""

    search_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), init=False)
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer), init=False)
    weights: Mapped[list[float]] = mapped_column(ARRAY(REAL), init=False)
    indexed: Mapped[int] = mapped_column(SmallInteger, init=False)
    """The version of the code that made the terms (`repository.index_version`); 0 if none did."""


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
    requester: Mapped[bytes | None]
    """The requester as a keyed hash; empty if the ticket has none, null if unknown."""
    display_id: Mapped[str | None]
    """The displayed number, if known and different from the desk's `ticket_id`."""
    kinds: Mapped[dict[str, Any] | None]
    """Its known category, group, site, template and priority, normalised as in rules; empty for none."""
    created_at: Mapped[datetime | None]
    conversation: Mapped[str]
    """Mails, notes, work logs and the short resolution of a closed ticket; empty if the resolution says enough."""
    people: Mapped[list[list[Any]]] = mapped_column(JSONB, init=False)
    """The people that the desk names: the fields of each `Person`."""
    resolution_seen_at: Mapped[datetime | None] = mapped_column(init=False)
    """Time at which this resolution was first read; null for older copies."""


class Passage(Indexed, Base):
    """A part of a solution of the desk's knowledge base."""

    __tablename__ = "passages"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str]
    synced_at: Mapped[datetime]
    topic: Mapped[str | None]
    expires_at: Mapped[datetime | None] = mapped_column(init=False)


def people_to_keep(people: Iterable[Person]) -> list[list[Any]]:
    return [[person.name, *map(list, person[1:])] for person in people]


def people_kept(kept: Iterable[list[Any]]) -> tuple[Person, ...]:
    return tuple(Person(str(name), *(tuple(map(str, part)) for part in parts)) for name, *parts in kept)


@dataclass(frozen=True, slots=True)
class SimilarTicket:
    """A resolved, similar ticket.

    `strength`: the probability that it is about the same. `category`, `group` and `priority` are in small letters, if
    known.
    """

    ticket_id: str
    subject: str
    resolution: str
    display_id: str = ""
    created_at: datetime | None = field(default=None, compare=False)
    strength: float = field(default=0.0, compare=False)
    category: str = field(default="", compare=False)
    group: str = field(default="", compare=False)
    priority: str = field(default="", compare=False)
    people: tuple[Person, ...] = field(default=(), compare=False, repr=False)
    problem: str = field(default="", compare=False)
    """The beginning of its description."""

    @property
    def shown(self) -> str:
        """The number that people see."""
        return self.display_id or self.ticket_id


@dataclass(frozen=True, slots=True)
class Document:
    """Helpful passage of the knowledge base; `strength` as of a similar ticket."""

    title: str
    text: str
    strength: float = field(default=0.0, compare=False)
    expires_at: datetime | None = field(default=None, compare=False)
    solution_id: str = field(default="", compare=False)
    """The desk's id; empty for a document that was added from a file."""
