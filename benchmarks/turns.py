"""`python -m benchmarks.turns`: what a claim costs Postgres, by how many jobs wait and of how many tenants they are.

The same statement as a worker's, over one connection, with 128 jobs in flight. Each size has an embedded Postgres of
its own, and they take turns, so that whatever else the machine does is in all of them. In each row the median and the
CPU of the server's process, in milliseconds, and both as a ratio to the first row.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from uuid import uuid4

import psycopg

from benchmarks.proc import cpu_seconds
from devstack.postgres import Postgres
from storage.limits import TURN_LOOKS
from storage.migrating import migrate

_PLACES = 128
_WARM_UP = 50
_BATCH = 50
_CLAIM = (
    "SELECT id, tenant_id, attempt FROM claim_next_job("
    "'benchmark', %s, '1 hour', 8, '15 s', '1 day', '10 min', 'x', 'x', '{}', '{}', '{}', %s)"
)
_FILL = (
    "INSERT INTO jobs (id, tenant_id, ticket_id, due_at, deadline_at, published_at)"
    " SELECT gen_random_uuid(), 'tenant-' || n %% %(tenants)s, n, now() - interval '1 hour' + n * interval '1 ms',"
    " now() + interval '1 day', now() FROM generate_series(1, %(rows)s::integer) n"
)


class ClaimCost(NamedTuple):
    """Of one claim, in milliseconds."""

    median: float
    cpu: float


class _Size:
    """A server of its own, with so many waiting jobs of so many tenants."""

    def __init__(self, folder: Path, rows: int, tenants: int) -> None:
        self.rows, self.tenants = rows, tenants
        self._times: list[float] = []
        self._cpu = 0.0
        self._running: list[tuple[object, ...]] = []
        self._server = Postgres(folder)

    def __enter__(self) -> Self:
        self._server.start()
        migrate(self._server.admin_url, self._server.url)
        with psycopg.connect(self._server.superuser_url, autocommit=True) as owner:
            owner.execute(_FILL, {"rows": self.rows, "tenants": self.tenants})
            owner.execute("VACUUM ANALYZE jobs")
        self._connection = psycopg.connect(self._server.url, autocommit=True)
        for _ in range(_PLACES + _WARM_UP):
            self._claim()
            self._end(beyond=_PLACES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._server.stop()
        self._server.discard()

    def _claim(self) -> float:
        token = uuid4()
        began = time.perf_counter()
        claimed = self._connection.execute(_CLAIM, (token, TURN_LOOKS), prepare=True).fetchone()
        took = (time.perf_counter() - began) * 1000
        assert claimed is not None  # noqa: S101 -- there are more waiting jobs than claims
        self._running.append((claimed[1], claimed[0], token, claimed[2]))
        return took

    def _end(self, *, beyond: int) -> None:
        while len(self._running) > beyond:
            self._connection.execute("SELECT complete_job(%s, %s, %s, %s, 'n')", self._running.pop(0), prepare=True)

    def measure(self, claims: int) -> None:
        """Claim so many jobs, and then end as many."""
        before = cpu_seconds(self._connection.info.backend_pid)
        self._times += [self._claim() for _ in range(claims)]
        self._cpu += cpu_seconds(self._connection.info.backend_pid) - before
        self._end(beyond=_PLACES)

    @property
    def cost(self) -> ClaimCost:
        """Of a claim, so far."""
        return ClaimCost(statistics.median(self._times), self._cpu / len(self._times) * 1000)


def main(words: Sequence[str] | None = None) -> None:
    """Measure all sizes in turn, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000], help="waiting jobs")
    parser.add_argument("--tenants", type=int, nargs="+", default=[1, 1_000], help="whose they are")
    parser.add_argument("--claims", type=int, default=2_000, help="for each row of the table (default: 2000)")
    given = parser.parse_args(words)
    sizes = [(rows, tenants) for rows in given.rows for tenants in given.tenants]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        found = []
        for number, (rows, tenants) in enumerate(sizes):
            own = Path(folder) / str(number)
            own.mkdir()
            found.append(stack.enter_context(_Size(own, rows, tenants)))
        for _ in range(given.claims // _BATCH):
            for size in found:
                size.measure(_BATCH)
    sys.stdout.write("| waiting jobs | tenants | p50 | ratio | CPU | ratio |\n|---|---|---|---|---|---|\n")
    first = found[0].cost
    for size in found:
        median = f"{size.cost.median:.2f} | {size.cost.median / first.median:.2f}"
        cpu = f"{size.cost.cpu:.2f} | {size.cost.cpu / first.cpu:.2f}"
        sys.stdout.write(f"| {size.rows:,} | {size.tenants:,} | {median} | {cpu} |\n")


if __name__ == "__main__":
    main()
