"""Commands of the system's processes, and their readiness checks."""

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config.secrets import not_for_the_api
from dev.stack.environment import console_environment, machine_environment
from dev.stack.processes import Launch, Process, start_afresh

PROJECT = Path(__file__).resolve().parents[2]
# Share of GPT-4's latency before its first token.
_FIRST_TOKEN_SHARE = 0.3
_PROBE_SECONDS = 2.0


def answers(port: int, path: str) -> Callable[[Process], bool]:
    """Return a check that `GET path` on 127.0.0.1 answers 200."""

    def ready(_process: Process) -> bool:
        # http.client ignores proxies: the caller's proxy must not get loopback requests.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def has_output(text: str) -> Callable[[Process], bool]:
    return lambda process: text in process.output()


@dataclass(frozen=True)
class Programs:
    """Creates processes that are not started yet, with logs in `logs`.

    `settings` is the environment of the product's processes beside the machine's; `launch` starts all processes.
    """

    logs: Path
    settings: dict[str, str] = field(repr=False)
    launch: Launch = field(default=start_afresh, repr=False)

    def api(self, port: int, probe_port: int) -> Process:
        """Return the API, without keys of desks and models, as in a cluster."""

        def ready(process: Process) -> bool:
            return answers(int(process.environment["API_PROBE_PORT"] or port), "/health/ready")(process)

        process = self._product("api", ready, "api", "--host", "127.0.0.1", "--port", str(port))
        process.environment.setdefault("API_PROBE_PORT", str(probe_port))
        for name in not_for_the_api(process.environment):
            del process.environment[name]
        return process

    def worker(self, number: int, metrics_port: int) -> Process:
        name = "worker" if number == 1 else f"worker-{number}"
        return self._product(name, has_output("ready."), "worker", metrics_port=metrics_port)

    def housekeeping(self, metrics_port: int) -> Process:
        return self._product("housekeeping", has_output("ready"), "housekeeping", metrics_port=metrics_port)

    def console(self, port: int, metrics_port: int) -> Process:
        address = ["--host", "127.0.0.1", "--port", str(port)]
        process = self._product("console", answers(port, "/login"), "console", *address, metrics_port=metrics_port)
        process.environment.update(console_environment(port))
        return process

    def migrate(self, admin_url: str) -> Process:
        """Return the migration, which alone connects as the tables' owner."""
        process = self._product("migrate", has_output(""), "migrate")
        process.environment["DATABASE_ADMIN_URL"] = admin_url
        return process

    def desk(self, port: int, config: Path) -> Process:
        return self._simulator("desk", "servicedesk", port, "--config", str(config))

    def openai(self, port: int, api_key: str, seconds: float) -> Process:
        first = f"{seconds * _FIRST_TOKEN_SHARE:.3f}"
        timing = ["--first-token-seconds", first, "--seconds", f"{seconds:.3f}"]
        return self._simulator("openai", "openai", port, "--api-key", api_key, *timing)

    def _product(
        self, name: str, ready: Callable[[Process], bool], *arguments: str, metrics_port: int | None = None
    ) -> Process:
        # Settings of the system may have a METRICS_PORT; an empty one disables it.
        ports = {} if metrics_port is None else {"METRICS_PORT": str(metrics_port)}
        return self._python(name, ready, ports | machine_environment() | self.settings, "cli.main", *arguments)

    def _simulator(self, name: str, module: str, port: int, *options: str) -> Process:
        address = ["--host", "127.0.0.1", "--port", str(port)]
        ready = answers(port, "/_sim/health")
        return self._python(name, ready, machine_environment(), f"dev.simulators.{module}", *address, *options)

    def _python(
        self, name: str, ready: Callable[[Process], bool], environment: dict[str, str], *arguments: str
    ) -> Process:
        return Process(
            name,
            [sys.executable, "-m", *arguments],
            log_path=self.logs / f"{name}.log",
            environment=environment,
            ready=ready,
            folder=PROJECT,
            launch=self.launch,
        )
