"""`/health` for the world; liveness and readiness for who runs the process: `/health/live`, `/health/ready`."""

import asyncio

from fastapi import APIRouter, Request, Response

from api.app_state import ApiState
from dispatch.queue import QueueUnreachable
from observability import tracing
from storage.session import DATABASE_FAILURES

router = APIRouter()
probes = APIRouter(include_in_schema=False)
_CHECK_SECONDS = 1.5


@router.get("/health")
@probes.get("/health/live")
async def live() -> dict[str, str]:
    """Answer: the process is alive."""
    return {"status": "ok"}


@probes.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, str]:
    """Ready while an event can be taken into either store: 200, else 503."""
    state: ApiState = request.app.state.api
    with tracing.untraced():
        database, redis = await asyncio.gather(_database_answers(state), _redis_answers(state))
    is_ready = database or redis
    response.status_code = 200 if is_ready else 503
    return {
        "status": "ready" if is_ready else "not ready",
        "database": "ok" if database else "unreachable",
        "redis": "ok" if redis else "unreachable",
    }


async def _database_answers(state: ApiState) -> bool:
    try:
        await state.budget.within(_CHECK_SECONDS, state.database.ask())
    except (*DATABASE_FAILURES, TimeoutError):
        return False
    return True


async def _redis_answers(state: ApiState) -> bool:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await state.queue.depth()
    except (QueueUnreachable, TimeoutError):
        return False
    return True
