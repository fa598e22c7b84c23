"""The value report as a page, and its figures as files."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, NamedTuple, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from config.tenants import MAX_MINUTES_PER_NOTE, Tenant, parse_minutes
from console.dependencies import ConsoleRoute, CurrentUser, Services, ServicesDep, TenantScope
from console.errors import unavailable
from console.panels import in_time
from console.templating import templates
from jobs.report.document import Report, read_report
from jobs.report.period import Period, chosen_period
from jobs.report.render import to_csv, to_json, to_part
from observability.formats import parse_day

_SECONDS = 10.0
Value = TypeVar("Value")
router = APIRouter(route_class=ConsoleRoute)


class Choice(NamedTuple):
    """The tenants and days of a report; `minutes` None means the tenants' settings."""

    tenant_id: str | None
    tenants: list[Tenant]
    period: Period
    minutes: float | None

    def query(self, **changed: str) -> str:
        """Return the URL's query for the same choice, with changes."""
        values = {"tenant": self.tenant_id or "", "from": str(self.period.first), "to": str(self.period.last)}
        values |= {"minutes": "" if self.minutes is None else f"{self.minutes:.12g}"} | changed
        return urlencode({name: value for name, value in values.items() if value})


def parse_choice(
    services: ServicesDep,
    scope: TenantScope,
    first: Annotated[str, Query(alias="from")] = "",
    last: Annotated[str, Query(alias="to")] = "",
    minutes: str = "",
) -> Choice:
    directory = services.tenants
    tenants = [*directory.all()] if scope is None else [directory.get(scope) or Tenant(scope)]
    try:
        days = _parsed(parse_day, first), _parsed(parse_day, last)
        of_note = _parsed(parse_minutes, minutes)
        period = chosen_period(*days, [each.report.timezone for each in tenants], datetime.now(UTC))
    except ValueError as failure:
        raise HTTPException(400, f"{failure}") from None
    return Choice(scope, tenants, period, of_note)


def _parsed(parse: Callable[[str], Value], text: str) -> Value | None:
    return parse(text.strip()) if text.strip() else None


ChoiceDep = Annotated[Choice, Depends(parse_choice)]


async def _read(services: Services, choice: Choice) -> Report | None:
    reading = read_report(
        services.database, choice.tenants, choice.period, prices=services.prices, minutes=choice.minutes
    )
    return await in_time(reading, _SECONDS)


@router.get("/report")
async def report(request: Request, user: CurrentUser, services: ServicesDep, choice: ChoiceDep) -> Response:
    found = await _read(services, choice)
    context = {
        "choice": choice,
        "report": found,
        "part": None if found is None else to_part(found, lambda tenant: f"/report?{choice.query(tenant=tenant)}"),
        "tenants": [] if user.tenant_id else [each.id for each in services.tenants.all()],
        "most_minutes": MAX_MINUTES_PER_NOTE,
    }
    return templates.TemplateResponse(request, "report.html", context)


@router.get("/report.csv")
async def report_csv(services: ServicesDep, choice: ChoiceDep) -> Response:
    return await _file(services, choice, "csv", "text/csv", to_csv)


@router.get("/report.json")
async def report_json(services: ServicesDep, choice: ChoiceDep) -> Response:
    return await _file(services, choice, "json", "application/json", to_json)


async def _file(services: Services, choice: Choice, ending: str, kind: str, write: Callable[[Report], str]) -> Response:
    found = await _read(services, choice)
    if found is None:
        raise unavailable("The database did not answer in time. Try again in a minute, or choose fewer days.")
    name = f"report-{choice.tenant_id or 'all'}-{choice.period.first}-{choice.period.last}.{ending}"
    return Response(write(found), media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
