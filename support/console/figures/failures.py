"""What jobs failed with lately, by cause; and what lets some of them be tried again, and what that costs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.ends import MOST_COUNTED, EndCause, JobEnd
from support.console.figures.wording import Moment, moment
from support.diagnose.reasons import cause_of
from support.diagnose.verdicts import FAQ, MEANINGS, VerdictCode


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One cause: the verdict that its reasons come to, how many jobs, when the last one ended, and each reason."""

    code: str
    means: str
    document: str
    jobs: int
    last: Moment
    reasons: Sequence[tuple[str, int]]
    tenants: Sequence[str]


@dataclass(frozen=True, slots=True)
class EndedRow:
    """One job of the list."""

    job_id: str
    tenant_id: str
    ticket_id: str
    reason: str
    attempt: int
    ended: Moment
    answered: bool


def verdict_of(reason: str | None) -> VerdictCode:
    """Return the verdict that the reason of a job which has ended comes to."""
    return cause_of(reason).verdict


def by_cause(causes: Sequence[EndCause], now: datetime) -> list[CauseRow]:
    """Put together what comes to the same verdict, the commonest first."""
    groups: defaultdict[VerdictCode, list[EndCause]] = defaultdict(list)
    for cause in causes:
        groups[verdict_of(cause.reason)].append(cause)
    rows = [_row(code, group, now) for code, group in groups.items()]
    return sorted(rows, key=lambda row: (-row.jobs, row.code))


def _row(code: VerdictCode, group: Sequence[EndCause], now: datetime) -> CauseRow:
    reasons: defaultdict[str, int] = defaultdict(int)
    for cause in group:
        reasons[cause.reason or ""] += cause.jobs
    return CauseRow(
        code=code.value,
        means=MEANINGS[code].means,
        document=f"{FAQ}#{MEANINGS[code].anchor}",
        jobs=sum(reasons.values()),
        last=moment(max(cause.finished_at for cause in group), now),
        reasons=sorted(reasons.items(), key=lambda each: (-each[1], each[0])),
        tenants=sorted({cause.tenant_id for cause in group}),
    )


def is_cut(causes: Sequence[EndCause]) -> bool:
    """Return True if there may be more than was counted."""
    return sum(cause.jobs for cause in causes) >= MOST_COUNTED


def reasons_of(causes: Sequence[EndCause], codes: set[str]) -> list[str]:
    """Return the reasons that come to one of these verdicts."""
    return sorted({cause.reason or "" for cause in causes if verdict_of(cause.reason).value in codes})


def ended_row(job: JobEnd, now: datetime) -> EndedRow:
    """Return a job as the list shows it."""
    ids = str(job.id), job.tenant_id, job.ticket_id
    return EndedRow(*ids, job.reason or "", job.attempt, moment(job.finished_at, now), job.answered)
