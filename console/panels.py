"""Panels of pages: the queue, the causes of failures, and the health of tenants.

Each part of a panel has a time limit; a part that is not known in time is None.
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
from console.queries import MAX_PER_REASON, EndCause, TenantFigures, figures_of
from console.templating import StateWord, Tone
from db.session import DATABASE_FAILURES, Database, is_away
from jobs import missed_webhooks, rejections, statistics
from jobs.diagnosis.causes import JobCause, cause_of, known_cause
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.missed_webhooks import MissedCount
from jobs.rejections import RefusedTenant
from jobs.statistics import MAX_COUNTED, QueueActivity, Reading, WorkerActivity
from observability import log_events
from observability.formats import age, counted, percent
from observability.logging import log_event

PART_SECONDS = 1.5
LATELY = timedelta(days=1)
GOOD_RATE = 0.95  # as in the alert on the success rate
_MISSED_JUST_NOW = timedelta(hours=1)  # as in the alert on missed webhooks
_TOO_SLOW = "57014"  # SQLSTATE of a statement timeout
_READINGS: dict[Reading, tuple[Tone, str]] = {
    "normal": ("ok", "the workers keep up"),
    "moderate": ("info", "watch it"),
    "high": ("warn", "add workers: docs/runbooks/high-queue-depth.md"),
    "critical": ("bad", "P1 incident: docs/runbooks/high-queue-depth.md"),
}
_DOWN = StateWord("down", "bad"), "no worker takes jobs: docs/runbooks/worker-failures.md"
_HEALTH: dict[str, Tone] = {"down": "bad", "degraded": "warn", "unknown": "info", "healthy": "ok"}
"""States of a tenant, worst first."""
Part = TypeVar("Part")


async def in_time(part: Awaitable[Part], seconds: float = PART_SECONDS) -> Part | None:
    """Return the result; None if the store is unavailable or slow, or the query fails."""
    try:
        async with asyncio.timeout(seconds):
            return await part
    except DATABASE_FAILURES as failure:
        if not is_silent(failure):
            log_event(log_events.DATABASE_UNREACHABLE, reason="a part of a page could not be read", failure=failure)
        return None
    except (RedisError, OSError, TimeoutError):
        return None


def is_silent(failure: Exception) -> bool:
    """Return True if the database is unavailable or slow, so no log line is needed."""
    return is_away(failure) or getattr(getattr(failure, "orig", None), "sqlstate", None) == _TOO_SLOW


async def causes_lately(database: Database, tenant_id: str | None) -> list[EndCause] | None:
    return await in_time(queries.causes(database, tenant_id, "failed", datetime.now(UTC) - LATELY))


def causes_table(causes: Sequence[EndCause] | None) -> dict[str, Any]:
    reasons: defaultdict[VerdictCode, Counter[str]] = defaultdict(Counter)
    last: dict[VerdictCode, datetime] = {}
    for cause in causes or ():
        code = cause_of(cause.reason).verdict
        reasons[code][cause.reason or ""] += cause.jobs
        last[code] = max(cause.finished_at, last.get(code, cause.finished_at))
    rows: list[dict[str, Any]] = [
        {"code": code.value, "means": code.means, "last": last[code]}
        | {"jobs": counts.total(), "reasons": _most_first(counts)}
        for code, counts in reasons.items()
    ]
    rows.sort(key=lambda row: (-row["jobs"], row["code"]))
    counted_jobs = sum(counts.total() for counts in reasons.values())
    return {"causes": None if causes is None else rows, "causes_cut": counted_jobs >= MAX_COUNTED}


def _most_first(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda each: (-each[1], each[0]))


def reasons_of(causes: Sequence[EndCause], codes: Collection[str]) -> list[str]:
    return sorted({cause.reason or "" for cause in causes if cause_of(cause.reason).verdict.value in codes})


async def queue_view(database: Database, redis: Redis, tenant_id: str | None) -> dict[str, Any]:
    """Return the current state of the queue.

    With a tenant, the view is for its users: the reading and that tenant's jobs. `reading` is None if Redis did not
    answer, `reasons` if the database did not. `missing` is as in `missing_condition`.
    """
    sees_all = tenant_id is None
    (queue, failure, work, missing), open_jobs, all_reasons, own = await asyncio.gather(
        _activity(database, redis),
        in_time(queries.open_jobs(database) if sees_all else asyncio.sleep(0)),
        in_time(queries.reasons_of_waiting(database) if sees_all else asyncio.sleep(0)),
        in_time(asyncio.sleep(0) if tenant_id is None else figures_of(database, tenant_id)),
    )
    warnings = _warnings(queue, failure, work, missing) if sees_all else _warnings(queue, failure, None, "")
    waits = (open_jobs and (open_jobs["waiting"] or open_jobs["later"])) or (own and own.waiting)
    reasons = None if all_reasons is None else _reasons_of_all(all_reasons, missing)
    if own is not None and tenant_id is not None:
        reasons = _reasons_of_tenant(tenant_id, own, missing)
    word, hint = None, ""
    if queue is not None:
        reading = statistics.reading_of(queue.waiting)
        tone, hint = _READINGS[reading]
        word = StateWord(reading, tone)
        if missing and (waits or queue.waiting or queue.held):
            word, hint = _DOWN
        elif reading == "normal" and warnings:
            # "the workers keep up" would contradict the warnings.
            hint = ""
    return {
        "at": datetime.now(UTC),
        "reading": word,
        "hint": hint,
        "warnings": warnings,
        "reasons": reasons,
        # These two cover all tenants, so a tenant's users do not get them.
        "activity": queue if sees_all else None,
        "work": work if sees_all else None,
        "open_jobs": open_jobs,
        "own": own,
        "missing": missing,
    }


async def missing_condition(database: Database, redis: Redis) -> str:
    """Return the condition that jobs wait for: `Redis answers`, `a worker runs`, or empty."""
    return (await _activity(database, redis))[3]


async def _activity(database: Database, redis: Redis) -> tuple[QueueActivity | None, str, WorkerActivity | None, str]:
    (queue, failure), work = await asyncio.gather(
        statistics.queue_activity(redis, PART_SECONDS), in_time(statistics.worker_activity(database))
    )
    missing = "Redis answers" if queue is None else ""
    if work is not None and statistics.is_without_worker(queue, work):
        missing = "a worker runs"
    return queue, failure, work, missing


def _warnings(
    queue: QueueActivity | None, failure: str, work: WorkerActivity | None, missing: str
) -> list[tuple[StateWord, str]]:
    silent = work.silent if work else 0
    lost = f"{silent:,} {'job has' if silent == 1 else 'jobs have'} lost the worker: queued again within seconds"
    full = "Redis is out of memory, can't write to its disk, or is read-only: no job gets into the queue"
    warnings = (
        (failure, StateWord("Redis", "bad"), f"Redis: {failure}"),
        (queue and queue.takes_nothing, StateWord("Redis", "bad"), full),
        (queue and missing, StateWord("no worker", "bad"), "no worker has a job, and none listens for one"),
        (silent, StateWord("worker lost", "warn"), lost),
    )
    return [(word, text) for holds, word, text in warnings if holds]


def _reasons_of_tenant(tenant_id: str, figures: TenantFigures, missing: str) -> list[dict[str, str]]:
    cut = sum(figures.reasons.values()) >= MAX_COUNTED
    reasons = {(tenant_id, reason): count for reason, count in figures.reasons.items()}
    return _waiting_reasons(reasons, figures.reasons if cut else (), missing)


def _reasons_of_all(reasons: Mapping[tuple[str, str], int], missing: str) -> list[dict[str, str]]:
    cut = {reason for (_, reason), count in reasons.items() if count >= MAX_PER_REASON}
    return _waiting_reasons(reasons, cut, missing)


def _waiting_reasons(
    reasons: Mapping[tuple[str, str], int], cut: Collection[str], missing: str
) -> list[dict[str, str]]:
    tenants: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (tenant_id, reason), count in reasons.items():
        tenants[reason][tenant_id] += count
    rows = []
    for reason, count in _most_first({reason: counts.total() for reason, counts in tenants.items()}):
        cause = known_cause(reason)
        step = _step_of(cause, [tenant_id for tenant_id, _ in _most_first(tenants[reason])]) if cause else ""
        step = step or f"none: continues by itself{f' once {missing}' if missing else ''}"
        jobs = _at_least(count, is_cut=reason in cut)
        rows.append({"reason": reason, "cause": cause_of(reason).verdict.value, "jobs": jobs, "step": step})
    return rows


def _step_of(cause: JobCause, tenant_ids: Sequence[str]) -> str:
    """Return the operator's step for jobs of these tenants, with the values of the first."""
    first, *others = tenant_ids
    step = cause.action_for(first)
    return f"{step}; the same for {', '.join(others)}" if others and step != cause.action else step


