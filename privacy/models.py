"""Tables of audit records and tombstones; a test compares them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from db.session import Base


class AuditRecord(Base):
    """A model request of a job with its answer or failure (`privacy.audit`)."""

    __tablename__ = "audit_records"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    ticket_id: Mapped[str]
    desk_id: Mapped[str | None]
    display_id: Mapped[str | None]
    requester: Mapped[bytes | None]
    prompt: Mapped[str]
    model: Mapped[str]
    host: Mapped[str]
    masking: Mapped[str]
    system: Mapped[str]
    sent: Mapped[str]
    answer: Mapped[dict[str, Any] | None]
    """The validated answer with its placeholders; null without a usable one."""
    sources: Mapped[list[dict[str, str]]]
    """Sources given to the model; a ticket's requester as a keyed hash in hex, if known."""
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float | None]
    seconds: Mapped[float]
    reason: Mapped[str | None]


class Tombstone(Base):
    """A forgotten ticket or requester as a keyed hash; later data of it is not kept."""

    __tablename__ = "tombstones"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(primary_key=True)
    left_at: Mapped[datetime]
