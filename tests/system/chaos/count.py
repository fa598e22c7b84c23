"""What became of each accepted webhook: counted at the simulators and in the rows, and held against the log."""

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
# So old is a message in the hands of a worker that has not claimed its job when the relay takes the worker for dead.
_HELD_SECONDS = 60
# So long nobody looks for its job, if the worker lives.
_CLAIMED_SECONDS = 10
# Of tickets that are all paid for again; the table has their number.
_MOST_TOLD = 5
_Call = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Count:
    """The row of the table for one fault."""

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
        """True if the promise was kept."""
        nothing_wrong = self.lost == self.doubled == self.paid_twice == self.refused == 0
        return self.accepted > 0 and nothing_wrong and not self.problems


def await_ends(
    stage: Stage, accepted: Sequence[AcceptedWebhook], seconds: float, *, but_held: bool = False
) -> dict[str, dict[str, Any]]:
    """The rows of the jobs by id, when all of them have ended or time is up; `but_held` waits for no dead worker's."""
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
    """Look at each webhook's ticket, row and calls, and at the problems that the stage and the log have."""
    problems, stage.problems = [*stage.problems, *told.problems], []
    lost = doubled = completed = held_in_post = 0
    wrong = []
    for webhook in accepted:
        ended = [rows[job_id] for job_id in webhook.job_ids if job_id in rows]
        notes = stage.world.notes(webhook.ticket_id, webhook.tenant_id)
        if any(row["reason"] == DUPLICATE for row in ended):
            # The first one's commit went through, but its sender heard of the other one: Postgres was just going away.
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
    """Return True if the job's message is taken for one that went down with its worker; the row may be empty."""
    return row.get("state") == "waiting" and (row["published_for"] or 0) >= _CLAIMED_SECONDS


def is_missed(row: dict[str, Any]) -> bool:
    """Return True if the job was published again since its message had been held for too long."""
    return (row["published_late"] or 0) >= _HELD_SECONDS


@dataclass(frozen=True, slots=True)
class _Calls:
    """Those of one ticket: answers beyond one, without an excuse and with one, and calls broken off."""

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
    """The calls that GPT-4 began to answer, by ticket, oldest first."""
    calls: defaultdict[str, list[_Call]] = defaultdict(list)
    for call in sorted(stage.world.gpt4_requests(""), key=lambda call: float(call["time"])):
        if call["outcome"] in ("answered", "client_left") and call["status"] == 200:
            calls[str(call["ticket_id"])].append(call)
    return calls


def answers_beyond_one(calls: Sequence[_Call], excuses: Sequence[Excuse]) -> tuple[int, int]:
    """The number of complete answers beyond the last one, without an excuse and with one; each is good for one call."""
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
    """When each call began, how it ended and when, and when a process was stopped with the job unanswered."""
    told = [(float(call["time"]), f"{call['outcome']} after {call['seconds']} s") for call in calls]
    told += [(excuse.moment, "its process stopped") for excuse in excuses]
    return "; ".join(f"{moment:.2f} {what}" for moment, what in sorted(told))