class TenantHealth(NamedTuple):
    """A tenant's health in one word, and its reasons as text."""

    tenant_id: str
    health: StateWord
    why: str


async def health_of_all(
    database: Database, tenants: Sequence[Tenant], missing: str, *, is_tenant_user: bool = False
) -> tuple[list[TenantHealth], bool]:
    """Return the health of each tenant, and whether all of it is known. Every page shows this one.

    `is_tenant_user` hides other tenants' data.
    """
    now = datetime.now(UTC)
    parts = await asyncio.gather(
        in_time(queries.reasons_of_waiting(database)),
        in_time(queries.outcomes(database, [tenant.id for tenant in tenants])),
        in_time(rejections.refused_tenants(database, now - LATELY)),
        in_time(missed_webhooks.missed_of_all(database, now - LATELY)),
        in_time(queries.due_jobs(database) if missing else asyncio.sleep(0, {})),
    )
    reasons, ended, refused, missed, due = parts
    if is_tenant_user:
        refused = [each._replace(reason=reason_for_tenant(each.reason)) for each in refused or ()]
    healths = summarize(tenants, now, reasons=reasons, ended=ended, refused=refused, missed=missed, due=due)
    return healths, None not in parts


def summarize(
    tenants: Sequence[Tenant],
    now: datetime,
    *,
    reasons: Mapping[tuple[str, str], int] | None = None,
    ended: Mapping[str, tuple[int, int]] | None = None,
    refused: Sequence[RefusedTenant] | None = None,
    missed: Mapping[str, MissedCount] | None = None,
    due: Mapping[str, int] | None = None,
) -> list[TenantHealth]:
    """Return the health of each tenant, worst first.

    `reasons`: (tenant id, reason) -> waiting jobs. `ended`: tenant id -> completed and failed jobs, if any failed.
    `due`: tenant id -> due jobs, while no worker takes any. None: unknown.
    """
    due, missed, ended = due or {}, missed or {}, ended or {}
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for (tenant_id, reason), count in (reasons or {}).items():
        waiting[tenant_id].append(f"{counted(count, MAX_PER_REASON)} waiting: {reason}")
    refusals = {
        each.tenant_id: f"last webhook refused {_since(each.rejected_at, now)}: {each.reason}" for each in refused or ()
    }
    due_cut = sum(due.values()) >= MAX_COUNTED

    def problems_of(tenant: Tenant) -> list[tuple[str, str]]:
        problems = []
        completed, failures = ended.get(tenant.id, (0, 0))
        if not tenant.usable:
            problems.append(("down" if settings_word(tenant).tone == "bad" else "degraded", "settings must be fixed"))
        if failures:
            rate = completed / (completed + failures)
            number = _at_least(failures, is_cut=completed + failures >= MAX_COUNTED)
            level = "healthy" if rate >= GOOD_RATE else "degraded" if completed else "down"
            problems.append((level, f"{number} failed, success rate {percent(rate)}"))
        # A polled desk needs no webhook.
        if not tenant.polled and tenant.id in refusals:
            problems.append(("degraded", refusals[tenant.id]))
        if jobs := due.get(tenant.id, 0):
            problems.append(("down", f"{_at_least(jobs, is_cut=due_cut)} due, and no worker takes jobs"))
        missed_count = missed.get(tenant.id, MissedCount())
        if not tenant.polled and missed_count.last_at is not None and (word := missed_word(missed_count, now)):
            level = "healthy" if word.tone == "info" else "degraded"
            problems.append((level, f"{word.text}, the last one {_since(missed_count.last_at, now)}"))
        problems += [("degraded", why) for why in waiting[tenant.id]]
        if due_cut and all(level == "healthy" for level, _ in problems):
            problems.append(("unknown", "more jobs are due than are counted"))
        return problems

    def health(tenant: Tenant) -> TenantHealth:
        problems = problems_of(tenant)
        word = next(level for level in _HEALTH if level == "healthy" or level in {each for each, _ in problems})
        return TenantHealth(tenant.id, StateWord(word, _HEALTH[word]), "; ".join(why for _, why in problems))

    def order(each: TenantHealth) -> tuple[int, int, str]:
        _, failures = ended.get(each.tenant_id, (0, 0))
        return [*_HEALTH].index(each.health.text), -failures, each.tenant_id

    return sorted(map(health, tenants), key=order)


