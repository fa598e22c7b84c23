"""Panels of pages: the queue, the causes of failures, and the health of tenants.

Each panel has a time limit; None is an unknown part.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.tenants import Tenant
from console import queries
from console.queries import MOST_A_REASON, EndCause, TenantFigures, figures_of
from console.templating import StateWord, Tone
from db.session import DATABASE_FAILURES, Database, is_away
from jobs import missed_webhooks, rejections
from jobs.diagnosis.causes import cause_of, known_cause
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.missed_webhooks import MissedCount
from jobs.rejections import RefusedTenant
from jobs.statistics import (
    MOST_COUNTED,
    QueueActivity,
    Reading,
    WorkerActivity,
    is_without_worker,
    queue_activity,
    reading_of,
    worker_activity,
)
from observability import log_events
from observability.formats import age, counted, percent
from observability.logging import log_event

PART_SECONDS = 1.5
LATELY = timedelta(days=1)
GOOD_RATE = 0.95  # as in the alert on the success rate
_MISSED_JUST_NOW = timedelta(hours=1)  # as in the alert on missed webhooks
_TOO_SLOW = "57014"  # SQLSTATE of a statement that took longer than it may
_OR_MORE = " or more"
_READINGS: dict[Reading, tuple[Tone, str]] = {
    "normal": ("ok", "the workers keep up"),
    "moderate": ("info", "keep an eye on it"),
    "high": ("warn", "more workers: docs/runbooks/high-queue-depth.md"),
    "critical": ("bad", "a P1 incident: docs/runbooks/high-queue-depth.md"),
}
_STANDS = StateWord("at a standstill", "bad"), "nobody takes what waits: docs/runbooks/worker-failures.md"
Part = TypeVar("Part")


async def in_time(part: Awaitable[Part], seconds: float = PART_SECONDS) -> Part | None:
    """Return the result; None if the store is unavailable or slow.

    Other database errors are bugs of ours: they are logged and return None.
    """
    try:
        async with asyncio.timeout(seconds):
            return await part
    except DATABASE_FAILURES as failure:
        if not is_silent(failure):
            log_event(
                log_events.DATABASE_UNREACHABLE, reason="a part of a page could not be asked for", failure=failure
            )
        return None
    except (RedisError, OSError, TimeoutError):
        return None


def is_silent(failure: Exception) -> bool:
    """Return True if the database is unavailable or slow, False for a bug of ours."""
    return is_away(failure) or getattr(getattr(failure, "orig", None), "sqlstate", None) == _TOO_SLOW


async def causes_lately(database: Database, tenant_id: str | None) -> list[EndCause] | None:
    return await in_time(queries.causes(database, tenant_id, "failed", datetime.now(UTC) - LATELY))


def causes_table(causes: Sequence[EndCause] | None) -> dict[str, Any]:
    groups: defaultdict[VerdictCode, list[EndCause]] = defaultdict(list)
    for cause in causes or ():
        groups[cause_of(cause.reason).verdict].append(cause)
    rows: list[dict[str, Any]] = []
    for code, group in groups.items():
        reasons: Counter[str] = Counter()
        for cause in group:
            reasons[cause.reason or ""] += cause.jobs
        rows.append(
            {
                "code": code.value,
                "means": code.means,
                "jobs": reasons.total(),
                "last": max(cause.finished_at for cause in group),
                "reasons": sorted(reasons.items(), key=lambda each: (-each[1], each[0])),
            }
        )
    rows.sort(key=lambda row: (-row["jobs"], row["code"]))
    is_cut = sum(cause.jobs for cause in causes or ()) >= MOST_COUNTED
    return {"causes": None if causes is None else rows, "causes_cut": is_cut}


def reasons_of(causes: Sequence[EndCause], codes: Collection[str]) -> list[str]:
    return sorted({cause.reason or "" for cause in causes if cause_of(cause.reason).verdict.value in codes})


async def queue_view(database: Database, redis: Redis, tenant_id: str | None) -> dict[str, Any]:
    """Return the queue now; for one tenant's users, its reading and their own jobs.

    `reading` is None if Redis did not answer, `reasons` if the database did not. `lacks` as in `lacking`.
    """
    sees_all = tenant_id is None
    (looked, failure, work, lacks), open_jobs, by_tenant, own = await asyncio.gather(
        _activity(database, redis),
        in_time(queries.open_jobs(database) if sees_all else asyncio.sleep(0)),
        in_time(queries.reasons_of_waiting(database) if sees_all else asyncio.sleep(0)),
        in_time(asyncio.sleep(0) if tenant_id is None else figures_of(database, tenant_id)),
    )
    warnings = _warnings(looked, failure, work, lacks) if sees_all else _warnings(looked, failure, None, "")
    waits = (open_jobs and (open_jobs.waiting or open_jobs.later)) or (own and own.waiting)
    reasons = None if by_tenant is None else _reasons_of_all(by_tenant, lacks)
    if own is not None:
        reasons = reasons_of_tenant(own, lacks)
    word, hint = None, ""
    if looked is not None:
        reading = reading_of(looked.waiting)
        tone, hint = _READINGS[reading]
        word = StateWord(reading, tone)
        if lacks and (waits or looked.waiting or looked.held):
            word, hint = _STANDS
        elif reading == "normal" and warnings:
            # A short queue may still have problems: nothing is queued, or nothing taken.
            hint = ""
    return {
        "at": datetime.now(UTC),
        "reading": word,
        "hint": hint,
        "warnings": warnings,
        "reasons": reasons,
        # Both cover all tenants.
        "looked": looked if sees_all else None,
        "work": work if sees_all else None,
        "open_jobs": open_jobs,
        "own": own,
        "lacks": lacks,
    }


async def lacking(database: Database, redis: Redis) -> str:
    return (await _activity(database, redis))[3]


async def _activity(database: Database, redis: Redis) -> tuple[QueueActivity | None, str, WorkerActivity | None, str]:
    (looked, failure), work = await asyncio.gather(
        queue_activity(redis, PART_SECONDS), in_time(worker_activity(database))
    )
    lacks = "Redis answers" if looked is None else ""
    if work is not None and is_without_worker(looked, work):
        lacks = "a worker runs"
    return looked, failure, work, lacks


def _warnings(
    looked: QueueActivity | None, failure: str, work: WorkerActivity | None, lacks: str
) -> list[tuple[StateWord, str]]:
    takes_nothing = "Redis has no room left, can't write to its disk, or is read-only: no job gets into the queue"
    silent = work.silent if work else 0
    whose = "job's worker has" if silent == 1 else "jobs' workers have"
    warnings = (
        (failure, StateWord("Redis", "bad"), f"Redis was asked, and {failure}"),
        (looked and looked.takes_nothing, StateWord("Redis", "bad"), takes_nothing),
        (looked and lacks, StateWord("no worker", "bad"), "none has a job, and none listens for one"),
        (silent, StateWord("silent", "warn"), f"{silent:,} {whose} fallen silent: queued again within seconds"),
    )
    return [(word, says) for holds, word, says in warnings if holds]


def reasons_of_tenant(figures: TenantFigures, lacks: str = "") -> list[dict[str, str]]:
    cut = sum(figures.reasons.values()) >= MOST_COUNTED
    return _waiting_reasons(figures.reasons, figures.reasons if cut else (), lacks)


def _reasons_of_all(reasons: Mapping[tuple[str, str], int], lacks: str) -> list[dict[str, str]]:
    by_reason: Counter[str] = Counter()
    for (_, reason), count in reasons.items():
        by_reason[reason] += count
    cut = {reason for (_, reason), count in reasons.items() if count >= MOST_A_REASON}
    return _waiting_reasons(by_reason, cut, lacks)


def _waiting_reasons(reasons: Mapping[str, int], cut: Collection[str], lacks: str) -> list[dict[str, str]]:
    told = []
    for reason, count in sorted(reasons.items(), key=lambda each: (-each[1], each[0])):
        cause = known_cause(reason)
        # A fix for one job or ticket does not apply to many.
        mends = "" if cause is None or "{" in cause.action else cause.action
        if lacks and not mends:
            mends = f"it goes on by itself once {lacks}"
        told.append({"reason": reason, "jobs": f"{count:,}{_OR_MORE if reason in cut else ''}", "mends": mends})
    return told


class TenantInShort(NamedTuple):
    """A tenant's health in one word, and the reasons."""

    tenant_id: str
    health: StateWord
    why: str


