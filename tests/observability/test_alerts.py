"""The alerts: existing metrics, and a firing and a silent case each."""

import re
from pathlib import Path

import pytest

from tests.observability.pages import RUNBOOKS
from tests.observability.promtool import promtool

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "observability" / "prometheus" / "alerts.yaml"
PROOFS = Path(__file__).with_name("alerts.yaml")
TEXT = RULES.read_text(encoding="utf-8")
NAMED = re.findall(r"^ +runbook_url: (docs/runbooks/[\w-]+\.md)$", TEXT, re.MULTILINE)
DOCUMENTED = re.findall(r"^\| `(ai_agents_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)


def test_each_alert_asks_for_metrics_that_there_are() -> None:
    """A histogram's series are its buckets, its sum and its count."""
    asked = set(re.findall(r"\bai_agents_\w+", TEXT))
    assert asked
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= set(DOCUMENTED)


def test_each_alert_is_proved_to_fire_and_not_to_fire_and_has_a_summary() -> None:
    alerts = re.findall(r"- alert: (\w+)", TEXT)
    proofs = PROOFS.read_text(encoding="utf-8")
    assert TEXT.count("summary: ") == len(alerts)
    assert set(re.findall(r"alertname: (\w+), exp_alerts", proofs)) == set(alerts)
    assert set(re.findall(r"alertname: (\w+)}", proofs)) >= set(alerts)


def test_each_alert_names_a_runbook() -> None:
    """As a path in this repository."""
    assert len(NAMED) == TEXT.count("- alert: ")
    assert {Path(path).stem for path in NAMED} <= RUNBOOKS


def test_each_runbook_that_is_named_exists() -> None:
    """Those of the panels too."""
    folder = ROOT / "docs" / "runbooks"
    assert {path.stem for path in folder.glob("*.md")} >= RUNBOOKS


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["check", "rules", str(RULES)], id="check"),
        pytest.param(["test", "rules", str(PROOFS)], id="test", marks=pytest.mark.slow),
    ],
)
def test_promtool_accepts_the_rules_and_their_proofs(command: list[str]) -> None:
    promtool(*command)
