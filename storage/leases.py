"""Held claims: renewed or given back, many in one statement."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from storage.claims import Claim
from storage.session import DATABASE_FAILURES, Database, is_locked

_HELD = (
    "unnest(CAST(:tenants AS text[]), CAST(:ids AS uuid[]), CAST(:tokens AS uuid[]), CAST(:attempts AS integer[]))"
    " WITH ORDINALITY AS h (tenant, id, token, attempt, number) ORDER BY h.number"
)
_RENEW = text(f"SELECT renew_lease(h.tenant, h.id, h.token, :lease) AS changed FROM {_HELD}")  # noqa: S608 -- text above
_GIVE_BACK = text(f"SELECT give_job_back(h.tenant, h.id, h.token, h.attempt) AS changed FROM {_HELD}")  # noqa: S608
_LOCKED = text(
    "WITH free AS (SELECT j.id FROM jobs j WHERE j.id = ANY (:ids) FOR NO KEY UPDATE SKIP LOCKED)"
    " SELECT j.id FROM jobs j WHERE j.id = ANY (:ids) AND NOT EXISTS (SELECT FROM free f WHERE f.id = j.id)"
)


async def renew(database: Database, held: Sequence[Claim], lease_seconds: float) -> list[bool | Exception]:
    """Renew the leases for `lease_seconds`; False for lost claims.

    An exception for rows that are locked. Raises one of DATABASE_FAILURES if all fail.
    """
    return await _change(database, held, _RENEW, lease=timedelta(seconds=lease_seconds))


async def give_back(database: Database, held: Sequence[Claim]) -> list[bool | Exception]:
    """Undo the claims of a worker that stops; results as in `renew`."""
    return await _change(database, held, _GIVE_BACK)


async def _change(
    database: Database, held: Sequence[Claim], change: TextClause, **values: Any
) -> list[bool | Exception]:
    try:
        return [*await _change_all(database, held, change, **values)]
    except DATABASE_FAILURES as failure:
        if len(held) == 1 or not is_locked(failure):
            raise
        refused = failure
    # One row is locked, and the others should not wait. Row-level security needs a query for each tenant.
    locked: set[UUID] = set()
    for tenant_id in {claim.tenant_id for claim in held}:
        ids = [claim.job_id for claim in held if claim.tenant_id == tenant_id]
        (found,) = await database.call_as(tenant_id, _LOCKED, ids=ids)
        locked.update(row["id"] for row in found)
    free = [claim for claim in held if claim.job_id not in locked]
    changed = iter(await _change_all(database, free, change, **values))
    return [refused if claim.job_id in locked else next(changed) for claim in held]


async def _change_all(database: Database, held: Sequence[Claim], change: TextClause, **values: Any) -> list[bool]:
    of_each = {
        "tenants": [one.tenant_id for one in held],
        "ids": [one.job_id for one in held],
        "tokens": [one.token for one in held],
        "attempts": [one.attempt for one in held],
    }
    return [bool(row["changed"]) for row in await database.call(change, **of_each, **values)]
