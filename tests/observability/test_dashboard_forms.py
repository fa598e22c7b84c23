"""The panels' shared query forms on made-up series: a sample every 30 s."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.grafana.queries import grown, or_zero, share
from tests.observability.promtool import promtool

FAILED = 'ai_agents_jobs_ended_total{reason="x", instance="%s"}'
GROWN = grown("ai_agents_jobs_ended_total", "", "reason")
Sample = tuple[str, float]


def holds(folder: Path, series: dict[str, str], query: str, minute: int, expected: list[Sample]) -> None:
    """Assert the query's result at that minute, with a window of 10 minutes."""
    asked: dict[str, Any] = {
        "expr": query.replace("$window", "10m"),
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": labels, "value": value} for labels, value in expected],
    }
    listed = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "30s", "input_series": listed, "promql_expr_test": [asked]}
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}), encoding="utf-8")
    promtool("test", "rules", str(path))


@pytest.mark.parametrize(
    ("values", "minute", "growth"),
    [
        ("_x40 1x60", 22, 1),  # born with its first event
        ("_x40 1x10 3x50", 28, 3),  # and it continued
        ("_x40 1x60", 40, 0),  # existing for long, no new events
        ("0+1x80", 40, 20),  # one each half minute
        ("0+1x60 0+1x60", 35, 19),  # restarted at 30:30, with none in that half minute
    ],
)
def test_growth_counts_whole_events(tmp_path: Path, values: str, minute: int, growth: float) -> None:
    holds(tmp_path, {FAILED % "1": values}, GROWN, minute, [('{reason="x"}', growth)])


def test_growth_is_summed_over_processes_those_that_have_just_begun_too(tmp_path: Path) -> None:
    series = {FAILED % "1": "0+1x80", FAILED % "2": "_x60 4x20"}
    holds(tmp_path, series, GROWN, 35, [('{reason="x"}', 24)])


def test_nothing_is_a_zero_only_while_somebody_is_there_to_be_asked(tmp_path: Path) -> None:
    query = or_zero(GROWN, "ai_agents_worker_concurrency", "reason")
    holds(tmp_path, {"ai_agents_worker_concurrency": "9x80"}, query, 20, [('{reason="none"}', 0)])
    holds(tmp_path, {"ai_agents_worker_concurrency": "9x10 stale"}, query, 20, [])


def test_a_share_is_zero_where_there_is_no_part_and_nothing_where_there_is_no_whole(tmp_path: Path) -> None:
    series = {'part{of="a"}': "1x80", 'whole{of="a"}': "4x80", 'whole{of="b"}': "2x80", 'whole{of="c"}': "0x80"}
    query = share("sum by (of) (part)", "sum by (of) (whole)")
    holds(tmp_path, series, query, 20, [('{of="a"}', 0.25), ('{of="b"}', 0)])
