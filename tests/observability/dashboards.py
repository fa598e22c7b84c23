"""The dashboards' files, a real Prometheus on a running system, and pictures of nine minutes of one.

`python -m tests.observability.dashboards` records them and runs `docs/pictures/draw.py`. Needs `prometheus`.
"""

import contextlib
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml
from uv import find_uv_bin

from cli.pilot.free_ports import free_port
from cli.pilot.processes import Process
from cli.pilot.programs import answers, machine_environment
from dev.stack.system import System
from tests.kit.world import World, wait_for
from tests.system.collector import collecting

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "observability" / "grafana"
CONFIG = ROOT / "observability" / "prometheus" / "prometheus.yaml"
ALERTS = CONFIG.with_name("alerts.yaml")
PAGES: dict[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "dashboards").glob("*.json"))
}
Series = dict[str, float]
"""Values by the labels that a series has, as `name, name`, without that of the metric."""


@dataclass(frozen=True)
class PanelQuery:
    page: str
    panel: str
    letter: str
    expr: str
    legend: str

    def filled(self, tenant: str = ".*", window: str = "5m") -> str:
        """Return the text with the dashboard's variables expanded as Grafana does."""
        values = {"$tenant": tenant, "$window": window, "$__range": "5m"}
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


class Prometheus:
    """A client of its HTTP API."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=30, trust_env=False)

    def query(self, expr: str) -> Series:
        """Return the query's current result, without NaN."""
        found = self.ask("query", query=expr)["result"]
        values = {_named(series["metric"]): float(series["value"][1]) for series in found}
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def wait_until_scraped(self, seconds: float = 3) -> None:
        """Wait for a few scrapes of each target; the first takes 5 s."""
        wait_for(lambda: {target["health"] for target in self.ask("targets")["activeTargets"]} == {"up"})
        time.sleep(seconds)

    def ask(self, what: str, **parameters: Any) -> Any:
        answer = self._http.get(f"/api/v1/{what}", params=parameters)
        assert answer.status_code == 200, (parameters, answer.text)
        return answer.json()["data"]

    def close(self) -> None:
        self._http.close()


def _named(labels: dict[str, str]) -> str:
    return ", ".join(value for name, value in sorted(labels.items()) if name != "__name__")


@contextmanager
def watching(system: System, folder: Path, every: str = "1s") -> Iterator[Prometheus]:
    """Run the product's configuration with literal addresses and this interval."""
    program = shutil.which("prometheus")
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ALERTS, folder)
    config, port = folder / "prometheus.yaml", free_port()
    config.write_text(yaml.safe_dump(_configured(system, every)), encoding="utf-8")
    options = ["--web.listen-address", f"127.0.0.1:{port}", "--log.level", "warn"]
    process = Process(
        "prometheus",
        [program, "--config.file", str(config), "--storage.tsdb.path", str(folder / "data"), *options],
        log_path=folder / "prometheus.log",
        environment=machine_environment(),
        ready=answers(port, "/-/ready"),
        folder=folder,
    )
    process.start()
    try:
        process.wait_ready()
        with contextlib.closing(Prometheus(f"http://127.0.0.1:{port}")) as prometheus:
            yield prometheus
    finally:
        process.stop(5)


def alert_names() -> list[str]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


