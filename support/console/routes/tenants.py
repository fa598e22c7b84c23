"""Tenants with their health, as a paged list and one by one."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from config.tenants import Tenant
from storage import job_figures
from storage.job_figures import figures_of
from support.console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep, VisibleTenant
from support.console.errors import NotFound, redirect
from support.console.figures.asking import in_time
from support.console.figures.failures import by_cause, is_cut
from support.console.figures.health import LATELY, health_of_all
from support.console.figures.queue import lacking
from support.console.figures.tenants import TenantHealth, health
from support.console.figures.wording import StateWord
from support.console.templating import templates

_PAGE = 25
_AT_ONCE = 4
_ALL_SECONDS = 4.0
"""For all figures of a page; figures that come later are "not known just now"."""
router = APIRouter(route_class=ConsoleRoute)


@router.get("/tenants")
async def tenants(request: Request, user: CurrentUser, services: ServicesDep, after: str = "") -> Response:
    """Show a page of the tenants, by id; one tenant's people are led to their own."""
    if user.tenant_id is not None:
        return redirect(f"/tenants/{user.tenant_id}")
    known = sorted(services.tenants.all(), key=lambda each: each.id)
    behind = [tenant for tenant in known if tenant.id > after]
    shown = behind[:_PAGE]
    figures, in_a_word = await asyncio.gather(_healths(services, shown), _in_a_word(services))
    context = {
        "tenants": figures,
        "in_a_word": in_a_word,
        "next": shown[-1].id if len(behind) > len(shown) else "",
        "is_first": not after,
    }
    return templates.TemplateResponse(request, "tenants.html", context)


@router.get("/tenants/{tenant_id}")
async def tenant(request: Request, user: CurrentUser, services: ServicesDep, tenant_id: VisibleTenant) -> Response:
    """Show one tenant."""
    found = services.tenants.get(tenant_id)
    if found is None:
        raise NotFound
    own = user.tenant_id is not None
    now = datetime.now(UTC)
    figures, causes, lacks = await asyncio.gather(
        in_time(figures_of(services.database, tenant_id)),
        in_time(job_figures.causes(services.database, tenant_id, "failed", now - LATELY)),
        lacking(services.database, services.redis),
    )
    problems = [each.sentence for each in services.tenants.problems if each.tenant_id == tenant_id]
    context = {
        "tenant_id": tenant_id,
        "tenant": health(found, figures, own=own, lacks=lacks),
        # A problem may name a setting of another tenant.
        "problems": [] if own else problems,
        "causes": None if causes is None else by_cause(causes),
        "causes_cut": causes is not None and is_cut(causes),
    }
    return templates.TemplateResponse(request, "tenant.html", context)


async def _in_a_word(services: Services) -> dict[str, StateWord]:
    """Return each tenant's health as on the overview; empty if unknown."""
    lacks = await lacking(services.database, services.redis)
    known = await health_of_all(services, datetime.now(UTC), lacks)
    return {each.tenant_id: each.health for each in known.tenants} if known.told else {}


async def _healths(services: Services, shown: Sequence[Tenant]) -> list[TenantHealth]:
    """Return the health of a page of tenants, in small groups until a time limit."""
    few = asyncio.Semaphore(_AT_ONCE)
    until = asyncio.get_running_loop().time() + _ALL_SECONDS

    async def told(of: Tenant) -> TenantHealth:
        async with few:
            left = until - asyncio.get_running_loop().time()
            figures = await in_time(figures_of(services.database, of.id), max(left, 0))
        return health(of, figures, own=False)

    return list(await asyncio.gather(*(told(each) for each in shown)))
