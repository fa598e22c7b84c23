"""The tables of copies; a test compares them."""

from collections.abc import Iterable
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
    """The version of the code that made the terms (`history.way_of`); 0 where none did."""


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
    """Whose ticket it is, as a keyed hash; empty where the ticket names nobody, null where it was not looked at."""
    display_id: Mapped[str | None]
    """The number that people see, where it is another one than the desk's `ticket_id`, and known."""
    kinds: Mapped[dict[str, Any] | None]
    """Its category, group, site and template, those that the desk told: names as rules have them, empty for none."""
    created_at: Mapped[datetime | None]
    conversation: Mapped[str]
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
    topic: Mapped[str | None]
    expires_at: Mapped[datetime | None] = mapped_column(init=False)


def people_to_keep(people: Iterable[Person]) -> list[list[Any]]:
    return [[person.name, *map(list, person[1:])] for person in people]


def people_kept(kept: Iterable[list[Any]]) -> tuple[Person, ...]:
    return tuple(Person(str(name), *(tuple(map(str, part)) for part in parts)) for name, *parts in kept)
