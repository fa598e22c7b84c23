"""Check of a tenant's desk: at most five calls, read only."""

import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenant_names import setting_suffix
from config.tenants import DeskSettings, Tenant
from config.tenants_file import key_name
from integrations.errors import HeldBack, OutsideFailure
from integrations.http import Outward, open_client
from integrations.rate_limit import THROTTLED, DeskRate
from integrations.resilience import Breaker
from integrations.servicedesk.auth import DeskTokens
from integrations.servicedesk.calls import DeskCalls, Limits
from integrations.servicedesk.parsing import DeskAnswer
from support.check.findings import Finding, Findings, checks_of, proxy_remedy
from webhooks.signing import WINDOW_SECONDS

NAMES = checks_of("desk")
_WHO = "check"
_REQUESTS = "SDPOnDemand.requests.ALL"
_SOLUTIONS = "SDPOnDemand.solutions.READ"
_BUNDLE = "give the authority that signed it as SERVICEDESK_CA_BUNDLE"


class _Call:
    """Desk calls of this check; counts them and reads the desk's clock."""

    def __init__(self, tenant_id: str, desk: DeskSettings, settings: DeskClientSettings, redis: Redis | None) -> None:
        self.clock_ahead: float | None = None
        self.made = 0
        self._http = open_client(connections=2, outward=Outward.of(settings, settings.servicedesk_ca_bundle))
        self._http.event_hooks = {"response": [self._heard]}
        self._desk = desk
        self._tenant_id = tenant_id
        self._tokens = DeskTokens(self._http, redis, settings.servicedesk_timeout_seconds)
        limits = Limits(
            Breaker(f"desk of {tenant_id}", "desk unavailable"), DeskRate(tenant_id, desk.rate_per_minute, redis), 1
        )
        self._calls = DeskCalls(tenant_id, desk, self._http, self._tokens, settings.servicedesk_timeout_seconds, limits)

    async def _heard(self, response: httpx2.Response) -> None:
        self.made += 1
        self.clock_ahead = clock_ahead(response.headers.get("date"))

    async def token(self) -> None:
        """Request a token (cloud only). Raises the errors of `DeskTokens.get`."""
        if self._desk.edition == "cloud":
            await self._tokens.get(self._tenant_id, self._desk)

    async def get(self, path: str, data: dict[str, Any] | None = None) -> DeskAnswer:
        """Read a path. Raises OutsideFailure for an unsuccessful answer, or HeldBack."""
        answer = await self._calls.make("GET", path, data, who=_WHO)
        if not answer.succeeded:
            raise answer.failure()
        return answer

    async def close(self) -> None:
        await self._http.aclose()


def clock_ahead(date: str | None) -> float | None:
    """Return the seconds a server's clock is ahead; None without a `Date` header."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None


async def desk_rows(tenant: Tenant, settings: DeskClientSettings, redis: Redis | None) -> list[Finding]:
    rows = Findings(NAMES, tenant.id)
    if tenant.desk is None:
        rows.not_checked("the tenant has no desk", *NAMES)
        return rows.all
    if not tenant.desk.has_keys:
        rows.not_checked("no key of it is here: look where a worker runs", *NAMES)
        return rows.all
    rows.not_checked("only a note would show it: the first job does", "desk note writing")
    call = _Call(tenant.id, tenant.desk, settings, redis)
    try:
        await _look(rows, call, tenant.desk, tenant.id)
    finally:
        await call.close()
    return rows.all


async def _look(rows: Findings, call: _Call, desk: DeskSettings, tenant_id: str) -> None:
    try:
        await call.token()
    except (OutsideFailure, HeldBack) as failure:
        _accounts_failed(rows, failure, desk, tenant_id)
        return
    wanted = {"list_info": {"row_count": 1, "sort_field": "created_time", "sort_order": "desc"}}
    try:
        listed = (await call.get("/requests", wanted)).body.get("requests")
    except (OutsideFailure, HeldBack) as failure:
        _first_call_failed(rows, failure, desk, tenant_id)
    else:
        rows.answers("desk", desk.url)
        rows.ok("taken", "desk credentials", "desk portal")
        rows.ok(f"{desk.rate_per_minute} calls a minute, of which this look took {call.made}", "desk rate")
        try:
            await _rights(rows, call, listed)
        except HeldBack as throttled:
            _rate_failed(rows, throttled.reason, desk, tenant_id)
    _clock(rows, call)


async def _rights(rows: Findings, call: _Call, listed: Any) -> None:
    """Check read access to a ticket, its notes and solutions.

    Raises HeldBack if the desk throttles a call.
    """
    ticket_id = str(listed[0].get("id", "")) if isinstance(listed, list) and listed else ""
    one = {"list_info": {"row_count": 1}}
    if ticket_id:
        await _right(rows, "desk ticket", _REQUESTS, lambda: call.get(f"/requests/{ticket_id}"))
        await _right(rows, "desk notes", _REQUESTS, lambda: call.get(f"/requests/{ticket_id}/notes", one))
    else:
        rows.not_checked("the desk shows no ticket", "desk ticket", "desk notes")
    await _right(rows, "desk solutions", _SOLUTIONS, lambda: call.get("/solutions", one))


async def _right(rows: Findings, name: str, scope: str, read: Callable[[], Awaitable[DeskAnswer]]) -> None:
    try:
        await read()
    except HeldBack as held:
        if held.reason == THROTTLED:
            raise
        rows.not_checked(f"jobs have the desk's calls of this minute ({held.reason})", name)
    except OutsideFailure as failure:
        remedy = f"give the technician of the key the right to see it, or the cloud's token the scope {scope}"
        rows.failed(name, failure.reason, remedy)
    else:
        rows.ok("readable", name)


def _accounts_failed(rows: Findings, failure: OutsideFailure | HeldBack, desk: DeskSettings, tenant_id: str) -> None:
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
        remedy = f"see that {address} is the accounts host of the desk's region, and that this machine may reach it"
    elif what == "429":
        remedy = "wait ten minutes: the accounts host gives a refresh token ten tokens in that time"
    else:
        remedy = f"make {tenant_id}.servicedesk.client_id, its secret and refresh token anew, for {address}"
    rows.failed("desk credentials", f"the accounts host gives no token ({failure.reason})", remedy)


def _what(failure: OutsideFailure | HeldBack) -> str:
    """Return the status, or the connection's failure; empty for a silent server."""
    return str(failure.values.get("reason", "")) if isinstance(failure, OutsideFailure) else failure.reason


