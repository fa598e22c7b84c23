"""Claims that are held: renewed, many in one statement."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text

from storage.claims import Claim
from storage.session import Database

_RENEW = text(
    "SELECT renew_lease(h.tenant, h.id, h.token, :lease) AS held FROM unnest("
    "CAST(:tenants AS text[]), CAST(:ids AS uuid[]), CAST(:tokens AS uuid[]))"
    " WITH ORDINALITY AS h (tenant, id, token, number) ORDER BY h.number"
)


async def renew_leases(database: Database, held: Sequence[Claim], lease_seconds: float) -> list[bool]:
    """Hold each of these jobs for `lease_seconds` from now; False for those whose claim is lost."""
    of_each = {
        "tenants": [one.tenant_id for one in held],
        "ids": [one.job_id for one in held],
        "tokens": [one.token for one in held],
    }
    rows = await database.call(_RENEW, **of_each, lease=timedelta(seconds=lease_seconds))
    return [bool(row["held"]) for row in rows]
