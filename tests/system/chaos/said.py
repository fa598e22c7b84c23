"""Log lines of job ends: one final line, consistent with the row."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devstack.processes import Process
from observability import phrases
from observability.phrases import Phrase

ENDED = ("completed", "skipped", "failed")
# `Task failed` with these words means that the job goes on; any others end it.
_GOES_ON = ("will be retried", "left to another attempt", "will be looked for once more")
# The line follows the commit at once; even a busy process has printed it by then. Statements sent to Postgres before
# the process ended may be executed after it.
_LINE_SECONDS, _LANDING_SECONDS = 2.0, 0.5
_AWAIT_SECONDS, _POLL_SECONDS = 10.0, 0.3
_MOST_TOLD = 5


def _beginning(phrase: Phrase) -> str:
    return phrase.template.partition("{job_id}")[0]


_WHAT = {
    _beginning(phrases.TASK_STARTED): "started",
    _beginning(phrases.TASK_COMPLETED): "completed",
    _beginning(phrases.TASK_SKIPPED): "skipped",
    _beginning(phrases.TASK_FAILED): "failed",
}
_LINE = re.compile(f"({'|'.join(map(re.escape, _WHAT))})([0-9a-f-]{{36}})([^\n]*)\n")


@dataclass(frozen=True, slots=True)
class Said:
    job_id: str
    process: str
    what: str
    """One of ENDED for a final line, else `started` or `goes on`."""


@dataclass(frozen=True, slots=True)
class Death:
    """A killed process, which may have had no time for a line."""

    process: str
    began: float
    """Unix seconds, right before the signal."""
    ended: float
    """Unix seconds, when it was gone."""

    def cut_off(self, finished: float) -> bool:
        """Return True if the process died between a commit at that time and its line."""
        return self.began - _LINE_SECONDS <= finished <= self.ended + _LANDING_SECONDS


@dataclass(frozen=True, slots=True)
class Comparison:
    missing: tuple[str, ...]
    """Jobs that ended without a line, and without an excuse."""
    unsaid: int
    """Jobs that ended without one, because the process was killed in between."""
    others: tuple[str, ...]
    """All else that is wrong, in words."""

    @property
    def problems(self) -> list[str]:
        """Return the problems in words, limited to a readable number."""
        without = [f"job {job_id} ended without a line, and no process was killed then" for job_id in self.missing]
        return without[:_MOST_TOLD] + list(self.others[:_MOST_TOLD])


def said_in(process: str, log: str) -> list[Said]:
    """Return the lines of a log, without an incomplete last one."""
    return [
        Said(job_id, process, "goes on" if any(words in rest for words in _GOES_ON) else _WHAT[beginning])
        for beginning, job_id, rest in _LINE.findall(log)
    ]


def judged(
    job_ids: Iterable[str], rows: Mapping[str, Mapping[str, Any]], said: Iterable[Said], deaths: Sequence[Death]
) -> Comparison:
    by_job: defaultdict[str, list[Said]] = defaultdict(list)
    for line in said:
        by_job[line.job_id].append(line)
    missing, others, unsaid = [], [], 0
    for job_id in sorted(job_ids):
        row, lines = rows.get(job_id, {"state": "not there"}), by_job[job_id]
        state, final = row["state"], [line.what for line in lines if line.what in ENDED]
        if state not in ENDED:
            others.append(f"job {job_id} has no end: its row is {state}, its final lines are {final}")
        elif not final and any(_cut_off(row, lines, death) for death in deaths):
            unsaid += 1
        elif not final:
            missing.append(job_id)
        elif final != [state]:
            others.append(f"job {job_id} is {state} in its row, and its final lines are {final}")
    return Comparison(tuple(missing), unsaid, tuple(others))


def _cut_off(row: Mapping[str, Any], lines: Iterable[Said], death: Death) -> bool:
    """Return True if a death explains the missing line.

    Only the worker that began a job completes it; other ends may be a relay's.
    """
    its_own = row["state"] != "completed" or any(line.process == death.process for line in lines)
    return its_own and death.cut_off(row["finished"])


def await_told(
    processes: Sequence[Process], job_ids: Iterable[str], rows: Mapping[str, Mapping[str, Any]], deaths: Sequence[Death]
) -> Comparison:
    """Return the comparison once no line is missing or time is up.

    A line follows the row's end after a moment.
    """
    wanted = list(job_ids)
    give_up_at = time.monotonic() + _AWAIT_SECONDS
    while True:
        said = [line for process in processes for line in said_in(process.name, _log_of(process))]
        told = judged(wanted, rows, said, deaths)
        if not told.missing or time.monotonic() > give_up_at:
            return told
        time.sleep(_POLL_SECONDS)


def _log_of(process: Process) -> str:
    """Return the log of the process's whole life, including restarts."""
    return process.log_path.read_text(encoding="utf-8", errors="replace")
