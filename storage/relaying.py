"""The relay's queries across tenants: ids and counts, by database functions."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from storage.jobs import RETRIED_BY_HAND, WORKER_LOST, Published
from storage.limits import (
    KEYS_KEPT,
    LAST_LOOK,
    LONGEST_LIFE,
    MOST_ATTEMPTS,
    PUBLISHED_LATELY,
    PUT_OFF_AHEAD,
    REJECTIONS_KEPT,
)
from storage.session import Database


def _with_numbers(call: str) -> TextClause:
    numbers = "LEFT JOIN LATERAL numbers_of_job(j.tenant_id, j.id) n ON true"
    return text(f"SELECT j.*, n.* FROM {call} j {numbers}")  # noqa: S608 -- one of those below


_TAKE_DUE = _with_numbers("take_due_jobs(:most, :by_hand)")
_RECOVER = _with_numbers("recover_jobs(:most, :attempts, :reason)")
_FAIL_LOST = _with_numbers("fail_lost_jobs(:most, :attempts, :reason, :lost, :look)")
_EXPIRE = _with_numbers("expire_jobs(:most, :attempts, :reason, :look)")
_PUT_OFF = text("SELECT put_off_deadlines(CAST(:most AS jsonb), :ahead, :by, :longest, :rows)")
_TAKE_WITHOUT_MESSAGE = _with_numbers("take_jobs_without_message(:messages, :most, :lately, :by_hand)")
_COUNT = text("SELECT * FROM count_listed_jobs(:lately, :most)")
_UNPUBLISH = text("SELECT unpublish_jobs(:ids)")
_PURGE = text("SELECT purge_short_lived(:keys, :rejections)")


async def _published(database: Database, question: Any, **values: object) -> list[Published]:
    rows = await database.call(question, **values)
    return [Published(job_id=row["id"], **{name: row[name] for name in row if name != "id"}) for row in rows]


async def take_due(database: Database, most: int) -> list[Published]:
    return await _published(database, _TAKE_DUE, most=most, by_hand=RETRIED_BY_HAND)


async def recover(database: Database, most: int) -> list[Published]:
    return await _published(database, _RECOVER, most=most, attempts=MOST_ATTEMPTS, reason=WORKER_LOST)


async def fail_lost(database: Database, most: int, reason: str) -> list[Published]:
    """Fail and return jobs lost in their last attempt, or look for a posted note."""
    values = {"attempts": MOST_ATTEMPTS, "reason": reason, "lost": WORKER_LOST, "look": LAST_LOOK}
    return await _published(database, _FAIL_LOST, most=most, **values)


async def put_off_deadlines(database: Database, most: Mapping[str, int], deadline_seconds: int, rows: int) -> None:
    """Put off the deadlines of jobs whose tenants have their `most` in flight.

    In time: an attempt that begins just before has some minutes, or half of `deadline_seconds`.
    """
    by = timedelta(seconds=deadline_seconds)
    ahead = min(PUT_OFF_AHEAD, by / 2)
    await database.call(_PUT_OFF, most=json.dumps(dict(most)), ahead=ahead, by=by, longest=LONGEST_LIFE, rows=rows)


async def expire(database: Database, most: int, reason: str) -> list[Published]:
    """Fail and return jobs past their deadline, or look for a posted note."""
    values = {"attempts": MOST_ATTEMPTS, "reason": reason, "look": LAST_LOOK}
    return await _published(database, _EXPIRE, most=most, **values)


async def count_listed(database: Database, most: int) -> tuple[int, int]:
    """Return how many jobs should have a message, up to `most`, and how many run."""
    (row,) = await database.call(_COUNT, lately=PUBLISHED_LATELY, most=most)
    return row["waiting"], row["running"]


async def take_without_message(database: Database, messages: int, most: int) -> list[Published]:
    """Mark the oldest jobs in excess of `messages` as published again; return them."""
    values = {"lately": PUBLISHED_LATELY, "by_hand": RETRIED_BY_HAND}
    return await _published(database, _TAKE_WITHOUT_MESSAGE, messages=messages, most=most, **values)


async def unpublish(database: Database, job_ids: Sequence[UUID]) -> None:
    """Mark jobs as unpublished after a failure of Redis: they are due again."""
    await database.call(_UNPUBLISH, ids=list(job_ids))


async def purge_short_lived(database: Database) -> None:
    """Delete expired delivery keys and sessions, old rejections and missed webhooks."""
    await database.call(_PURGE, keys=KEYS_KEPT, rejections=REJECTIONS_KEPT)
