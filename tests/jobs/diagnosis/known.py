"""Facts about a ticket, by default of a job just accepted and healthy servers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from integrations.probes import DeskProbe, ModelProbe
from jobs.details import Details, Happened, Listed
from jobs.diagnosis.facts import Facts
from jobs.missed_webhooks import SeenWithoutWebhook
from jobs.rejections import RefusedWebhook, WebhookResults
from jobs.repository import Event
from jobs.statistics import QueueActivity, WorkerActivity

NOW = datetime(2026, 3, 1, 9, 30, 0, tzinfo=UTC)
JOB_ID = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
AT_WORK = WorkerActivity(workers=1, running=3, silent=0, last_started_at=NOW - timedelta(seconds=2))
NOBODY_AT_WORK = WorkerActivity(workers=0, running=0, silent=0, last_started_at=None)
NO_WEBHOOK = WebhookResults(refused=[], since=None, without_ticket=[], last_accepted_at=None, shares_used_up=False)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = Event(JOB_ID, "acme", "124", "ticket.created", (), TRACEPARENT, NOW)
"""A webhook in the inbox."""


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def job(state: str, reason: str | None = None, **more: Any) -> Details:
    """Return a job's row, accepted three seconds ago, due, and with a message."""
    ended = state in ("completed", "failed", "skipped")
    begun = state != "waiting"
    nothing: dict[str, Any] = dict.fromkeys(("desk_id", "display_id", "model", "refresh", "dry_run_job"))
    row = Details(
        **nothing,
        read_at=NOW,
        id=JOB_ID,
        tenant_id="acme",
        ticket_id="124",
        event="ticket.created",
        state=state,
        attempt=1 if begun else 0,
        reason=reason,
        traceparent=TRACEPARENT,
        accepted_at=ago(3),
        due_at=ago(3),
        deadline_at=NOW + timedelta(minutes=30),
        published_at=ago(3),
        started_at=ago(2) if begun else None,
        finished_at=ago(1) if ended else None,
        lease_owner="host:1" if state == "running" else None,
        lease_until=NOW + timedelta(seconds=40) if state == "running" else None,
        answered=False,
        is_unchecked=False,
        note_attempted_at=ago(1) if state == "completed" else None,
        note_id="7" if state == "completed" else None,
    )
    return replace(row, **more)


def facts(of: Details | None = None, **more: Any) -> Facts:
    """Return facts with healthy workers and servers."""
    known: dict[str, Any] = {
        "read_at": NOW,
        "tenant_id": "acme",
        "ticket_id": "124",
        "job": of,
        "webhooks": NO_WEBHOOK,
        "tenant_closed": False,
        "queue": QueueActivity(waiting=3, held=3, listening=2),
        "work": AT_WORK,
        "desk": DeskProbe(asked=True, ticket="open"),
        "model": ModelProbe(asked=True),
    }
    return Facts(**(known | more))


def happened(*events: tuple[str, str | None], attempt: int = 1) -> list[Happened]:
    """Return events of an attempt, one second apart."""
    return [Happened(ago(60 - number), attempt, what, reason) for number, (what, reason) in enumerate(events)]


def refused(status: int, reason: str, **more: Any) -> WebhookResults:
    """Return a refusal of ten minutes ago, with earlier ones since 09:14."""
    last = RefusedWebhook(ago(600), "124", status, reason)
    return replace(NO_WEBHOOK, refused=[last], since=ago(960), **more)


def listed(number: int, state: str, reason: str | None = None) -> Listed:
    times = {"accepted_at": NOW, "due_at": NOW, "started_at": None, "finished_at": None}
    return Listed(NOW, UUID(int=number), "acme", "124", state, 1, reason, **times)  # type: ignore[arg-type]


RETIRED = refused(403, "signature mismatch: signed with the retired secret")
SEEN = SeenWithoutWebhook("124", ago(700), ago(600), None, left_out=False, job_id=None)
MISSED = replace(SEEN, missed_at=ago(300))
