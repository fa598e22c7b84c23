"""Failed and skipped jobs, by cause and as a paged list, and manual retries."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from console import queries
from console.dependencies import (
    ConsoleRoute,
    CurrentUser,
    Services,
    ServicesDep,
    TenantScope,
    parse_job_id,
    require_operator,
    verify_csrf,
)
from console.errors import BadRequest, NotFound, redirect
from console.panels import causes_table, in_time, is_silent, reasons_of
from console.queries import PageEnd, EndState, FinishedJob
from console.routes.tickets import VisibleJob, caution, visible_job
from console.sessions import User
from console.templating import templates
from db.session import DATABASE_FAILURES
from jobs import manual_retry
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.manual_retry import NotRetriedError, is_last_of_ticket, why_not
from jobs.models import JobState
from observability.formats import parse_moment

MOST_RETRIED = 100
_PAGE = 50
_CAUSE = "cause:"
_STATES: dict[str, EndState] = {"": "failed", "failed": "failed", "skipped": "skipped"}
_MOST_LOOKED_AT = 1_000
_LOOK_SECONDS, _RETRY_SECONDS = 5.0, 10.0
router = APIRouter(route_class=ConsoleRoute)


class Filter(NamedTuple):
    """Filter of jobs. `said` is `since` as typed; empty `codes` means all causes."""

    tenant_id: str | None
    state: EndState
    said: str
    since: datetime
    codes: frozenset[str]
    behind: PageEnd | None


class Tried(NamedTuple):
    """The result of one job; `refusal` is empty if it was queued."""

    job_id: str
    tenant_id: str = ""
    ticket_id: str = ""
    refusal: str = ""


def parse_filter(
    request: Request, scope: TenantScope, state: str = "", since: str = "", cause: str = "", before: str = ""
) -> Filter:
    """Parse the filter of a query, with causes as `cause=CODE` or `cause:CODE=on`."""
    if state not in _STATES:
        raise BadRequest("Jobs that have ended without a note are failed or skipped.")
    codes = {name.removeprefix(_CAUSE) for name in request.query_params if name.startswith(_CAUSE)}
    codes |= {cause} if cause else set()
    if not codes <= set(VerdictCode):
        raise BadRequest("There is no such cause.")
    said = since.strip() or "24h"
    try:
        at = parse_moment(said)
    except ValueError:
        raise BadRequest("A time is like 30m, 24h or 3d, or like 2026-03-01T09:30.") from None
    return Filter(scope, _STATES[state], said, at, frozenset(codes), _parse_behind(before))


FilterDep = Annotated[Filter, Depends(parse_filter)]


@router.get("/failures")
async def failures(request: Request, user: CurrentUser, services: ServicesDep, chosen: FilterDep) -> Response:
    """Show the causes, and the jobs of all of them or of one."""
    database = services.database
    tenant_id, state, _, since, codes, behind = chosen
    causes = await in_time(queries.causes(database, tenant_id, state, since))
    jobs: list[FinishedJob] | None = None
    if causes is not None or not codes:
        reasons = reasons_of(causes or [], codes) if codes else None
        ended = queries.ended(database, tenant_id, state, since, reasons=reasons, after=behind, most=_PAGE + 1)
        jobs = await in_time(ended)
    following = ""
    if jobs is not None and len(jobs) > _PAGE:
        query = request.query_params
        kept = {name: query[name] for name in ("tenant", "cause", "state", "since") if query.get(name)}
        following = "/failures?" + urlencode(kept | {"before": _format_behind(jobs[_PAGE - 1])})
    context = {
        **causes_table(causes),
        "jobs": None if jobs is None else jobs[:_PAGE],
        "next": following,
        "is_first": behind is None,
        "chosen": chosen,
        "cause": next(iter(codes), ""),
        "tenants": [] if user.tenant_id else [tenant.id for tenant in services.tenants.all()],
        "may_retry": user.role == "operator" and state == "failed",
    }
    return templates.TemplateResponse(request, "failures.html", context)


def _format_behind(job: FinishedJob) -> str:
    return f"{job.finished_at.isoformat()}_{job.id}"


def _parse_behind(given: str) -> PageEnd | None:
    if not given:
        return None
    at, _, wanted = given.partition("_")
    try:
        return PageEnd(datetime.fromisoformat(at).astimezone(UTC), UUID(wanted))
    except (ValueError, OverflowError):
        raise BadRequest("There is no such page.") from None


@router.post("/jobs/{job_id}/retry", dependencies=[Depends(verify_csrf)])
async def retry_one(request: Request, services: ServicesDep, job: VisibleJob) -> Response:
    try:
        await manual_retry.retry(services.database, job.id, services.job_deadline_seconds)
    except NotRetriedError as refused:
        return _retried(request, [Tried(str(job.id), job.tenant_id, job.ticket_id, str(refused))], 409)
    return redirect(f"/tickets/{job.tenant_id}/{job.ticket_id}?job={job.id}")


@router.get("/failures/preview", dependencies=[Depends(require_operator)])
async def preview(request: Request, user: CurrentUser, services: ServicesDep, chosen: FilterDep) -> Response:
    if not chosen.codes:
        # The page asks for a cause.
        return await failures(request, user, services, chosen)
    if chosen.state != "failed":
        raise BadRequest("What was skipped is retried one by one.")
    context = {
        "preview": await _previewed(services, chosen),
        "chosen": chosen,
        "most": MOST_RETRIED,
        "is_first": chosen.behind is None,
    }
    return templates.TemplateResponse(request, "preview.html", context)


async def _previewed(services: Services, chosen: Filter) -> Mapping[str, Any]:
    """Collect enough jobs, latest end first, within limits. Raises TimeoutError if none was looked at.

    `left_out`: number of jobs whose ticket another job has handled or may handle. `older`: where a further page begins.
    """
    database = services.database
    tenant_id, state, _, since, codes, behind = chosen
    rows: list[FinishedJob] = []
    found: list[FinishedJob] = []
    looked = 0
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            reasons = reasons_of(await queries.causes(database, tenant_id, state, since), codes)
            found = await queries.ended(
                database, tenant_id, state, since, reasons=reasons, after=behind, most=_MOST_LOOKED_AT + 1
            )
            for job in found[:_MOST_LOOKED_AT]:
                if len(rows) == MOST_RETRIED:
                    break
                if await is_last_of_ticket(database, job.tenant_id, job.ticket_id, job.id):
                    rows.append(job)
                looked += 1
    except TimeoutError:
        if not looked:
            raise
    return {
        "rows": rows,
        "left_out": looked - len(rows),
        "older": _format_behind(found[looked - 1]) if looked < len(found) else "",
        "job_ids": ",".join(str(row.id) for row in rows),
        "kept": sum(row.answered for row in rows),
        "cautions": dict(sorted(Counter(filter(None, (caution(row.reason) for row in rows))).items())),
        "by_tenant": dict(sorted(Counter(row.tenant_id for row in rows).items())),
    }


@router.post("/failures/retry", dependencies=[Depends(require_operator), Depends(verify_csrf)])
async def retry_several(
    request: Request, user: CurrentUser, services: ServicesDep, jobs: Annotated[str, Form()] = ""
) -> Response:
    given = [part for part in jobs.split(",") if part]
    if not given or len(given) > MOST_RETRIED:
        raise BadRequest(f"From 1 to {MOST_RETRIED} jobs are retried at a time.")
    tried: list[Tried] = []
    wanted = list(dict.fromkeys(parse_job_id(part) for part in given))
    try:
        async with asyncio.timeout(_RETRY_SECONDS):
            for each in wanted:
                tried.append(await _retry(services, user, each))  # noqa: PERF401 -- kept if a later one fails
    except (*DATABASE_FAILURES, TimeoutError) as failure:
        if not (is_silent(failure) or isinstance(failure, TimeoutError)):
            raise
        # Earlier results are on the page; whether this one was retried is unknown.
        tried.append(Tried(str(wanted[len(tried)]), refusal="not known: the database did not answer"))
        return _retried(request, tried, 503, wanted[len(tried) :])
    return _retried(request, tried)


async def _retry(services: Services, user: User, wanted: UUID) -> Tried:
    try:
        job = await visible_job(services, user, wanted)
    except NotFound:
        return Tried(str(wanted), refusal="no job has this id")
    refusal = ""
    if job.state == JobState.SKIPPED:
        refusal = "it was skipped: it is retried on its ticket's page"
    elif job.state != JobState.FAILED:
        refusal = why_not(job.state)
    elif not await is_last_of_ticket(services.database, job.tenant_id, job.ticket_id, job.id):
        refusal = "another job of the ticket did it, or may"
    else:
        try:
            await manual_retry.retry(services.database, job.id, services.job_deadline_seconds)
        except NotRetriedError as refused:
            refusal = str(refused)
    return Tried(str(job.id), job.tenant_id, job.ticket_id, refusal)


def _retried(request: Request, tried: list[Tried], status: int = 200, rest: Sequence[UUID] = ()) -> Response:
    context = {
        "tried": tried,
        "done": sum(not one.refusal for one in tried),
        "broke_off": status == 503,
        "rest": ",".join(str(each) for each in rest),
    }
    return templates.TemplateResponse(request, "retried.html", context, status)
