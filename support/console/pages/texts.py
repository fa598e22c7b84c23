"""What a model was told of a job and what it answered, for who may read it: each look is a line in the log."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from observability import phrases
from observability.logging import say
from storage import audit
from storage.by_hand import Details
from storage.dry_runs import answer_in_row
from storage.models import AuditRecord
from support.audit_export import dollars, sources_told
from support.console.answers import Asked, NotAllowed, Page
from support.console.figures.wording import Moment, moment
from support.console.pages.asked import job_id
from support.console.pages.ticket import job_of
from support.show_job import note_text

_MOST_RECORDS = 20


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One question that was sent, and what came; `answer` is empty where nothing usable did, and `reason` says why."""

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


async def texts(asked: Asked) -> Page:
    """Show the texts of a job."""
    job = await job_of(asked, job_id(asked.path["job_id"]))
    visitor = asked.visitor
    if not visitor.reads_texts:
        raise NotAllowed("Reading what a model was told takes the right to read texts (`+texts`).")
    # Before anything is read: no look is without its line.
    say(
        phrases.TEXTS_READ,
        job_id=job.id,
        ticket_id=job.ticket_id,
        tenant_id=job.tenant_id,
        visitor=visitor.account,
    )
    answer = await answer_in_row(asked.sources.database, job.tenant_id, job.id)
    tenant = asked.sources.tenants.get(job.tenant_id)
    days = tenant.audit_days if tenant is not None and tenant.usable else None
    values = {
        "job_id": str(job.id),
        "tenant_id": job.tenant_id,
        "ticket_id": job.ticket_id,
        "model": job.model or "",
        "records": await _records(asked, job, days),
        "keeps_records": days != 0,
        "note": None if answer is None else _note(answer, job),
        "answer": None if answer is None else _pretty(answer),
    }
    return Page("texts.html", values)


async def _records(asked: Asked, job: Details, days: int | None) -> list[TextRecord]:
    """Return the job's records, the oldest first."""
    found: list[TextRecord] = []
    async for record in audit.records(
        asked.sources.database, job.tenant_id, job_id=job.id, days=days, page=_MOST_RECORDS
    ):
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
