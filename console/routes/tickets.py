"""Search, and pages of a ticket: verdict with evidence and jobs, a job's texts."""

import contextlib
import re
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import Response

from console.dependencies import (
    ConsoleRoute,
    CurrentUser,
    Services,
    ServicesDep,
    TenantScope,
    TicketId,
    VisibleTenant,
    visible_tenant,
)
from console.errors import NotFound, redirect
from console.panels import reason_for_tenant
from console.sessions import User
from console.templating import Tone, templates
from console.timeline import draw
from jobs import details
from jobs.details import Details, Listed, answer_of
from jobs.diagnosis.causes import cause_of
from jobs.diagnosis.facts import DiagnosisSubject, FactCollector, Facts, UnknownTenantError, owners_of
from jobs.diagnosis.report import evidence, report
from jobs.diagnosis.timeline import timeline
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.diagnosis.verdict_rules import judge
from jobs.models import JobState
from jobs.rejections import RefusalCount
from jobs.repository import ALREADY_ENHANCED, DUPLICATE, HELD_OUT
from jobs.statistics import reading_of
from observability import log_events
from observability.logging import log_event
from privacy import audit
from privacy.models import AuditRecord
from privacy.tombstones import FORGOTTEN
from workflow.answer import Content
from workflow.note import to_html

_JOB = re.compile(r"(?:Ref\s+)?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")
_TICKET = re.compile(r"(?:([a-zA-Z0-9-]{1,63})[\s/:]+)?#?([0-9]{1,20})")
_MAX_RECORDS = 20
_EXPECTED = (
    *("rate_held", "waiting_backlog", "another_job", "ticket_gone", "left_out", "nothing_found", "dry_run"),
    "held_out",
)
_TONES: dict[str, Tone] = {
    **dict.fromkeys(("delivered", "already_enhanced"), "ok"),
    "in_progress": "info",
    **dict.fromkeys((*_EXPECTED, "forgotten", "note_removed"), "warn"),
}
"""By verdict; all others need a fix."""
router = APIRouter(route_class=ConsoleRoute)


@router.get("/search")
async def search(
    request: Request, user: CurrentUser, services: ServicesDep, scope: TenantScope, q: str = ""
) -> Response:
    query = q.strip()
    if not query:
        return redirect("/")
    if job := _JOB.fullmatch(query):
        return redirect(f"/jobs/{UUID(job[1])}")
    ticket = _TICKET.fullmatch(query)
    if ticket is None:
        context = {"ticket_id": "", "given": query[:100], "tenants": [], "is_known": False}
        return templates.TemplateResponse(request, "search.html", context, 400)
    ticket_id = ticket[2]
    tenant_id = visible_tenant(user, ticket[1].lower()) if ticket[1] else scope
    if tenant_id is not None:
        return redirect(f"/tickets/{tenant_id}/{ticket_id}")
    tenant_ids = [tenant.id for tenant in services.tenants.all()]
    owners = await owners_of(services.database, tenant_ids, ticket_id)
    matches = sorted(owners) or tenant_ids
    if len(matches) == 1:
        return redirect(f"/tickets/{matches[0]}/{ticket_id}")
    if not matches:
        raise NotFound
    context = {"ticket_id": ticket_id, "given": ticket_id, "tenants": matches, "is_known": bool(owners)}
    return templates.TemplateResponse(request, "search.html", context)


async def visible_job(services: ServicesDep, user: CurrentUser, job_id: UUID) -> Details:
    """Return a visible job. NotFound takes the same time for missing and hidden ones."""
    database = services.database
    if user.tenant_id is not None and not await details.is_of(database, user.tenant_id, job_id):
        raise NotFound
    job = await details.details(database, job_id)
    if job is None or not user.sees(job.tenant_id):
        raise NotFound
    return job


VisibleJob = Annotated[Details, Depends(visible_job)]


@router.get("/tickets/{tenant_id}/{ticket_id}")
async def ticket(
    request: Request,
    user: CurrentUser,
    services: ServicesDep,
    tenant_id: VisibleTenant,
    ticket_id: TicketId,
    job: UUID | None = None,
) -> Response:
    if job is not None:
        visible = await visible_job(services, user, job)
        if ticket_id not in (visible.ticket_id, visible.desk_id, visible.display_id):
            raise NotFound
    collector = FactCollector(services.database, services.redis, services.tenants, services.probes)
    try:
        facts = await collector.facts(DiagnosisSubject(None if job else ticket_id, tenant_id, job))
    except UnknownTenantError:
        raise NotFound from None
    if facts is None:
        raise NotFound
    facts = replace(facts, commands=services.commands)
    picture = None
    if facts.job is not None and facts.events is not None:
        picture = draw(timeline(facts.job, facts.events, facts.read_at))
    context = {
        "note": await _note(services, user, facts.job) if facts.job is not None and user.reads_texts else None,
        "story": story(facts, is_tenant_user=user.tenant_id is not None, jaeger_url=services.jaeger_url),
        "picture": picture,
        "reads_texts": facts.job is not None and user.reads_texts,
        "tenant_id": tenant_id,
        "ticket_id": ticket_id,
    }
    return templates.TemplateResponse(request, "ticket.html", context)


