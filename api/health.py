"""Health, probes and `/metrics`, at the probe port if it is set.

The probe port has its own connections, which a flood of webhooks does not reach. It shares process and event loop,
because a liveness probe must detect a blocked loop.
"""

import asyncio
import errno
import math
import socket
from collections.abc import Awaitable
from contextlib import suppress

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from api import webhooks
from api.webhooks import ApiState
from config.settings import SettingsError
from db.session import DATABASE_FAILURES
from jobs.intake import within
from jobs.queue import QueueUnavailableError
from jobs.statistics import job_figures, jobs_held_back
from observability import metrics, metrics_server, tracing

router = APIRouter()
probes = APIRouter(include_in_schema=False)
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's telemetry would accept a stranger's `traceparent` as the parent, and export spans a second time."""
_CHECK_SECONDS = 1.5
_FIGURES_SECONDS = 2.0


@router.get("/health")
@probes.get("/health/live")
async def live() -> dict[str, str]:
    """Return 200 while the event loop runs."""
    return {"status": "ok"}


@probes.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, str]:
    """Return 200 while one of the stores answers, else 503."""
    state: ApiState = request.app.state.api
    with tracing.untraced():
        database, redis = await asyncio.gather(
            _answers(within(_CHECK_SECONDS, state.database.ping())),
            _answers(asyncio.wait_for(state.queue.sizes(), _CHECK_SECONDS)),
        )
    is_ready = database or redis
    response.status_code = 200 if is_ready else 503
    return {
        "status": "ready" if is_ready else "not ready",
        "database": "ok" if database else "unreachable",
        "redis": "ok" if redis else "unreachable",
    }


async def _answers(check: Awaitable[object]) -> bool:
    try:
        await check
    except (*DATABASE_FAILURES, QueueUnavailableError, TimeoutError):
        return False
    return True


@probes.get("/metrics")
async def figures(request: Request) -> Response:
    """Return the metrics in Prometheus's text format. Figures of an unavailable store are NaN, not old ones."""
    state: ApiState = request.app.state.api
    with tracing.untraced():
        await asyncio.gather(_set_job_figures(state), _set_queue_figures(state))
    return Response(metrics_server.render("api"), media_type=metrics_server.CONTENT_TYPE)


async def _set_job_figures(state: ApiState) -> None:
    held_back: dict[tuple[str, str], int] = {}
    waiting = running = oldest = without = math.nan
    with suppress(*DATABASE_FAILURES, TimeoutError):
        figures = await within(_FIGURES_SECONDS, job_figures(state.database))
        waiting, running = float(figures.waiting), float(figures.running)
        oldest, without = figures.oldest_waiting_seconds, float(figures.without_outcome)
        # Separate, because it times out with a million deferred jobs.
        held_back = await within(_FIGURES_SECONDS, jobs_held_back(state.database))
    metrics.JOBS.labels("waiting").set(waiting)
    metrics.JOBS.labels("running").set(running)
    metrics.OLDEST_WAITING.set(oldest)
    metrics.WITHOUT_OUTCOME.set(without)
    metrics.held_back(held_back)


async def _set_queue_figures(state: ApiState) -> None:
    depth = held = math.nan
    with suppress(QueueUnavailableError, TimeoutError):
        async with asyncio.timeout(_FIGURES_SECONDS):
            depth, held = map(float, await state.queue.sizes())
    metrics.QUEUE_DEPTH.set(depth)
    metrics.JOBS_HELD.set(held)


def listen(port: int, host: str, setting: str = "API_PROBE_PORT") -> socket.socket:
    """Bind a setting's port on one address; without a host on all, IPv6 too. Raises SettingsError."""
    both = not host and socket.has_dualstack_ipv6()
    try:
        if host:
            return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        return socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
    except OSError as failure:
        problem = "is in use already" if failure.errno == errno.EADDRINUSE else "can't be listened on"
        raise SettingsError([f"{setting} is wrong: the port {problem}"]) from failure


def create_probes(api: FastAPI) -> FastAPI:
    app = FastAPI(title=api.title, redoc_url=None, redirect_slashes=False, telemetry=NO_TELEMETRY)
    app.state = api.state
    app.add_exception_handler(HTTPException, webhooks.refuse_address)
    app.include_router(probes)
    app.openapi = api.openapi  # type: ignore[method-assign]  # FastAPI's documented way
    return app
