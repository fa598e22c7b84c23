"""The panels' forms of queries on made-up series: a sample every 30 s."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.pages import queries
from tests.observability.promtool import promtool

QUERIES = {str(query): query.filled(window="10m") for query in queries()}
FAILED = 'ai_agents_jobs_ended_total{outcome="failed", reason="x", instance="%s"}'
CALLS = 'ai_agents_external_calls_total{server="servicedesk", tenant_id="%s", result="%s"}'


@pytest.mark.parametrize(
    ("panel", "series", "minute", "expected"),
    [
        # Born with its first event.
        ("Failures by Reason A", {FAILED % "1": "_x40 1x60"}, 22, {'{reason="x"}': 1}),
        # It continued.
        ("Failures by Reason A", {FAILED % "1": "_x40 1x10 3x50"}, 28, {'{reason="x"}': 3}),
        # Existing for long, without new events.
        ("Failures by Reason A", {FAILED % "1": "_x40 1x60"}, 40, {'{reason="x"}': 0}),
        # One each half minute.
        ("Failures by Reason A", {FAILED % "1": "0+1x80"}, 40, {'{reason="x"}': 20}),
        # Restarted at 30:30, with none in that half minute.
        ("Failures by Reason A", {FAILED % "1": "0+1x60 0+1x60"}, 35, {'{reason="x"}': 19}),
        # Summed over processes, one of which has just begun.
        ("Failures by Reason A", {FAILED % "1": "0+1x80", FAILED % "2": "_x60 4x20"}, 35, {'{reason="x"}': 24}),
        # 0 only while a process is there to be asked.
        ("Failures by Reason A", {"ai_agents_worker_concurrency": "9x80"}, 20, {'{reason="none"}': 0}),
        ("Failures by Reason A", {"ai_agents_worker_concurrency": "9x10 stale"}, 20, {}),
        # A share is 0 without a part, and nothing without a whole.
        (
            "External API Errors A",
            {
                CALLS % ("a", "failed"): "0+1x80",
                CALLS % ("a", "ok"): "0+3x80",
                CALLS % ("b", "ok"): "0+1x80",
                CALLS % ("c", "ok"): "5x80",
            },
            20,
            {'{tenant_id="a"}': 0.25, '{tenant_id="b"}': 0},
        ),
    ],
)
def test_a_query_counts_whole_events_and_gives_zero_where_it_is_known(
    tmp_path: Path, panel: str, series: dict[str, str], minute: int, expected: dict[str, float]
) -> None:
    asked: dict[str, Any] = {
        "expr": QUERIES[panel],
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
    }
    listed = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "30s", "input_series": listed, "promql_expr_test": [asked]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}), encoding="utf-8")
    promtool("test", "rules", str(path))
