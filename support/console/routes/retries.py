"""Manual retries of one job, or of several after a preview."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from storage import job_figures
from storage.by_hand import NotRetried, why_not
from storage.job_figures import Behind, JobEnd
from storage.models import JobState
from storage.session import DATABASE_FAILURES
from support.arguments import MOST_RETRIED
from support.console.dependencies import (
    ConsoleRoute,
    CurrentUser,
    Services,
    ServicesDep,
    parse_job_id,
    require_operator,
    verify_csrf,
)
from support.console.errors import BadRequest, NotFound
from support.console.figures.asking import is_silent
from support.console.figures.failures import reasons_of
from support.console.figures.story import caution, costs
from support.console.routes.failures import Filter, FilterDep, failures_page, format_behind
from support.console.routes.tickets import VisibleJob, to_ticket, visible_job
from support.console.sessions import User
from support.console.templating import templates
from support.retry_jobs import is_its_tickets_last, retry_and_tell

_LOOK = 100
_MOST_LOOKED_AT = 1_000
_LOOK_SECONDS, _RETRY_SECONDS = 5.0, 10.0
_IN_DOUBT = "not known: the database did not answer"
router = APIRouter(route_class=ConsoleRoute)


@dataclass(slots=True)
class Preview:
    """Jobs to retry, latest end first.

    `left_out`: number of jobs whose ticket another job has handled or may handle. `more`: older ones exist; `behind` is
    the last one examined.
    """

    rows: list[JobEnd]
    left_out: int
    more: bool
    behind: Behind | None = None

    @property
    def job_ids(self) -> str:
        return ",".join(str(row.id) for row in self.rows)

    @property
    def kept(self) -> int:
        """Return the number of jobs with a stored answer."""
        return sum(row.answered for row in self.rows)

    @property
    def cautions(self) -> Mapping[str, int]:
        told = [said for row in self.rows if (said := caution(row.reason))]
        return {said: told.count(said) for said in sorted(set(told))}

    @property
    def by_tenant(self) -> Mapping[str, int]:
        tenants = [row.tenant_id for row in self.rows]
        return {tenant_id: tenants.count(tenant_id) for tenant_id in sorted(set(tenants))}


@dataclass(frozen=True, slots=True)
class Tried:
    """The result of one job; `refusal` is empty if it was queued."""

    job_id: str
    tenant_id: str
    ticket_id: str
    refusal: str


@router.post("/jobs/{job_id}/retry", dependencies=[Depends(verify_csrf)])
async def retry_one(request: Request, services: ServicesDep, job: VisibleJob) -> Response:
    """Let one job wait again, and lead to its ticket; or say why it can't."""
    try:
        await retry_and_tell(services.database, job.id, services.job_deadline_seconds)
    except NotRetried as refused:
        tried = [Tried(str(job.id), job.tenant_id, job.ticket_id, str(refused))]
        return _retried(request, tried, 409)
    return to_ticket(job)


@router.get("/failures/preview", dependencies=[Depends(require_operator)])
async def preview(request: Request, user: CurrentUser, services: ServicesDep, chosen: FilterDep) -> Response:
    """Show which jobs a retry of the chosen causes would let wait again, and the cost; changes nothing."""
    if not chosen.codes:
        notice = "Choose a cause: not all that ever failed is meant."
        return await failures_page(request, user, services, chosen, notice)
    if chosen.state != "failed":
        raise BadRequest("What was skipped is retried one by one.")
    found = await _previewed(services, user, chosen)
    context = {
        "preview": found,
        "chosen": chosen,
        "most": MOST_RETRIED,
        "costs": costs,
        "older": "" if found.behind is None or not found.more else format_behind(found.behind),
        "is_first": chosen.behind is None,
    }
    return templates.TemplateResponse(request, "preview.html", context)


@router.post("/failures/retry", dependencies=[Depends(require_operator), Depends(verify_csrf)])
async def retry_several(
    request: Request, user: CurrentUser, services: ServicesDep, jobs: Annotated[str, Form()] = ""
) -> Response:
    """Let the jobs of a preview wait again, and show the result of each."""
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
        tried.append(Tried(str(wanted[len(tried)]), "", "", _IN_DOUBT))
        return _retried(request, tried, 503, rest=wanted[len(tried) :], broke_off=True)
    return _retried(request, tried)


def _retried(
    request: Request, tried: list[Tried], status: int = 200, *, rest: Sequence[UUID] = (), broke_off: bool = False
) -> Response:
    context = {
        "tried": tried,
        "done": sum(not one.refusal for one in tried),
        "broke_off": broke_off,
        "rest": ",".join(str(each) for each in rest),
    }
    return templates.TemplateResponse(request, "retried.html", context, status)


async def _retry(services: Services, user: User, wanted: UUID) -> Tried:
    try:
        job = await visible_job(services, user, wanted)
    except NotFound:
        return Tried(str(wanted), "", "", "no job has this id")
    refusal = _why_not(job.state)
    if not refusal and not await is_its_tickets_last(services.database, job):
        refusal = "another job of the ticket did it, or may"
    if not refusal:
        try:
            await retry_and_tell(services.database, job.id, services.job_deadline_seconds)
        except NotRetried as refused:
            refusal = str(refused)
    return Tried(str(job.id), job.tenant_id, job.ticket_id, refusal)


def _why_not(state: str) -> str:
    if state == JobState.SKIPPED:
        return "it was skipped: it is retried on its ticket's page"
    return "" if state == JobState.FAILED else why_not(state)


async def _previewed(services: Services, user: User, chosen: Filter) -> Preview:
    """Collect enough jobs within a limit. Raises TimeoutError if none was found."""
    found = Preview([], 0, more=True, behind=chosen.behind)
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            async for job, is_last in _looked_at(services, user, chosen):
                if len(found.rows) == MOST_RETRIED:
                    return found
                if is_last:
                    found.rows.append(job)
                else:
                    found.left_out += 1
                found.behind = Behind(job.finished_at, job.id)
    except TimeoutError:
        if found.behind is chosen.behind:
            raise
        return found
    found.more = found.left_out + len(found.rows) >= _MOST_LOOKED_AT
    return found


async def _looked_at(services: Services, user: User, chosen: Filter) -> AsyncIterator[tuple[JobEnd, bool]]:
    """Yield up to `_MOST_LOOKED_AT` jobs, and whether each is its ticket's last."""
    database, behind = services.database, chosen.behind
    tenant_id, state, _, since, codes, _ = chosen
    reasons = reasons_of(await job_figures.causes(database, tenant_id, state, since), set(codes))
    for _ in range(_MOST_LOOKED_AT // _LOOK):
        page = await job_figures.ended(database, tenant_id, state, since, reasons=reasons, behind=behind, most=_LOOK)
        for job in page:
            yield job, user.sees(job.tenant_id) and await is_its_tickets_last(database, job)
        if len(page) < _LOOK:
            return
        behind = Behind(page[-1].finished_at, page[-1].id)
