"""A Postgres with a filled table of jobs: mostly ended ones, a tenth waiting."""

from pathlib import Path
from types import TracebackType
from typing import LiteralString, Self

import psycopg
from sqlalchemy import text

from devstack.postgres import Postgres
from storage.claims import Claim, Shares, claim_next, complete
from storage.migrating import migrate
from storage.session import Database

TENANT = "tenant-7"
"""One of those who have jobs in every table."""
TICKET = "1007"
PLACES = 128
_OPEN_SHARE = 10
_LEASE_SECONDS = 3600.0
# Of a hundred tenants, over the last month; one in a hundred has failed.
_ENDED = (
    "INSERT INTO jobs (id, tenant_id, ticket_id, state, reason, attempt, accepted_at, due_at, deadline_at,"
    " published_at, started_at, finished_at, enhancement, model, note_attempted_at, note_id)"
    " SELECT gen_random_uuid(), 'tenant-' || n %% 100, n, CASE WHEN failed THEN 'failed' ELSE 'completed' END,"
    " CASE WHEN failed THEN 'a reason' END, 1, t, t, t + interval '1 hour', t, t, t + interval '45 s',"
    " CASE WHEN NOT failed THEN '{\"summary\": \"S\"}'::jsonb END, 'gpt', t, CASE WHEN NOT failed THEN n END"
    " FROM generate_series(1, %(rows)s) n, LATERAL (SELECT n %% 101 = 0 AS failed,"
    " now() - interval '1 day' - (%(rows)s - n) * (interval '30 days' / %(rows)s) AS t) x"
)
# One in ten waits for a later time without a message: half were held back, half failed an attempt.
_OPEN = (
    "INSERT INTO jobs (id, tenant_id, ticket_id, accepted_at, due_at, deadline_at, reason, attempt, published_at)"
    " SELECT gen_random_uuid(), 'tenant-' || n %% %(tenants)s, 'w' || n, t,"
    " CASE WHEN later THEN now() + interval '6 hours' + n * interval '1 ms' ELSE t END, t + interval '1 day',"
    " CASE n %% 20 WHEN 0 THEN 'held' WHEN 10 THEN 'timeout' END, CASE WHEN n %% 20 = 10 THEN 1 ELSE 0 END,"
    " CASE WHEN NOT later THEN t END"
    " FROM generate_series(1, %(rows)s) n, LATERAL (SELECT n %% 10 = 0 AS later,"
    " now() - interval '1 hour' + n * interval '1 ms' AS t) x"
)
_EVENTS = (
    "INSERT INTO job_events (job_id, tenant_id, attempt, what, reason) SELECT j.id, j.tenant_id, j.attempt,"
    " CASE j.reason WHEN 'held' THEN 'held back' WHEN 'timeout' THEN 'retried' ELSE 'accepted' END, j.reason"
    " FROM jobs j WHERE j.state = 'waiting'"
)


class Filled:
    """The server and one connection like a worker's. `pid` is its server process."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.rows = rows
        self._server = Postgres(folder)
        self._running: list[Claim] = []
        self.database: Database
        self.pid: int

    def __enter__(self) -> Self:
        self._server.start()
        migrate(self._server.admin_url, self._server.url)
        self._as_owner(_ENDED, rows=self.rows - self.rows // _OPEN_SHARE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._server.discard()

    def _as_owner(self, *statements: LiteralString, **values: int) -> None:
        with psycopg.connect(self._server.superuser_url, autocommit=True) as owner:
            for statement in statements:
                owner.execute(statement, values or None)

    def open_for(self, tenants: int) -> None:
        """Refill the waiting tenth with jobs of `tenants` tenants."""
        self._as_owner("DELETE FROM jobs WHERE state IN ('waiting', 'running')", "TRUNCATE job_events")
        self._as_owner(_OPEN, rows=self.rows // _OPEN_SHARE, tenants=tenants)
        self._as_owner(_EVENTS, "VACUUM ANALYZE jobs", "VACUUM ANALYZE job_events", "CHECKPOINT")
        self._running.clear()

    async def connect(self) -> None:
        """Reconnect, and claim as many jobs as a worker has slots."""
        self.database = Database(self._server.url, application_name="benchmark", pool_size=1)
        self.pid = await self.database.call_for_one(text("SELECT pg_backend_pid()"))
        await self.claim(PLACES)

    async def claim(self, jobs: int = 1) -> None:
        for _ in range(jobs):
            claimed = await claim_next(self.database, "benchmark", _LEASE_SECONDS, Shares())
            assert claimed is not None  # noqa: S101 -- there are more waiting jobs than claims
            self._running.append(claimed)

    async def complete(self) -> None:
        await complete(self.database, self._running.pop(0), "n")
