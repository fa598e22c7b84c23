"""Failed and skipped jobs, by cause and as a paged list."""

from datetime import UTC, datetime
from typing import Annotated, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from storage import job_figures
from storage.job_figures import Behind, EndState, JobEnd
from support.console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep, TenantScope, parse_since
from support.console.errors import BadRequest
from support.console.figures.asking import in_time
from support.console.figures.failures import by_cause, is_cut, reasons_of
from support.console.sessions import User
from support.console.templating import templates
from support.diagnose.verdicts import VerdictCode

_PAGE = 50
_DEFAULT_SINCE = "24h"
_CAUSE = "cause:"
_STATES: dict[str, EndState] = {"failed": "failed", "skipped": "skipped"}
router = APIRouter(route_class=ConsoleRoute)


class Filter(NamedTuple):
    """Filter of jobs. `said` is `since` as typed; empty `codes` means all causes."""

    tenant_id: str | None
    state: EndState
    said: str
    since: datetime
    codes: frozenset[str]
    behind: Behind | None


def parse_filter(
    request: Request, scope: TenantScope, state: str = "", since: str = "", cause: str = "", before: str = ""
) -> Filter:
    """Parse the filter of a query, with causes as `cause=CODE` or `cause:CODE=on`."""
    chosen_state = _STATES.get(state or "failed")
    if chosen_state is None:
        raise BadRequest("Jobs that have ended without a note are failed or skipped.")
    codes = {name.removeprefix(_CAUSE) for name in request.query_params if name.startswith(_CAUSE)}
    codes |= {cause} if cause else set()
    if not codes <= set(VerdictCode):
        raise BadRequest("There is no such cause.")
    said = since.strip() or _DEFAULT_SINCE
    return Filter(scope, chosen_state, said, parse_since(said), frozenset(codes), parse_behind(before))


FilterDep = Annotated[Filter, Depends(parse_filter)]


@router.get("/failures")
async def failures(request: Request, user: CurrentUser, services: ServicesDep, chosen: FilterDep) -> Response:
    """Show the causes, and the jobs of all of them or of one."""
    return await failures_page(request, user, services, chosen)


async def failures_page(request: Request, user: User, services: Services, chosen: Filter, notice: str = "") -> Response:
    database = services.database
    tenant_id, state, _, since, codes, behind = chosen
    causes = await in_time(job_figures.causes(database, tenant_id, state, since))
    jobs: list[JobEnd] | None = None
    if causes is not None or not codes:
        reasons = reasons_of(causes or [], set(codes)) if codes else None
        ended = job_figures.ended(database, tenant_id, state, since, reasons=reasons, behind=behind, most=_PAGE + 1)
        jobs = await in_time(ended)
    context = {
        "causes": None if causes is None else by_cause(causes),
        "causes_cut": causes is not None and is_cut(causes),
        "jobs": None if jobs is None else jobs[:_PAGE],
        "next": _next(request, jobs or []),
        "is_first": behind is None,
        "chosen": chosen,
        "cause": next(iter(codes), ""),
        "notice": notice,
        "tenants": [] if user.tenant_id else [tenant.id for tenant in services.tenants.all()],
        "may_retry": user.role == "operator" and state == "failed",
    }
    return templates.TemplateResponse(request, "failures.html", context)


def _next(request: Request, jobs: list[JobEnd]) -> str:
    if len(jobs) <= _PAGE:
        return ""
    last, query = jobs[_PAGE - 1], request.query_params
    kept = {name: query[name] for name in ("tenant", "cause", "state", "since") if query.get(name)}
    return "/failures?" + urlencode(kept | {"before": format_behind(Behind(last.finished_at, last.id))})


def format_behind(behind: Behind) -> str:
    return f"{behind.finished_at.isoformat()}_{behind.id}"


def parse_behind(given: str) -> Behind | None:
    """Parse the end of a page; None for the first one. Raises BadRequest."""
    if not given:
        return None
    at, _, wanted = given.partition("_")
    try:
        moment = datetime.fromisoformat(at)
        return Behind(moment if moment.tzinfo else moment.replace(tzinfo=UTC), UUID(wanted))
    except ValueError:
        raise BadRequest("There is no such page.") from None
