"""The dashboards' files: valid for Grafana, complete for support."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.metrics import MetricWrapperBase

from observability import exposition, metrics
from tests.observability.pages import FOLDER, PAGES, ROOT, RUNBOOKS, PanelQuery, digest, panels, queries
from tests.observability.promtool import promtool

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
    for name in exposition.of("worker").decode().splitlines()
    if name.startswith("process_")
}


def titles(page: str) -> set[str]:
    return {panel["title"] for panel in panels(page)}


def limits(page: str, title: str) -> list[float]:
    """Return a panel's thresholds without the first, which has no value."""
    (panel,) = (panel for panel in panels(page) if panel["title"] == title)
    return [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]]


@pytest.mark.parametrize("page", PAGES)
def test_the_picture_is_of_the_panels_that_there_are(page: str) -> None:
    """`python -m tests.observability.record` makes it, with the panels' digest."""
    picture = (ROOT / "docs" / "pictures" / f"{Path(page).stem}.png").read_bytes()
    assert b"tEXtPanels\0" + digest(page).encode() in picture


@pytest.mark.parametrize("page", PAGES)
def test_grafanas_own_schema_takes_the_file_and_loses_nothing(page: str) -> None:
    register_default_plugins()
    read = Dashboard.from_json(json.loads(json.dumps(PAGES[page])))
    assert json.loads(JSONEncoder().encode(read)) == PAGES[page]


def test_support_finds_the_dashboards_and_panels_by_their_names() -> None:
    assert {page["title"] for page in PAGES.values()} == {"Operations Dashboard", "Baseline Metrics"}
    assert titles("operations.json") >= {
        "Queue Depth",
        "Worker Health",
        "Error Rate",
        "External API Latency",
        "Failures by Reason",
        "Latency by Step",
        "Throughput",
        "Oldest Job",
    }
    assert titles("baseline.json") >= {"Success Rate", "p95 Enhancement Latency", "Cost per Enhancement"}


def test_the_thresholds_are_those_that_support_knows() -> None:
    """The FAQ's and its sister documents'."""
    assert limits("operations.json", "Queue Depth") == [20, 50, 100]
    assert limits("operations.json", "Error Rate") == [0.05]
    assert limits("operations.json", "External API Latency") == [2]
    assert limits("baseline.json", "Success Rate") == [0.95]
    assert limits("baseline.json", "p95 Enhancement Latency") == [60]


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
def test_each_query_asks_for_metrics_and_labels_that_there_are(query: PanelQuery) -> None:
    """Series are named by labels with few values."""
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
    promtool("check", "config", str(ROOT / "observability" / "prometheus" / "prometheus.yaml"))


def test_prometheus_asks_each_kind_of_process_by_the_name_of_its_service() -> None:
    """The panels' `job` and the collector's alert depend on these names."""
    config = yaml.safe_load((ROOT / "observability" / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    asked = {job["job_name"]: job["dns_sd_configs"][0] for job in config["scrape_configs"]}
    assert set(asked) == set(exposition.PROCESSES)
    assert all(found["names"] == [name] and found["type"] == "A" for name, found in asked.items())
    assert {found["port"] for name, found in asked.items() if name != "api"} == {9464}


def test_grafana_is_given_the_datasource_and_the_folder() -> None:
    """docker-compose mounts both paths."""
    provisioned = FOLDER / "provisioning"
    (source,) = yaml.safe_load((provisioned / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    (folder,) = yaml.safe_load((provisioned / "dashboards" / "ai-agents.yaml").read_text())["providers"]
    assert folder["options"]["path"] == "/var/lib/grafana/dashboards"