def _since(at: datetime, now: datetime) -> str:
    return f"{age((now - at).total_seconds())} ago"


def _at_least(count: int, *, is_cut: bool) -> str:
    return f"{count:,}{' or more' if is_cut else ''}"


def reason_for_tenant(reason: str) -> str:
    """Return a refusal's reason for the tenant's users, without other tenants' data."""
    kind, _, cause = reason.partition(": ")
    return kind if "another tenant" in cause else reason


def settings_word(tenant: Tenant) -> StateWord:
    if tenant.usable:
        return StateWord("valid", "ok")
    if tenant.accepts_webhooks or (tenant.polled and tenant.desk is not None):
        return StateWord("partly valid", "warn")
    return StateWord("closed", "bad")


def tenant_panel(
    tenant: Tenant, figures: TenantFigures | None, *, is_tenant_user: bool, missing: str = ""
) -> dict[str, Any]:
    """Return the panel of a tenant's settings and figures.

    `figures` is None if the database did not answer. `is_tenant_user`: the reader is a user of this tenant. `missing`
    is as in `missing_condition`.
    """
    marks = {
        "dry run: tickets get no note": tenant.dry_run,
        "the model's key was removed: the model is not called": tenant.model.withdrawn,
        f"at most {tenant.share.most_running} jobs run at a time": tenant.share.most_running is not None,
        f"texts sent to the model are kept for {tenant.audit_days} days": tenant.audit_days > 0,
    }
    panel = {
        "tenant": tenant,
        "settings": settings_word(tenant),
        "marks": [mark for mark, holds in marks.items() if holds],
        "figures": figures,
        "reasons": [],
    }
    if figures is None:
        return panel
    refused, rate = figures.last_refused, figures.success_rate
    if refused is not None and is_tenant_user:
        panel["figures"] = replace(figures, last_refused={**refused, "reason": reason_for_tenant(refused["reason"])})
    return panel | {
        "reasons": _reasons_of_tenant(tenant.id, figures, missing),
        "rate": percent(rate),
        "missed": missed_word(figures.missed, figures.read_at),
    }


def missed_word(missed: MissedCount, now: datetime) -> StateWord | None:
    if missed.last_at is None:
        return None
    noun = "webhook" if missed.missed == 1 else "webhooks"
    text = f"{_at_least(missed.missed, is_cut=missed.is_cut)} {noun} missed"
    return StateWord(text, "warn" if now - missed.last_at <= _MISSED_JUST_NOW else "info")
