"""Overview: search, queue (polled), failures by cause, and tenants."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from storage import job_figures
from support.console.dependencies import ConsoleRoute, CurrentUser, ServicesDep
from support.console.figures.asking import in_time
from support.console.figures.failures import by_cause, is_cut
from support.console.figures.health import LATELY, AllHealth, TenantInShort, health_of_all
from support.console.figures.queue import queue_view
from support.console.templating import templates

_MOST_TENANTS = 20
"""Of more tenants, only those that need a look are shown."""
router = APIRouter(route_class=ConsoleRoute)


@router.get("/")
async def overview(request: Request, user: CurrentUser, services: ServicesDep, still: str = "") -> Response:
    """Show the overview."""
    now = datetime.now(UTC)
    queue, causes = await asyncio.gather(
        queue_view(services.database, services.redis, user.tenant_id),
        in_time(job_figures.causes(services.database, user.tenant_id, "failed", now - LATELY)),
    )
    sees_all = user.tenant_id is None
    health = await health_of_all(services, now, queue.lacks) if sees_all else AllHealth([], told=True)
    tenants = health.tenants
    context = {
        "queue": queue,
        "still": bool(still),
        "causes": None if causes is None else by_cause(causes),
        "causes_cut": causes is not None and is_cut(causes),
        "tenants": _first(tenants),
        "tenant_count": len(tenants),
        "unwell_count": sum(each.health.tone != "ok" for each in tenants),
        "tenants_told": health.told,
        "is_whole": sees_all,
    }
    return templates.TemplateResponse(request, "overview.html", context)


@router.get("/live/queue")
async def live_queue(request: Request, user: CurrentUser, services: ServicesDep) -> Response:
    """Show the queue alone, which replaces that part of the overview."""
    context = {"queue": await queue_view(services.database, services.redis, user.tenant_id), "still": False}
    return templates.TemplateResponse(request, "queue.html", context)


def _first(tenants: Sequence[TenantInShort]) -> Sequence[TenantInShort]:
    if len(tenants) <= _MOST_TENANTS:
        return tenants
    return [each for each in tenants if each.health.tone != "ok"][:_MOST_TENANTS]
