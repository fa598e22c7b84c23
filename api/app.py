"""Application factory and composition root, also for `uvicorn --factory`."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from api import feedback, health, webhooks
from api.authentication import SecretUsage
from api.server import PORT, serve
from api.webhooks import ApiState, RejectionRecorder, WebhookPort
from config.secrets import names_given, not_for_the_api, own_secrets
from config.settings import ApiSettings, SettingsError
from config.tenant_directory import TenantDirectory
from db.schema import DatabaseUnfitError, DatabaseUnreachableError, check_now, wait_for_database
from db.session import Database
from jobs.inbox import Inbox
from jobs.intake import Intake
from jobs.queue import JobQueue, open_redis, warn_of_eviction
from jobs.queue_relay import Relay
from observability import log_events
from observability.logging import log_event, refuse_start
from observability.startup import abort_start, end_loading, start_process
from observability.tracing import Tracing
from privacy.secret_fingerprints import report_secrets

_DATABASE_CONNECTIONS = 10
_MAX_NAMED = 10


def create_app() -> FastAPI:
    """Return the application, configured from the environment.

    Exits with a log line if settings or database are unfit. An unreachable database does not prevent the start: Redis
    stores the events.
    """
    settings, tenants = start_process(ApiSettings, needs="secret")
    if names := not_for_the_api(names_given()):
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        log_event(log_events.SECRETS_NOT_NEEDED, names=", ".join(names[:_MAX_NAMED]) + more)
    port = settings.api_probe_port
    try:
        listener = None if port is None else health.listen(port, settings.metrics_host)
        for_feedback = feedback.listen(settings)
    except SettingsError as refused:
        abort_start(refused.problems)
    try:
        check_now(settings.database_url)
    except DatabaseUnfitError as unfit:
        abort_start([str(unfit)])
    except DatabaseUnreachableError:
        log_event(log_events.SERVER_AWAITED, server="the database")
    except Exception as failure:  # noqa: BLE001 -- the web server would log its text, which may contain the address
        log_event(log_events.PROCESS_FAILED, failure=failure)
        sys.exit(1)
    app = public_app(lifespan=lambda app: _lifespan(app, settings, tenants, listener, for_feedback))
    if listener is None:
        app.include_router(health.probes)
    return app


def public_app(**options: Any) -> FastAPI:
    """Return the application with the routes of the webhook's port."""
    app = FastAPI(
        title="ai-agents",
        version="1",  # of the webhook, not of the release
        description="Accepts signed webhooks of ServiceDesk Plus; each ticket gets an enhancement as a note.",
        # The OpenAPI document is served at the probes' port only: this port may be public.
        openapi_url=None,
        # Senders do not follow redirects, which would repeat their Host header.
        redirect_slashes=False,
        telemetry=health.NO_TELEMETRY,
        **options,
    )
    webhooks.add_routes(app.router)
    app.add_exception_handler(HTTPException, webhooks.refuse_address)
    app.include_router(health.router)
    return app


@contextlib.asynccontextmanager
async def _lifespan(
    app: FastAPI,
    settings: ApiSettings,
    tenants: TenantDirectory,
    listener: socket.socket | None,
    for_feedback: socket.socket | None,
) -> AsyncIterator[dict[str, WebhookPort]]:
    log_event(log_events.PROCESS_STARTING, process="API")
    async with contextlib.AsyncExitStack() as stack:
        try:
            await _open(app, settings, tenants, stack)
            await stack.enter_async_context(feedback.serve(settings, tenants, for_feedback))
            if listener is not None:
                # The port stays open until running requests have ended, before this stack is unwound.
                port = WebhookPort(settings.webhook_timeout_seconds)
                await stack.enter_async_context(serve(health.create_probes(app), listener, port))
        except Exception as failure:  # noqa: BLE001 -- as above
            log_event(log_events.PROCESS_FAILED, failure=failure)
            raise _StartError from None
        log_event(log_events.PROCESS_READY, process="API")
        yield {PORT: WebhookPort(settings.webhook_timeout_seconds)}
        log_event(log_events.PROCESS_STOPPING, process="API")
    log_event(log_events.PROCESS_STOPPED, process="API")


class _StartError(Exception):
    """A failed start that has been logged."""


async def _open(
    app: FastAPI, settings: ApiSettings, tenants: TenantDirectory, stack: contextlib.AsyncExitStack
) -> None:
    stack.callback(Tracing("ai-agents-api", settings.traces_dir).close)
    database = Database(
        settings.database_url, application_name="ai-agents api", pool_size=_DATABASE_CONNECTIONS, traced=True
    )
    stack.push_async_callback(database.close)
    queue = JobQueue(settings.redis_url)
    stack.push_async_callback(queue.close)
    redis = open_redis(settings.redis_url)
    stack.push_async_callback(redis.aclose)
    inbox = Inbox(redis)

    def most_running() -> dict[str, int]:
        return {tenant.id: tenant.share.most_running for tenant in tenants.all() if tenant.share.most_running}

    intake = Intake(database, queue, inbox, settings.job_deadline_seconds)
    rejections = RejectionRecorder(database)
    secret_usage = SecretUsage(database)
    stack.push_async_callback(secret_usage.close)
    relay = Relay(database, queue, inbox, intake, settings.job_deadline_seconds, most_running=most_running)
    app.state.api = ApiState(
        tenants, database, queue, intake, rejections, secret_usage, settings.webhook_timeout_seconds
    )
    await warn_of_eviction(redis)
    await stack.enter_async_context(
        report_secrets(database, lambda: own_secrets(settings, tenants) | tenants.secrets())
    )
    for work in (rejections.run(), secret_usage.run(), _relay_when_ready(database, relay)):
        task = asyncio.create_task(work)
        task.add_done_callback(_end_if_it_failed)
        stack.push_async_callback(_stop, task)
    end_loading()


async def _relay_when_ready(database: Database, relay: Relay) -> None:
    try:
        await wait_for_database(database)
    except DatabaseUnfitError as unfit:
        refuse_start([str(unfit)])
        signal.raise_signal(signal.SIGTERM)
        return
    await relay.run()


def _end_if_it_failed(task: asyncio.Task[None]) -> None:
    """Stop the process if a background task failed: jobs depend on the relay."""
    if not task.cancelled() and (failure := task.exception()) is not None:
        log_event(log_events.PROCESS_FAILED, failure=failure)
        signal.raise_signal(signal.SIGTERM)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
