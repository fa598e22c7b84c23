"""`make bench`: all benchmarks, or those that are named; writes what they found into the documents.

Each is a command of its own, too (`python -m benchmarks.webhooks --help`). The tables stand in `docs/benchmarks.md`,
each between its marks; charts and all figures in `docs/benchmarks/`.
"""

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import answers, changes, connections, fairness, growth, held, jobs, observability, starts, webhooks
from benchmarks.charts import bars
from benchmarks.cost import SpansLost
from benchmarks.evaluation import benchmark as evaluation
from benchmarks.ours import WebhooksRefused
from benchmarks.report import GOALS_HEAD, Benchmark, Goal, Report, table
from benchmarks.retrieval import benchmark as retrieval
from benchmarks.side import JobsFailed
from devstack.processes import ProcessFailed
from devstack.programs import PROJECT

# `make bench-retrieval`, and a part of `make bench-full`.
_BY_THEMSELVES = {retrieval.BENCHMARK.name}
# Of answers and not of what they cost: whoever changes the judge measures it again.
_ONLY_IF_NAMED = {evaluation.BENCHMARK.name}
BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        webhooks,
        jobs,
        held,
        fairness,
        growth,
        starts,
        connections,
        observability,
        answers,
        changes,
        retrieval,
        evaluation,
    )
}


def main(words: Sequence[str] | None = None) -> int:
    """Run them one after the other; 1 if a figure is not good enough, 2 when one could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(BENCHMARKS)} (default: all but evaluation; retrieval only with --size full)",
    )
    parser.add_argument("--size", choices=("tiny", "usual", "full"), default="usual", help="(default: usual)")
    parser.add_argument("--documents", type=Path, default=PROJECT / "docs", help="where to write (default: docs)")
    given = parser.parse_args(words)
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    status = 0
    usual = [name for name in BENCHMARKS if name not in _BY_THEMSELVES or given.size == "full"]
    usual = [name for name in usual if name not in _ONLY_IF_NAMED]
    for name in given.names or usual:
        on = machine()
        try:
            found = _measured(name, given.size)
        except (JobsFailed, SpansLost, WebhooksRefused, ProcessFailed) as failure:
            sys.stderr.write(f"{name}: {failure}\n")
            status = 2
            continue
        sys.stdout.write("\n".join((f"## {name}", "", *found.lines, "", "")))
        sys.stdout.flush()
        if found.failed:
            sys.stderr.write(f"{name}: {found.failed}\n")
            status = status or 1
        write(given.documents, name, found, on)
    return status


def _measured(name: str, size: str) -> Report:
    benchmark = BENCHMARKS[name]
    return benchmark.measure({"tiny": benchmark.tiny, "usual": (), "full": benchmark.full}[size])


def machine() -> dict[str, str]:
    """Describe what was measured on, and how busy it was when this began."""
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "day": datetime.now(UTC).date().isoformat(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def write(documents: Path, name: str, found: Report, on: Mapping[str, str]) -> None:
    """Put tables, charts and figures of one benchmark where they belong."""
    page, folder = documents / "benchmarks.md", documents / "benchmarks"
    folder.mkdir(exist_ok=True)
    where = (
        f"Measured on {on['day']}: {on['cores']} cores, {on['system']}, Python {on['python']}, "
        f"load {on['load']} when it began."
    )
    _fill(page, name, [where, "", *found.lines])
    for chart in found.charts:
        drawn = bars(chart.title, chart.unit, chart.bars, where)
        (folder / f"{chart.name}.svg").write_text(drawn, "utf-8")
    results = folder / "results.json"
    known = json.loads(results.read_text("utf-8")) if results.exists() else {}
    goals = [asdict(goal) for goal in found.goals]
    known[name] = {"machine": dict(on), "figures": found.figures, "goals": goals}
    results.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    rows = [Goal(**goal).row() for each in BENCHMARKS for goal in known.get(each, {}).get("goals", ())]
    _fill(page, "goals", table(GOALS_HEAD, rows))


def _fill(page: Path, name: str, lines: Sequence[str]) -> None:
    filled = "\n".join((f"<!-- measured: {name} -->", "", *lines, "", "<!-- measured end -->"))
    marks = re.compile(rf"<!-- measured: {name} -->.*?<!-- measured end -->", re.DOTALL)
    page.write_text(marks.sub(lambda _: filled, page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
