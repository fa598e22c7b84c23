"""Outcome of each accepted webhook, from simulators, rows and log."""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from jobs.repository import DUPLICATE
from observability import log_events
from tests.system.chaos.stage import Death, Excuse, Stage
from tests.system.chaos.stream import AcceptedWebhook

ENDED = ("completed", "skipped", "failed")
# `Task failed` with these words means that the job goes on; any others end it.
_GOES_ON = ("will be retried", "left to another attempt", "will be looked for once more")
_AWAIT_SECONDS, _POLL_SECONDS = 10.0, 0.3
# In the report.
_MAX_SHOWN = 5
_PHRASES = (log_events.TASK_STARTED, log_events.TASK_COMPLETED, log_events.TASK_SKIPPED, log_events.TASK_FAILED)
_BEGINNINGS = [phrase.template.partition("{job_id}")[0] for phrase in _PHRASES]
_WHAT = dict(zip(_BEGINNINGS, ("started", *ENDED), strict=True))
_LINE = re.compile(f"({'|'.join(map(re.escape, _WHAT))})([0-9a-f-]{{36}})([^\n]*)\n")


class Said(NamedTuple):
    job_id: str
    process: str
    what: str
    """One of ENDED for a final line, else `started` or `goes on`."""


class Comparison(NamedTuple):
    missing: list[str]
    """Jobs that ended without a line, and without an excuse."""
    unsaid: int
    """Jobs that ended without one, because the process was killed in between."""
    others: list[str]
    """All else that is wrong, in words."""

    @property
    def problems(self) -> list[str]:
        without = [f"job {job_id} ended without a line, and no process was killed then" for job_id in self.missing]
        return without[:_MAX_SHOWN] + self.others[:_MAX_SHOWN]


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
    missing: list[str] = []
    others: list[str] = []
    unsaid = 0
    for job_id in sorted(job_ids):
        row, lines = rows.get(job_id, {"state": "not there"}), by_job[job_id]
        state, final = row["state"], [line.what for line in lines if line.what in ENDED]
        if state not in ENDED:
            others.append(f"job {job_id} has no end: its row is {state}, its final lines are {final}")
        elif not final:
            cut_off = any(_cut_off(row, lines, death) for death in deaths)
            unsaid += cut_off
            missing += [] if cut_off else [job_id]
        elif final != [state]:
            others.append(f"job {job_id} is {state} in its row, and its final lines are {final}")
    return Comparison(missing, unsaid, others)


def _cut_off(row: Mapping[str, Any], lines: Iterable[Said], death: Death) -> bool:
    """Return True if a death explains the missing line: the death of the worker that began a completed job, or any."""
    its_own = row["state"] != "completed" or any(line.process == death.process for line in lines)
    return its_own and death.cut_off(row["finished"])


def _await_told(stage: Stage, job_ids: Iterable[str], rows: Mapping[str, Mapping[str, Any]]) -> Comparison:
    """Return the comparison once no line is missing or time is up: a line follows the row's end after a moment."""
    give_up_at = time.monotonic() + _AWAIT_SECONDS
    while True:
        # The logs of the whole lives, including restarts.
        processes = (stage.system.api, *stage.system.workers)
        logs = {process.name: process.log_path.read_text("utf-8", errors="replace") for process in processes}
        said = [line for name, log in logs.items() for line in said_in(name, log)]
        told = judged(job_ids, rows, said, stage.deaths)
        if not told.missing or time.monotonic() > give_up_at:
            return told
        time.sleep(_POLL_SECONDS)


_ROWS = (
    "SELECT id::text, state, reason, attempt, extract(epoch FROM finished_at)::float AS finished,"
    " extract(epoch FROM published_at - due_at)::float AS published_late,"
    " extract(epoch FROM clock_timestamp() - published_at)::float AS published_for FROM jobs WHERE id::text = ANY(%s)"
)
# A message held by a worker killed before its claim is missed after a minute.
DRAIN_SECONDS = 150.0
# Age of an unclaimed job's message at which the relay considers its worker dead.
_HELD_SECONDS = 60
# Time until the relay looks for the job if the worker lives.
_CLAIMED_SECONDS = 10
_Call = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Count:
    fault: str
    seconds: float
    accepted: int
    refused: int = 0
    """Deliveries that never got their 202 (one 503 that is tried again is none of them)."""
    completed: int = 0
    lost: int = 0
    """Accepted, and not ended with a note (nothing here closes tickets or gives up for good)."""
    doubled: int = 0
    """Notes, or jobs, beyond one for each webhook; but for those of `held_in_post`."""
    paid_twice: int = 0
    """Answers of GPT-4 beyond one for each job, though the one before was safe or no process was stopped by force."""
    excused: int = 0
    """Answers beyond one, where the one before went to a process that was killed, held still or too late."""
    cut_off: int = 0
    """Calls that our side broke off before the answer was complete, and made again later."""
    unsaid: int = 0
    """Jobs that ended without a line, since the process was killed in between."""
    held_in_post: int = 0
    """Notes beyond one, where the process was held still beyond its lease in the POST: no writer can help that."""
    missed: int = 0
    """Jobs whose message was in the hands of a worker that was killed before its claim: the relay makes up for it."""
    problems: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        nothing_wrong = self.lost == self.doubled == self.paid_twice == self.refused == 0
        return self.accepted > 0 and nothing_wrong and not self.problems


