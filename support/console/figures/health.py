"""The health of each tenant in one word, for each page that shows it."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Signs:
    """What speaks against a tenant's being well."""

    failed: int = 0
    rate: float | None = None
    """None: no job that was accepted within 24 hours has ended."""
    waiting: list[str] = field(default_factory=list)
    refusal: str = ""
    missed: StateWord | None = None
    last_missed: str = ""
    due: int = 0
    """Of its jobs, while nobody takes any."""


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
    """Tell of each tenant whether it needs a look, those that do first. What is None is not known.

    `due`: its jobs that are due, while nobody takes any. `rates`: success rates of tenants with failures.
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
        signs[tenant_id].missed = missed_word(lately, now)
        signs[tenant_id].last_missed = f"{age((now - lately.last_at).total_seconds())} ago" if lately.last_at else ""
    for tenant_id, jobs in (due or {}).items():
        signs[tenant_id].due = jobs
    for tenant_id, rate in (rates or {}).items():
        signs[tenant_id].rate = rate
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
    rate = "" if signs.rate is None else f", success rate {percent(signs.rate)}"
    why = [f"{signs.failed:,}{' or more' if cut else ''} failed{rate}"] if signs.failed else []
    why += [refusal] if refusal else []
    why += [f"{signs.due:,}{' or more' if due_cut else ''} due that nobody takes"] if signs.due else []
    why += [f"{missed.text}, the last one {signs.last_missed}"] if missed else []
    why += signs.waiting
    if not tenant.usable:
        return TenantInShort(tenant.id, settings_word(tenant), "; ".join(["its settings have to be mended", *why]))
    if signs.failed and (signs.rate is None or signs.rate < GOOD_RATE):
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
