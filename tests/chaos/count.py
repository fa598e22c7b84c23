"""What became of each accepted webhook: counted at the simulators and in the rows, never in the log."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from tests.chaos.stage import Stage
from tests.chaos.stream import Accepted

_ENDED = ("completed", "skipped", "failed")
_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Count:
    """The row of the table for one fault."""

    fault: str
    accepted: int
    refused: int
    completed: int
    lost: int
    """Accepted, and not ended with a note (nothing here closes tickets or gives up for good)."""
    doubled: int
    """Notes, or jobs, beyond one for each webhook."""
    paid_twice: int
    """Answers of GPT-4 beyond one for each job, where no call was cut off by us."""
    cut_off: int
    """Answers beyond one that a kill, a pause or a lost database in the middle of the call explains."""
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return self.accepted > 0 and self.lost == self.doubled == self.paid_twice == 0


def await_ends(stage: Stage, accepted: Sequence[Accepted], seconds: float) -> dict[str, dict[str, Any]]:
    """The rows of the jobs by id, when all of them have ended or time is up."""
    ids = [job_id for webhook in accepted for job_id in webhook.job_ids]
    give_up_at = time.monotonic() + seconds
    while True:
        with stage.world.admin() as connection, connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute("SELECT id::text, state, reason, attempt FROM jobs WHERE id::text = ANY(%s)", (ids,))
            rows = {row["id"]: row for row in found.fetchall()}
        missing = [job_id for job_id in ids if rows.get(job_id, {}).get("state") not in _ENDED]
        if not missing or time.monotonic() > give_up_at:
            return rows
        time.sleep(_POLL_SECONDS)


def count(
    stage: Stage,
    fault: str,
    accepted: Sequence[Accepted],
    refused: int,
    rows: dict[str, dict[str, Any]],
    seconds: float,
) -> Count:
    """Look at each webhook's ticket, row and calls."""
    lost = doubled = completed = paid_twice = cut_off = 0
    calls = _answered_calls(stage)
    for webhook in accepted:
        ended = [rows[job_id] for job_id in webhook.job_ids if job_id in rows]
        notes = stage.world.notes(webhook.ticket_id, webhook.tenant_id)
        done = any(row["state"] == "completed" for row in ended) and bool(notes)
        completed += done
        lost += not done
        doubled += max(0, len(notes) - 1) + max(0, sum(row["state"] == "completed" for row in ended) - 1)
        beyond = sorted(calls[webhook.ticket_id], key=lambda call: float(call["time"]))[:-1]
        explained = sum(_was_cut(stage, call) for call in beyond)
        cut_off += explained
        paid_twice += len(beyond) - explained
    return Count(fault, len(accepted), refused, completed, lost, doubled, paid_twice, cut_off, seconds)


def _answered_calls(stage: Stage) -> defaultdict[str, list[dict[str, Any]]]:
    """The calls that GPT-4 answered in full, by ticket."""
    calls: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in stage.world.gpt4_requests(""):
        if call["outcome"] == "answered" and call["status"] == 200:
            calls[str(call["ticket_id"])].append(call)
    return calls


def _was_cut(stage: Stage, call: dict[str, Any]) -> bool:
    """Whether a process was killed or held still while the call was under way, or before its answer was written."""
    began, ended = float(call["time"]), float(call["time"]) + float(call["seconds"] or 0)
    return any(began <= until and ended >= since for since, until in stage.broken)
