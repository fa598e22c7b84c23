"""How tenants do: whether their settings can be used, their webhooks, jobs, success rate and cost."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from config.tenants import Tenant
from storage.ends import EndCause
from storage.job_figures import MOST_A_REASON
from storage.job_figures import MOST_COUNTED as MOST_DUE
from storage.reconcile_findings import MissedLately
from storage.rejections import RefusedTenant
from storage.tenant_figures import MOST_COUNTED, LastRefusal, TenantFigures
from support.console.figures.failures import is_cut
from support.console.figures.queue import Figure, WaitingReason, figures_of_tenant, reasons_of_tenant
from support.console.figures.wording import Moment, StateWord, counted, moment, moment_or_none, percent
from support.tables import age

_GOOD_RATE = 0.95
"""As the alert on the success rate has it."""
_MISSED_JUST_NOW = timedelta(hours=1)
"""As the alert on missed webhooks has it."""


@dataclass(frozen=True, slots=True)
class LastRefused:
    """The webhook that was refused last."""

    at: Moment
    status: int
    reason: str
    ticket_id: str | None


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
    last_accepted: Moment | None = None
    refused: LastRefused | None = None
    missed: StateWord | None = None
    """How many tickets' webhooks never came, lately; None for none."""
    last_missed: Moment | None = None
    cost: str = "-"
    limit: str = ""
    synced: Moment | None = None


@dataclass(frozen=True, slots=True)
class TenantInShort:
    """One line of the first page."""

    tenant_id: str
    health: StateWord
    why: str


@dataclass(slots=True)
class _Signs:
    """What speaks against a tenant's being well."""

    failed: int = 0
    waiting: list[str] = field(default_factory=list)
    refusal: str = ""
    missed: StateWord | None = None
    last_missed: str = ""
    due: int = 0
    """Of its jobs, while nobody takes any."""


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
    now = figures.asked_at
    return replace(
        said,
        told=True,
        open=figures_of_tenant(figures),
        reasons=reasons_of_tenant(figures, lacks),
        rate=_rate(figures.success_rate),
        ended=_ended(figures),
        last_accepted=moment_or_none(figures.last_accepted_at, now),
        refused=None if figures.last_refused is None else _refused(figures.last_refused, now, own=own),
        missed=_missed(figures.missed, now),
        last_missed=moment_or_none(figures.missed.last_at, now),
        cost=_cost(figures),
        limit=_limit(tenant),
        synced=moment_or_none(figures.synced_at, now),
    )


def in_short(
    tenants: Sequence[Tenant],
    reasons: Mapping[tuple[str, str], int] | None,
    causes: Sequence[EndCause] | None,
    refused: Sequence[RefusedTenant] | None,
    now: datetime,
    *,
    missed: Mapping[str, MissedLately] | None = None,
    due: Mapping[str, int] | None = None,
) -> list[TenantInShort]:
    """Tell of each tenant whether it needs a look, those that do first. What is None is not known.

    `due`: its jobs that are due, while nobody takes any.
    """
    signs: defaultdict[str, _Signs] = defaultdict(_Signs)
    for cause in causes or ():
        signs[cause.tenant_id].failed += cause.jobs
    for (tenant_id, reason), count in (reasons or {}).items():
        signs[tenant_id].waiting.append(f"{counted(count, MOST_A_REASON)} wait: {reason}")
    for each in refused or ():
        since = age((now - each.rejected_at).total_seconds())
        signs[each.tenant_id].refusal = f"its last webhook was refused {since} ago: {each.reason}"
    for tenant_id, lately in (missed or {}).items():
        signs[tenant_id].missed = _missed(lately, now)
        signs[tenant_id].last_missed = moment(lately.last_at, now).ago if lately.last_at else ""
    for tenant_id, jobs in (due or {}).items():
        signs[tenant_id].due = jobs
    cut = is_cut(causes or ())
    due_cut = sum((due or {}).values()) >= MOST_DUE
    rows = [(_short(each, signs[each.id], cut=cut, due_cut=due_cut), signs[each.id].failed) for each in tenants]
    order = {"bad": 0, "warn": 1, "info": 2, "ok": 3}
    rows.sort(key=lambda row: (order[row[0].health.tone], -row[1], row[0].tenant_id))
    return [row for row, _ in rows]


def _short(tenant: Tenant, signs: _Signs, *, cut: bool, due_cut: bool) -> TenantInShort:
    """Say it of one. `cut`, `due_cut`: more has failed, or is due, than was counted, of whichever tenants."""
    # A desk that is polled needs no webhook.
    refusal, missed = ("", None) if tenant.polled else (signs.refusal, signs.missed)
    why = [f"{signs.failed:,}{' or more' if cut else ''} failed"] if signs.failed else []
    why += [refusal] if refusal else []
    why += [f"{signs.due:,}{' or more' if due_cut else ''} due that nobody takes"] if signs.due else []
    why += [f"{missed.text}, the last one {signs.last_missed}"] if missed else []
    why += signs.waiting
    if not tenant.usable:
        return TenantInShort(tenant.id, settings_word(tenant), "; ".join(["its settings have to be mended", *why]))
    if signs.failed:
        word = StateWord("failures", "bad")
    elif signs.due:
        word = StateWord("stands", "bad")
    elif refusal:
        word = StateWord("refused", "warn")
    elif missed and missed.tone != "info":
        word = StateWord("missed", "warn")
    elif signs.waiting:
        word = StateWord("waits", "warn")
    elif cut or due_cut:
        more = "have failed lately" if cut else "are due"
        word, why = StateWord("not counted", "info"), [*why, f"more jobs {more} than are counted"]
    else:
        word = StateWord("well", "ok")
    return TenantInShort(tenant.id, word, "; ".join(why))


def _missed(lately: MissedLately, now: datetime) -> StateWord | None:
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
    return StateWord(percent(rate), "info" if rate is None else "ok" if rate >= _GOOD_RATE else "bad")


def _ended(figures: TenantFigures) -> str:
    newest = f"the newest {MOST_COUNTED:,} of " if figures.looked_at >= MOST_COUNTED else ""
    parts = f"{figures.completed:,} completed, {figures.failed:,} failed, {figures.skipped:,} skipped"
    return f"{parts}: of {newest}those accepted within 24 hours"


def _refused(refusal: LastRefusal, now: datetime, *, own: bool) -> LastRefused:
    reason = own_words(refusal.reason) if own else refusal.reason
    return LastRefused(moment(refusal.at, now), refusal.status, reason, refusal.ticket_id)


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