def await_ends(
    stage: Stage, accepted: Sequence[AcceptedWebhook], *, but_held: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the rows by job id once all jobs, or those not held by dead workers, have ended or time is up."""
    ids = list(job_ids_of(accepted))
    give_up_at = time.monotonic() + DRAIN_SECONDS
    while True:
        with stage.world.admin() as connection, connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(_ROWS, (ids,))
            rows = {row["id"]: row for row in found.fetchall()}
        missing = [row for job_id in ids if (row := rows.get(job_id, {})).get("state") not in ENDED]
        if all(but_held and is_held(row) for row in missing) or time.monotonic() > give_up_at:
            return rows
        time.sleep(_POLL_SECONDS)


def job_ids_of(accepted: Iterable[AcceptedWebhook]) -> set[str]:
    return {job_id for webhook in accepted for job_id in webhook.job_ids}


def count(stage: Stage, fault: str, accepted: Sequence[AcceptedWebhook], *, refused: int, began: float) -> Count:
    """Await the jobs; compare each webhook's ticket, row, lines and calls; add the stage's problems."""
    rows = await_ends(stage, accepted)
    told = _await_told(stage, job_ids_of(accepted), rows)
    seconds = time.monotonic() - began
    problems, stage.problems = [*stage.problems, *told.problems], []
    sums: Counter[str] = Counter()
    wrong, paid_again = [], []
    calls = _calls(stage)
    for webhook in accepted:
        ended = [rows[job_id] for job_id in webhook.job_ids if job_id in rows]
        notes = stage.world.notes(webhook.ticket_id, webhook.tenant_id)
        if any(row["reason"] == DUPLICATE for row in ended):
            # The first commit went through, but its sender received the other id while Postgres went away.
            ended = stage.world.jobs(webhook.ticket_id, webhook.tenant_id)
        states = [row["state"] for row in ended]
        done = "completed" in states and bool(notes)
        held = len(notes) == 2 and bool(stage.held_posting & set(webhook.job_ids))
        twice = max(0, len(notes) - 1) + max(0, states.count("completed") - 1) - held
        if twice or not done:
            wrong.append(f"ticket {webhook.ticket_id} has {len(notes)} notes; its jobs: {ended or webhook.job_ids}")
        asked = calls[webhook.ticket_id]
        excuses = [excuse for excuse in (*stage.excuses, *stage.ran_out) if excuse.job_id in webhook.job_ids]
        beyond, excused = answers_beyond_one(asked, excuses)
        if beyond:
            paid_again.append(f"ticket {webhook.ticket_id} paid again: {_story(asked, excuses)}")
        cut_off = sum(call["outcome"] == "client_left" for call in asked[:-1])
        sums.update(completed=done, lost=not done, doubled=twice, held_in_post=held)
        sums.update(paid_twice=beyond, excused=excused, cut_off=cut_off)
    return Count(
        fault,
        seconds,
        len(accepted),
        refused,
        unsaid=told.unsaid,
        missed=sum(is_missed(row) for row in rows.values()),
        problems=(*problems, *wrong[:_MAX_SHOWN], *paid_again[:_MAX_SHOWN]),
        **sums,
    )


def is_held(row: dict[str, Any]) -> bool:
    """Return True if a dead worker may hold the job's message. The row may be empty."""
    return row.get("state") == "waiting" and (row["published_for"] or 0) >= _CLAIMED_SECONDS


def is_missed(row: dict[str, Any]) -> bool:
    """Return True if the job was published again after a held message timed out."""
    return (row["published_late"] or 0) >= _HELD_SECONDS


def _calls(stage: Stage) -> defaultdict[str, list[_Call]]:
    calls: defaultdict[str, list[_Call]] = defaultdict(list)
    for call in sorted(stage.world.gpt4_requests(""), key=lambda call: float(call["time"])):
        if call["outcome"] in ("answered", "client_left") and call["status"] == 200:
            calls[str(call["ticket_id"])].append(call)
    return calls


def answers_beyond_one(calls: Sequence[_Call], excuses: Sequence[Excuse]) -> tuple[int, int]:
    """Return the extra complete answers, without and with an excuse, which is good for one call."""
    unused, beyond = list(excuses), [call for call in calls if call["outcome"] == "answered"][:-1]
    for call in beyond:
        began = float(call["time"])
        if fitting := [excuse for excuse in unused if excuse.covers(began, began + float(call["seconds"]))]:
            unused.remove(fitting[0])
    excused = len(excuses) - len(unused)
    return len(beyond) - excused, excused


def _story(calls: Sequence[_Call], excuses: Sequence[Excuse]) -> str:
    told = [(float(call["time"]), f"{call['outcome']} after {call['seconds']} s") for call in calls]
    told += [(excuse.moment, "its process stopped") for excuse in excuses]
    return "; ".join(f"{moment:.2f} {what}" for moment, what in sorted(told))
