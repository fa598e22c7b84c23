"""`python -m benchmarks.turns`: what a claim costs Postgres, by how many jobs wait and of how many tenants they are.

The same statement as a worker's, one after the other over one connection, on an embedded Postgres, with 128 jobs in
flight. In each row the median and the CPU of the server's process, in milliseconds, and both as a ratio to the first
row.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psycopg

from benchmarks.proc import cpu_seconds
from devstack.postgres import Postgres
from storage.limits import TURN_LOOKS
from storage.migrating import migrate

_PLACES = 128
_WARM_UP = 50
_CLAIM = (
    "SELECT id, tenant_id, attempt FROM claim_next_job("
    "'benchmark', %s, '1 hour', 8, '15 s', '1 day', '10 min', 'x', 'x', '{}', '{}', '{}', %s)"
)
_FILL = (
    "INSERT INTO jobs (id, tenant_id, ticket_id, due_at, deadline_at, published_at)"
    " SELECT gen_random_uuid(), 'tenant-' || n %% %(tenants)s, n, now() - interval '1 hour' + n * interval '1 ms',"
    " now() + interval '1 day', now() FROM generate_series(1, %(rows)s::integer) n"
)


class Cost(NamedTuple):
    """Of one claim, in milliseconds."""

    median: float
    cpu: float


def _claim_and_end(connection: "psycopg.Connection[tuple[object, ...]]", running: list[tuple[object, ...]]) -> float:
    """Claim a job and end the one that runs longest; how long the claim took, in milliseconds."""
    token = uuid4()
    began = time.perf_counter()
    claimed = connection.execute(_CLAIM, (token, TURN_LOOKS), prepare=True).fetchone()
    took = (time.perf_counter() - began) * 1000
    assert claimed is not None  # noqa: S101 -- there are more waiting jobs than claims
    running.append((claimed[1], claimed[0], token, claimed[2]))
    return took


def _measure(server: Postgres, rows: int, tenants: int, claims: int) -> Cost:
    with psycopg.connect(server.superuser_url, autocommit=True) as owner:
        owner.execute("TRUNCATE jobs, job_events")
        owner.execute(_FILL, {"rows": rows, "tenants": tenants})
        owner.execute("VACUUM ANALYZE jobs")
    with psycopg.connect(server.url, autocommit=True) as connection:
        pid, running = connection.info.backend_pid, list[tuple[object, ...]]()
        for _ in range(_PLACES + _WARM_UP):
            _claim_and_end(connection, running)
            if len(running) > _PLACES:
                connection.execute("SELECT complete_job(%s, %s, %s, %s, 'n')", running.pop(0), prepare=True)
        times, cpu = [], 0.0
        for _ in range(claims):
            before = cpu_seconds(pid)
            times.append(_claim_and_end(connection, running))
            cpu += cpu_seconds(pid) - before
            connection.execute("SELECT complete_job(%s, %s, %s, %s, 'n')", running.pop(0), prepare=True)
    return Cost(statistics.median(times), cpu / claims * 1000)


def main(words: Sequence[str] | None = None) -> None:
    """Measure each size, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000], help="waiting jobs")
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 1_000], help="whose they are")
    parser.add_argument("--claims", type=int, default=1_000, help="in each row of the table (default: 1000)")
    given = parser.parse_args(words)
    sys.stdout.write("| waiting jobs | tenants | p50 | ratio | CPU | ratio |\n|---|---|---|---|---|---|\n")
    first: Cost | None = None
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        with Postgres(Path(folder)) as server:
            migrate(server.admin_url, server.url)
            for rows in given.rows:
                for tenants in given.tenants:
                    cost = _measure(server, rows, tenants, given.claims)
                    first = first or cost
                    median = f"{cost.median:.2f} | {cost.median / first.median:.2f}"
                    cpu = f"{cost.cpu:.2f} | {cost.cpu / first.cpu:.2f}"
                    sys.stdout.write(f"| {rows:,} | {tenants:,} | {median} | {cpu} |\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
