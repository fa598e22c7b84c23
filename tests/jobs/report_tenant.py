"""Two tenants with two days of jobs, and the figures of the first, computed by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from config.prices import ModelPrice
from config.tenants import ReportSection, Tenant
from jobs.report.period import Period
from jobs.repository import HELD_OUT
from tests.kit.postgres import Store

ACME = Tenant("acme", report=ReportSection(timezone="Europe/Berlin", minutes_per_note=7))
GLOBEX = Tenant("globex")
# Daylight saving time ends: the second day has 25 hours.
PERIOD = Period(date(2026, 10, 24), date(2026, 10, 25))
BEGIN = datetime(2026, 10, 23, 22, tzinfo=UTC)
END = datetime(2026, 10, 25, 23, tzinfo=UTC)
PRICES = {"gpt-4.1": ModelPrice(2, 8)}
ODD = "=1+<b>2"  # the name of a model, from outside
_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)

FIGURES: dict[str, Any] = {
    # 1 to 4; 5 failed, 6 is left out, 7 is open, 10 is missed. 8 is held out, 9 was seen before.
    "tickets": {"seen": 8, "with_note": 4, "coverage": 0.5, "held_out": 1, "seen_before": 1},
    "tickets_without_note": {"in_progress": 1, "left_out": 1, "model_failing": 1, "webhook_missing": 1},
    "notes": {"all": 5, "further": 1, "unchecked": 1},
    "seconds_to_note": {"notes": 4, "p50": 20, "p95": 1000},
    "votes": {"all": 2, "useful": 1, "useful_share": 0.5},
    "vote_reasons": {"other": 1},
    "triage": {
        "category": {"measured": 2, "matched": 1, "share": 0.5},
        "priority": {"measured": 1, "matched": 1, "share": 1.0},
        "group": {"measured": 0, "matched": 0, "share": None},
    },
    "taken_up": {"measured": 3, "mean": 0.5833, "at_least_half": 2},  # (0.5 + 1 + 0.25) / 3
    "cost": {
        "input_tokens": 5160,
        "output_tokens": 506,
        "dollars": 0.5142,
        "dollars_per_note": None,  # a job has no price
        "jobs": 6,
        "jobs_without_price": 1,
    },
    "models": {
        ODD: {"jobs": 1, "input_tokens": 50, "output_tokens": 5, "dollars": None, "jobs_without_price": 1},
        "gpt-4.1-2025-04-14": {
            "jobs": 4,
            "input_tokens": 5100,
            "output_tokens": 500,
            "dollars": 0.0142,  # 5100 * 2 / 1e6 + 500 * 8 / 1e6
            "jobs_without_price": 0,
        },
        "router": {"jobs": 1, "input_tokens": 10, "output_tokens": 1, "dollars": 0.5, "jobs_without_price": 0},
    },
    "saved": {"used_notes": 2, "estimated_minutes": 14},  # the useful vote, and half of a resolution
    "resolution_hours": {
        "with_note": {"closed_tickets": 3, "mean": 30, "median": 20},  # 10, 20, 60
        "without_note": {"closed_tickets": 1, "mean": 4, "median": 4},
        "held_out": {"closed_tickets": 1, "mean": 2, "median": 2},
        "not_held_out": {"closed_tickets": 3, "mean": 30, "median": 20},  # 6 is left out
    },
    "holdout_difference_hours": {"mean": None, "low": None, "high": None},
}


async def fill(store: Store) -> None:
    """Store the jobs of both tenants."""

    async def job(ticket: str, state: str, at: datetime = BEGIN + _HOUR, **columns: Any) -> UUID:
        if "hours" in columns:
            columns["resolution_seconds"] = columns.pop("hours") * 3600
        if "tokens" in columns:
            columns["input_tokens"], columns["output_tokens"] = columns.pop("tokens")
        if "seconds" in columns:
            columns["finished_at"] = at + columns.pop("seconds") * _SECOND
        return await store.accept(ticket_id=ticket, state=state, accepted_at=at, **columns)

    gpt: dict[str, Any] = {"model": "gpt-4.1-2025-04-14"}
    noted: dict[str, Any] = {"held_out": False, "holdout": 10}
    first = await job(
        "1", "completed", BEGIN, seconds=10, hours=10, tokens=(1000, 100), is_unchecked=True, **noted, **gpt
    )
    # A webhook names the visible number, a refresh the desk's.
    for state, reason in (("failed", "ServiceDesk Plus timeout"), ("skipped", "already enhanced")):
        await job("102", state, BEGIN, reason=reason)
    second = await job(
        "102", "completed", desk_id="2", display_id="102", seconds=20, hours=20, tokens=(2000, 200), **noted, **gpt
    )
    again = {"refresh": "asked", "seconds": 5, "hours": 20, "tokens": (2000, 200)}
    await job("2", "completed", BEGIN + 2 * _HOUR, **again, **gpt)
    third = await job("3", "completed", END - _SECOND, seconds=30, tokens=(10, 1), model="router", dollars=0.5)
    fourth = await job("4", "completed", seconds=1000, hours=60, tokens=(50, 5), model=ODD, **noted)
    await job("5", "failed", reason="GPT-4 timeout", tokens=(100, 0), **gpt)
    await job("5", "skipped", BEGIN + 2 * _HOUR, reason="duplicate webhook")
    await job("6", "skipped", reason="left out by the tenant's rules", hours=4)
    await job("7", "waiting")
    await job("8", "skipped", reason=HELD_OUT, hours=2, held_out=True, holdout=10)
    # A later webhook; the closing before it set the time of the first job only.
    await job("8", "skipped", BEGIN + 2 * _HOUR, reason="ticket deleted or closed")
    await job("9", "skipped", reason="already enhanced")
    await job("12", "failed", BEGIN - _SECOND, reason="GPT-4 timeout")
    await job("13", "completed", END, seconds=1)
    noon = BEGIN + 12 * _HOUR
    await job("14", "completed", noon, tenant_id="globex", seconds=40, tokens=(9, 9), model="router", dollars=0.25)
    for ticket, seen_at in (("10", BEGIN), ("3", BEGIN), ("15", END)):
        store.table.run(
            "INSERT INTO missing_webhooks (tenant_id, ticket_id, created_at, seen_at, tells_all, missed_at)"
            " VALUES ('acme', %s, %s, %s, true, %s)",
            *(ticket, seen_at, seen_at, seen_at + _HOUR),
        )
    feedback(store, first, vote="useful", category_matched=True)
    feedback(store, second, taken_up=0.5, category_matched=False)
    feedback(store, third, vote="not useful", reason="other", taken_up=1, priority_matched=True)
    feedback(store, fourth, taken_up=0.25)


def feedback(store: Store, job_id: UUID, **columns: object) -> None:
    names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
    store.table.run(
        f"INSERT INTO feedback (job_id, tenant_id, prompt, model, {names}) VALUES (%s, 'acme', '4', 'm', {values})",  # noqa: S608
        *(job_id, *columns.values()),
    )
