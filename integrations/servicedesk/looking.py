"""Diagnostics of a tenant's desk: calls use its rate and change nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenants import Tenant
from integrations.breaker import Breaker
from integrations.errors import HeldBack, OutsideFailure, TicketGone
from integrations.http import open_client
from integrations.looks import LOOK_SECONDS, DeskLook, Sought, TicketState
from integrations.outward import Outward
from integrations.rate import THROTTLED, PassingRate
from integrations.servicedesk.calls import Limits
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.tokens import LentTokens, NoSharedToken


@dataclass(frozen=True, slots=True)
class NoteMarks:
    """Recognition of this system's notes by plain text: those of one job, or all."""

    is_of: Callable[[UUID, str], bool]
    is_ours: Callable[[str], bool]


@dataclass(slots=True)
class _DeskSeen:
    ticket: TicketState | None = None
    note: bool | None = None
    numbers: tuple[str, ...] = ()


async def look_at_desk(
    tenant: Tenant, settings: DeskClientSettings, redis: Redis | None, sought: Sought, marks: NoteMarks
) -> DeskLook:
    """Look for the requested note and for the ticket.

    A cloud desk is called with the workers' shared token. Results before a failure count.
    """
    if tenant.desk is None:
        return DeskLook(failure="this process has no desk of the tenant")
    if not tenant.desk.has_keys:
        return DeskLook(failure="this process has no key of the tenant's desk: ask where a worker runs")
    seen, asked, failure = _DeskSeen(), True, ""
    async with open_client(connections=2, outward=Outward.to_desks(settings)) as http:
        rate = PassingRate(tenant.id, tenant.desk.rate_per_minute, redis)
        limits = Limits(Breaker(f"desk of {tenant.id}", "desk unavailable", shown=False), rate, 1)
        tokens = LentTokens(http, redis, LOOK_SECONDS)
        desk = ServiceDeskPlus(tenant, http, tokens, LOOK_SECONDS, limits)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                if tenant.desk.edition == "cloud":
                    # Before a call is taken from the rate.
                    await tokens.get(tenant.id, tenant.desk)
                await _look(desk, seen, sought, marks)
        except TicketGone:
            seen.ticket = "gone"
        except HeldBack as held:
            asked = held.reason == THROTTLED
            failure = (
                "it throttles our calls" if asked else f"jobs have the desk's calls of this minute ({held.reason})"
            )
        except NoSharedToken as none:
            asked, failure = False, str(none)
        except OutsideFailure as failed:
            failure = failed.reason
        except TimeoutError:
            failure = f"it did not answer within {LOOK_SECONDS:g} s"
    return DeskLook(asked, failure, seen.ticket, seen.note, seen.numbers)


async def _look(desk: ServiceDeskPlus, seen: _DeskSeen, sought: Sought, marks: NoteMarks) -> None:
    desk_id = await desk.id_of(sought.number)
    is_sought = marks.is_ours if sought.job_id is None else partial(marks.is_of, sought.job_id)
    if sought.note_id is not None:
        # One call in the usual case.
        seen.note = await desk.has_note(desk_id, sought.note_id, is_sought) or None
        if seen.note:
            return
    ticket = await desk.read_ticket(desk_id)
    seen.ticket = "closed" if ticket.closed else "open"
    seen.numbers = tuple(filter(None, (ticket.ticket_id, ticket.display_id)))
    if sought.job_id is not None or sought.any_note:
        seen.note = await desk.find_note(desk_id, is_sought, sought.since) is not None
