"""Process of `ai-agents console`."""

import argparse
import asyncio
import contextlib
import errno
import signal
import socket
import sys

from api.server import Connections, Port, serve
from config.exit_codes import CONFIGURATION_EXIT
from config.secret_files import secrets_dir
from config.secrets import own_secrets
from config.settings import ConsoleSettings, SettingsError, load
from config.tenant_directory import TenantDirectory
from console.access import AccessDirectory, read_access
from console.app import create_app
from console.dependencies import Services
from console.oidc import Provider
from console.sessions import ConsoleAddress, ConsoleKeys, EndedSessions, Sessions
from db.schema import DatabaseUnfitError, DatabaseUnreachableError, check_now
from db.session import Database
from integrations.http import EgressConfig
from jobs.diagnosis.commands import commands_of
from jobs.probe_requests import ProbeClient
from jobs.queue import open_redis
from observability import log_events, metrics_server
from observability.health import Readiness
from observability.logging import log_event, refuse_start
from observability.startup import abort_start, end_loading, start_process
from observability.tracing import Tracing
from privacy.secret_fingerprints import report_secrets

_NAME = "Console"
MAX_CONNECTIONS = 200


def run(chosen: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; return 0, or 78 with the reasons in the log.

    `chosen` has `host` and `port`. An unreachable database does not prevent the start: pages show it.
    """
    settings, tenants = start_process(ConsoleSettings, needs="nothing")
    access = AccessDirectory(read_access(secrets_dir(), on_problem=_log_problem), on_problem=_log_problem)
    if problems := _problems(chosen.host, settings, access):
        abort_start(problems)
    now = access.now()
    # A tenant's id in a role may be mistyped.
    unknown = sorted({role.tenant_id for role in now.roles if role.tenant_id and not tenants.names(role.tenant_id)})
    for problem in [*now.problems, *(f"a role names the tenant {each}, which has no settings" for each in unknown)]:
        _log_problem(problem)
    try:
        check_now(settings.database_url)
    except DatabaseUnfitError as unfit:
        abort_start([str(unfit)])
    except DatabaseUnreachableError:
        log_event(log_events.SERVER_AWAITED, server="the database")
    try:
        asyncio.run(_main(settings, tenants, access, _listen(chosen.host, chosen.port)))
    except (SettingsError, metrics_server.PortError) as unfit:
        abort_start([str(unfit)])
    return 0


def print_link(chosen: argparse.Namespace) -> int:
    """Print a login link for the token `chosen.link`; return 78 without it, or for wrong settings."""
    try:
        settings = load(ConsoleSettings)
    except SettingsError as failure:
        refuse_start(failure.problems)
        return CONFIGURATION_EXIT
    access = AccessDirectory(read_access(secrets_dir()))
    name = chosen.link.lower().replace("_", "-")
    token = next((token for token in access.now().tokens if token.name == name), None)
    if token is None or settings.console_url is None:
        missing = "CONSOLE_URL" if token else f"a valid CONSOLE_TOKEN_{chosen.link.upper()}"
        refuse_start([f"{missing} is missing"])
        return CONFIGURATION_EXIT
    database = Database(settings.database_url, application_name="ai-agents console")
    sessions = Sessions(_keys(settings), access, EndedSessions(database), ConsoleAddress(settings.console_url))
    sys.stdout.write(f"{settings.console_url}/login/link?link={sessions.link(token)}\n")
    return 0


def _keys(settings: ConsoleSettings) -> ConsoleKeys:
    return ConsoleKeys([key for key in (settings.console_key, settings.console_previous_key) if key is not None])


def _log_problem(problem: str) -> None:
    log_event(log_events.CONSOLE_SETTINGS, reason=problem)


def _problems(host: str, settings: ConsoleSettings, access: AccessDirectory) -> list[str]:
    now = access.now()
    problems = []
    if settings.console_url is None and not ConsoleAddress(None).accepts(f"[{host}]" if ":" in host else host):
        problems.append("CONSOLE_URL is missing: it is required if other machines can reach the console")
    if not now.tokens and now.oidc is None:
        problems += now.problems or [
            "CONSOLE_TOKEN_<NAME> and CONSOLE_OIDC_ISSUER are missing: set one, or no login is possible"
        ]
    return problems


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError, UnicodeError) as failure:
        in_use = isinstance(failure, OSError) and failure.errno == errno.EADDRINUSE
        problem = "--port is wrong: the port is in use already" if in_use else "--host or --port can't be listened on"
        raise SettingsError([problem]) from None


def console_port(seconds: float = 10.0) -> Port:
    return Port(seconds, Connections(MAX_CONNECTIONS, in_a_rush=300))


async def _main(
    settings: ConsoleSettings, tenants: TenantDirectory, access: AccessDirectory, listener: socket.socket
) -> None:
    log_event(log_events.PROCESS_STARTING, process=_NAME)
    loop, readiness, stopping = asyncio.get_running_loop(), Readiness(), asyncio.Event()
    database = Database(
        settings.database_url,
        application_name="ai-agents console",
        pool_size=8,
        statement_seconds=5.0,
        lock_seconds=2.0,
        pool_seconds=3.0,
    )
    redis, probes = open_redis(settings.redis_url, seconds=1.0), ProbeClient(settings.redis_url)
    console = create_app(
        Services(
            database,
            redis,
            tenants,
            probes,
            settings.jaeger_url,
            settings.job_deadline_seconds,
            settings.docs_url,
            commands_of(settings),
            settings.model_prices,
        ),
        Sessions(_keys(settings), access, EndedSessions(database), ConsoleAddress(settings.console_url)),
        provider=Provider(EgressConfig.of(settings, settings.console_ca_bundle)),
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(Tracing("ai-agents-console").close)
        for close in (database.close, redis.aclose, probes.close):
            stack.push_async_callback(close)
        stack.callback(metrics_server.serve("console", settings.metrics_port, readiness, settings.metrics_host))
        # No store is checked: pages report an unavailable one, and are needed most then.
        readiness.check_with(loop, {})
        await stack.enter_async_context(
            report_secrets(database, lambda: own_secrets(settings, tenants) | access.now().secrets)
        )
        await stack.enter_async_context(serve(console, listener, console_port(), last_answer_seconds=5.0))
        end_loading()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        readiness.start()
        log_event(log_events.PROCESS_READY, process=_NAME)
        await stopping.wait()
        readiness.stop()
        log_event(log_events.PROCESS_STOPPING, process=_NAME)
    log_event(log_events.PROCESS_STOPPED, process=_NAME)