async def health_of_all(database: Database, known: Sequence[Tenant], lacks: str) -> tuple[list[TenantInShort], bool]:
    now = datetime.now(UTC)
    waiting, refused, missed, due, ended = await asyncio.gather(
        in_time(queries.reasons_of_waiting(database)),
        in_time(rejections.refused_tenants(database, now - LATELY)),
        in_time(missed_webhooks.missed_of_all(database, now - LATELY)),
        in_time(queries.due_jobs(database) if lacks else asyncio.sleep(0, {})),
        in_time(queries.outcomes(database, [tenant.id for tenant in known])),
    )
    tenants = in_short(known, waiting, ended, refused, now, missed=missed, due=due)
    return tenants, None not in (waiting, refused, missed, due, ended)


def in_short(
    tenants: Sequence[Tenant],
    reasons: Mapping[tuple[str, str], int] | None,
    ended: Mapping[str, tuple[int, int]] | None,
    refused: Sequence[RefusedTenant] | None,
    now: datetime,
    *,
    missed: Mapping[str, MissedCount] | None = None,
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
    due_cut = sum(due.values()) >= MOST_COUNTED

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

    def order(each: TenantInShort) -> tuple[int, int, str]:
        _, failures = ended.get(each.tenant_id, (0, 0))
        return ["bad", "warn", "info", "ok"].index(each.health.tone), -failures, each.tenant_id

    return sorted(map(short, tenants), key=order)


def _since(at: datetime, now: datetime) -> str:
    return f"{age((now - at).total_seconds())} ago"


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


def tenant_health(tenant: Tenant, figures: TenantFigures | None, *, own: bool, lacks: str = "") -> dict[str, Any]:
    """Describe a tenant's settings and figures, None if the database did not answer.

    `own`: for its own people, `lacks` as in `lacking`.
    """
    marks = {
        "dry run: its tickets get no note": tenant.dry_run,
        "its model's key is gone: no model is asked": tenant.model.withdrawn,
        f"{tenant.share.most_running} of its jobs run at a time at most": tenant.share.most_running is not None,
        f"what its model is told is kept for {tenant.audit_days} days": tenant.audit_days > 0,
    }
    told = {
        "tenant": tenant,
        "settings": settings_word(tenant),
        "marks": [mark for mark, holds in marks.items() if holds],
        "figures": figures,
    }
    if figures is None:
        return told | {"reasons": []}
    refused, rate = figures.last_refused, figures.success_rate
    if refused is not None and own:
        told["figures"] = replace(figures, last_refused=replace(refused, reason=own_words(refused.reason)))
    return told | {
        "reasons": reasons_of_tenant(figures, lacks),
        "rate": StateWord(percent(rate), "info" if rate is None else "ok" if rate >= GOOD_RATE else "bad"),
        "missed": missed_word(figures.missed, figures.asked_at),
    }


def missed_word(lately: MissedCount, now: datetime) -> StateWord | None:
    if lately.last_at is None:
        return None
    more = _OR_MORE if lately.is_cut else ""
    text = f"{lately.missed:,}{more} {'webhook' if lately.missed == 1 else 'webhooks'} missed"
    return StateWord(text, "warn" if now - lately.last_at <= _MISSED_JUST_NOW else "info")
