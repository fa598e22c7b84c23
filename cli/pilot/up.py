"""`ai-agents up`: a pilot on this machine, with embedded Postgres and Redis, from the settings of `init`."""

import argparse
import asyncio
import os
import secrets
import signal
import sys
import threading
import time
import tomllib
from pathlib import Path
from types import FrameType
from typing import Any

from cli.config import toml_lines
from cli.pilot.free_ports import free_port, is_free
from cli.pilot.postgres import Postgres
from cli.pilot.postgres_binaries import PostgresMissingError
from cli.pilot.processes import Process, ProcessFailedError, Startable, await_ready, stop_all
from cli.pilot.programs import ProductPrograms
from cli.pilot.servers import EnvironmentSettingsError, external_servers
from cli.pilot.state_file import (
    SECRETS_FILE,
    TENANTS_FILE,
    AlreadyRunningError,
    FolderLock,
    read_variables,
    write_private,
    write_state,
)
from cli.pilot.supervision import login_link, supervise
from cli.pilot.valkey import Valkey, ValkeyMissingError
from config.exit_codes import CONFIGURATION_EXIT, NOT_DONE_EXIT
from config.settings import ByHandSettings, DeskClientSettings, LogSettings, load
from config.tenant_directory import TenantDirectory, read_environment
from db.session import Database
from integrations.desks import kind_of
from integrations.errors import DeferredError, ExternalError
from integrations.http import EgressConfig, open_client
from integrations.ports import DeskLimits
from integrations.rate_limit import DeskRate
from integrations.resilience import Breaker
from integrations.values import ListedTicket
from jobs.intake import request_refresh
from jobs.queue import open_redis
from jobs.repository import REFRESH_BY_HAND
from observability.logging import start_logging

_START_SECONDS, _GRACE_SECONDS = 60, 8
_API_PORT = 8000
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEFAULTS = {"RECONCILE_INTERVAL_SECONDS": "30", "WORKER_CONCURRENCY": "16"}
# Copying the desk begins at once; with copies a note can name earlier tickets.
_COPY_SECONDS, _SHOWN_TICKETS, _MAX_READ = 30, 3, 10


class PortUsedError(Exception):
    """The console's port is in use; the text has the remedy."""


class SettingsFileError(Exception):
    """The settings of `init` are missing or unusable; the text has the reason."""


_REFUSALS = (
    AlreadyRunningError,
    EnvironmentSettingsError,
    PortUsedError,
    PostgresMissingError,
    ProcessFailedError,
    ValkeyMissingError,
)


class Pilot(Startable):
    """All processes of one folder; its data and settings stay after the end."""

    def __init__(self, folder: Path, port: int, *, live: bool) -> None:
        self.folder = folder.resolve()
        self._lock = FolderLock(self.folder)
        self._tenants = _read_tenants(self.folder / TENANTS_FILE)
        self._live, self._port = live, port
        try:
            self.variables = _DEFAULTS | read_variables(self.folder / SECRETS_FILE)
        except (OSError, ValueError) as failure:
            raise SettingsFileError(f"{failure}. `ai-agents init` writes this file.") from failure
        self.processes: list[Process] = []
        self._servers: list[Postgres | Valkey] = []

    @property
    def mode(self) -> str:
        return "live" if self._live else "dry-run"

    def link(self) -> str:
        """Return a login link of the console, for one use within five minutes."""
        return login_link(self.variables, "pilot")

    def start(self) -> None:
        self._lock.take()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        if not is_free(self._port):
            raise PortUsedError(f"Port {self._port} is in use: give another --port.")
        logs, running = self.folder / "logs", self.folder / "running.toml"
        if not self._live:
            for table in self._tenants.values():
                table["mode"] = "dry-run"
        lines = [line for tenant_id, table in self._tenants.items() for line in toml_lines(tenant_id, table)]
        write_private(running, "\n".join(lines))
        admin_url = self._start_servers(logs)
        self.variables |= {
            "TENANTS_FILE": str(running),
            "LOGS_DIR": str(logs),
            "CONSOLE_URL": f"http://127.0.0.1:{self._port}",
            "CONSOLE_KEY": secrets.token_urlsafe(32),
            "CONSOLE_TOKEN_PILOT": secrets.token_urlsafe(32),
            "CONSOLE_ROLE_PILOT": "operator+texts",
        }
        programs = ProductPrograms(logs, self.variables)
        programs.migrate(admin_url).run(_START_SECONDS)
        product = [
            programs.worker(1, free_port()),
            programs.housekeeping(free_port()),
            programs.console(self._port, free_port()),
            # Its relay queues the jobs, also without webhooks.
            programs.api(_API_PORT, free_port(), host="0.0.0.0")  # noqa: S104 -- the desk is elsewhere
            if any(name.startswith("WEBHOOK_") for name in self.variables)
            else programs.api(free_port(), free_port()),
        ]
        self.processes += product
        for process in product:
            process.start()
        await_ready(self.processes, _START_SECONDS)
        self.write_state()

    def write_state(self) -> None:
        pids = {"up": os.getpid()} | {process.name: process.pid for process in self.processes}
        write_state(self.folder, {"console_url": self.variables["CONSOLE_URL"], "pids": pids}, self.variables)

    def _start_servers(self, logs: Path) -> str:
        """Start the servers that `secrets.env` does not name; return the address of the tables' owner."""
        database_url, admin_url, redis_url = external_servers(self.variables)
        if redis_url is None:
            # Other users of the machine reach its port.
            password = secrets.token_hex(24)
            redis = Valkey(self.folder / "redis", appendonly=True, log_folder=logs, password=password)
            self._servers.append(redis)
            redis.start()
            redis_url = redis.url
        if database_url is None:
            postgres = Postgres(self.folder / "postgres", log_folder=logs, keep=True)
            self._servers.append(postgres)
            postgres.start()
            database_url, admin_url = postgres.url, postgres.admin_url
        self.processes = [server.process for server in self._servers]
        self.variables |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        return str(admin_url)

    def stop(self) -> None:
        """Stop all, the servers last; a second Ctrl-C does not interrupt it."""
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        servers = [server.process for server in self._servers]
        stop_all([process for process in self.processes if process not in servers], _GRACE_SECONDS)
        for server in self._servers:
            server.stop()
        self._lock.release()


