"""Failed and skipped jobs, by cause and as a paged list, and manual retries."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request
from pydantic import AwareDatetime
from starlette.exceptions import HTTPException
from starlette.responses import Response

from console import queries
from console.dependencies import (
    ConsoleRoute,
    CurrentUser,
    Services,
    ServicesDep,
    TenantScope,
    require_operator,
    verify_csrf,
)
from console.errors import NotFound, redirect
from console.panels import causes_table, in_time, is_silent, reasons_of
from console.routes.tickets import VisibleJob, caution, visible_job
from console.sessions import User
from console.templating import templates
from db.session import DATABASE_FAILURES
from jobs import bulk_retry, manual_retry
from jobs.activity import PageEnd
from jobs.bulk_retry import EndState, FinishedJob
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.manual_retry import NotRetriedError, is_last_of_ticket, why_not
from jobs.models import JobState
from observability.formats import parse_moment

MAX_RETRIED = 100
_PAGE = 50
_MAX = 1_001  # jobs of a preview that are checked, and one more
_CHECK_SECONDS, _RETRY_SECONDS = 5.0, 10.0
router = APIRouter(route_class=ConsoleRoute)


class Filter(NamedTuple):
    """Filter of jobs. `typed` is `since` as typed; empty `codes` means all causes."""

    tenant_id: str | None
    state: EndState
    typed: str
    since: datetime
    codes: list[VerdictCode]
    after: PageEnd | None


class RetryResult(NamedTuple):
    """The result of one job; `refusal` is empty if it was queued."""

    job_id: str
    tenant_id: str = ""
    ticket_id: str = ""
    refusal: str = ""


def parse_filter(
    scope: TenantScope,
    codes: Annotated[list[VerdictCode], Query(alias="cause", default_factory=list)],
    state: EndState = "failed",
    since: str = "",
    before: AwareDatetime | None = None,
    before_id: UUID | None = None,
) -> Filter:
    typed = since.strip() or "24h"
    try:
        moment = parse_moment(typed)
    except ValueError:
        raise HTTPException(400, "Write a time like 30m, 24h or 3d, or like 2026-03-01T09:30.") from None
    after = PageEnd(before, before_id) if before and before_id else None
    return Filter(scope, state, typed, moment, codes, after)


FilterDep = Annotated[Filter, Depends(parse_filter)]


@router.get("/failures")
async def failures(request: Request, user: CurrentUser, services: ServicesDep, chosen: FilterDep) -> Response:
    """Show the causes, and the jobs of all of them or of one."""
    database = services.database
    tenant_id, state, _, since, codes, after = chosen
    causes = await in_time(queries.causes(database, tenant_id, state, since))
    jobs: list[FinishedJob] | None = None
    if causes is not None or not codes:
        reasons = reasons_of(causes or [], codes) if codes else None
        ended = bulk_retry.ended(database, tenant_id, state, since, reasons=reasons, after=after, most=_PAGE + 1)
        jobs = await in_time(ended)
    context = {
        **causes_table(causes),
        "jobs": None if jobs is None else jobs[:_PAGE],
        "last": jobs[_PAGE - 1] if jobs and len(jobs) > _PAGE else None,
        "chosen": chosen,
        "cause": codes[0].value if codes else "",
        "tenants": [] if user.tenant_id else [tenant.id for tenant in services.tenants.all()],
        "may_retry": user.role == "operator" and state == "failed",
    }
    return templates.TemplateResponse(request, "failures.html", context)


@router.post("/jobs/{job_id}/retry", dependencies=[Depends(verify_csrf)])
async def retry_one(request: Request, services: ServicesDep, job: VisibleJob) -> Response:
    try:
        await manual_retry.retry(services.database, job.id, services.job_deadline_seconds)
    except NotRetriedError as refused:
        return _results(request, [RetryResult(str(job.id), job.tenant_id, job.ticket_id, str(refused))], 409)
    return redirect(f"/tickets/{job.tenant_id}/{job.ticket_id}?job={job.id}")


@router.get("/failures/preview", dependencies=[Depends(require_operator)])
async def preview(request: Request, user: CurrentUser, services: ServicesDep, chosen: FilterDep) -> Response:
    if not chosen.codes:
        # The page asks for a cause.
        return await failures(request, user, services, chosen)
    if chosen.state != "failed":
        raise HTTPException(400, "Skipped jobs are retried one by one.")
    context = {"preview": await _preview(services, chosen), "chosen": chosen, "most": MAX_RETRIED}
    return templates.TemplateResponse(request, "preview.html", context)


async def _preview(services: Services, chosen: Filter) -> dict[str, Any]:
    """Collect enough jobs, latest end first. Raises TimeoutError if none was checked.

    `left_out` counts jobs if another job handled or may handle the ticket. `last` is the job before the next page.
    """
    database = services.database
    tenant_id, state, _, since, codes, after = chosen
    rows: list[FinishedJob] = []
    candidates: list[FinishedJob] = []
    checked = 0
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            reasons = reasons_of(await queries.causes(database, tenant_id, state, since), codes)
            ended = bulk_retry.ended(database, tenant_id, state, since, reasons=reasons, after=after, most=_MAX)
            candidates = await ended
            async for job, is_included in bulk_retry.checked(database, candidates[: _MAX - 1]):
                if is_included:
                    rows.append(job)
                checked += 1
                if len(rows) == MAX_RETRIED:
                    break
    except TimeoutError:
        if not checked:
            raise
    return {
        "rows": rows,
        "left_out": checked - len(rows),
        "last": candidates[checked - 1] if checked < len(candidates) else None,
        "job_ids": ",".join(str(row.id) for row in rows),
        "kept": sum(row.answered for row in rows),
        "estimate": await in_time(bulk_retry.estimate(database, rows, services.prices)),
        "cautions": dict(sorted(Counter(filter(None, (caution(row.reason) for row in rows))).items())),
        "by_tenant": dict(sorted(Counter(row.tenant_id for row in rows).items())),
    }


@router.post("/failures/retry", dependencies=[Depends(require_operator), Depends(verify_csrf)])
async def retry_several(
    request: Request, user: CurrentUser, services: ServicesDep, jobs: Annotated[str, Form()] = ""
) -> Response:
    parts = [part for part in jobs.split(",") if part]
    if not parts or len(parts) > MAX_RETRIED:
        raise HTTPException(400, f"From 1 to {MAX_RETRIED} jobs can be retried at a time.")
    try:
        job_ids = list(dict.fromkeys(map(UUID, parts)))
    except ValueError:
        raise NotFound from None
    results: list[RetryResult] = []
    try:
        async with asyncio.timeout(_RETRY_SECONDS):
            for job_id in job_ids:
                results.append(await _retry(services, user, job_id))  # noqa: PERF401 -- kept if a later one fails
    except (*DATABASE_FAILURES, TimeoutError) as failure:
        if not (is_silent(failure) or isinstance(failure, TimeoutError)):
            raise
        # Earlier results are on the page; whether this one was retried is unknown.
        results.append(RetryResult(str(job_ids[len(results)]), refusal="unknown: the database did not answer"))
        return _results(request, results, 503, job_ids[len(results) :])
    return _results(request, results)


async def _retry(services: Services, user: User, job_id: UUID) -> RetryResult:
    try:
        job = await visible_job(services, user, job_id)
    except NotFound:
        return RetryResult(str(job_id), refusal="no job has this id")
    refusal = ""
    if job.state == JobState.SKIPPED:
        refusal = "it was skipped: retry it on the page of its ticket"
    elif job.state != JobState.FAILED:
        refusal = why_not(job.state)
    elif not await is_last_of_ticket(services.database, job.tenant_id, job.ticket_id, job.id):
        refusal = "another job of the ticket may add the note"
    else:
        try:
            await manual_retry.retry(services.database, job.id, services.job_deadline_seconds)
        except NotRetriedError as refused:
            refusal = str(refused)
    return RetryResult(str(job.id), job.tenant_id, job.ticket_id, refusal)


def _results(request: Request, results: list[RetryResult], status: int = 200, rest: Sequence[UUID] = ()) -> Response:
    context = {
        "results": results,
        "done": sum(not result.refusal for result in results),
        "is_incomplete": status == 503,
        "rest": ",".join(map(str, rest)),
    }
    return templates.TemplateResponse(request, "retried.html", context, status)
