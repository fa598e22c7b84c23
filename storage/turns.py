"""Fair scheduling: a woken worker claims for the tenant furthest below its share."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from storage.claims import Claim
from storage.jobs import ANOTHER_FIRST, NOTE_MISSING, Event
from storage.limits import ANOTHER_FIRST_WAIT, ECHO, LONGEST_LIFE, MOST_ATTEMPTS, TURN_LOOKS
from storage.session import Database


@dataclass(frozen=True, slots=True)
class Shares:
    """Tenants' limits and weights for a claim; only tenants that have them."""

    weights: Mapping[str, float] = field(default_factory=dict)
    most_running: Mapping[str, int] = field(default_factory=dict)
    charged: Mapping[str, int] = field(default_factory=dict)
    """Places that count as taken, though their jobs have ended: they ended at once."""


class NoneMayStart(Exception):
    """Due jobs may not start: tenants have their most in flight, or rows are locked."""


_CLAIM = text(
    "SELECT * FROM claim_next_job(:owner, :token, :lease, :attempts, :wait, :longest, :echo, :another_first, :missing,"
    " :weights, :most, :charged, :looks)"
)


_IS_FULL = text(
    "SELECT is_queue_full(:tenant, :most) AND NOT EXISTS"
    " (SELECT FROM delivery_keys k WHERE k.key = ANY (CAST(:keys AS text[])) AND k.expires_at > now()"
    " AND (starts_with(k.key, 'signed:') OR NOT EXISTS"
    " (SELECT FROM jobs j WHERE j.id = k.job_id AND j.state IN ('skipped', 'failed')))) AS is_full"
)


_QUEUE_IS_FULL = text("SELECT is_queue_full(:tenant, :most)")


async def is_queue_full(database: Database, event: Event, most: int) -> bool:
    """Return True if the tenant's queue is full and this delivery would add a job.

    Raises one of DATABASE_FAILURES.
    """
    keys = list(event.dedupe_keys)
    ((row,),) = await database.call_as(event.tenant_id, _IS_FULL, most=most, keys=keys)
    return bool(row["is_full"])


async def has_room(database: Database, tenant_id: str, most: int | None) -> bool:
    """Return True if fewer jobs of the tenant wait than allowed; None is unlimited."""
    return most is None or not await database.call_for_one(_QUEUE_IS_FULL, tenant=tenant_id, most=most)


async def claim_next(database: Database, owner: str, lease_seconds: float, shares: Shares) -> Claim | None:
    """Claim the next job; None if none is due. Raises NoneMayStart.

    A job with `another_first` set was not taken.
    """
    token, asked_at = uuid4(), time.monotonic()
    rows = await database.call(
        _CLAIM,
        owner=owner,
        token=token,
        lease=timedelta(seconds=lease_seconds),
        attempts=MOST_ATTEMPTS,
        wait=ANOTHER_FIRST_WAIT,
        longest=LONGEST_LIFE,
        echo=ECHO,
        another_first=ANOTHER_FIRST,
        missing=NOTE_MISSING,
        weights=json.dumps(shares.weights),
        most=json.dumps(shares.most_running),
        charged=json.dumps(shares.charged),
        looks=TURN_LOOKS,
    )
    if not rows:
        return None
    row = dict(rows[0])
    if (job_id := row.pop("id")) is None:
        raise NoneMayStart
    return Claim(job_id=job_id, token=token, owner=owner, asked_at=asked_at, **row)
