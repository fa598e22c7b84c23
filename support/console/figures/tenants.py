"""Health of tenants: settings, webhooks, jobs and success rate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from config.tenants import Tenant
from storage.job_figures import TenantFigures
from storage.reconciling import MissedLately
from support.console.figures.queue import WaitingReason, reasons_of_tenant
from support.console.figures.wording import StateWord, percent

GOOD_RATE = 0.95
"""Under it a tenant is not well, as the alert on the success rate has it."""
_MISSED_JUST_NOW = timedelta(hours=1)
"""As the alert on missed webhooks has it."""


@dataclass(frozen=True, slots=True)
class TenantHealth:
    """A tenant's health; later fields are empty if the database did not answer.

    `figures` is None then.
    """

    tenant: Tenant
    settings: StateWord
    marks: Sequence[str]
    """Remarks on its settings: `dry run` and the like."""
    figures: TenantFigures | None
    reasons: Sequence[WaitingReason] = ()
    rate: StateWord | None = None
    missed: StateWord | None = None
    """The number of tickets whose webhooks never came, lately; None for none."""


def own_words(reason: str) -> str:
    """Return a refusal's reason without data of other tenants, for its own people."""
    kind, _, cause = reason.partition(": ")
    return kind if "another tenant" in cause else reason


def settings_word(tenant: Tenant) -> StateWord:
    if tenant.usable:
        return StateWord("usable", "ok")
    if tenant.opens_webhook or (tenant.polled and tenant.desk is not None):
        return StateWord("in part", "warn")
    return StateWord("closed", "bad")


def health(tenant: Tenant, figures: TenantFigures | None, *, own: bool, lacks: str = "") -> TenantHealth:
    """Describe a tenant's figures; `own`: for its own people, `lacks` as in QueueView."""
    if figures is None:
        return TenantHealth(tenant, settings_word(tenant), _marks(tenant), None)
    refused, rate = figures.last_refused, figures.success_rate
    if refused is not None and own:
        figures = replace(figures, last_refused=replace(refused, reason=own_words(refused.reason)))
    return TenantHealth(
        tenant,
        settings_word(tenant),
        _marks(tenant),
        figures,
        reasons=reasons_of_tenant(figures, lacks),
        rate=StateWord(percent(rate), "info" if rate is None else "ok" if rate >= GOOD_RATE else "bad"),
        missed=missed_word(figures.missed, figures.asked_at),
    )


def missed_word(lately: MissedLately, now: datetime) -> StateWord | None:
    """Return the number of missed webhooks; old ones are no warning."""
    if lately.last_at is None:
        return None
    more = " or more" if lately.is_cut else ""
    text = f"{lately.missed:,}{more} {'webhook' if lately.missed == 1 else 'webhooks'} missed"
    return StateWord(text, "warn" if now - lately.last_at <= _MISSED_JUST_NOW else "info")


def _marks(tenant: Tenant) -> list[str]:
    marks = {
        "dry run: its tickets get no note": tenant.dry_run,
        "its model's key is gone: no model is asked": tenant.model.withdrawn,
        f"{tenant.share.most_running} of its jobs run at a time at most": tenant.share.most_running is not None,
        f"what its model is told is kept for {tenant.audit_days} days": tenant.audit_days > 0,
    }
    return [mark for mark, holds in marks.items() if holds]