@router.get("/jobs/{job_id}")
async def ticket_of_job(job: VisibleJob) -> Response:
    return redirect(f"/tickets/{job.tenant_id}/{job.ticket_id}?job={job.id}")


@router.get("/jobs/{job_id}/texts")
async def texts(request: Request, user: CurrentUser, services: ServicesDep, job: VisibleJob) -> Response:
    """Show prompts and answers of a job. Each view is logged."""
    if not user.reads_texts:
        raise HTTPException(403, "Reading the texts of a job needs a role with +texts.")
    _log_reader(user, job)
    answer = await answer_of(services.database, job.tenant_id, job.id)
    tenant = services.tenants.get(job.tenant_id)
    days = tenant.audit_days if tenant is not None and tenant.usable else None
    records: list[AuditRecord] = []
    async for record in audit.records(services.database, job.tenant_id, job_id=job.id, days=days, page=_MAX_RECORDS):
        records.append(record)
        if len(records) == _MAX_RECORDS:
            break
    context = {"job": job, "records": records, "keeps_records": days != 0, "answer": answer}
    return templates.TemplateResponse(request, "texts.html", context)


def _log_reader(user: User, job: Details) -> None:
    # Called before the text is read, so that each view has its line.
    ids = {"job_id": job.id, "ticket_id": job.ticket_id, "tenant_id": job.tenant_id}
    log_event(log_events.TEXTS_READ, ids, visitor=user.account)


async def _note(services: Services, user: User, job: Details) -> Markup:
    """Return the HTML of the job's note as the desk gets it, without the feedback link; empty without one."""
    if not job.answered:
        return Markup()
    _log_reader(user, job)
    answer = await answer_of(services.database, job.tenant_id, job.id)
    # A later release may have another format.
    with contextlib.suppress(KeyError, TypeError, ValueError):
        if answer is not None:
            content = Content.model_validate(answer)
            return Markup(to_html(content, job.id, job.model or "", updated_because=job.refresh or ""))  # noqa: S704
    return Markup()


def story(facts: Facts, *, is_tenant_user: bool, jaeger_url: str | None) -> dict[str, Any]:
    """Return `diagnose --json`'s result and more; `is_tenant_user` hides other tenants' data."""
    if is_tenant_user:
        facts = _without_causes(facts)
    diagnosis = judge(facts)
    # Jaeger shows the traces of all tenants to every visitor.
    result = report(facts, diagnosis, None if is_tenant_user else jaeger_url)
    if is_tenant_user:
        restricted = replace(facts, queue=None, work=None)
        again = judge(restricted)
        if again.verdict is diagnosis.verdict and again.anchor == diagnosis.anchor:
            result["says"] = again.text
        else:
            # The sentence would contain numbers of all tenants.
            result["says"] = f"Ticket {facts.ticket_id} of {facts.tenant_id}: {diagnosis.verdict.means}."
        result["because"] = [line._asdict() for line in evidence(restricted)]
        if facts.queue is not None:
            result["because"].append({"at": None, "what": f"queue: {reading_of(facts.queue.waiting)}"})
    job = facts.job
    numbers = [*([job.ticket_id, job.desk_id, job.display_id] if job else []), *facts.desk.numbers]
    jobs: list[Details | Listed] = [*facts.others, *([job] if job else [])]
    return result | {
        "tone": _TONES.get(diagnosis.verdict, "bad"),
        "means": diagnosis.verdict.means,
        "numbers": ", ".join(filter(None, dict.fromkeys(each for each in numbers if each != facts.ticket_id))),
        "jobs": sorted(jobs, key=lambda each: (each.accepted_at, each.id), reverse=True),
        "job": job,
        "caution": None if job is None else retry_caution(job),
    }


def _without_causes(facts: Facts) -> Facts:
    """Remove causes of signature mismatches that reveal another tenant."""
    webhooks = facts.webhooks
    if webhooks is None:
        return facts
    refused = [replace(refusal, reason=reason_for_tenant(refusal.reason)) for refusal in webhooks.refused]
    # Merged, because two identical lines would reveal that their causes differ. The newest are first.
    without_ticket: dict[tuple[int, str], RefusalCount] = {}
    for refusal in webhooks.without_ticket:
        reason = reason_for_tenant(refusal.reason)
        newest = without_ticket.get((refusal.status, reason), replace(refusal, reason=reason, count=0))
        without_ticket[refusal.status, reason] = replace(newest, count=newest.count + refusal.count)
    return replace(facts, webhooks=replace(webhooks, refused=refused, without_ticket=list(without_ticket.values())))


def retry_caution(job: Details) -> str | None:
    """Return the argument against a retry, or ""; None if a retry makes no sense."""
    is_useful = job.state in (JobState.FAILED, JobState.SKIPPED) and job.reason not in (DUPLICATE, FORGOTTEN)
    return caution(job.reason) if is_useful else None


def caution(reason: str | None) -> str:
    cause = cause_of(reason)
    if cause.verdict is VerdictCode.WORKER_LOST:
        return "Each worker that took this job crashed. Do not retry it before Engineering has checked it."
    if reason == ALREADY_ENHANCED:
        return "The ticket may already have its enhancement. A retry adds another note."
    if reason == HELD_OUT:
        return "The ticket is held out for comparison. A retry adds a note."
    if cause.retried:
        return ""
    return "A retry ends the same way, unless the ticket or the tenant's rules have changed."