def run(chosen: argparse.Namespace) -> int:
    """Run until Ctrl-C; return 1 if it can't start, 78 if the settings are unusable."""
    if os.geteuid() == 0:
        print("Not as root: Postgres refuses it. Use an ordinary user.", file=sys.stderr)
        return NOT_DONE_EXIT
    for number in _ENDING:
        signal.signal(number, _interrupt)
    try:
        pilot = Pilot(chosen.folder, chosen.port, live=chosen.live)
        print("Starting ... (the first time about 20 s)", flush=True)
        with pilot:
            _run(pilot)
    except SettingsFileError as unusable:
        print(unusable, file=sys.stderr)
        return CONFIGURATION_EXIT
    except _REFUSALS as refusal:
        print(refusal, file=sys.stderr)
        return NOT_DONE_EXIT
    except KeyboardInterrupt:
        print("Stopped. The next `ai-agents up` continues.", flush=True)
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(pilot: Pilot) -> None:
    print(_summary(pilot), flush=True)
    if pilot.mode == "dry-run":
        os.environ.update(pilot.variables)
        start_logging(load(LogSettings), sys.stdout)
        threading.Thread(target=_show_newest, daemon=True).start()
    supervise(pilot.processes, pilot.link, pilot.write_state)


def _summary(pilot: Pilot) -> str:
    mode = (
        "Notes are written into tickets."
        if pilot.mode == "live"
        else "No note is written: the console shows them (ticket, then Prompts and answers). `--live` writes them."
    )
    return "\n".join(
        [
            "",
            f"  console   {pilot.link()}",
            "            for one login within five minutes; press Enter for another link",
            f"  notes     {mode}",
            f"  logs      {pilot.folder / 'logs'}",
            f"  commands  set -a; . {pilot.folder / 'settings.env'}; set +a; ai-agents check",
            "  stop      Ctrl-C",
            "",
            "This is for a pilot on one machine, without backup or failover. For customers: docs/containers.md and",
            "docs/kubernetes.md; what was copied of the desk is copied again there.",
        ]
    )


def _show_newest() -> None:
    """Request notes for the newest open tickets, so that a dry run has notes to show at once."""
    time.sleep(_COPY_SECONDS)
    try:
        asyncio.run(_request_newest())
    except Exception as failure:  # noqa: BLE001 -- the pilot works without
        print(f"The newest tickets can't be shown ({type(failure).__name__}); new ones will be.", flush=True)


async def _request_newest() -> None:
    settings, desks = load(ByHandSettings), load(DeskClientSettings)
    database = Database(settings.database_url, application_name="ai-agents up", pool_size=2)
    redis = open_redis(desks.redis_url)
    try:
        async with open_client(connections=2, egress=EgressConfig.of(desks, desks.servicedesk_ca_bundle)) as http:
            for tenant in TenantDirectory(read_environment(None), keys=["desk"]).all():
                if tenant.desk is None:
                    continue
                limits = DeskLimits(
                    Breaker(f"desk of {tenant.id}", "desk unavailable", shown=False),
                    DeskRate(tenant.id, tenant.desk.rate_per_minute, redis),
                    1,
                )
                kind = kind_of(tenant.desk)
                desk = kind.open(tenant.id, tenant.desk, http, redis, desks.servicedesk_timeout_seconds, limits)
                newest: list[ListedTicket] = []
                for ticket in (await desk.list_tickets()).items[:_MAX_READ]:
                    if len(newest) == _SHOWN_TICKETS or ticket.is_trashed:
                        continue
                    if (await desk.read_ticket(ticket.ticket_id)).closed:
                        continue
                    newest.append(ticket)
                    deadline = settings.job_deadline_seconds
                    await request_refresh(database, tenant.id, ticket.ticket_id, REFRESH_BY_HAND, deadline)
                numbers = ", ".join(ticket.display_id or ticket.ticket_id for ticket in newest)
                told = numbers or "none is open, so create one"
                print(f"Making notes to look at for the newest open tickets of {tenant.id}: {told}", flush=True)
    except (ExternalError, DeferredError) as failure:
        print(f"The desk does not list its tickets ({failure.reason}).", flush=True)
    finally:
        await redis.aclose()
        await database.close()


def _read_tenants(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise SettingsFileError(f"{path}: {failure}. `ai-agents init` writes this file.") from failure
    if wrong := [name for name, table in tables.items() if not isinstance(table, dict)]:
        raise SettingsFileError(f"{path}: {wrong[0]} is in no table: [NAME] comes first.")
    return tables
