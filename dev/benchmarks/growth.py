"""Cost of the frequent statements as the table of jobs grows.

The product's statements over one connection, with 128 jobs in flight. Each table size has its own embedded Postgres.
They alternate, so that other load on the machine affects all. A tenth of the rows waits.
"""

import asyncio
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString, Self

import psycopg

from cli.pilot.postgres import Postgres
from config.tenants import Tenant
from console import queries as console_queries
from console.charts import read_charts
from db.migrate import migrate
from db.session import Database
from dev.benchmarks.report import Benchmark, Goal, Report, table
from jobs import activity, bulk_retry, details, repository
from jobs import statistics as job_statistics
from jobs.activity import JobFilter
from jobs.claims import Claim, complete
from jobs.fair_claim import Shares, claim_next
from jobs.models import JobState
from jobs.report.facts import read_facts

_TENANTS = (1, 16, 1_000)
_BATCH = 20
# The driver prepares a statement at its sixth run, and the server then makes five custom plans.
_WARM_UP = 12
# Batch sizes of the relay (due jobs; overdue or lost jobs), and the limit of `ai-agents jobs`.
_MAX, _MAX_LATE, _SHOWN = 100, 500, 51
# Assumed length of the message list, so that both sizes count equally far.
_LISTED = 200

# A tenant with jobs in every table.
TENANT, TICKET = "tenant-7", "1007"
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
# One in ten waits without a message until later. Half were held back, half failed an attempt.
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
    """A server with filled tables, and one connection like a worker's."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.rows = rows
        self._server = Postgres(folder)
        self._running: list[Claim] = []
        self.database: Database

    def __enter__(self) -> Self:
        self._server.start()
        migrate(self._server.admin_url, self._server.url)
        self._as_owner(_ENDED, rows=self.rows - self.rows // _OPEN_SHARE)
        return self

    def __exit__(self, *_: object) -> None:
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
        self.database = Database(self._server.url, application_name="benchmark", pool_size=1)
        await self.claim(PLACES)

    async def claim(self, jobs: int = 1) -> None:
        for _ in range(jobs):
            claimed = await claim_next(self.database, "benchmark", _LEASE_SECONDS, Shares())
            assert claimed is not None  # noqa: S101 -- there are more waiting jobs than claims
            self._running.append(claimed)

    async def complete(self) -> None:
        await complete(self.database, self._running.pop(0), "n")


Statement = Callable[[Filled], Awaitable[object]]
Times = list[list[float]]
"""Milliseconds of each run, by table."""


def _day_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


STATEMENTS: dict[str, Statement] = {
    "due jobs without a message": lambda on: repository.take_due(on.database, _MAX),
    "jobs whose worker fell silent": lambda on: repository.recover(on.database, _MAX),
    "the same in their last attempt": lambda on: repository.fail_lost(on.database, _MAX, "lost"),
    "jobs past their deadline": lambda on: repository.expire(on.database, _MAX_LATE, "expired"),
    "deadlines of tenants at their limit": lambda on: repository.put_off_deadlines(
        on.database, {TENANT: 1}, 1800, _MAX_LATE
    ),
    "how many messages there should be": lambda on: repository.count_published_and_running(
        on.database, _LISTED + _MAX_LATE
    ),
    "a message that was lost": lambda on: repository.take_without_message(on.database, _LISTED, 1),
    "jobs that wait and run, for metrics": lambda on: job_statistics.job_figures(on.database),
    "jobs that are held back, for metrics": lambda on: job_statistics.jobs_held_back(on.database),
    "the console: the queue": lambda on: console_queries.open_jobs(on.database),
    "the console: why jobs wait": lambda on: console_queries.reasons_of_waiting(on.database),
    "the console: failures by cause": lambda on: console_queries.causes(on.database, None, "failed", _day_ago()),
    "the console: the same of a tenant": lambda on: console_queries.causes(on.database, TENANT, "failed", _day_ago()),
    "the console: failed jobs": lambda on: bulk_retry.ended(on.database, None, "failed", _day_ago(), most=_SHOWN),
    "the console: the same of a tenant and a cause": lambda on: bulk_retry.ended(
        on.database, TENANT, "failed", _day_ago(), reasons=["a reason"], most=_SHOWN
    ),
    "the console: the list of jobs": lambda on: activity.page_of_jobs(on.database, JobFilter(), most=_SHOWN),
    "the console: the same of a tenant, a state and a cause": lambda on: activity.page_of_jobs(
        on.database, JobFilter(TENANT, (JobState.FAILED,), reasons=["a reason"]), most=_SHOWN
    ),
    "the console: the causes of jobs": lambda on: activity.reasons_of_jobs(on.database, None),
    "the console: the charts of a month": lambda on: read_charts(on.database, None, "30d", {}),
    "the report: a month of a tenant": lambda on: read_facts(
        on.database, Tenant(TENANT), _day_ago() - timedelta(days=30), _day_ago(), prices={}, minutes=5
    ),
    "the console: a tenant's figures": lambda on: console_queries.figures_of(on.database, TENANT),
    "`ai-agents jobs`": lambda on: details.listed(on.database, most=_SHOWN),
    "`ai-agents jobs --state failed`": lambda on: details.listed(on.database, states=["failed"], most=_SHOWN),
    "`ai-agents jobs --tenant tenant-7`": lambda on: details.listed(on.database, tenant_id=TENANT, most=_SHOWN),
    "`ai-agents jobs --ticket 1007`": lambda on: details.listed(on.database, ticket_id=TICKET, most=_SHOWN),
}
LINEAR = {
    "jobs that wait and run, for metrics",
    "jobs that are held back, for metrics",
    "the console: the charts of a month",
}
"""Statements that count all open jobs, or all jobs of a month."""
REPORTS = {"the report: a month of a tenant"}
"""Statements that read each job of their period, without a goal."""
BOUNDED = {"the console: the queue", "the console: why jobs wait", "the console: a tenant's figures"}
"""Statements that count open jobs up to a limit; below it their cost grows with the number."""


async def _timed(statement: Statement, on: Filled, runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        await statement(on)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def _claims(tables: Sequence[Filled], claims: int) -> dict[str, Times]:
    claiming, ending = ([list[float]() for _ in tables] for _ in range(2))
    for _ in range(claims // _BATCH):
        for number, on in enumerate(tables):
            claiming[number] += await _timed(Filled.claim, on, _BATCH)
            ending[number] += await _timed(Filled.complete, on, _BATCH)
    return {"a claim": claiming, "the end of a job": ending}


async def _statement_times(tables: Sequence[Filled], runs: int, seconds: float) -> dict[str, Times]:
    """Return each statement's times on each table, in at most `runs` runs."""
    results: dict[str, Times] = {}
    for name, statement in STATEMENTS.items():
        for on in tables:
            await _timed(statement, on, _WARM_UP)
        results[name] = [list[float]() for _ in tables]
        until = time.monotonic() + seconds
        while len(results[name][0]) < runs and time.monotonic() < until:
            for times, on in zip(results[name], tables, strict=True):
                times.extend(await _timed(statement, on, _BATCH // 4))
    return results


async def _measured(tables: Sequence[Filled], options: Namespace, tenants: int) -> dict[str, Times]:
    for on in tables:
        await on.connect()
    results = await _statement_times(tables, options.runs, options.seconds) if tenants == _TENANTS[-1] else {}
    for name, times in (await _claims(tables, options.claims)).items():
        results[f"{name}, {tenants:,} tenant{'s' * (tenants > 1)} with waiting jobs"] = times
    for on in tables:
        await on.database.close()
    return results


def measure(folder: Path, options: Namespace) -> dict[str, list[float]]:
    """Return the median milliseconds of each statement by number of rows."""
    results: dict[str, Times] = {}
    with ExitStack() as stack:
        tables = []
        for rows in options.rows:
            began = time.monotonic()
            (subfolder := folder / str(rows)).mkdir()
            tables.append(stack.enter_context(Filled(subfolder, rows)))
            sys.stderr.write(f"{rows:,} rows: filled in {time.monotonic() - began:.0f} s\n")
        for tenants in _TENANTS:
            for on in tables:
                on.open_for(tenants)
            results |= asyncio.run(_measured(tables, options, tenants))
    return {name: [statistics.median(each) for each in times] for name, times in results.items()}


def _report(folder: Path, options: Namespace) -> Report:
    results = measure(folder, options)
    ratios = {name: medians[-1] / medians[0] for name, medians in results.items()}
    first, *larger = sizes = [f"{rows:,}" for rows in options.rows]
    head = ["statement", f"p50 ms at {first} rows", *larger, "ratio"]
    rows = [[name, *(f"{value:.2f}" for value in medians), f"{ratios[name]:.2f}"] for name, medians in results.items()]
    worst = max(ratio for name, ratio in ratios.items() if name not in LINEAR | BOUNDED | REPORTS)
    counting = max(ratios[name] for name in LINEAR)
    goals = [
        Goal(f"claims, relay and lists with {sizes[-1]} rows, to {sizes[0]}: the worst", worst, most=1.3),
        Goal(f"what counts waiting jobs for metrics with {sizes[-1]} rows, to {sizes[0]}", counting, most=1.3),
    ]
    return Report(table(head, rows), {"rows": options.rows, **results}, goals)


BENCHMARK = Benchmark(
    "growth",
    _report,
    {"rows": [10_000, 300_000], "claims": 400, "runs": 100, "seconds": 5},
    full={"rows": [10_000, 10_000_000], "seconds": 30},
    tiny={"rows": [3000, 6000], "claims": 40, "runs": 10},
)
