"""A ticket: verdict, evidence, timeline and jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from storage import by_hand
from storage.by_hand import Details
from support.console.dependencies import (
    ConsoleRoute,
    CurrentUser,
    JobId,
    Services,
    ServicesDep,
    TicketId,
    VisibleTenant,
    parse_job_id,
)
from support.console.drawing import NARROW, WIDE, Picture, draw
from support.console.errors import NotFound, redirect
from support.console.figures.story import story
from support.console.sessions import User
from support.console.templating import templates
from support.diagnose.facts import Facts
from support.diagnose.gathering import AskedAbout, Gatherer, TenantNotKnown
from support.timeline import timeline

router = APIRouter(route_class=ConsoleRoute)


async def visible_job(services: ServicesDep, user: CurrentUser, job_id: JobId) -> Details:
    """Return a job that the user may see. Raises NotFound.

    The error and its time are the same for a missing job and one of another tenant.
    """
    database = services.database
    if user.tenant_id is not None and not await by_hand.is_of(database, user.tenant_id, job_id):
        raise NotFound
    found = await by_hand.details(database, job_id)
    if found is None or not user.sees(found.tenant_id):
        raise NotFound
    return found


VisibleJob = Annotated[Details, Depends(visible_job)]


@router.get("/tickets/{tenant_id}/{ticket_id}")
async def ticket(
    request: Request,
    user: CurrentUser,
    services: ServicesDep,
    tenant_id: VisibleTenant,
    ticket_id: TicketId,
    job: str = "",
) -> Response:
    """Show a ticket, by that job of it if one is chosen."""
    facts = await _facts(services, user, tenant_id, ticket_id, parse_job_id(job) if job else None)
    context = {
        "story": story(facts, own=user.tenant_id is not None, jaeger_url=services.jaeger_url),
        "pictures": _pictures(facts),
        "texts": facts.job is not None and user.reads_texts,
        "tenant_id": tenant_id,
        "ticket_id": ticket_id,
    }
    return templates.TemplateResponse(request, "ticket.html", context)


@router.get("/jobs/{job_id}")
async def job(found: VisibleJob) -> Response:
    """Lead to the page of a job's ticket."""
    return to_ticket(found)


def to_ticket(job: Details) -> Response:
    return redirect(f"/tickets/{job.tenant_id}/{job.ticket_id}?job={job.id}")


async def _facts(services: Services, user: User, tenant_id: str, ticket_id: str, job_id: UUID | None) -> Facts:
    if job_id is not None:
        found = await visible_job(services, user, job_id)
        if ticket_id not in (found.ticket_id, found.desk_id, found.display_id):
            raise NotFound
    gatherer = Gatherer(services.database, services.redis, services.tenants, services.outside)
    try:
        facts = await gatherer.facts(AskedAbout(None if job_id else ticket_id, tenant_id, job_id))
    except TenantNotKnown:
        raise NotFound from None
    if facts is None:
        raise NotFound
    return facts


def _pictures(facts: Facts) -> list[Picture]:
    """Return the job's picture, wide and narrow; none if its events are unavailable."""
    if facts.job is None or facts.events is None:
        return []
    line = timeline(facts.job, facts.events, facts.asked_at)
    return [draw(line, shape) for shape in (WIDE, NARROW)]
