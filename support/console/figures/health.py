"""The health of each tenant in one word, for each page that shows it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.tenants import Tenant
from storage import job_figures, reconcile_findings, rejections
from storage.ends import EndCause
from storage.job_figures import MOST_A_REASON
from storage.job_figures import MOST_COUNTED as MOST_DUE
from storage.reconcile_findings import MissedLately
from storage.rejections import RefusedTenant
from storage.tenant_figures import success_rates
from support.console.dependencies import Services
from support.console.figures.asking import in_time
from support.console.figures.failures import is_cut
from support.console.figures.tenants import GOOD_RATE, missed_word, settings_word
from support.console.figures.wording import StateWord, counted, percent
from support.tables import age

LATELY = timedelta(days=1)
_OR_MORE = " or more"


@dataclass(frozen=True, slots=True)
class TenantInShort:
    """A tenant's health in a word, and why."""

    tenant_id: str
    health: StateWord
    why: str


@dataclass(frozen=True, slots=True)
class AllHealth:
    """All tenants, those that need a look first. `told`: the database has said all of it."""

    tenants: Sequence[TenantInShort]
    told: bool


async def health_of_all(services: Services, causes: Sequence[EndCause] | None, now: datetime, lacks: str) -> AllHealth:
    """Return the health of all tenants. `causes`: of what failed lately; `lacks`: as a queue's view has it."""
    database, failing = services.database, sorted({cause.tenant_id for cause in causes or ()})
    waiting, refused, missed, due, rates = await asyncio.gather(
        in_time(job_figures.reasons_of_waiting(database)),
        in_time(rejections.refused_tenants(database, now - LATELY)),
        in_time(reconcile_findings.missed_of_all(database, now - LATELY)),
        in_time(job_figures.due_jobs(database)) if lacks else _none_due(),
        in_time(success_rates(database, failing)),
    )
    tenants = in_short(services.tenants.all(), waiting, causes, refused, now, missed=missed, due=due, rates=rates)
    return AllHealth(tenants, None not in (causes, waiting, refused, missed, due, rates))


async def _none_due() -> dict[str, int]:
    return {}


def in_short(
    tenants: Sequence[Tenant],
    reasons: Mapping[tuple[str, str], int] | None,
    causes: Sequence[EndCause] | None,
    refused: Sequence[RefusedTenant] | None,
    now: datetime,
    *,
    missed: Mapping[str, MissedLately] | None = None,
    due: Mapping[str, int] | None = None,
    rates: Mapping[str, float | None] | None = None,
) -> list[TenantInShort]:
    """Return the health of each tenant, those that need a look first. None is unknown.

    `due`: its jobs that are due, while nobody takes any. `rates`: success rates of tenants with failures.
    """
    due, missed, rates = due or {}, missed or {}, rates or {}
    failed: Counter[str] = Counter()
    for cause in causes or ():
        failed[cause.tenant_id] += cause.jobs
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for (tenant_id, reason), count in (reasons or {}).items():
        waiting[tenant_id].append(f"{counted(count, MOST_A_REASON)} wait: {reason}")
    refusals = {
        each.tenant_id: f"its last webhook was refused {_since(each.rejected_at, now)}: {each.reason}"
        for each in refused or ()
    }
    # More has failed, or is due, than was counted, of whichever tenants.
    cut, due_cut = is_cut(causes or ()), sum(due.values()) >= MOST_DUE

    def short(tenant: Tenant) -> TenantInShort:
        failures, rate, jobs = failed[tenant.id], rates.get(tenant.id), due.get(tenant.id, 0)
        # A desk that is polled needs no webhook.
        refusal = "" if tenant.polled else refusals.get(tenant.id, "")
        lately = None if tenant.polled else missed.get(tenant.id)
        lost = missed_word(lately, now) if lately else None
        words = (
            (not tenant.usable, settings_word(tenant)),
            (failures and (rate is None or rate < GOOD_RATE), StateWord("failures", "bad")),
            (jobs, StateWord("stands", "bad")),
            (refusal, StateWord("refused", "warn")),
            (lost and lost.tone != "info", StateWord("missed", "warn")),
            (waiting[tenant.id], StateWord("waits", "warn")),
            (cut or due_cut, StateWord("not counted", "info")),
            (True, StateWord("well", "ok")),
        )
        word = next(word for holds, word in words if holds)
        of_rate = "" if rate is None else f", success rate {percent(rate)}"
        why = (
            "" if tenant.usable else "its settings have to be mended",
            f"{failures:,}{_OR_MORE if cut else ''} failed{of_rate}" if failures else "",
            refusal,
            f"{jobs:,}{_OR_MORE if due_cut else ''} due that nobody takes" if jobs else "",
            f"{lost.text}, the last one {_since(lately.last_at, now)}" if lost and lately and lately.last_at else "",
            *waiting[tenant.id],
            f"more jobs {'have failed lately' if cut else 'are due'} than are counted" if word.tone == "info" else "",
        )
        return TenantInShort(tenant.id, word, "; ".join(filter(None, why)))

    order = {"bad": 0, "warn": 1, "info": 2, "ok": 3}
    return sorted(
        map(short, tenants), key=lambda each: (order[each.health.tone], -failed[each.tenant_id], each.tenant_id)
    )


def _since(at: datetime, now: datetime) -> str:
    return f"{age((now - at).total_seconds())} ago"
