"""Which command each process of the system is, and when it is ready."""

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config.own_secrets import not_for_the_api
from devstack.launching import Launch, start_afresh
from devstack.processes import Process
from devstack.surroundings import console_environment, machine_environment

PROJECT = Path(__file__).resolve().parent.parent
# How much of GPT-4's time passes before its first token.
_FIRST_TOKEN_SHARE = 0.3
_PROBE_SECONDS = 2.0


def answers(port: int, path: str) -> Callable[[Process], bool]:
    """Ready when `GET path` on 127.0.0.1 answers 200."""

    def ready(_process: Process) -> bool:
        # http.client, since it knows no proxies: a proxy of the caller's is not for loopback.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def says(text: str) -> Callable[[Process], bool]:
    """Ready when the process has written `text` since its start."""
    return lambda process: text in process.output()


@dataclass(frozen=True)
class Programs:
    """Makes processes that are not started yet, each with its log in `logs`.

    `settings` is the environment of the product's processes beside that of the machine; `launch` starts them all.
    """

    logs: Path
    settings: dict[str, str] = field(repr=False)
    launch: Launch = field(default=start_afresh, repr=False)

    def api(self, port: int, probe_port: int) -> Process:
        """Make the API, ready when it says so at its probes' port; an empty API_PROBE_PORT is for none.

        As in a cluster, it has no keys of desks and models.
        """

        def ready(process: Process) -> bool:
            return answers(int(process.environment["API_PROBE_PORT"] or port), "/health/ready")(process)

        process = self._product("api", ready, "api", "--host", "127.0.0.1", "--port", str(port))
        process.environment.setdefault("API_PROBE_PORT", str(probe_port))
        for name in not_for_the_api(process.environment):
            del process.environment[name]
        return process

    def worker(self, number: int, metrics_port: int) -> Process:
        """Make a worker: the first is called `worker`, the others `worker-2` and so on."""
        name = "worker" if number == 1 else f"worker-{number}"
        return _with_metrics(self._product(name, says("ready."), "worker"), metrics_port)

    def housekeeping(self, metrics_port: int) -> Process:
        """Make what does sync, reconciliation and purge."""
        return _with_metrics(self._product("housekeeping", says("ready"), "housekeeping"), metrics_port)

    def console(self, port: int, metrics_port: int) -> Process:
        """Make the console, ready when its login answers."""
        address = ["--host", "127.0.0.1", "--port", str(port)]
        process = _with_metrics(self._product("console", answers(port, "/login"), "console", *address), metrics_port)
        process.environment.update(console_environment(port))
        return process

    def migrate(self, admin_url: str) -> Process:
        """Make what brings the tables up to date, and ends; only it connects as their owner."""
        process = self._product("migrate", says(""), "migrate")
        process.environment["DATABASE_ADMIN_URL"] = admin_url
        return process

    def desk(self, port: int, config: Path) -> Process:
        """Make the simulated ServiceDesk Plus with the desks that the file describes."""
        return self._simulator("desk", "servicedesk", port, "--config", str(config))

    def openai(self, port: int, api_key: str, seconds: float) -> Process:
        """Make the simulated OpenAI; one answer takes `seconds`."""
        first = f"{seconds * _FIRST_TOKEN_SHARE:.3f}"
        timing = ["--first-token-seconds", first, "--seconds", f"{seconds:.3f}"]
        return self._simulator("openai", "openai", port, "--api-key", api_key, *timing)

    def _product(self, name: str, ready: Callable[[Process], bool], *arguments: str) -> Process:
        return self._python(name, ready, machine_environment() | self.settings, "support.cli", *arguments)

    def _simulator(self, name: str, module: str, port: int, *options: str) -> Process:
        address = ["--host", "127.0.0.1", "--port", str(port)]
        ready = answers(port, "/_sim/health")
        return self._python(name, ready, machine_environment(), f"simulators.{module}", *address, *options)

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


def _with_metrics(process: Process, port: int) -> Process:
    """At this port, unless the system's settings say otherwise: an empty METRICS_PORT is for none."""
    process.environment.setdefault("METRICS_PORT", str(port))
    return process