def _first_call_failed(rows: Findings, failure: OutsideFailure | HeldBack, desk: DeskSettings, tenant_id: str) -> None:
    what = _what(failure)
    suffix = setting_suffix(tenant_id)
    address = f"SERVICEDESK_URL_{suffix}"
    if "certificate" in what:
        rows.ok("it answers", "desk address")
        rows.failed("desk certificate", "it is not trusted", _BUNDLE)
        return
    if "proxy" in what:
        rows.failed("desk address", failure.reason, proxy_remedy(urlsplit(desk.url).hostname or ""))
        return
    if isinstance(failure, HeldBack) and what != THROTTLED:
        rows.not_checked(f"jobs have the desk's calls of this minute ({what})", *NAMES)
        return
    if not what or what.startswith(("connection", "5")):
        remedy = (
            f"see that {address} is right and the desk runs, and that this machine may reach it, by the proxy of "
            "HTTPS_PROXY where there is one"
        )
        rows.failed("desk address", failure.reason, remedy)
        return
    rows.answers("desk", desk.url)
    if what == "401":
        credential = "SERVICEDESK_REFRESH_TOKEN" if desk.edition == "cloud" else "SERVICEDESK_API_KEY"
        or_scope = f", or lacks the scope {_REQUESTS}" if desk.edition == "cloud" else ""
        remedy = f"make {credential}_{suffix} anew: it is wrong, or has expired{or_scope}"
        rows.failed("desk credentials", failure.reason, remedy)
    elif what == "403":
        rows.ok("taken", "desk credentials", "desk portal")
        remedy = f"give the technician of the key the right to see requests, or the cloud's token the scope {_REQUESTS}"
        rows.failed("desk ticket", failure.reason, remedy)
    elif what == THROTTLED:
        _rate_failed(rows, failure.reason, desk, tenant_id)
    else:
        remedy = f"{address} must be what stands before /api/v3, with /app/<portal> where the desk has portals"
        rows.failed("desk portal", failure.reason, remedy)


def _rate_failed(rows: Findings, reason: str, desk: DeskSettings, tenant_id: str) -> None:
    name = key_name(tenant_id, "servicedesk.rate_per_minute")
    rows.failed("desk rate", reason, f"lower {name} (now {desk.rate_per_minute})")


def _clock(rows: Findings, call: _Call) -> None:
    ahead = call.clock_ahead
    if ahead is None:
        rows.not_checked("its answers tell no time", "desk clock")
    elif abs(ahead) > WINDOW_SECONDS:
        way = "ahead of" if ahead > 0 else "behind"
        remedy = "set both machines by the same time server: a signed webhook counts for five minutes"
        rows.failed("desk clock", f"{abs(ahead):.0f} s {way} this machine's", remedy)
    else:
        rows.ok(f"{abs(ahead):.0f} s from this machine's", "desk clock")
