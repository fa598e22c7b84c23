"""Health of each tenant in one word, for all pages."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from config.tenants import Tenant
from storage import job_figures, reconciling, rejections
from storage.job_figures import MOST_A_REASON, MOST_COUNTED, outcomes
from storage.job_figures import MOST_COUNTED as MOST_DUE
from storage.reconciling import MissedLately
from storage.rejections import RefusedTenant
from support.console.dependencies import Services
from support.console.figures.asking import in_time
from support.console.figures.tenants import GOOD_RATE, missed_word, settings_word
from support.console.figures.wording import StateWord, counted, percent
from support.tables import age

LATELY = timedelta(days=1)
_OR_MORE = " or more"


@dataclass(frozen=True, slots=True)
class TenantInShort:
    """A tenant's health in one word, and the reasons."""

    tenant_id: str
    health: StateWord
    why: str


@dataclass(frozen=True, slots=True)
class AllHealth:
    """All tenants, problems first. `told`: the database returned everything."""

    tenants: Sequence[TenantInShort]
    told: bool


async def health_of_all(services: Services, now: datetime, lacks: str) -> AllHealth:
    """Return the health of all tenants; `lacks` as in QueueView."""
    database, known = services.database, services.tenants.all()
    waiting, refused, missed, due, ended = await asyncio.gather(
        in_time(job_figures.reasons_of_waiting(database)),
        in_time(rejections.refused_tenants(database, now - LATELY)),
        in_time(reconciling.missed_of_all(database, now - LATELY)),
        in_time(job_figures.due_jobs(database)) if lacks else _none_due(),
        in_time(outcomes(database, [tenant.id for tenant in known])),
    )
    tenants = in_short(known, waiting, ended, refused, now, missed=missed, due=due)
    return AllHealth(tenants, None not in (waiting, refused, missed, due, ended))


async def _none_due() -> dict[str, int]:
    return {}


def in_short(
    tenants: Sequence[Tenant],
    reasons: Mapping[tuple[str, str], int] | None,
    ended: Mapping[str, tuple[int, int]] | None,
    refused: Sequence[RefusedTenant] | None,
    now: datetime,
    *,
    missed: Mapping[str, MissedLately] | None = None,
    due: Mapping[str, int] | None = None,
) -> list[TenantInShort]:
    """Return the health of each tenant, problems first. None is unknown.

    `ended`: jobs completed and failed, of tenants with failures. `due`: due jobs while no worker takes any.
    """
    due, missed, ended = due or {}, missed or {}, ended or {}
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for (tenant_id, reason), count in (reasons or {}).items():
        waiting[tenant_id].append(f"{counted(count, MOST_A_REASON)} wait: {reason}")
    refusals = {
        each.tenant_id: f"its last webhook was refused {_since(each.rejected_at, now)}: {each.reason}"
        for each in refused or ()
    }
    # The count is cut, for unknown tenants.
    due_cut = sum(due.values()) >= MOST_DUE

    def short(tenant: Tenant) -> TenantInShort:
        completed, failures = ended.get(tenant.id, (0, 0))
        rate = completed / (completed + failures) if failures else 1.0
        cut, jobs = completed + failures >= MOST_COUNTED, due.get(tenant.id, 0)
        # A polled desk needs no webhook.
        refusal = "" if tenant.polled else refusals.get(tenant.id, "")
        lately = None if tenant.polled else missed.get(tenant.id)
        lost = missed_word(lately, now) if lately else None
        words = (
            (not tenant.usable, settings_word(tenant)),
            (rate < GOOD_RATE, StateWord("failures", "bad")),
            (jobs, StateWord("stands", "bad")),
            (refusal, StateWord("refused", "warn")),
            (lost and lost.tone != "info", StateWord("missed", "warn")),
            (waiting[tenant.id], StateWord("waits", "warn")),
            (due_cut, StateWord("not counted", "info")),
            (True, StateWord("well", "ok")),
        )
        word = next(word for holds, word in words if holds)
        why = (
            "" if tenant.usable else "its settings have to be mended",
            f"{failures:,}{_OR_MORE if cut else ''} failed, success rate {percent(rate)}" if failures else "",
            refusal,
            f"{jobs:,}{_OR_MORE if due_cut else ''} due that nobody takes" if jobs else "",
            f"{lost.text}, the last one {_since(lately.last_at, now)}" if lost and lately and lately.last_at else "",
            *waiting[tenant.id],
            "more jobs are due than are counted" if word.tone == "info" else "",
        )
        return TenantInShort(tenant.id, word, "; ".join(filter(None, why)))

    order = {"bad": 0, "warn": 1, "info": 2, "ok": 3}
    failed = {tenant_id: failures for tenant_id, (_, failures) in ended.items()}
    return sorted(
        map(short, tenants), key=lambda each: (order[each.health.tone], -failed.get(each.tenant_id, 0), each.tenant_id)
    )


def _since(at: datetime, now: datetime) -> str:
    return f"{age((now - at).total_seconds())} ago"
