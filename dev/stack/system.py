"""The whole system on one machine, for `up`, `demo` and tests."""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cli.pilot.free_ports import free_port
from cli.pilot.postgres import Postgres
from cli.pilot.processes import Launch, Process, Startable, await_ready, start_afresh, stop_all
from cli.pilot.servers import ExternalServers, external_servers
from cli.pilot.state_file import FolderLock, State, write_state
from cli.pilot.supervision import login_link
from cli.pilot.valkey import Valkey
from dev.stack.environment import (
    SimulatedTenant,
    desk_config,
    parted,
    product_environment,
    tenant_keys,
    toml_of,
)
from dev.stack.programs import Programs

_START_SECONDS = 60
_GRACE_SECONDS = 8


class System(Startable):
    """Servers, simulators and processes of the system, in one folder.

    A tenant given by name only has a desk on premises. `settings` extend the environment of the product's processes;
    REDISCLI_AUTH among them is the password of the embedded Redis. Path names (`acme.note.rules`) are keys of
    `tenants.toml`. `openai_seconds` is the time of one answer of the simulated GPT-4. `ports` may fix some of `api`,
    `desk`, `openai`, `feedback`, `console`, `postgres` and `redis`; others are free ones.

    With `external` the caller's DATABASE_URL (with DATABASE_ADMIN_URL) and REDIS_URL replace the embedded servers;
    without it simulated tickets never reach them. `traces` stores spans in `<folder>/traces`. `launch` starts each
    process except the embedded servers.

    Each process is an attribute from the beginning and runs after `start`. Logs in `<folder>/logs` and spans remain
    after the end; data does not. Raises EnvironmentSettingsError for half a pair of database addresses.
    """

    def __init__(  # noqa: PLR0913 -- one is given; the others are choices, each by its name
        self,
        folder: Path,
        *,
        tenants: Sequence[str | SimulatedTenant] = ("acme", "globex"),
        workers: int = 1,
        settings: Mapping[str, object] | None = None,
        openai_seconds: float = 1.0,
        housekeeping: bool = True,
        console: bool = False,
        ports: Mapping[str, int] | None = None,
        external: bool = False,
        traces: bool = False,
        launch: Launch = start_afresh,
    ) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.tenants = [
            tenant if isinstance(tenant, SimulatedTenant) else SimulatedTenant(tenant) for tenant in tenants
        ]
        variables, keys = parted(settings or {})
        own = ("api", "desk", "openai", "feedback", "console")
        self._ports = {name: free_port() for name in own} | dict(ports or {})
        self._with_housekeeping, self._with_console = housekeeping, console
        self._lock = FolderLock(self.folder)
        self._external = external_servers(os.environ) if external else ExternalServers()
        self._postgres: Postgres | None = None
        self._redis: Valkey | None = None
        if self._external.database_url is None:
            folder = self.folder / "postgres"
            self._postgres = Postgres(folder, port=self._ports.get("postgres"), log_folder=self.logs)
        if self._external.redis_url is None:
            self._redis = Valkey(
                self.folder / "valkey",
                port=self._ports.get("redis"),
                log_folder=self.logs,
                appendonly=True,
                password=variables.get("REDISCLI_AUTH"),
            )
        openai_key = f"sk-devstack-{secrets.token_hex(16)}"
        files = {"LOGS_DIR": str(self.logs)} | ({"TRACES_DIR": str(self.folder / "traces")} if traces else {})
        self._tenants_file = self.folder / "tenants.toml"
        files["TENANTS_FILE"] = str(self._tenants_file)
        self._tenant_keys = tenant_keys(self._url("desk"), self.tenants) | keys
        servers = {
            "DATABASE_URL": self._external.database_url or self.postgres.url,
            "REDIS_URL": self._external.redis_url or self.redis.url,
            "OPENAI_API_KEY": openai_key,
            "OPENAI_BASE_URL": f"{self._url('openai')}/v1",
        }
        product = product_environment(self._url("desk"), self.tenants, self._ports["feedback"])
        self._settings = servers | product | files | variables
        self._programs = Programs(self.logs, self._settings, launch)
        self._desk_file = self.folder / "desk.json"
        self.desk = self._programs.desk(self._ports["desk"], self._desk_file)
        self.openai = self._programs.openai(self._ports["openai"], openai_key, openai_seconds)
        self.api = self._programs.api(self._ports["api"], free_port())
        self.workers = [self._programs.worker(number, free_port()) for number in range(1, workers + 1)]
        self.housekeeping = self._programs.housekeeping(free_port())
        self.console = self._programs.console(self._ports["console"], free_port())

    @property
    def postgres(self) -> Postgres:
        if self._postgres is None:
            raise RuntimeError("this system uses the Postgres of DATABASE_URL, not an embedded one")
        return self._postgres

    @property
    def redis(self) -> Valkey:
        if self._redis is None:
            raise RuntimeError("this system uses the Redis of REDIS_URL, not an embedded one")
        return self._redis

    @property
    def processes(self) -> list[Process]:
        servers = [self._postgres.process] if self._postgres else []
        servers += [self._redis.process] if self._redis else []
        return [*servers, self.desk, self.openai, *self._product_processes()]

    @property
    def state(self) -> State:
        """Return the content of `state.json`: addresses, secrets, log files and ids."""
        running = {process.name: process.pid for process in self.processes if process.running}
        logs = {process.name: str(process.log_path) for process in self.processes}
        return {
            "api_url": self._url("api"),
            "api_probe_url": self._probe_url(),
            "feedback_url": self._settings["FEEDBACK_URL"],
            **self._console_state(),
            "desk_url": self._url("desk"),
            "desk_key": self.tenants[0].desk_key,
            "desks": {
                tenant.id: {"url": tenant.address(self._url("desk")), "key": tenant.desk_key} for tenant in self.tenants
            },
            "openai_url": f"{self._url('openai')}/v1",
            "redis_url": self._settings["REDIS_URL"],
            "database_url": self._settings["DATABASE_URL"],
            "database_admin_url": self._admin_url(),
            "tenants": {tenant.id: tenant.webhook_secret for tenant in self.tenants},
            "traces": self._settings.get("TRACES_DIR"),
            "metrics": {"api": f"{self._probe_url()}/metrics"} | self._metrics(),
            "logs": logs | {"migrate": str(self.logs / "migrate.log")},
            "pids": {"devstack": os.getpid()} | running,
        }

    def start(self) -> None:
        """Start everything and wait until all of it is ready.

        Raises AlreadyRunningError if a system runs in the folder. Raises ProcessFailedError, with its last lines, for
        the first process that fails to start; everything is stopped then.
        """
        self._lock.take()
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything within about ten seconds; harmless if it does not run."""
        # The product first: it needs the servers to return its jobs.
        stop_all(self._product_processes(), _GRACE_SECONDS)
        stop_all([self.desk, self.openai], 2)
        if self._redis is not None:
            self._redis.stop()
        if self._postgres is not None:
            self._postgres.discard()
        self._lock.release()

    def add_worker(self, settings: Mapping[str, str] | None = None) -> Process:
        worker = self._programs.worker(len(self.workers) + 1, free_port())
        self.workers.append(worker)
        self.restart(worker, settings)
        return worker

    def restart(self, process: Process, settings: Mapping[str, object] | None = None) -> None:
        """Restart a process, with these settings changed permanently.

        Keys of `tenants.toml` change for the other processes too, as they read it again.
        """
        variables, keys = parted(settings or {})
        process.stop(_GRACE_SECONDS)
        process.environment.update(variables)
        self.write_tenants(keys)
        process.start()
        process.wait_ready(_START_SECONDS)
        self.write_state()

    def configure(self, settings: Mapping[str, object]) -> None:
        """Change settings of all product processes from their next start."""
        variables, keys = parted(settings)
        self._settings.update(variables)
        for process in (self.api, *self.workers, self.housekeeping, self.console):
            process.environment.update(variables)
        self.write_tenants(keys)

    def write_tenants(self, keys: Mapping[str, object] | None = None) -> None:
        """Write `tenants.toml` with these keys changed permanently; None removes one."""
        self._tenant_keys |= keys or {}
        written = {path: value for path, value in self._tenant_keys.items() if value is not None}
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self._tenants_file.with_name("tenants.toml.new")
        beside.write_text(f"# Written by dev.stack.\n{toml_of(written)}", encoding="utf-8")
        beside.replace(self._tenants_file)

    @property
    def tenant_keys(self) -> dict[str, object]:
        """Return the content of `tenants.toml` by path; None for removed keys."""
        return dict(self._tenant_keys)

    @property
    def settings(self) -> dict[str, str]:
        return dict(self._settings)

    def write_state(self) -> None:
        write_state(self.folder, self.state, self._settings)

    def login_link(self) -> str:
        """Return a login link of the console, for one use within five minutes."""
        return login_link(self.console.environment, "developer")

    def embedded(self, ports: Iterable[str]) -> list[str]:
        """Return the names of `ports` without servers that the caller's settings replace."""
        replaced = {"postgres": self._postgres is None, "redis": self._redis is None}
        return [name for name in ports if not replaced.get(name)]

    def died(self) -> Process | None:
        return next((process for process in self.processes if process.died), None)

    def _start_all(self) -> None:
        self._clean()
        self.desk.start()
        self.openai.start()
        if self._redis is not None:
            self._redis.launch()
        if self._postgres is not None:
            self._postgres.start()
        self._programs.migrate(self._admin_url()).run(_START_SECONDS)
        for process in self._product_processes():
            process.start()
        await_ready(self.processes, _START_SECONDS)
        self.write_state()

    def _clean(self) -> None:
        for data in ("postgres", "valkey", "logs", "traces"):
            shutil.rmtree(self.folder / data, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self._desk_file.touch(0o600)
        self._desk_file.write_text(json.dumps(desk_config(self.tenants, f"{self._url('api')}/webhook")))
        self.write_tenants()

    def _product_processes(self) -> list[Process]:
        optional = [(self.housekeeping, self._with_housekeeping), (self.console, self._with_console)]
        return [self.api, *self.workers, *(process for process, runs in optional if runs)]

    def _console_state(self) -> dict[str, str]:
        if not self._with_console:
            return {}
        own = self.console.environment
        return {"console_url": own["CONSOLE_URL"], "console_token": own["CONSOLE_TOKEN_DEVELOPER"]}

    def _metrics(self) -> dict[str, str]:
        ports = {process.name: process.environment.get("METRICS_PORT") for process in self._product_processes()}
        return {name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.items() if port}

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def _probe_url(self) -> str:
        port = self.api.environment["API_PROBE_PORT"]
        return f"http://127.0.0.1:{port}" if port else self._url("api")

    def _admin_url(self) -> str:
        return self._external.database_admin_url or self.postgres.admin_url