def _configured(system: System, every: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": every, "evaluation_interval": every}
    addresses = {name: url.split("/")[2] for name, url in system.state["metrics"].items()}
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        asked = [address for name, address in addresses.items() if name.partition("-")[0] == job["job_name"]]
        job["static_configs"] = [{"targets": asked}]
    return config


SECONDS = 540
STEP_SECONDS = 4
# Answers as slow as real ones; few slots, so that a burst waits; a lease that shows a death soon.
OPENAI_SECONDS = 24
SETTINGS = {"WORKER_CONCURRENCY": "9", "LEASE_SECONDS": "10", "OPENAI_MODEL": "openai/gpt-6-luna"}
# Feedback and missed webhooks are seen soon.
SETTINGS |= {"SYNC_INTERVAL_SECONDS": "10", "RECONCILE_INTERVAL_SECONDS": "20", "globex.reconcile": "on"}
TICKETS_A_MINUTE = 24


def story(system: System, world: World) -> list[tuple[float, Callable[[], Any]]]:
    """Return the events, by seconds after the beginning: the steady stream and what breaks."""

    def arrives(tenant: str, *, send_webhook: bool = True) -> Callable[[], Any]:
        return lambda: world.create_ticket(tenant=tenant, send_webhook=send_webhook)

    stream = ["acme", "acme", "globex"] * (SECONDS * TICKETS_A_MINUTE // 180)
    return [
        *((60 / TICKETS_A_MINUTE * number, arrives(tenant)) for number, tenant in enumerate(stream)),
        (75, lambda: [world.create_ticket(tenant="globex") for _ in range(75)]),
        (110, lambda: world.openai_fault(kind="status", code=500, times=6)),
        *((at, lambda at=at: world.post_webhook(f"99{100 + at}")) for at in range(20, SECONDS, 60)),
        *((60 + 6 * n, lambda n=n: close_one(world, ("acme", "globex")[n % 2], n)) for n in range(40)),
        *((at, lambda: world.post_webhook("1", secret="an old one")) for at in range(190, 260, 6)),
        *((at, arrives(tenant, send_webhook=False)) for at in range(150, 186, 6) for tenant in ("acme", "globex")),
        (250, system.workers[1].kill),
        (262, lambda: system.restart(system.workers[1])),
        (300, lambda: world.desk_fault(kind="status", tenant="globex", operation=None, code=503)),
        (370, world.clear_faults),
        (420, lambda: world.openai_fault(kind="status", code=403, times=5)),
        (440, lambda: world.configure_desk("acme", api_key="made anew")),
        (500, lambda: world.configure_desk("acme", api_key=system.state["desk_key"])),
    ]


def close_one(world: World, tenant: str, number: int) -> None:
    """Read a note, vote on it, and close the ticket with some of its steps."""
    with world.admin() as connection:
        done = "SELECT ticket_id FROM jobs WHERE tenant_id = %s AND state = 'completed' AND id NOT IN"
        asked = f"{done} (SELECT job_id FROM feedback) ORDER BY accepted_at LIMIT 1"  # noqa: S608 -- above
        (ticket_id,) = connection.execute(asked, (tenant,)).fetchone() or ("",)
    if ticket_id:
        world.vote(ticket_id, "not useful" if number % 4 == 1 else "useful", tenant)
        steps = world.steps(ticket_id, tenant)
        world.solve(ticket_id, f"{steps[number % len(steps)]} Replaced cable and port.", tenant)


def live(system: System, world: World) -> None:
    began = time.monotonic()
    for second, event in sorted(story(system, world), key=lambda planned: planned[0]):
        time.sleep(max(0.0, began + second - time.monotonic()))
        # A burst and a restart take time; the stream continues.
        threading.Thread(target=event, daemon=True).start()
    time.sleep(max(0.0, began + SECONDS - time.monotonic()))


def record(prometheus: Prometheus, start: float, end: float) -> dict[str, Any]:
    """Return every query's result by page and panel, and the digests of the pages."""
    pages: dict[str, dict[str, list[Any]]] = {}
    for query in queries():
        window = {"start": start, "end": end, "step": STEP_SECONDS}
        series = prometheus.ask("query_range", query=query.filled(window="1m"), **window)["result"]
        pages.setdefault(query.page, {}).setdefault(query.panel, []).append({"legend": query.legend, "series": series})
    return {"start": start, "end": end, "pages": pages, "digests": {page: digest(page) for page in PAGES}}


def main() -> int:
    """Record and draw; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        collector = stack.enter_context(collecting())
        settings = SETTINGS | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        system = System(folder / "system", settings=settings, workers=2, openai_seconds=OPENAI_SECONDS)
        stack.enter_context(system)
        prometheus = stack.enter_context(watching(system, folder / "prometheus"))
        world = World(system)
        stack.callback(world.close)
        prometheus.wait_until_scraped()
        start = time.time()
        live(system, world)
        recorded = folder / "recorded.json"
        recorded.write_text(json.dumps(record(prometheus, start, time.time())), encoding="utf-8")
        script = ROOT / "docs" / "pictures" / "draw.py"
        return subprocess.run([find_uv_bin(), "run", "--quiet", "--script", script, recorded], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
