"""The dashboards as Grafana reads them from their files, and Prometheus's own checks."""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "observability" / "grafana"
PAGES: dict[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
WHOLE_RANGE = "5m"


@dataclass(frozen=True)
class PanelQuery:
    """A query of a panel."""

    page: str
    panel: str
    letter: str
    expr: str
    legend: str

    def filled(self, tenant: str = ".*", window: str = "5m") -> str:
        """Return the text with the dashboard's variables expanded as Grafana does."""
        values = {"$tenant": tenant, "$window": window, "$__range": WHOLE_RANGE}
        return re.sub(r"\$\w+", lambda found: values[found[0]], self.expr)

    def __str__(self) -> str:
        return f"{self.panel} {self.letter}"


def panels(page: str) -> list[dict[str, Any]]:
    """Return the panels of a file, without the headings."""
    return [panel for panel in PAGES[page]["panels"] if panel["type"] != "row"]


def queries() -> list[PanelQuery]:
    return [
        PanelQuery(page, panel["title"], target["refId"], target["expr"], target["legendFormat"])
        for page in PAGES
        for panel in panels(page)
        for target in panel["targets"]
    ]


def digest(page: str) -> str:
    """Return a digest of the parts of a file that its picture shows."""
    shown = [{key: value for key, value in panel.items() if key != "description"} for panel in PAGES[page]["panels"]]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


RUNBOOKS = {
    "WEBHOOK_TROUBLESHOOTING_RUNBOOK",
    "high-queue-depth",
    "worker-failures",
    "enhancement-failures",
    "secret-rotation",
}


def promtool(*arguments: str) -> None:
    """Run promtool; fail unless it accepts everything."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
