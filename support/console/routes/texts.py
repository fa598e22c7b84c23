"""Texts of a job: prompts and answers of models. Each view is logged."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from observability import phrases
from observability.logging import say
from storage import audit
from storage.by_hand import Details, answer_in_row
from storage.models import AuditRecord
from support.console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep
from support.console.errors import Forbidden
from support.console.routes.tickets import VisibleJob
from support.console.templating import templates
from support.show_job import note_text

_MOST_RECORDS = 20
router = APIRouter(route_class=ConsoleRoute)


@router.get("/jobs/{job_id}/texts")
async def texts(request: Request, user: CurrentUser, services: ServicesDep, job: VisibleJob) -> Response:
    """Show the texts of a job."""
    if not user.reads_texts:
        raise Forbidden("Reading what a model was told takes the right to read texts (`+texts`).")
    # Logged before reading, so that each view has its line.
    say(
        phrases.TEXTS_READ,
        job_id=job.id,
        ticket_id=job.ticket_id,
        tenant_id=job.tenant_id,
        visitor=user.account,
    )
    answer = await answer_in_row(services.database, job.tenant_id, job.id)
    tenant = services.tenants.get(job.tenant_id)
    days = tenant.audit_days if tenant is not None and tenant.usable else None
    context = {
        "job_id": str(job.id),
        "tenant_id": job.tenant_id,
        "ticket_id": job.ticket_id,
        "model": job.model or "",
        "records": await _records(services, job, days),
        "keeps_records": days != 0,
        "note": None if answer is None else _note(answer, job),
        "answer": answer,
    }
    return templates.TemplateResponse(request, "texts.html", context)


async def _records(services: Services, job: Details, days: int | None) -> list[AuditRecord]:
    found: list[AuditRecord] = []
    async for record in audit.records(services.database, job.tenant_id, job_id=job.id, days=days, page=_MOST_RECORDS):
        found.append(record)
        if len(found) == _MOST_RECORDS:
            break
    return found


def _note(answer: dict[str, Any], job: Details) -> str:
    """Return the note as text; empty for the unknown format of a later release."""
    try:
        return note_text(answer, job)
    except (KeyError, TypeError, ValueError):
        return ""
