"""The dashboards and alerts: valid for Grafana and Prometheus, complete for support."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.metrics import MetricWrapperBase

from observability import metrics, metrics_server
from tests.observability.dashboards import CONFIG, PAGES, ROOT, PanelQuery, digest, panels, queries

RUNBOOKS = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
PANELS = [pytest.param(panel, id=panel["title"]) for page in PAGES for panel in panels(page)]
QUERIES = [pytest.param(query, id=str(query)) for query in queries()]
LABELS = {
    family.name + ("_total" if family.type == "counter" else ""): set(metric._labelnames)
    for metric in vars(metrics).values()
    if isinstance(metric, MetricWrapperBase)
    for family in metric.describe()
}
# Labels that Prometheus adds; none has a value per ticket or job.
ADDED = {"le", "instance", "job", "alertname", "alertstate"}
OTHERS = {"up", "ALERTS"} | {
    name.split("{")[0].split(" ")[0]
    for name in metrics_server.render("worker").decode().splitlines()
    if name.startswith("process_")
}


def promtool(*arguments: str) -> None:
    """Run promtool; fail unless it accepts everything."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def limits(page: str, title: str) -> list[float]:
    """Return a panel's thresholds without the first, which has no value."""
    (panel,) = (panel for panel in panels(page) if panel["title"] == title)
    return [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]]


@pytest.mark.parametrize("page", PAGES)
def test_the_picture_shows_the_current_panels(page: str) -> None:
    """`python -m tests.observability.dashboards` makes it, with the panels' digest."""
    picture = (ROOT / "docs" / "pictures" / f"{Path(page).stem}.png").read_bytes()
    assert b"tEXtPanels\0" + digest(page).encode() in picture


@pytest.mark.parametrize("page", PAGES)
def test_grafanas_own_schema_takes_the_file_and_loses_nothing(page: str) -> None:
    register_default_plugins()
    read = Dashboard.from_json(json.loads(json.dumps(PAGES[page])))
    assert json.loads(JSONEncoder().encode(read)) == PAGES[page]


def test_support_finds_the_dashboards_and_panels_by_their_names() -> None:
    assert {page["title"] for page in PAGES.values()} == {"Operations Dashboard", "Baseline Metrics"}
    titles = {page: {panel["title"] for panel in panels(page)} for page in PAGES}
    wanted = {"Failures by Reason", "Latency by Step", "Throughput", "Oldest Job", "Worker Health"}
    assert titles["operations.json"] >= wanted
    assert "Cost per Enhancement" in titles["baseline.json"]


@pytest.mark.parametrize(
    ("page", "title", "known"),
    [
        ("operations", "Queue Depth", [20, 50, 100]),
        ("operations", "Error Rate", [0.05]),
        ("operations", "External API Latency", [2]),
        ("baseline", "Success Rate", [0.95]),
        ("baseline", "p95 Enhancement Latency", [60]),
    ],
)
def test_the_thresholds_are_those_that_support_knows(page: str, title: str, known: list[float]) -> None:
    assert limits(f"{page}.json", title) == known


def test_no_two_have_the_same_id_and_no_panel_lies_on_another() -> None:
    assert len({page["uid"] for page in PAGES.values()}) == len(PAGES)
    for page in PAGES.values():
        ids = [panel["id"] for panel in page["panels"]]
        assert len(set(ids)) == len(ids)
        for one, other in combinations((panel["gridPos"] for panel in page["panels"]), 2):
            apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert one["x"] + one["w"] <= 24


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_says_what_is_normal_and_what_to_do_otherwise(panel: dict[str, Any]) -> None:
    found = re.fullmatch(
        r"\*\*Normal:\*\* .+\.\n\n\*\*Otherwise:\*\* .+[.?]\n\n\*\*Runbook:\*\* `docs/runbooks/(.+)\.md`",
        panel["description"],
    )
    assert found, panel["description"]
    assert found[1] in RUNBOOKS
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_uses_existing_metrics_and_labels(query: PanelQuery) -> None:
    for name, selector in re.findall(r"\b((?:ai_agents|process)_\w+|up|ALERTS)\b(?:{([^}]*)})?", query.expr):
        labels = set(re.findall(r"(\w+)(?:=~|!=|!~|=)", selector))
        if name in OTHERS:
            assert labels <= ADDED
        else:
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert labels <= LABELS[family], (family, labels)
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", query.expr) for label in re.split(", *", group)}
    known = ADDED | set(metrics.LABELS)
    assert grouped <= known
    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= known
    assert query.legend


