"""Postgres connections of a worker fleet while jobs wait for the model.

The source is `pg_stat_activity`.
"""

import time
from argparse import Namespace
from pathlib import Path

import psycopg

from benchmarks.ours import Ours
from benchmarks.report import Benchmark, Goal, Report, table

_LOOK_SECONDS = 0.2
_COUNTED = "SELECT application_name, count(*) FROM pg_stat_activity WHERE application_name LIKE 'ai-agents%' GROUP BY 1"


def _report(folder: Path, given: Namespace) -> Report:
    settings = {"WORKER_CONCURRENCY": str(given.places)}
    held, most = 0, dict[str, int]()
    with Ours(folder / "ours", workers=given.workers, seconds=given.seconds, settings=settings) as ours:
        ours.send(given.jobs)
        with psycopg.connect(ours.system.state["database_admin_url"], autocommit=True) as rows:
            while ours.notes().notes < given.jobs:
                held = max(held, ours.asking())
                for name, count in rows.execute(_COUNTED).fetchall():
                    most[name] = max(most.get(name, 0), count)
                time.sleep(_LOOK_SECONDS)
    total = sum(most.values())
    told = f"{given.workers} workers of {given.places} places, {held} jobs in flight at most; API and all, {total}:"
    lines = table(
        ("connections to Postgres", "of all workers, at most"), [(n, str(c)) for n, c in sorted(most.items())]
    )
    goals = [Goal("connections to Postgres, 10 workers and all", total, most=59)]
    return Report([told, "", *lines], {"in_flight": held, "connections": most}, goals=goals)


BENCHMARK = Benchmark(
    "connections",
    _report,
    {"workers": 10, "places": 200, "jobs": 300, "seconds": 8.0},
    full={"jobs": 2000, "seconds": 30.0},
    tiny={"workers": 2, "jobs": 8, "seconds": 1.0},
)
