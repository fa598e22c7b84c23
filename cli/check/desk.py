"""Check of a tenant's desk: a few calls, read only."""

import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime

import httpx2
from redis.asyncio import Redis

from cli.check.findings import Finding, Findings
from config.settings import DeskClientSettings
from config.tenants import DeskSettings, Tenant, key_name
from integrations.desks import kind_of
from integrations.errors import DeferredError, DeskTimeoutError, ExternalError, TicketGoneError
from integrations.http import EgressConfig, open_client
from integrations.ports import CheckStep, DeskClient, DeskLimits
from integrations.rate_limit import SHARE_WITHOUT_REDIS, THROTTLED, DeskRate
from integrations.resilience import Breaker

_BUNDLE = "add the authority that signed it to SERVICEDESK_CA_BUNDLE"


def clock_ahead(date: str | None) -> float | None:
    """Return the seconds a server's clock is ahead; None without a `Date` header."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None


async def desk_rows(
    tenant: Tenant, settings: DeskClientSettings, redis: Redis | None, answers: list[httpx2.Response] | None = None
) -> list[Finding]:
    """Check one desk; its answers are appended to `answers`."""
    desk = tenant.desk
    if desk is None:
        return Findings("desk", tenant.id).not_checked("the tenant has no desk")
    check = _DeskCheck(tenant.id, desk)
    if not desk.has_keys:
        return check.rows.not_checked("no key of the desk is set here: run this where a worker runs")
    check.rows.not_checked("only a new note would show it; the first job does", "desk note writing")
    answers = [] if answers is None else answers

    async def keep(response: httpx2.Response) -> None:
        answers.append(response)

    async with open_client(connections=2, egress=EgressConfig.of(settings, settings.servicedesk_ca_bundle)) as http:
        http.event_hooks["response"].append(keep)
        # Without Redis a process has a quarter of the rate, which is too few calls for a check.
        per_minute = desk.rate_per_minute if redis is not None else SHARE_WITHOUT_REDIS * desk.rate_per_minute
        rate = DeskRate(tenant.id, per_minute, redis)
        limits = DeskLimits(Breaker(f"desk of {tenant.id}", "desk unavailable"), rate, 1)
        client = kind_of(desk).open(tenant.id, desk, http, redis, settings.servicedesk_timeout_seconds, limits)
        try:
            await client.authenticate()
        except (ExternalError, DeferredError) as failure:
            return check.no_token(failure)
        try:
            listed, has_more = await client.list_tickets()
        except (ExternalError, DeferredError) as failure:
            check.first_call_failed(failure)
        else:
            check.rows.answers(desk.url)
            check.rows.ok("accepted", "desk credentials", "desk portal")
            check.rows.ok(
                f"{desk.rate_per_minute} calls a minute, of which this check used {len(answers)}", "desk rate"
            )
            count = f"{len(listed)}{' or more' if has_more else ''}"
            await check.rights(
                client, next((ticket.ticket_id for ticket in listed if not ticket.is_trashed), ""), count
            )
    check.rows.clock(clock_ahead(answers[-1].headers.get("date")) if answers else None)
    return check.rows.all


class _DeskCheck:
    """The findings of one desk."""

    def __init__(self, tenant_id: str, desk: DeskSettings) -> None:
        self.rows = Findings("desk", tenant_id)
        self._tenant_id = tenant_id
        self._desk = desk

    async def rights(self, client: DeskClient, ticket_id: str, count: str) -> None:
        """Read a ticket of the `count` listed ones, its notes, and solutions."""
        calls: dict[CheckStep, Callable[[], Awaitable[object]]] = {
            "ticket": lambda: client.read_ticket(ticket_id),
            # The first note ends the search: two calls at most.
            "notes": lambda: client.find_note(ticket_id, lambda _: True),
            "solutions": client.list_solutions,
        }
        if not ticket_id:
            del calls["ticket"], calls["notes"]
            self.rows.not_checked("the desk shows no ticket", "desk notes")
            remedy = "if it has tickets, let the key's user see all of them (docs/connect/onpremises.md)"
            self.rows.warning("desk ticket", "the desk shows no ticket", remedy)
        for step, call in calls.items():
            name = f"desk {step}"
            try:
                await call()
            except DeferredError as held:
                if held.reason == THROTTLED:
                    self._rate_failed(held.reason)
                    return
                self.rows.not_checked(_busy(held), name)
            except ExternalError as failure:
                self._failed(name, failure, step)
            except TicketGoneError:
                self.rows.not_checked("the newest ticket is gone", name)
            else:
                self.rows.ok(f"readable, one of {count}" if step == "ticket" else "readable", name)

    def no_token(self, failure: ExternalError | DeferredError) -> list[Finding]:
        seen = f"the accounts host issues no token ({failure.reason})"
        if "certificate" in failure.reason:
            return self.rows.failed("desk credentials", seen, _BUNDLE)
        remedy = kind_of(self._desk).remedy(self._tenant_id, self._desk, "authenticate", _failure_code(failure))
        return self.rows.failed("desk credentials", seen, remedy)

    def first_call_failed(self, failure: ExternalError | DeferredError) -> None:
        code = _failure_code(failure)
        if "certificate" in code:
            self.rows.ok("it answers", "desk address")
            self.rows.failed("desk certificate", "it is not trusted", _BUNDLE)
        elif isinstance(failure, DeferredError) and code != THROTTLED:
            self.rows.not_checked(_busy(failure))
        elif code.startswith(("connection", "5")):
            self._failed("desk address", failure, "address")
        else:
            self.rows.answers(self._desk.url)
            if code == "401":
                self._failed("desk credentials", failure, "credentials")
            elif code == "403":
                self.rows.ok("accepted", "desk credentials", "desk portal")
                self._failed("desk ticket", failure, "ticket")
            elif code == THROTTLED:
                self._rate_failed(code)
            else:
                self._failed("desk portal", failure, "portal")

    def _failed(self, name: str, failure: ExternalError | DeferredError, step: CheckStep) -> None:
        remedy = kind_of(self._desk).remedy(self._tenant_id, self._desk, step, _failure_code(failure))
        self.rows.failed(name, failure.reason, remedy)

    def _rate_failed(self, reason: str) -> None:
        name = key_name(self._tenant_id, "servicedesk.rate_per_minute")
        self.rows.failed("desk rate", reason, f"lower {name} (now {self._desk.rate_per_minute})")


def _busy(held: DeferredError) -> str:
    return f"jobs use all calls of the desk in this minute ({held.reason})"


def _failure_code(failure: ExternalError | DeferredError) -> str:
    if isinstance(failure, DeferredError):
        return failure.reason
    return "connection" if isinstance(failure, DeskTimeoutError) else str(failure.values["reason"])
