"""List of tenants, and the page of one."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.dependencies import ConsoleRoute, CurrentUser, ServicesDep, VisibleTenant
from console.errors import NotFound, redirect
from console.panels import (
    causes_lately,
    causes_table,
    health_of_all,
    in_time,
    missing_condition,
    tenant_panel,
)
from console.queries import figures_of
from console.templating import templates

_PAGE = 25
_ALL_SECONDS = 4.0  # for the figures of a page's tenants
router = APIRouter(route_class=ConsoleRoute)


@router.get("/tenants")
async def tenants(request: Request, user: CurrentUser, services: ServicesDep, after: str = "") -> Response:
    if user.tenant_id is not None:
        return redirect(f"/tenants/{user.tenant_id}")
    configured = sorted(services.tenants.all(), key=lambda each: each.id)
    following = [tenant for tenant in configured if tenant.id > after]
    page = following[:_PAGE]
    database = services.database
    healths, is_known = await health_of_all(database, configured, await missing_condition(database, services.redis))
    # Last, because they take all connections for a moment.
    figures = await asyncio.gather(*(in_time(figures_of(database, tenant.id), _ALL_SECONDS) for tenant in page))
    context = {
        "tenants": [tenant_panel(*pair, is_tenant_user=False) for pair in zip(page, figures, strict=True)],
        "health": {each.tenant_id: each.health for each in healths} if is_known else {},
        "next": page[-1].id if len(following) > len(page) else "",
        "is_first": not after,
    }
    return templates.TemplateResponse(request, "tenants.html", context)


@router.get("/tenants/{tenant_id}")
async def tenant(request: Request, user: CurrentUser, services: ServicesDep, tenant_id: VisibleTenant) -> Response:
    settings = services.tenants.get(tenant_id)
    if settings is None:
        raise NotFound
    is_tenant_user = user.tenant_id is not None
    database = services.database
    missing = await missing_condition(database, services.redis)
    figures, causes, ((health,), is_health_known) = await asyncio.gather(
        in_time(figures_of(database, tenant_id)),
        causes_lately(database, tenant_id),
        health_of_all(database, [settings], missing, is_tenant_user=is_tenant_user),
    )
    problems = [each.sentence for each in services.tenants.problems if each.tenant_id == tenant_id]
    context = {
        "tenant_id": tenant_id,
        "health": health,
        "is_health_known": is_health_known,
        "tenant": tenant_panel(settings, figures, is_tenant_user=is_tenant_user, missing=missing),
        # A problem may name a setting of another tenant.
        "problems": [] if is_tenant_user else problems,
        **causes_table(causes),
    }
    return templates.TemplateResponse(request, "tenant.html", context)
