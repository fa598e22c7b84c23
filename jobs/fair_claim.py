"""Fair scheduling of tenants at claim time.

A worker claims the oldest due job of the tenant furthest below its share.
"""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from config.tenants import Tenant
from db.session import Database
from jobs.claims import Claim
from jobs.repository import ANOTHER_FIRST, ANOTHER_FIRST_WAIT, ECHO, MAX_ATTEMPTS, MAX_LIFE, NOTE_MISSING

MAX_TENANTS_COMPARED = 16  # by one claim
MIN_TURN = timedelta(seconds=1)  # least charge of a start: else a tenant with jobs deferred at once gets every turn


@dataclass(frozen=True, slots=True)
class Shares:
    """Weights and limits, only of tenants that differ from the default."""

    weights: Mapping[str, float] = field(default_factory=dict)
    most_running: Mapping[str, int] = field(default_factory=dict)
    charged: Mapping[str, int] = field(default_factory=dict)  # slots of jobs that ended within MIN_TURN


class FairShares:
    """The tenants' shares of the workers, for each claim."""

    def __init__(
        self, tenants: Callable[[], Sequence[Tenant]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants = tenants
        self._monotonic = monotonic
        self._charged: deque[tuple[float, str]] = deque()
        self._seen: Sequence[Tenant] | None = None
        self._shares = Shares()

    def shares(self) -> Shares:
        """Return the current shares, with slots charged for short jobs."""
        now = self._monotonic()
        while self._charged and self._charged[0][0] <= now:
            self._charged.popleft()
        tenants = self._tenants()
        if tenants is not self._seen:
            self._seen = tenants
            weights = {each.id: each.share.weight for each in tenants if each.share.weight != 1}
            limits = {each.id: each.share.most_running for each in tenants if each.share.most_running}
            self._shares = Shares(weights, limits)
        return replace(self._shares, charged=Counter(tenant_id for _, tenant_id in self._charged))

    @contextmanager
    def slot(self, tenant_id: str) -> Iterator[None]:
        """Occupy a slot of the tenant for one job, at least for the shortest turn."""
        until = self._monotonic() + MIN_TURN.total_seconds()
        try:
            yield
        finally:
            if self._monotonic() < until:
                # Only almost in the order of `until`, so an entry may stay for up to twice MIN_TURN.
                self._charged.append((until, tenant_id))


class NoStartableJobError(Exception):
    """No due job may start: its tenant is at its limit, or its row is locked."""


_CLAIM = text(
    "SELECT * FROM claim_next_job(:owner, :token, :lease, :attempts, :wait, :longest, :echo, :another_first, :missing,"
    " :weights, :most, :charged, :compared)"
)


async def claim_next(database: Database, owner: str, lease_seconds: float, shares: Shares) -> Claim | None:
    """Claim the next due job; return None if no job is due.

    If the result has `another_first`, its job was deferred instead of claimed. Raises NoStartableJobError.
    """
    token, requested_at = uuid4(), time.monotonic()
    claim = {"owner": owner, "token": token, "lease": timedelta(seconds=lease_seconds)}
    limits = {"attempts": MAX_ATTEMPTS, "wait": ANOTHER_FIRST_WAIT, "longest": MAX_LIFE, "echo": ECHO}
    reasons = {"another_first": ANOTHER_FIRST, "missing": NOTE_MISSING}
    tenants = {"weights": shares.weights, "most": shares.most_running, "charged": shares.charged}
    by_tenant = {name: json.dumps(value) for name, value in tenants.items()}
    rows = await database.call(_CLAIM, **claim, **limits, **reasons, **by_tenant, compared=MAX_TENANTS_COMPARED)
    if not rows:
        return None
    row = dict(rows[0])
    if (job_id := row.pop("id")) is None:
        raise NoStartableJobError
    return Claim(job_id=job_id, token=token, owner=owner, requested_at=requested_at, **row)
