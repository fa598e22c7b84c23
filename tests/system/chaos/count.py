"""Outcome of each accepted webhook, from simulators, rows and log."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from storage.jobs import DUPLICATE
from tests.system.chaos.held import Excuse
from tests.system.chaos.said import ENDED, Comparison
from tests.system.chaos.stage import Stage
from tests.system.chaos.stream import AcceptedWebhook

_POLL_SECONDS = 0.3
_ROWS = (
    "SELECT id::text, state, reason, attempt, extract(epoch FROM finished_at)::float AS finished,"
    " extract(epoch FROM published_at - due_at)::float AS published_late,"
    " extract(epoch FROM clock_timestamp() - published_at)::float AS published_for FROM jobs WHERE id::text = ANY(%s)"
)
# Age of an unclaimed job's message at which the relay considers its worker dead.
_HELD_SECONDS = 60
# Time until the relay looks for the job if the worker lives.
_CLAIMED_SECONDS = 10
# Of tickets that are paid for again; the table has their number.
_MOST_TOLD = 5
_Call = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Count:
    fault: str
    seconds: float
    accepted: int
    refused: int
    """Deliveries that never got their 202 (one 503 that is tried again is none of them)."""
    completed: int
    lost: int
    """Accepted, and not ended with a note (nothing here closes tickets or gives up for good)."""
    doubled: int
    """Notes, or jobs, beyond one for each webhook; but for those of `held_in_post`."""
    paid_twice: int
    """Answers of GPT-4 beyond one for each job, though the one before was safe or no process was stopped by force."""
    excused: int
    """Answers beyond one, where the one before went to a process that was killed, held still or too late."""
    cut_off: int
    """Calls that our side broke off before the answer was complete, and made again later."""
    unsaid: int
    """Jobs that ended without a line, since the process was killed in between."""
    held_in_post: int
    """Notes beyond one, where the process was held still beyond its lease in the POST: no writer can help that."""
    missed: int
    """Jobs whose message was in the hands of a worker that was killed before its claim: the relay makes up for it."""
    problems: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Return True if nothing was lost, doubled or refused."""
        nothing_wrong = self.lost == self.doubled == self.paid_twice == self.refused == 0
        return self.accepted > 0 and nothing_wrong and not self.problems


