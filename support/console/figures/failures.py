"""Causes of failed jobs, grouped by verdict."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.job_figures import MOST_COUNTED, EndCause
from support.diagnose.reasons import cause_of
from support.diagnose.verdicts import MEANINGS, VerdictCode


@dataclass(frozen=True, slots=True)
class CauseRow:
    """Jobs with the same verdict: their number, last end, and each reason."""

    code: str
    means: str
    jobs: int
    last: datetime
    reasons: Sequence[tuple[str, int]]


def verdict_of(reason: str | None) -> VerdictCode:
    return cause_of(reason).verdict


def by_cause(causes: Sequence[EndCause]) -> list[CauseRow]:
    groups: defaultdict[VerdictCode, list[EndCause]] = defaultdict(list)
    for cause in causes:
        groups[verdict_of(cause.reason)].append(cause)
    rows = []
    for code, group in groups.items():
        reasons: Counter[str] = Counter()
        for cause in group:
            reasons[cause.reason or ""] += cause.jobs
        last = max(cause.finished_at for cause in group)
        by_count = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
        rows.append(CauseRow(code.value, MEANINGS[code].means, reasons.total(), last, by_count))
    return sorted(rows, key=lambda row: (-row.jobs, row.code))


def is_cut(causes: Sequence[EndCause]) -> bool:
    """Return True if the counting stopped at its limit."""
    return sum(cause.jobs for cause in causes) >= MOST_COUNTED


def reasons_of(causes: Sequence[EndCause], codes: set[str]) -> list[str]:
    return sorted({cause.reason or "" for cause in causes if verdict_of(cause.reason).value in codes})
