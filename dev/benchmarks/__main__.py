"""`make bench`: all benchmarks, or the named ones, written into the documents.

NAME=VALUE changes a number of a benchmark, such as `webhooks rounds=1 seconds=0.5`. Tables are written between their
markers in `docs/benchmarks.md`, all figures into `docs/benchmarks/results.json`.
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
from typing import Any

from cli.pilot.processes import ProcessFailedError
from cli.pilot.programs import ROOT
from dev.benchmarks import growth, held, jobs, starts, webhooks
from dev.benchmarks.ours import MeasurementError
from dev.benchmarks.report import Benchmark, Goal, Report, table
from dev.benchmarks.retrieval import benchmark as retrieval
from dev.benchmarks.retrieval import trackers

_USUAL = (webhooks, jobs, held, growth, starts)
BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK for module in (*_USUAL, retrieval, trackers)
}
_GOALS_HEAD = ("figure", "measured", "goal", "met")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks in turn; return 2 if one could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m dev.benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="NAME", help="; ".join(map(_usage, BENCHMARKS.values())))
    parser.add_argument("--size", choices=("tiny", "usual", "full"), default="usual", help="(default: usual)")
    parser.add_argument("--documents", type=Path, default=ROOT / "docs", help="where to write (default: docs)")
    options = parser.parse_args(arguments)
    changed = {name: _value(value) for name, _, value in (word.partition("=") for word in options.words) if value}
    names = [word for word in options.words if "=" not in word]
    # Retrieval measures quality, not cost, and has a verb of its own.
    names = names or [module.BENCHMARK.name for module in _USUAL] + ["retrieval"] * (options.size == "full")
    number_names = {number for name in names if name in BENCHMARKS for number in BENCHMARKS[name].usual}
    if unknown := (set(names) - set(BENCHMARKS)) | (set(changed) - number_names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    status = 0
    for name in names:
        machine_state, benchmark = machine(), BENCHMARKS[name]
        numbers = {"tiny": benchmark.tiny, "usual": {}, "full": benchmark.full}[options.size]
        try:
            report = benchmark.measure({**numbers, **changed})
        except (MeasurementError, ProcessFailedError) as failure:
            sys.stderr.write(f"{name}: {failure}\n")
            status = 2
            continue
        sys.stdout.write("\n".join((f"## {name}", "", *report.lines, "", "")))
        sys.stdout.flush()
        write(options.documents, name, report, machine_state)
    return status


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _usage(benchmark: Benchmark) -> str:
    numbers = ", ".join(f"{name}={json.dumps(value)}" for name, value in benchmark.usual.items())
    return f"{benchmark.name} ({numbers})" if numbers else benchmark.name


def machine() -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "day": datetime.now(UTC).date().isoformat(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def write(documents: Path, name: str, report: Report, machine_state: Mapping[str, str]) -> None:
    page, results = documents / "benchmarks.md", documents / "benchmarks" / "results.json"
    results.parent.mkdir(exist_ok=True)
    heading = "Measured on {day}: {cores} cores, {system}, Python {python}, load {load} when it began.".format(
        **machine_state
    )
    _fill(page, name, [heading, "", *report.lines])
    stored = json.loads(results.read_text("utf-8")) if results.exists() else {}
    goals = [asdict(goal) for goal in report.goals]
    stored[name] = {"machine": dict(machine_state), "figures": report.figures, "goals": goals}
    results.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", "utf-8")
    rows = [Goal(**goal).row() for each in BENCHMARKS for goal in stored.get(each, {}).get("goals", ())]
    _fill(page, "goals", table(_GOALS_HEAD, rows))


def _fill(page: Path, name: str, lines: Sequence[str]) -> None:
    filled = "\n".join((f"<!-- table: bench-{name} -->", "", *lines, "", "<!-- end -->"))
    marked = re.compile(rf"<!-- table: bench-{name} -->.*?<!-- end -->", re.DOTALL)
    page.write_text(marked.sub(lambda _: filled, page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
