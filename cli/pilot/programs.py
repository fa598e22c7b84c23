"""Commands of the product's processes, and their readiness checks."""

import http.client
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.pilot.processes import Launch, Process, start_afresh
from config.secrets import not_for_the_api

ROOT = Path(__file__).resolve().parents[2]
_PROBE_SECONDS = 2.0
# The machine's variables that programs need.
_MACHINE = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
    | {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
# Users may change these for one start.
_PASSED_ON = frozenset({"LOG_FORMAT", "LOG_LEVEL"})
_PASSED_ON_PREFIXES = ("LC_", "OTEL_")


def machine_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    passed = {
        name: value
        for name, value in environ.items()
        if name in _MACHINE | _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    # Unbuffered, so that lines are in the log file at once.
    return passed | {"PYTHONUNBUFFERED": "1"}


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
class ProductPrograms:
    """Creates processes that are not started yet, with logs in `logs`.

    `settings` is the environment of the processes beside the machine's; `launch` starts them.
    """

    logs: Path
    settings: dict[str, str] = field(repr=False)
    launch: Launch = field(default=start_afresh, repr=False)

    def api(self, port: int, probe_port: int, host: str = "127.0.0.1") -> Process:
        """Return the API, without keys of desks and models, as in a cluster."""

        def ready(process: Process) -> bool:
            return answers(int(process.environment["API_PROBE_PORT"] or port), "/health/ready")(process)

        process = self._product("api", ready, "api", "--host", host, "--port", str(port))
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
        return self._product("console", answers(port, "/login"), "console", *address, metrics_port=metrics_port)

    def migrate(self, admin_url: str) -> Process:
        """Return the migration, which alone connects as the tables' owner."""
        process = self._product("migrate", has_output(""), "migrate")
        process.environment["DATABASE_ADMIN_URL"] = admin_url
        return process

    def _product(
        self, name: str, ready: Callable[[Process], bool], *arguments: str, metrics_port: int | None = None
    ) -> Process:
        # Settings of the system may have a METRICS_PORT; an empty one disables it.
        ports = {"METRICS_HOST": "127.0.0.1"} | ({} if metrics_port is None else {"METRICS_PORT": str(metrics_port)})
        return self.python(name, ready, ports | machine_environment() | self.settings, "cli.main", *arguments)

    def python(
        self, name: str, ready: Callable[[Process], bool], environment: dict[str, str], *arguments: str
    ) -> Process:
        return Process(
            name,
            [sys.executable, "-m", *arguments],
            log_path=self.logs / f"{name}.log",
            environment=environment,
            ready=ready,
            folder=ROOT,
            launch=self.launch,
        )
