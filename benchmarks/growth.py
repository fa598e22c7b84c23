"""Cost of the frequent statements as the table of jobs grows.

The product's statements over one connection, with 128 jobs in flight. Each table size has its own embedded Postgres;
they alternate, so that other load on the machine affects both. A tenth of the rows waits.
"""

import asyncio
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.filled import TENANT, TICKET, Filled
from benchmarks.proc import thread_cpu_seconds
from benchmarks.report import Benchmark, Goal, Report, table
from storage import by_hand, job_figures, relaying

_TENANTS = (1, 16, 1_000)
_BATCH = 20
# The driver prepares a statement at its sixth run, and the server then makes five custom plans.
_WARM_UP = 12
# The relay's batches of due jobs and of overdue or lost ones, and the limit of `ai-agents jobs`.
_MOST, _MOST_LATE, _SHOWN = 100, 500, 51
# Assumed length of the message list, so that both sizes count equally far.
_LISTED = 200

Ask = Callable[[Filled], Awaitable[object]]


def _day_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


ASKED: dict[str, Ask] = {
    "due jobs without a message": lambda on: relaying.take_due(on.database, _MOST),
    "jobs whose worker fell silent": lambda on: relaying.recover(on.database, _MOST),
    "the same in their last attempt": lambda on: relaying.fail_lost(on.database, _MOST, "lost"),
    "jobs past their deadline": lambda on: relaying.expire(on.database, _MOST_LATE, "expired"),
    "deadlines of tenants at their limit": lambda on: relaying.put_off_deadlines(
        on.database, {TENANT: 1}, 1800, _MOST_LATE
    ),
    "how many messages there should be": lambda on: relaying.count_listed(on.database, _LISTED + _MOST_LATE),
    "a message that was lost": lambda on: relaying.take_without_message(on.database, _LISTED, 1),
    "jobs that wait and run, for metrics": lambda on: job_figures.job_figures(on.database),
    "jobs that are held back, for metrics": lambda on: job_figures.jobs_held_back(on.database),
    "the console: the queue": lambda on: job_figures.open_jobs(on.database),
    "the console: why jobs wait": lambda on: job_figures.reasons_of_waiting(on.database),
    "the console: failures by cause": lambda on: job_figures.causes(on.database, None, "failed", _day_ago()),
    "the console: the same of a tenant": lambda on: job_figures.causes(on.database, TENANT, "failed", _day_ago()),
    "the console: failed jobs": lambda on: job_figures.ended(on.database, None, "failed", _day_ago(), most=_SHOWN),
    "the console: the same of a tenant and a cause": lambda on: job_figures.ended(
        on.database, TENANT, "failed", _day_ago(), reasons=["a reason"], most=_SHOWN
    ),
    "the console: a tenant's figures": lambda on: job_figures.figures_of(on.database, TENANT),
    "`ai-agents jobs`": lambda on: by_hand.listed(on.database, most=_SHOWN),
    "`ai-agents jobs --state failed`": lambda on: by_hand.listed(on.database, states=["failed"], most=_SHOWN),
    "`ai-agents jobs --tenant tenant-7`": lambda on: by_hand.listed(on.database, tenant_id=TENANT, most=_SHOWN),
    "`ai-agents jobs --ticket 1007`": lambda on: by_hand.listed(on.database, ticket_id=TICKET, most=_SHOWN),
}
LINEAR = {"jobs that wait and run, for metrics", "jobs that are held back, for metrics"}
"""What counts jobs that have not ended, each of them."""
BOUNDED = {"the console: the queue", "the console: why jobs wait", "the console: a tenant's figures"}
"""What counts them until there are many, so that it is dearer with a thousand than with a hundred, and then no more."""


@dataclass(slots=True)
class StatementCost:
    """One statement on one table: time and server CPU of each run, in milliseconds."""

    times: list[float] = field(default_factory=list)
    cpu: float = 0.0

    async def add(self, ask: Ask, on: Filled, runs: int) -> None:
        before = thread_cpu_seconds(on.pid)
        for _ in range(runs):
            began = time.perf_counter()
            await ask(on)
            self.times.append((time.perf_counter() - began) * 1000)
        self.cpu += (thread_cpu_seconds(on.pid) - before) * 1000

    def figures(self) -> dict[str, float]:
        return {"p50": statistics.median(self.times), "cpu": self.cpu / len(self.times)}


