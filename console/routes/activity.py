"""First page: queue, charts, the list of all jobs with filters, failures and tenants; and the parts that it polls."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, StringConstraints
from starlette.exceptions import HTTPException
from starlette.responses import Response

from config.prices import cost
from console.charts import Range, read_charts
from console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep, TenantScope
from console.panels import causes_lately, causes_table, health_of_all, in_time, queue_view
from console.sessions import User
from console.templating import templates
from integrations.values import is_number
from jobs import activity
from jobs.activity import JobFilter, PageEnd
from jobs.diagnosis.causes import CAUSES, cause_of
from jobs.diagnosis.verdict_codes import VerdictCode
from jobs.models import JobState
from observability.formats import parse_moment

_MAX_TENANTS = 20  # of more tenants, the page shows only those that are not healthy
_PAGE = 25
_CAUSES = sorted({cause.verdict for cause in CAUSES.values()})
State = Literal["", "open", "due", "later", "waiting", "running", "completed", "skipped", "failed"]
router = APIRouter(route_class=ConsoleRoute)


class StateFilter(NamedTuple):
    """A choice of the field State; `is_due` filters waiting jobs by their due time."""

    label: str
    states: Sequence[JobState]
    is_due: bool | None = None


_STATES: dict[State, StateFilter] = {
    "": StateFilter("all", tuple(JobState)),
    "open": StateFilter("waiting or running", (JobState.WAITING, JobState.RUNNING)),
    "due": StateFilter("waiting, due", (JobState.WAITING,), is_due=True),
    "later": StateFilter("waiting for a later time", (JobState.WAITING,), is_due=False),
    **{state.value: StateFilter(state.value, (state,)) for state in JobState},
}


class ListFields(BaseModel):
    """Fields of the list's form, as typed, and the last job of the page before."""

    state: State = ""
    cause: VerdictCode | Literal[""] = ""
    reason: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")] = ""
    ticket: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] = ""
    since: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] = ""
    until: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] = ""
    range: Range = "24h"
    paused: Literal["", "yes"] = ""
    before: AwareDatetime | None = None
    before_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filter of the list, and the page after which it continues."""

    tenant_id: str | None
    fields: ListFields
    ticket_id: str | None
    since: datetime | None
    until: datetime | None

    @property
    def after(self) -> PageEnd | None:
        before, before_id = self.fields.before, self.fields.before_id
        return PageEnd(before, before_id) if before and before_id else None

    @property
    def is_filtered(self) -> bool:
        """True with a filter other than the tenant."""
        return bool(self.fields.model_dump(exclude={"range", "paused", "before", "before_id"}, exclude_defaults=True))

    def link(self, path: str = "/", **also: str) -> str:
        """Return the address of this list, with other values."""
        kept = self.fields.model_dump(mode="json", exclude={"before", "before_id"}, exclude_defaults=True)
        given = {"tenant": self.tenant_id, **kept, **also}
        text = urlencode({name: value for name, value in given.items() if value})
        return f"{path}?{text}" if text else path


def parse_list(scope: TenantScope, fields: Annotated[ListFields, Query()]) -> ListQuery:
    ticket_id = fields.ticket.removeprefix("#")
    if ticket_id and not is_number(ticket_id):
        raise HTTPException(400, "Write a ticket number of 1 to 20 digits.")
    try:
        since, until = (parse_moment(typed) if typed else None for typed in (fields.since, fields.until))
    except ValueError:
        raise HTTPException(400, "Write a time like 30m, 24h or 3d, or like 2026-03-01T09:30.") from None
    return ListQuery(scope, fields, ticket_id or None, since, until)


ListDep = Annotated[ListQuery, Depends(parse_list)]


@router.get("/")
async def overview(request: Request, user: CurrentUser, services: ServicesDep, chosen: ListDep) -> Response:
    database, sees_all = services.database, user.tenant_id is None
    queue, causes, jobs, charts = await asyncio.gather(
        queue_view(database, services.redis, user.tenant_id),
        causes_lately(database, user.tenant_id),
        _jobs(services, user, chosen),
        in_time(read_charts(database, chosen.tenant_id, chosen.fields.range, services.prices)),
    )
    configured = services.tenants.all() if sees_all else []
    tenants, is_known = await health_of_all(database, configured, queue["missing"]) if configured else ([], True)
    unhealthy = [each for each in tenants if each.health.tone != "ok"]
    context = {
        "queue": queue,
        **causes_table(causes),
        **jobs,
        "charts": charts,
        "tenants": tenants if len(tenants) <= _MAX_TENANTS else unhealthy[:_MAX_TENANTS],
        "tenant_count": len(tenants),
        "tenant_ids": sorted(tenant.id for tenant in configured),
        "unhealthy_count": len(unhealthy),
        "is_health_known": is_known,
        "states": _STATES,
        "verdicts": _CAUSES,
    }
    return templates.TemplateResponse(request, "overview.html", context)


@router.get("/live/queue")
async def live_queue(request: Request, user: CurrentUser, services: ServicesDep, chosen: ListDep) -> Response:
    context = {"queue": await queue_view(services.database, services.redis, user.tenant_id), "chosen": chosen}
    return templates.TemplateResponse(request, "queue.html", context)


@router.get("/live/jobs")
async def live_jobs(request: Request, user: CurrentUser, services: ServicesDep, chosen: ListDep) -> Response:
    return templates.TemplateResponse(request, "jobs.html", await _jobs(services, user, chosen))


async def _jobs(services: Services, user: User, chosen: ListQuery) -> dict[str, Any]:
    """Return the list's page for its template; `jobs` is None if the database did not answer."""
    page = await in_time(_page(services, chosen))
    jobs = None if page is None else page[:_PAGE]
    subjects = await in_time(activity.subjects(services.database, jobs)) if jobs and user.reads_texts else {}
    return {
        "chosen": chosen,
        "jobs": jobs,
        "last": jobs[-1] if page and jobs and len(page) > _PAGE else None,
        "subjects": subjects or {},
        "shows_subjects": user.reads_texts,
        "costs": {
            job.id: cost(services.prices, job.model, job.input_tokens, job.output_tokens, job.dollars)
            for job in jobs or ()
        },
    }


async def _page(services: Services, chosen: ListQuery) -> list[activity.ActivityJob]:
    reasons = [chosen.fields.reason] if chosen.fields.reason else None
    if chosen.fields.cause:
        known = reasons or await activity.reasons_of_jobs(services.database, chosen.tenant_id)
        reasons = [reason for reason in known if cause_of(reason).verdict == chosen.fields.cause]
    _, states, is_due = _STATES[chosen.fields.state]
    wanted = JobFilter(chosen.tenant_id, states, is_due, reasons, chosen.ticket_id, chosen.since, chosen.until)
    return await activity.page_of_jobs(services.database, wanted, after=chosen.after, most=_PAGE + 1)
