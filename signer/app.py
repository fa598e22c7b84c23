"""The signer, put together: what `ai-agents signer` runs."""

import argparse
import asyncio
import contextlib
import errno
import signal
import socket
import ssl

import httpx2

from config.addresses import address_problem
from config.settings import SignerSettings
from config.tenant_directory import TenantDirectory
from config.tenant_names import is_tenant_id, setting_suffix
from observability import exposition, metrics, phrases
from observability.logging import say
from observability.start import end_loading, end_refused, start_process
from serving.listening import served
from signer.desk_protocol import DeskProtocol
from signer.door import SignerDoor
from signer.forwarding import Forwarding, open_client
from signer.spool import Spool, SpoolUnfit

_LAST_ANSWER_SECONDS = 3.0
_PROBE_SECONDS = 2.5


def run(chosen: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; the exit status is 0, or 78 with the reasons in the log.

    `chosen` has `tenant`, `to` (the API's address), `host` and `port` (where the desk posts to).
    """
    settings, tenants = start_process(SignerSettings, needs="secret")
    if problems := _problems(chosen, tenants):
        end_refused(problems)
    try:
        asyncio.run(_main(chosen, settings, tenants))
    except (_Unfit, SpoolUnfit, exposition.PortUnusable) as unfit:
        end_refused([str(unfit)])
    return 0


class _Unfit(Exception):
    """The process can't start so; the text says what to mend."""


def _problems(chosen: argparse.Namespace, tenants: TenantDirectory) -> list[str]:
    problems = []
    if (problem := address_problem(chosen.to, secure=True)) is not None:
        problems.append(f"--to {problem}")
    tenant = tenants.get(chosen.tenant)
    if not is_tenant_id(chosen.tenant):
        problems.append("--tenant must be a tenant id: a-z, 0-9 and -")
    elif tenant is None or not tenant.webhook_secrets:
        setting = f"WEBHOOK_SECRET_{setting_suffix(chosen.tenant)}"
        problems.append(f"{setting} is missing: nothing can be signed for the tenant")
    return problems


async def _main(chosen: argparse.Namespace, settings: SignerSettings, tenants: TenantDirectory) -> None:
    say(phrases.PROCESS_STARTING, process="Signer")
    async with contextlib.AsyncExitStack() as stack:
        spool = Spool(settings.signer_spool_dir, chosen.tenant, settings.signer_spool_megabytes)
        stack.callback(spool.close)
        if unreadable := spool.open():
            say(phrases.SPOOL_FAILED, reason=f"files that could not be read were set aside: {unreadable}")
        client = await stack.enter_async_context(_client(settings))
        forwarding = Forwarding(spool, tenants, chosen.tenant, chosen.to, client)
        metrics.SIGNER_WAITING.set_function(lambda: len(spool.waiting))
        metrics.SIGNER_OLDEST.set_function(forwarding.oldest_seconds)
        door = SignerDoor(spool, forwarding, chosen.tenant, settings.signer_key)
        stack.callback(exposition.serve("signer", settings.metrics_port, _ready(door)))
        listener = _listen(chosen.host, chosen.port)
        await stack.enter_async_context(served(door.create_app(), DeskProtocol, listener, _LAST_ANSWER_SECONDS))
        end_loading()
        work = asyncio.create_task(forwarding.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        say(phrases.PROCESS_READY, process="Signer")
        with contextlib.suppress(asyncio.CancelledError):
            await work
        say(phrases.PROCESS_STOPPING, process="Signer")
    say(phrases.PROCESS_STOPPED, process="Signer")


def _client(settings: SignerSettings) -> httpx2.AsyncClient:
    trusted = ssl.create_default_context()
    if settings.signer_ca_bundle is not None:
        trusted.load_verify_locations(cafile=str(settings.signer_ca_bundle))
    try:
        return open_client(trusted)
    except (ValueError, ImportError, httpx2.InvalidURL):
        # Its own words would quote the address, which may have a password in it.
        raise _Unfit(
            "HTTPS_PROXY is wrong: it must be http(s)://HOST:PORT (nor may HTTP_PROXY or ALL_PROXY be)"
        ) from None


def _ready(door: SignerDoor) -> exposition.Ready:
    """For probes, in a thread of theirs."""
    loop = asyncio.get_running_loop()

    def ready() -> tuple[bool, dict[str, str]]:
        ok, told = asyncio.run_coroutine_threadsafe(door.health(), loop).result(_PROBE_SECONDS)
        return ok, {"status": "ready" if ok else "not ready"} | {name: str(number) for name, number in told.items()}

    return ready


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as failure:
        in_use = failure.errno == errno.EADDRINUSE
        what = "is in use already" if in_use else "can't be listened on"
        raise _Unfit(
            f"--port is wrong: the port {what}" if in_use else f"--host or --port is wrong: it {what}"
        ) from None
