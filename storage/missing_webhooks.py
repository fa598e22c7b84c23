"""The tables of reconciliation, typed: how far it is for each tenant, and the tickets that no webhook has come of."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from storage.models import Base


class Reconciliation(Base):
    """How far a tenant's new tickets are compared with its jobs, and what was found since the last hourly line."""

    __tablename__ = "reconciliations"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[datetime]
    since: Mapped[datetime]
    """By the desk's clock, as the next one: only what was created after that is compared."""
    compared_until: Mapped[datetime]
    compared_at: Mapped[datetime]
    """By our clock."""
    notes_until: Mapped[datetime]
    """The notes of jobs that ended until then were looked for."""
    last_webhook_at: Mapped[datetime | None]
    """When the last webhook was accepted, though its job's row is purged by now."""
    told_at: Mapped[datetime]
    missed: Mapped[int]
    recovered: Mapped[int]
    notes_removed: Mapped[int]
    reopened: Mapped[int]


class MissingWebhook(Base):
    """A new ticket that the desk has listed, and of which no webhook had come by then."""

    __tablename__ = "missing_webhooks"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    ticket_id: Mapped[str] = mapped_column(primary_key=True)
    """Its id in the desk."""
    display_id: Mapped[str | None]
    created_at: Mapped[datetime]
    """By the desk's clock."""
    seen_at: Mapped[datetime]
    tells_all: Mapped[bool]
    """Whether the list says all of it that the tenant's rules ask for."""
    left_out: Mapped[bool]
    """Whether it was read since, and those rules leave it out."""
    missed_at: Mapped[datetime | None]
    """As `seen_at` where no webhook was to come: the desk was polled."""
    job_id: Mapped[UUID | None]
    """The job that was made for it."""
    recovered_at: Mapped[datetime | None]
