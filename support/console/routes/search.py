"""Search by ticket number, tenant and ticket number, or job id."""

import re
from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from storage import by_hand, rejections
from support.console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep, TenantScope, visible_tenant
from support.console.errors import NotFound, redirect
from support.console.figures.asking import in_time
from support.console.templating import templates

_JOB = re.compile(r"(?:Ref\s+)?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")
_TICKET = re.compile(r"(?:([a-zA-Z0-9-]{1,63})[\s/:]+)?#?([0-9]{1,20})")
_LONGEST = 100
router = APIRouter(route_class=ConsoleRoute)


@router.get("/search")
async def search(
    request: Request, user: CurrentUser, services: ServicesDep, scope: TenantScope, q: str = ""
) -> Response:
    """Lead to the ticket or job, or to a choice if several tenants have it."""
    given = q.strip()
    if not given:
        return redirect("/")
    if job := _JOB.fullmatch(given):
        return redirect(f"/jobs/{UUID(job[1])}")
    ticket = _TICKET.fullmatch(given)
    if ticket is None:
        context = {"ticket_id": "", "given": given[:_LONGEST], "tenants": [], "is_known": False}
        return templates.TemplateResponse(request, "search.html", context, 400)
    tenant_id = visible_tenant(user, ticket[1].lower()) if ticket[1] else scope
    if tenant_id is not None:
        return redirect(f"/tickets/{tenant_id}/{ticket[2]}")
    return await _of_any_tenant(request, services, ticket[2])


async def _of_any_tenant(request: Request, services: Services, ticket_id: str) -> Response:
    known = [tenant.id for tenant in services.tenants.all()]
    owners = set(await by_hand.owners(services.database, ticket_id))
    if not owners:
        await in_time(_add_heard_of(services, owners, known, ticket_id))
    found = sorted(owners) or known
    if len(found) == 1:
        return redirect(f"/tickets/{found[0]}/{ticket_id}")
    if not found:
        raise NotFound
    context = {"ticket_id": ticket_id, "given": ticket_id, "tenants": found, "is_known": bool(owners)}
    return templates.TemplateResponse(request, "search.html", context)


async def _add_heard_of(services: Services, owners: set[str], known: Sequence[str], ticket_id: str) -> None:
    for tenant_id in known:
        if await rejections.is_heard_of(services.database, tenant_id, ticket_id):
            owners.add(tenant_id)
