"""A real Prometheus that scrapes a running system at the test's interval."""

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from devstack.free_ports import free_port
from devstack.processes import Process
from devstack.programs import answers
from devstack.surroundings import machine_environment
from devstack.system import System
from tests.kit.world import wait_for
from tests.observability.pages import ROOT

CONFIG = ROOT / "observability" / "prometheus" / "prometheus.yaml"
Series = dict[str, float]
"""Values by the labels that a series has, as `name, name`, without that of the metric."""


class Prometheus:
    """A client of its HTTP API."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=30, trust_env=False)

    def query(self, expr: str) -> Series:
        """Return the query's current result, without NaN."""
        found = self._ask("query", query=expr)["result"]
        values = {_named(series["metric"]): float(series["value"][1]) for series in found}
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return a range (Unix seconds): `metric` and `values` of each series."""
        found: list[dict[str, Any]] = self._ask("query_range", query=expr, start=start, end=end, step=step)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return its alerts and recordings, each with `name`, `type` and `health`."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        return {target["scrapeUrl"]: target["health"] for target in self._ask("targets")["activeTargets"]}

    def close(self) -> None:
        self._http.close()

    def _ask(self, what: str, **parameters: Any) -> Any:
        answer = self._http.get(f"/api/v1/{what}", params=parameters)
        assert answer.status_code == 200, (parameters, answer.text)
        return answer.json()["data"]


def _named(labels: dict[str, str]) -> str:
    return ", ".join(value for name, value in sorted(labels.items()) if name != "__name__")


@contextmanager
def watching(system: System, folder: Path, every: str = "1s") -> Iterator[Prometheus]:
    """Run the product's configuration with literal addresses and this interval.

    Needs `prometheus`.
    """
    program = shutil.which("prometheus")
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alerts.yaml").write_bytes(CONFIG.with_name("alerts.yaml").read_bytes())
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump(_configured(system, every)), encoding="utf-8")
    port = free_port()
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
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        yield prometheus
        prometheus.close()
    finally:
        process.stop(5)


def _configured(system: System, every: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": every, "evaluation_interval": every}
    addresses = {name: url.split("/")[2] for name, url in system.state["metrics"].items()}
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        asked = [address for name, address in addresses.items() if name.partition("-")[0] == job["job_name"]]
        job["static_configs"] = [{"targets": asked}]
    return config


def settle(prometheus: Prometheus, seconds: float = 3) -> None:
    """Wait for a few scrapes of each target; the first takes 5 s."""
    wait_for(lambda: set(prometheus.targets().values()) == {"up"})
    time.sleep(seconds)
