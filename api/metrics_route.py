"""`/metrics`: this process's counts, and what Postgres and Redis say about the queue at this moment."""

import asyncio
import math
from contextlib import suppress

from fastapi import APIRouter, Request, Response

from api.app_state import ApiState
from dispatch.queue import QueueUnreachable
from observability import counting, exposition, metrics, tracing
from storage.job_figures import job_figures, jobs_held_back
from storage.session import DATABASE_FAILURES

router = APIRouter()
_SECONDS = 2.0


@router.get("/metrics", include_in_schema=False)
async def figures(request: Request) -> Response:
    """Everything in Prometheus's text format. What a store that is away would say is NaN, not an old number."""
    state: ApiState = request.app.state.api
    with tracing.untraced():
        await asyncio.gather(_ask_database(state), _ask_redis(state))
    return Response(exposition.of("api"), media_type=exposition.CONTENT_TYPE)


async def _ask_database(state: ApiState) -> None:
    held_back: dict[tuple[str, str], int] = {}
    try:
        now = await state.budget.within(_SECONDS, job_figures(state.database))
        waiting, running = float(now.waiting), float(now.running)
        oldest, without = now.oldest_waiting_seconds, float(now.without_outcome)
    except (*DATABASE_FAILURES, TimeoutError):
        waiting = running = oldest = without = math.nan
    else:
        # By itself: with a million jobs held it takes too long, and the others are then wanted most.
        with suppress(*DATABASE_FAILURES, TimeoutError):
            held_back = await state.budget.within(_SECONDS, jobs_held_back(state.database))
    metrics.JOBS.labels("waiting").set(waiting)
    metrics.JOBS.labels("running").set(running)
    metrics.OLDEST_WAITING.set(oldest)
    metrics.WITHOUT_OUTCOME.set(without)
    counting.held_back(held_back)


async def _ask_redis(state: ApiState) -> None:
    try:
        async with asyncio.timeout(_SECONDS):
            depth, held = float(await state.queue.depth()), float(await state.queue.held())
    except (QueueUnreachable, TimeoutError):
        depth = held = math.nan
    metrics.QUEUE_DEPTH.set(depth)
    metrics.JOBS_HELD.set(held)