def test_each_variable_that_a_query_uses_is_the_dashboards() -> None:
    for name, page in PAGES.items():
        defined = {f"${variable['name']}" for variable in page["templating"]["list"]}
        used = {word for query in queries() if query.page == name for word in re.findall(r"\$\w+", query.expr)}
        assert used - {"$__range"} <= defined
        assert {"$tenant", "$window"} <= used


def test_each_query_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query.filled()} for number, query in enumerate(queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", str(path))


def test_prometheus_takes_its_configuration_and_the_alerts_with_it() -> None:
    promtool("check", "config", str(CONFIG))


def test_prometheus_scrapes_each_process_under_its_service_name() -> None:
    """The panels' `job` and the collector's alert depend on these names."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    asked = {job["job_name"]: job["dns_sd_configs"][0] for job in config["scrape_configs"]}
    assert set(asked) == set(metrics_server.PROCESSES)
    assert all(found["names"] == [name] and found["type"] == "A" for name, found in asked.items())
    assert {found["port"] for name, found in asked.items() if name != "api"} == {9464}


FILLED = {str(query): query.filled(window="10m") for query in queries()}
FAILED = 'ai_agents_jobs_ended_total{outcome="failed", reason="x", instance="%s"}'
CALLS = 'ai_agents_external_calls_total{server="servicedesk", tenant_id="%s", result="%s"}'


@pytest.mark.parametrize(
    ("panel", "series", "minute", "expected"),
    [
        # Born with its first event, continued, and existing for long without new events.
        ("Failures by Reason A", {FAILED % "1": "_x40 1x60"}, 22, {'{reason="x"}': 1}),
        ("Failures by Reason A", {FAILED % "1": "_x40 1x10 3x50"}, 28, {'{reason="x"}': 3}),
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
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    asked = {"expr": FILLED[panel], "eval_time": f"{minute}m", "exp_samples": samples}
    listed = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "30s", "input_series": listed, "promql_expr_test": [asked]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}), encoding="utf-8")
    promtool("test", "rules", str(path))


PROOFS = Path(__file__).with_name("alerts.yaml")
TEXT = CONFIG.with_name("alerts.yaml").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^\| `(ai_agents_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)


def test_each_alert_uses_existing_metrics() -> None:
    names_found = set(re.findall(r"\bai_agents_\w+", TEXT))
    assert names_found
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in names_found} <= set(DOCUMENTED)


def test_each_alert_is_proved_to_fire_and_not_to_fire_and_has_a_summary() -> None:
    alerts = re.findall(r"- alert: (\w+)", TEXT)
    proofs = PROOFS.read_text(encoding="utf-8")
    assert TEXT.count("summary: ") == len(alerts)
    assert set(re.findall(r"alertname: (\w+), exp_alerts", proofs)) == set(alerts)
    assert set(re.findall(r"alertname: (\w+)}", proofs)) >= set(alerts)


def test_each_alert_names_a_runbook() -> None:
    named = re.findall(r"^ +runbook_url: docs/runbooks/([\w-]+)\.md$", TEXT, re.MULTILINE)
    assert len(named) == TEXT.count("- alert: ")
    assert set(named) <= RUNBOOKS


@pytest.mark.slow
def test_promtool_accepts_the_proofs_of_the_rules() -> None:
    promtool("test", "rules", str(PROOFS))
