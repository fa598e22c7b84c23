"""Current state of queue and workers: messages in Redis, jobs in Postgres."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from redis.asyncio import Redis

from storage import job_figures, signs
from storage.job_figures import OpenJobs
from storage.session import Database
from storage.signs import WorkSigns
from storage.tenant_figures import TenantFigures, figures_of
from support.console.figures.asking import PART_SECONDS, in_time
from support.console.figures.wording import StateWord, Tone
from support.diagnose.facts import QueueSigns, nobody_works
from support.diagnose.queue_looks import look_at_queue
from support.diagnose.readings import Reading, reading_of
from support.diagnose.reasons import known_cause

_TONES: dict[Reading, Tone] = {"normal": "ok", "moderate": "info", "high": "warn", "critical": "bad"}
_HINTS: dict[Reading, str] = {
    "normal": "the workers keep up",
    "moderate": "keep an eye on it",
    "high": "more workers: docs/runbooks/high-queue-depth.md",
    "critical": "a P1 incident: docs/runbooks/high-queue-depth.md",
}
_STANDS = StateWord("at a standstill", "bad"), "nobody takes what waits: docs/runbooks/worker-failures.md"


class WaitingReason(NamedTuple):
    """A reason for waiting jobs, their number, and the fix; empty for none."""

    reason: str
    jobs: str
    mends: str


class QueueWarning(NamedTuple):
    """A problem of the queue: a word and its meaning."""

    word: StateWord
    says: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue part of a page. `reading` is None if Redis did not answer.

    Users of all tenants get `looked`, `open_jobs` and `work`, other users `own`; each is None if its store did not
    answer. `reasons` is None if the database did not.
    """

    at: datetime
    reading: StateWord | None
    hint: str
    warnings: list[QueueWarning]
    reasons: list[WaitingReason] | None
    looked: QueueSigns | None
    open_jobs: OpenJobs | None
    work: WorkSigns | None
    own: TenantFigures | None
    lacks: str
    """What has to be there again before due jobs are taken: `a worker runs`; empty for nothing."""


async def queue_view(database: Database, redis: Redis, tenant_id: str | None) -> QueueView:
    """Return the queue now; for one tenant's users, its state and their own jobs."""
    look, signs_of_work = look_at_queue(redis, PART_SECONDS), in_time(signs.signs_of_work(database))
    if tenant_id is not None:
        own: TenantFigures | None
        (looked, failure), work, own = await asyncio.gather(
            look, signs_of_work, in_time(figures_of(database, tenant_id))
        )
        view = _view(
            looked,
            work,
            _of_redis(looked, failure),
            own=own,
            reasons=None if own is None else reasons_of_tenant(own, _lacks(looked, work)),
            waits=own is not None and own.waiting > 0,
        )
        # Both cover all tenants.
        return replace(view, looked=None, work=None)
    (looked, failure), work, open_jobs, reasons = await asyncio.gather(
        look,
        signs_of_work,
        in_time(job_figures.open_jobs(database)),
        in_time(job_figures.reasons_of_waiting(database)),
    )
    return _view(
        looked,
        work,
        [*_of_redis(looked, failure), *_of_workers(looked, work)],
        open_jobs=open_jobs,
        reasons=None if reasons is None else _of_all(reasons, _lacks(looked, work)),
        waits=open_jobs is not None and open_jobs.waiting + open_jobs.later > 0,
    )


async def lacking(database: Database, redis: Redis) -> str:
    """Return the condition for taking jobs again; empty if they are taken."""
    (looked, _), work = await asyncio.gather(look_at_queue(redis, PART_SECONDS), in_time(signs.signs_of_work(database)))
    return _lacks(looked, work)


def reasons_of_tenant(figures: TenantFigures, lacks: str = "") -> list[WaitingReason]:
    """Return the reasons for the tenant's waiting jobs.

    At the count limit each reason may have more.
    """
    cut = sum(figures.reasons.values()) >= job_figures.MOST_COUNTED
    return _waiting_reasons(figures.reasons, figures.reasons if cut else (), lacks)


def _of_all(reasons: Mapping[tuple[str, str], int], lacks: str) -> list[WaitingReason]:
    by_reason: Counter[str] = Counter()
    for (_, reason), count in reasons.items():
        by_reason[reason] += count
    cut = {reason for (_, reason), count in reasons.items() if count >= job_figures.MOST_A_REASON}
    return _waiting_reasons(by_reason, cut, lacks)


def _waiting_reasons(reasons: Mapping[str, int], cut: Collection[str], lacks: str) -> list[WaitingReason]:
    """Describe the reasons, most frequent first; counts in `cut` are lower bounds."""
    told = []
    for reason, count in sorted(reasons.items(), key=lambda each: (-each[1], each[0])):
        cause = known_cause(reason)
        # A fix for one job or ticket does not apply to many.
        mends = "" if cause is None or "{" in cause.mends else cause.mends
        if lacks and not mends:
            mends = f"it goes on by itself once {lacks}"
        told.append(WaitingReason(reason, f"{count:,}{' or more' if reason in cut else ''}", mends))
    return told


def _view(
    looked: QueueSigns | None,
    work: WorkSigns | None,
    warnings: list[QueueWarning],
    *,
    open_jobs: OpenJobs | None = None,
    own: TenantFigures | None = None,
    reasons: list[WaitingReason] | None,
    waits: bool,
) -> QueueView:
    lacks = _lacks(looked, work)
    reading = None if looked is None else reading_of(looked.waiting)
    word = None if reading is None else StateWord(reading, _TONES[reading])
    # A short queue may still have problems: nothing is queued, or nothing taken.
    hint = "" if reading is None or (reading == "normal" and warnings) else _HINTS[reading]
    if looked is not None and lacks and (waits or looked.waiting or looked.held):
        word, hint = _STANDS
    return QueueView(datetime.now(UTC), word, hint, warnings, reasons, looked, open_jobs, work, own, lacks)


def _of_redis(looked: QueueSigns | None, failure: str) -> list[QueueWarning]:
    if failure:
        return [QueueWarning(StateWord("Redis", "bad"), f"Redis was asked, and {failure}")]
    if looked is not None and looked.takes_nothing:
        says = "Redis has no room left, can't write to its disk, or is read-only: no job gets into the queue"
        return [QueueWarning(StateWord("Redis", "bad"), says)]
    return []


def _lacks(looked: QueueSigns | None, work: WorkSigns | None) -> str:
    if looked is None:
        return "Redis answers"
    return "a worker runs" if work is not None and nobody_works(looked, work) else ""


def _of_workers(looked: QueueSigns | None, work: WorkSigns | None) -> list[QueueWarning]:
    if work is None:
        return []
    warnings = []
    if looked is not None and _lacks(looked, work):
        warnings.append(QueueWarning(StateWord("no worker", "bad"), "none has a job, and none listens for one"))
    if work.silent:
        whose = "job's worker has" if work.silent == 1 else "jobs' workers have"
        says = f"{work.silent:,} {whose} fallen silent: queued again within seconds"
        warnings.append(QueueWarning(StateWord("silent", "warn"), says))
    return warnings