def await_ends(
    stage: Stage, accepted: Sequence[AcceptedWebhook], seconds: float, *, but_held: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the rows by job id when all jobs have ended or time is up.

    `but_held` excludes jobs held by dead workers.
    """
    ids = [job_id for webhook in accepted for job_id in webhook.job_ids]
    give_up_at = time.monotonic() + seconds
    while True:
        with stage.world.admin() as connection, connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(_ROWS, (ids,))
            rows = {row["id"]: row for row in found.fetchall()}
        missing = [row for job_id in ids if (row := rows.get(job_id, {})).get("state") not in ENDED]
        if all(but_held and is_held(row) for row in missing) or time.monotonic() > give_up_at:
            return rows
        time.sleep(_POLL_SECONDS)


def count(
    stage: Stage,
    fault: str,
    accepted: Sequence[AcceptedWebhook],
    rows: dict[str, dict[str, Any]],
    told: Comparison,
    *,
    refused: int,
    seconds: float,
) -> Count:
    """Compare each webhook's ticket, row and calls; add the problems of stage and log."""
    problems, stage.problems = [*stage.problems, *told.problems], []
    lost = doubled = completed = held_in_post = 0
    wrong = []
    for webhook in accepted:
        ended = [rows[job_id] for job_id in webhook.job_ids if job_id in rows]
        notes = stage.world.notes(webhook.ticket_id, webhook.tenant_id)
        if any(row["reason"] == DUPLICATE for row in ended):
            # The first commit went through, but its sender received the other id while Postgres went away.
            ended = stage.world.jobs(webhook.ticket_id, webhook.tenant_id)
        states = [row["state"] for row in ended]
        done = "completed" in states and bool(notes)
        twice = max(0, len(notes) - 1) + max(0, states.count("completed") - 1)
        if len(notes) == 2 and stage.held_posting & set(webhook.job_ids):
            held_in_post, twice = held_in_post + 1, twice - 1
        completed += done
        lost += not done
        doubled += twice
        if twice or not done:
            wrong.append(f"ticket {webhook.ticket_id} has {len(notes)} notes; its jobs: {ended or webhook.job_ids}")
    problems += wrong[:_MOST_TOLD]
    calls = _judged_calls(stage, accepted)
    problems += [f"ticket {one.ticket_id} paid again: {one.story}" for one in calls if one.paid_twice][:_MOST_TOLD]
    paid_twice, excused, cut_off = (
        sum(one.paid_twice for one in calls),
        sum(one.excused for one in calls),
        sum(one.cut_off for one in calls),
    )
    return Count(
        fault,
        seconds,
        len(accepted),
        refused,
        completed,
        lost,
        doubled,
        paid_twice,
        excused,
        cut_off,
        told.unsaid,
        held_in_post,
        sum(is_missed(row) for row in rows.values()),
        tuple(problems),
    )


def is_held(row: dict[str, Any]) -> bool:
    """Return True if a dead worker may hold the job's message. The row may be empty."""
    return row.get("state") == "waiting" and (row["published_for"] or 0) >= _CLAIMED_SECONDS


def is_missed(row: dict[str, Any]) -> bool:
    """Return True if the job was published again after a held message timed out."""
    return (row["published_late"] or 0) >= _HELD_SECONDS


@dataclass(frozen=True, slots=True)
class _Calls:
    """One ticket's calls: extra answers with and without excuse, and aborted calls."""

    ticket_id: str
    paid_twice: int
    excused: int
    cut_off: int
    story: str


def _judged_calls(stage: Stage, accepted: Sequence[AcceptedWebhook]) -> list[_Calls]:
    by_ticket = _calls(stage)
    judged = []
    for webhook in accepted:
        asked = by_ticket[webhook.ticket_id]
        excuses = [excuse for excuse in stage.all_excuses if excuse.job_id in webhook.job_ids]
        beyond, excused = answers_beyond_one(asked, excuses)
        cut_off = sum(call["outcome"] == "client_left" for call in asked[:-1])
        judged.append(_Calls(webhook.ticket_id, beyond, excused, cut_off, _story(asked, excuses)))
    return judged


def _calls(stage: Stage) -> defaultdict[str, list[_Call]]:
    """Return the calls that GPT-4 began to answer, by ticket, oldest first."""
    calls: defaultdict[str, list[_Call]] = defaultdict(list)
    for call in sorted(stage.world.gpt4_requests(""), key=lambda call: float(call["time"])):
        if call["outcome"] in ("answered", "client_left") and call["status"] == 200:
            calls[str(call["ticket_id"])].append(call)
    return calls


def answers_beyond_one(calls: Sequence[_Call], excuses: Sequence[Excuse]) -> tuple[int, int]:
    """Return the number of extra complete answers, without and with an excuse.

    Each excuse is good for one call.
    """
    unused, without, excused = list(excuses), 0, 0
    for call in [call for call in calls if call["outcome"] == "answered"][:-1]:
        fitting = [excuse for excuse in unused if excuse.covers(float(call["time"]), _ended(call))]
        if fitting:
            unused.remove(fitting[0])
            excused += 1
        else:
            without += 1
    return without, excused


def _ended(call: _Call) -> float:
    return float(call["time"]) + float(call["seconds"])


def _story(calls: Sequence[_Call], excuses: Sequence[Excuse]) -> str:
    """Describe the calls and forced stops of a job in order of time."""
    told = [(float(call["time"]), f"{call['outcome']} after {call['seconds']} s") for call in calls]
    told += [(excuse.moment, "its process stopped") for excuse in excuses]
    return "; ".join(f"{moment:.2f} {what}" for moment, what in sorted(told))