async def _claims(tables: Sequence[Filled], claims: int) -> dict[str, list[StatementCost]]:
    claiming, ending = ([StatementCost() for _ in tables] for _ in range(2))
    for _ in range(claims // _BATCH):
        for number, on in enumerate(tables):
            await claiming[number].add(Filled.claim, on, _BATCH)
            await ending[number].add(Filled.complete, on, _BATCH)
    return {"a claim": claiming, "the end of a job": ending}


async def _asked(tables: Sequence[Filled], runs: int, seconds: float) -> dict[str, list[StatementCost]]:
    """Return each statement's cost on each table, over `runs` runs or at most `seconds`."""
    found = {}
    for name, ask in ASKED.items():
        for on in tables:
            await StatementCost().add(ask, on, _WARM_UP)
        found[name] = [StatementCost() for _ in tables]
        until = time.monotonic() + seconds
        while len(found[name][0].times) < runs and time.monotonic() < until:
            for cost, on in zip(found[name], tables, strict=True):
                await cost.add(ask, on, _BATCH // 4)
    return found


async def _measured(tables: Sequence[Filled], given: Namespace, tenants: int) -> dict[str, list[StatementCost]]:
    for on in tables:
        await on.connect()
    found = await _asked(tables, given.runs, given.seconds) if tenants == _TENANTS[-1] else {}
    for name, costs in (await _claims(tables, given.claims)).items():
        found[f"{name}, {tenants:,} tenant{'s' * (tenants > 1)} with waiting jobs"] = costs
    for on in tables:
        await on.database.close()
    return found


def measure(folder: Path, given: Namespace) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[StatementCost]] = {}
    with ExitStack() as stack:
        tables = []
        for rows in given.rows:
            began = time.monotonic()
            (own := folder / str(rows)).mkdir()
            tables.append(stack.enter_context(Filled(own, rows)))
            sys.stderr.write(f"{rows:,} rows: filled in {time.monotonic() - began:.0f} s\n")
        for tenants in _TENANTS:
            for on in tables:
                on.open_for(tenants)
            found |= asyncio.run(_measured(tables, given, tenants))
    return {name: [cost.figures() for cost in costs] for name, costs in found.items()}


def _row(name: str, sizes: Sequence[Mapping[str, float]]) -> list[str]:
    cells = [name]
    for of in ("p50", "cpu"):
        cells += [f"{size[of]:.2f}" for size in sizes]
        cells.append(f"{sizes[-1][of] / sizes[0][of]:.2f}")
    return cells


def _report(folder: Path, given: Namespace) -> Report:
    found = measure(folder, given)
    sizes = [f"{rows:,}" for rows in given.rows]
    first, *others = sizes
    head = ["statement", f"p50 ms at {first} rows", *others, "ratio", f"CPU ms at {first} rows", *others, "ratio"]
    rows = [_row(name, costs) for name, costs in found.items()]
    return Report(table(head, rows), {"rows": given.rows, **found}, goals=_goals(found, sizes))


def _goals(found: Mapping[str, Sequence[Mapping[str, float]]], sizes: Sequence[str]) -> list[Goal]:
    ratios = {name: costs[-1]["p50"] / costs[0]["p50"] for name, costs in found.items()}
    worst = max(ratio for name, ratio in ratios.items() if name not in LINEAR | BOUNDED)
    counting = max(ratios[name] for name in LINEAR)
    return [
        Goal(f"claims, relay and lists with {sizes[-1]} rows, to {sizes[0]}: the worst", worst, most=1.3),
        Goal(f"what counts waiting jobs for metrics with {sizes[-1]} rows, to {sizes[0]}", counting, most=1.3),
    ]


BENCHMARK = Benchmark(
    "growth",
    _report,
    {"rows": [10_000, 300_000], "claims": 400, "runs": 100, "seconds": 5},
    full={"rows": [10_000, 10_000_000], "seconds": 30},
    tiny={"rows": [3000, 6000], "claims": 40, "runs": 10},
)
