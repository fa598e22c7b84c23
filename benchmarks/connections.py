"""`python -m benchmarks.connections`: connections to Postgres of a fleet of workers whose places are all taken.

Counted in `pg_stat_activity`, by what each connection calls itself, while so many jobs wait for the model.
"""

import argparse
import time
from pathlib import Path

import psycopg

from benchmarks.ours import Ours
from benchmarks.report import Benchmark, Goal, Report, table

HEAD = ("connections to Postgres", "of all workers, at most")
_LOOK_SECONDS = 0.2
_COUNTED = "SELECT application_name, count(*) FROM pg_stat_activity WHERE application_name LIKE 'ai-agents%' GROUP BY 1"


def measure(folder: Path, *, workers: int, places: int, jobs: int, seconds: float) -> tuple[int, dict[str, int]]:
    """Jobs in flight, and connections by name, each at its most. Raises JobsFailed."""
    with Ours(folder / "ours", seconds=seconds, settings={"WORKER_CONCURRENCY": str(places)}) as ours:
        for _ in range(workers - 1):
            ours.system.add_worker()
        held = 0
        most: dict[str, int] = {}
        ours.send(jobs)
        with psycopg.connect(ours.system.state["database_admin_url"], autocommit=True) as rows:
            while ours.notes().notes < jobs:
                held = max(held, ours.asking())
                for name, count in rows.execute(_COUNTED).fetchall():
                    most[name] = max(most.get(name, 0), count)
                time.sleep(_LOOK_SECONDS)
    return held, most


def _report(folder: Path, given: argparse.Namespace) -> Report:
    held, most = measure(folder, workers=given.workers, places=given.places, jobs=given.jobs, seconds=given.seconds)
    rows = [(name, str(count)) for name, count in sorted(most.items())]
    all_of_them = sum(most.values())
    said = (
        f"{given.workers} workers of {given.places} places, {held} jobs in flight at most; API and all, {all_of_them}:"
    )
    goals = [Goal("connections to Postgres, 10 workers and all", all_of_them, most=59)]
    return Report([said, "", *table(HEAD, rows)], {"in_flight": held, "connections": most}, goals=goals)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=10, help="(default: 10)")
    parser.add_argument("--places", type=int, default=200, help="WORKER_CONCURRENCY (default: 200)")
    parser.add_argument("--jobs", type=int, default=300, help="(default: 300)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of the model for an answer (default: 8)")


BENCHMARK = Benchmark(
    "connections",
    _arguments,
    _report,
    full=("--jobs", "2000", "--seconds", "30"),
    tiny=("--workers", "2", "--jobs", "8", "--seconds", "1"),
)

if __name__ == "__main__":
    BENCHMARK.main()
