"""The peers' table, through SQLAlchemy's ORM."""

import os
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# One connection for each of the 32 concurrent requests or tasks.
engine = create_engine(os.environ["DATABASE_URL"], pool_size=32)


class Base(DeclarativeBase):
    """The tables of the peers."""


class Job(Base):
    """One enhancement of a ticket."""

    __tablename__ = "peer_jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[str]
    ticket_id: Mapped[str]
    delivery_id: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(default="waiting")
    advice: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    note_id: Mapped[str | None]
