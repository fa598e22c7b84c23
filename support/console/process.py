"""Process of `ai-agents console`."""

import argparse
import asyncio
import contextlib
import errno
import ipaddress
import signal
import socket

from fastapi import FastAPI

from api.server import Crowd, Port, serve
from config.console_access import AccessDirectory, read_access
from config.console_settings import ConsoleSettings
from config.environment import secrets_dir
from config.own_secrets import own_secrets
from config.tenant_directory import TenantDirectory
from dispatch.asking import LookAsker
from dispatch.queue import open_redis
from integrations.http import Outward
from observability import exposition, phrases
from observability.logging import say
from observability.readiness import Readiness
from observability.start import end_loading, end_refused, start_process
from observability.tracing import Tracing
from storage.ended_sessions import EndedSessions
from storage.schema import DatabaseUnfit, DatabaseUnreachable, check_now
from storage.session import Database
from storage.told_secrets import telling
from support.console.address import ConsoleAddress
from support.console.app import create_app
from support.console.dependencies import Services
from support.console.provider import Provider
from support.console.sessions import Sessions
from support.console.signing import ConsoleKeys
from support.diagnose.outside import HasHousekeepingLook

_NAME = "Console"
_DATABASE_CONNECTIONS = 8
_STATEMENT_SECONDS = 5.0
_LOCK_SECONDS = 2.0
_POOL_SECONDS = 3.0
_REDIS_SECONDS = 1.0
MOST_CONNECTIONS = 200
_MOST_IN_A_RUSH = 300
_LAST_ANSWER_SECONDS = 5.0


def run(chosen: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; return 0, or 78 with the reasons in the log.

    `chosen` has `host` and `port`. An unreachable database does not prevent the start: pages show it.
    """
    settings, tenants = start_process(ConsoleSettings, needs="nothing")
    access = AccessDirectory(read_access(secrets_dir(), on_problem=_say), on_problem=_say)
    if problems := _problems(chosen.host, settings, access):
        end_refused(problems)
    for problem in [*access.now().problems, *_unknown(access, tenants)]:
        _say(problem)
    try:
        check_now(settings.database_url)
    except DatabaseUnfit as unfit:
        end_refused([str(unfit)])
    except DatabaseUnreachable:
        say(phrases.SERVER_AWAITED, server="the database")
    try:
        listener = _listen(chosen.host, chosen.port)
        asyncio.run(_main(settings, tenants, access, listener))
    except (_PortUnusable, exposition.PortUnusable) as unfit:
        end_refused([str(unfit)])
    return 0


class _PortUnusable(Exception):
    """The port can't be bound; the text contains the fix."""


def _say(problem: str) -> None:
    say(phrases.CONSOLE_SETTINGS, reason=problem)


def _problems(host: str, settings: ConsoleSettings, access: AccessDirectory) -> list[str]:
    now = access.now()
    problems = []
    if settings.console_url is None and not _is_here(host):
        problems.append("CONSOLE_URL is missing: it is needed where the console listens on more than this machine")
    if not now.tokens and now.oidc is None:
        nobody = "CONSOLE_TOKEN_<NAME> and CONSOLE_OIDC_ISSUER are missing: nobody could log in"
        problems += now.problems or [nobody]
    return problems


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unknown(access: AccessDirectory, tenants: TenantDirectory) -> list[str]:
    """Return unknown tenants in roles, which may be mistyped."""
    named = sorted(access.now().tenant_ids)
    return [f"a role names the tenant {one}, which has no settings" for one in named if not tenants.names(one)]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as failure:
        in_use = isinstance(failure, OSError) and failure.errno == errno.EADDRINUSE
        what = "--port is wrong: the port is in use already" if in_use else "--host or --port can't be listened on"
        raise _PortUnusable(what) from None


def console_port(seconds: float = 10.0) -> Port:
    return Port(seconds, Crowd(MOST_CONNECTIONS, _MOST_IN_A_RUSH))


async def _main(
    settings: ConsoleSettings, tenants: TenantDirectory, access: AccessDirectory, listener: socket.socket
) -> None:
    say(phrases.PROCESS_STARTING, process=_NAME)
    readiness = Readiness()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(Tracing("ai-agents-console").close)
        stack.callback(exposition.serve("console", settings.metrics_port, readiness))
        # No store is checked: pages report an unavailable one, and are needed most then.
        readiness.ask(asyncio.get_running_loop(), {})
        console = await _open(settings, tenants, access, stack)
        await stack.enter_async_context(serve(console, listener, console_port(), _LAST_ANSWER_SECONDS))
        end_loading()
        told_to_stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
        readiness.start()
        say(phrases.PROCESS_READY, process=_NAME)
        await told_to_stop.wait()
        readiness.stop()
        say(phrases.PROCESS_STOPPING, process=_NAME)
    say(phrases.PROCESS_STOPPED, process=_NAME)


async def _open(
    settings: ConsoleSettings, tenants: TenantDirectory, access: AccessDirectory, stack: contextlib.AsyncExitStack
) -> FastAPI:
    database = Database(
        settings.database_url,
        application_name="ai-agents console",
        pool_size=_DATABASE_CONNECTIONS,
        statement_seconds=_STATEMENT_SECONDS,
        lock_seconds=_LOCK_SECONDS,
        pool_seconds=_POOL_SECONDS,
    )
    stack.push_async_callback(database.close)
    secrets = telling(database, lambda: own_secrets(settings, tenants) | access.now().secrets)
    await stack.enter_async_context(secrets)
    redis = open_redis(settings.redis_url, seconds=_REDIS_SECONDS)
    stack.push_async_callback(redis.aclose)
    asker = LookAsker(settings.redis_url)
    stack.push_async_callback(asker.close)
    outside = HasHousekeepingLook(asker)
    services = Services(database, redis, tenants, outside, settings.jaeger_url, settings.job_deadline_seconds)
    keys = [key for key in (settings.console_key, settings.console_previous_key) if key is not None]
    address = ConsoleAddress(settings.console_url)
    sessions = Sessions(ConsoleKeys(keys), access, EndedSessions(database), address)
    return create_app(services, sessions, provider=Provider(Outward.of(settings, settings.console_ca_bundle)))
