"""Check of a tenant's desk: at most five calls, read only."""

import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
from redis.asyncio import Redis

from cli.check.findings import Finding, Findings, proxy_remedy
from config.settings import DeskClientSettings
from config.tenants import DeskSettings, Tenant, key_name, setting_suffix
from integrations.errors import DeferredError, ExternalError
from integrations.http import EgressConfig, open_client
from integrations.rate_limit import THROTTLED, DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.parsing import DeskAnswer
from integrations.servicedesk.transport import DeskCalls, Limits

_REQUESTS = "SDPOnDemand.requests.ALL"
_SOLUTIONS = "SDPOnDemand.solutions.READ"
_BUNDLE = "give the authority that signed it as SERVICEDESK_CA_BUNDLE"
_ONE = {"list_info": {"row_count": 1}}
_NEWEST = {"list_info": {"row_count": 1, "sort_field": "created_time", "sort_order": "desc"}}


def clock_ahead(date: str | None) -> float | None:
    """Return the seconds a server's clock is ahead; None without a `Date` header."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None


async def desk_rows(tenant: Tenant, settings: DeskClientSettings, redis: Redis | None) -> list[Finding]:
    rows, desk = Findings("desk", tenant.id), tenant.desk
    if desk is None:
        return rows.not_checked("the tenant has no desk")
    if not desk.has_keys:
        return rows.not_checked("no key of the desk is set here: run this where a worker runs")
    rows.not_checked("only a new note would show it; the first job does", "desk note writing")
    answers: list[httpx2.Response] = []

    async def heard(response: httpx2.Response) -> None:
        answers.append(response)

    async with open_client(connections=2, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle)) as http:
        http.event_hooks["response"].append(heard)
        tokens = DeskTokens(http, redis, settings.servicedesk_timeout_seconds)
        rate = DeskRate(tenant.id, desk.rate_per_minute, redis)
        limits = Limits(Breaker(f"desk of {tenant.id}", "desk unavailable"), rate, 1)
        calls = DeskCalls(tenant.id, desk, http, tokens, settings.servicedesk_timeout_seconds, limits)
        try:
            if desk.edition == "cloud":
                await tokens.get(tenant.id, desk)
        except (ExternalError, DeferredError) as failure:
            return _accounts_failed(rows, failure, desk, tenant.id)
        try:
            listed = (await _get(calls, "/requests", _NEWEST)).body.get("requests")
        except (ExternalError, DeferredError) as failure:
            _first_call_failed(rows, failure, desk, tenant.id)
        else:
            rows.answers(desk.url)
            rows.ok("accepted", "desk credentials", "desk portal")
            rows.ok(f"{desk.rate_per_minute} calls a minute, of which this check used {len(answers)}", "desk rate")
            await _rights(rows, calls, listed, desk, tenant.id)
    rows.clock(clock_ahead(answers[-1].headers.get("date")) if answers else None)
    return rows.all


async def _get(calls: DeskCalls, path: str, data: dict[str, Any] | None = None) -> DeskAnswer:
    answer = await calls.make("GET", path, data, who="check")
    if not answer.succeeded:
        raise answer.failure()
    return answer


async def _rights(rows: Findings, calls: DeskCalls, listed: Any, desk: DeskSettings, tenant_id: str) -> None:
    ticket_id = str(listed[0].get("id", "")) if isinstance(listed, list) and listed else ""
    paths = [("desk solutions", _SOLUTIONS, "/solutions", _ONE)]
    if ticket_id:
        paths.insert(0, ("desk notes", _REQUESTS, f"/requests/{ticket_id}/notes", _ONE))
        paths.insert(0, ("desk ticket", _REQUESTS, f"/requests/{ticket_id}", {}))
    else:
        rows.not_checked("the desk shows no ticket", "desk ticket", "desk notes")
    for name, scope, path, data in paths:
        try:
            await _get(calls, path, data or None)
        except DeferredError as held:
            if held.reason == THROTTLED:
                _rate_failed(rows, held.reason, desk, tenant_id)
                return
            rows.not_checked(f"jobs use all calls of the desk in this minute ({held.reason})", name)
        except ExternalError as failure:
            remedy = (
                f"give the technician of the key the right to see it, or in the cloud give the token the scope {scope}"
            )
            rows.failed(name, failure.reason, remedy)
        else:
            rows.ok("readable", name)


def _what(failure: ExternalError | DeferredError) -> str:
    return str(failure.values.get("reason", "")) if isinstance(failure, ExternalError) else failure.reason


def _accounts_failed(
    rows: Findings, failure: ExternalError | DeferredError, desk: DeskSettings, tenant_id: str
) -> list[Finding]:
    """Add the row for a missing token.

    Only an answer of the accounts host itself is evidence about the secrets.
    """
    what = _what(failure)
    address = key_name(tenant_id, "servicedesk.accounts_url")
    if "certificate" in what:
        remedy = _BUNDLE
    elif "proxy" in what:
        remedy = proxy_remedy(urlsplit(desk.accounts_url).hostname or "")
    elif not what or what == "invalid answer" or what.startswith(("connection", "5")):
        remedy = f"check that {address} is the accounts host of the desk's region, and is reachable from here"
    elif what == "429":
        remedy = "wait ten minutes: the accounts host issues only ten tokens for a refresh token in that time"
    else:
        remedy = f"replace {tenant_id}.servicedesk.client_id, its secret and refresh token; create them for {address}"
    return rows.failed("desk credentials", f"the accounts host issues no token ({failure.reason})", remedy)


def _first_call_failed(
    rows: Findings, failure: ExternalError | DeferredError, desk: DeskSettings, tenant_id: str
) -> None:
    what, suffix = _what(failure), setting_suffix(tenant_id)
    address = f"SERVICEDESK_URL_{suffix}"
    if "certificate" in what:
        rows.ok("it answers", "desk address")
        rows.failed("desk certificate", "it is not trusted", _BUNDLE)
    elif "proxy" in what:
        rows.failed("desk address", failure.reason, proxy_remedy(urlsplit(desk.url).hostname or ""))
    elif isinstance(failure, DeferredError) and what != THROTTLED:
        rows.not_checked(f"jobs use all calls of the desk in this minute ({what})")
    elif not what or what.startswith(("connection", "5")):
        remedy = (
            f"check {address}, and that the desk runs and is reachable from here, through the proxy of HTTPS_PROXY "
            "if it is set"
        )
        rows.failed("desk address", failure.reason, remedy)
    else:
        rows.answers(desk.url)
        if what == "401":
            credential = "SERVICEDESK_REFRESH_TOKEN" if desk.edition == "cloud" else "SERVICEDESK_API_KEY"
            or_scope = f", or lacks the scope {_REQUESTS}" if desk.edition == "cloud" else ""
            remedy = f"replace {credential}_{suffix}: it is wrong or has expired{or_scope}"
            rows.failed("desk credentials", failure.reason, remedy)
        elif what == "403":
            rows.ok("accepted", "desk credentials", "desk portal")
            may = "the right to see requests, or in the cloud give the token the scope"
            rows.failed("desk ticket", failure.reason, f"give the technician of the key {may} {_REQUESTS}")
        elif what == THROTTLED:
            _rate_failed(rows, failure.reason, desk, tenant_id)
        else:
            remedy = f"set {address} to the part before /api/v3, with /app/<portal> if the desk has portals"
            rows.failed("desk portal", failure.reason, remedy)


def _rate_failed(rows: Findings, reason: str, desk: DeskSettings, tenant_id: str) -> None:
    name = key_name(tenant_id, "servicedesk.rate_per_minute")
    rows.failed("desk rate", reason, f"lower {name} (now {desk.rate_per_minute})")
