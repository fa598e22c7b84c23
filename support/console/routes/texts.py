"""The texts of a job: what a model was told and what it answered. Each look is a line in the log."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from observability import phrases
from observability.logging import say
from storage import audit
from storage.answers import answer_in_row
from storage.by_hand import Details
from storage.models import AuditRecord
from support.audit_export import dollars, sources_told
from support.console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep
from support.console.errors import Forbidden
from support.console.figures.wording import Moment, moment
from support.console.routes.tickets import VisibleJob
from support.console.templating import templates
from support.show_job import note_text

_MOST_RECORDS = 20
router = APIRouter(route_class=ConsoleRoute)


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One request to a model; `answer` is empty if nothing usable came, and `reason` says why."""

    at: Moment
    prompt: str
    model: str
    host: str
    masking: str
    system: str
    sent: str
    answer: str
    reason: str
    sources: list[Mapping[str, str]]
    tokens: str
    cost: str
    seconds: str


@router.get("/jobs/{job_id}/texts")
async def texts(request: Request, user: CurrentUser, services: ServicesDep, job: VisibleJob) -> Response:
    """Show the texts of a job."""
    if not user.reads_texts:
        raise Forbidden("Reading what a model was told takes the right to read texts (`+texts`).")
    # Before anything is read: no look is without its line.
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
        "answer": None if answer is None else _pretty(answer),
    }
    return templates.TemplateResponse(request, "texts.html", context)


async def _records(services: Services, job: Details, days: int | None) -> list[TextRecord]:
    """Return the job's records, the oldest first."""
    found: list[TextRecord] = []
    async for record in audit.records(services.database, job.tenant_id, job_id=job.id, days=days, page=_MOST_RECORDS):
        found.append(_told(record, job))
        if len(found) == _MOST_RECORDS:
            break
    return found


def _told(record: AuditRecord, job: Details) -> TextRecord:
    return TextRecord(
        at=moment(record.at, job.asked_at),
        prompt=record.prompt,
        model=record.model,
        host=record.host,
        masking=record.masking,
        system=record.system,
        sent=record.sent,
        answer="" if record.answer is None else _pretty(record.answer),
        reason=record.reason or "",
        sources=list(sources_told(record)),
        tokens=f"{record.input_tokens:,} in, {record.output_tokens:,} out",
        cost=dollars(record.cost),
        seconds=f"{record.seconds:.1f}s",
    )


def _note(answer: dict[str, Any], job: Details) -> str:
    """Return the note as text; empty where a later release wrote the answer, whose parts are not known here."""
    try:
        return note_text(answer, job)
    except (KeyError, TypeError, ValueError):
        return ""


def _pretty(answer: object) -> str:
    return json.dumps(answer, indent=2, ensure_ascii=False)
