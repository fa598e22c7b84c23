"""How tenants do: whether their settings can be used, their webhooks, jobs, success rate and cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from config.tenants import Tenant
from storage.reconcile_findings import MissedLately
from storage.tenant_figures import MOST_COUNTED, LastRefusal, TenantFigures
from support.console.figures.queue import Figure, WaitingReason, figures_of_tenant, reasons_of_tenant
from support.console.figures.wording import StateWord, percent

GOOD_RATE = 0.95
"""Under it a tenant is not well, as the alert on the success rate has it."""
_MISSED_JUST_NOW = timedelta(hours=1)
"""As the alert on missed webhooks has it."""


@dataclass(frozen=True, slots=True)
class TenantHealth:
    """One tenant's. `told`: the database has said all of it; what is None or `-` then, there is none of."""

    tenant_id: str
    settings: StateWord
    marks: Sequence[str]
    """What a person has to know of its settings: `dry run` and the like."""
    told: bool = False
    open: Sequence[Figure] = ()
    reasons: Sequence[WaitingReason] = ()
    rate: StateWord | None = None
    ended: str = "-"
    """Of how many jobs the rate is."""
    last_accepted: datetime | None = None
    refused: LastRefusal | None = None
    missed: StateWord | None = None
    """How many tickets' webhooks never came, lately; None for none."""
    last_missed: datetime | None = None
    cost: str = "-"
    limit: str = ""
    synced: datetime | None = None


def own_words(reason: str) -> str:
    """Return why a webhook was refused, as its tenant's own people may know it: nothing of any other tenant."""
    kind, _, cause = reason.partition(": ")
    return kind if "another tenant" in cause else reason


def settings_word(tenant: Tenant) -> StateWord:
    """Return whether a tenant's settings can be used."""
    if tenant.usable:
        return StateWord("usable", "ok")
    if tenant.opens_webhook or (tenant.polled and tenant.desk is not None):
        return StateWord("in part", "warn")
    return StateWord("closed", "bad")


def health(tenant: Tenant, figures: TenantFigures | None, *, own: bool, lacks: str = "") -> TenantHealth:
    """Put a tenant's figures into words. `own`: for its own people; `lacks`: as a queue's view has it."""
    said = TenantHealth(tenant.id, settings_word(tenant), _marks(tenant))
    if figures is None:
        return said
    refused = figures.last_refused
    if refused is not None and own:
        refused = replace(refused, reason=own_words(refused.reason))
    return replace(
        said,
        told=True,
        open=figures_of_tenant(figures),
        reasons=reasons_of_tenant(figures, lacks),
        rate=_rate(figures.success_rate),
        ended=_ended(figures),
        last_accepted=figures.last_accepted_at,
        refused=refused,
        missed=missed_word(figures.missed, figures.asked_at),
        last_missed=figures.missed.last_at,
        cost=_cost(figures),
        limit=_limit(tenant),
        synced=figures.synced_at,
    )


def missed_word(lately: MissedLately, now: datetime) -> StateWord | None:
    """Return how many were missed; of long ago it is no warning any more."""
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


def _rate(rate: float | None) -> StateWord:
    return StateWord(percent(rate), "info" if rate is None else "ok" if rate >= GOOD_RATE else "bad")


def _ended(figures: TenantFigures) -> str:
    newest = f"the newest {MOST_COUNTED:,} of " if figures.looked_at >= MOST_COUNTED else ""
    parts = f"{figures.completed:,} completed, {figures.failed:,} failed, {figures.skipped:,} skipped"
    return f"{parts}: of {newest}those accepted within 24 hours"


def _cost(figures: TenantFigures) -> str:
    spent = figures.spent
    if spent is None:
        return "nothing yet"
    dollars = f", ${spent.dollars:,.2f}" if spent.dollars else ""
    return f"{spent.tokens:,} tokens{dollars}"


def _limit(tenant: Tenant) -> str:
    model = tenant.model
    limits = [f"{model.daily_tokens:,} tokens"] if model.daily_tokens is not None else []
    limits += [f"${model.daily_dollars:,.2f}"] if model.daily_dollars is not None else []
    return f"of {' and '.join(limits)} a day" if limits else ""
