"""Copying one desk's newest tickets and solutions into the tables that context is gathered from."""

import asyncio
import time

from config.tenants import DeskSettings
from integrations.errors import TicketGone
from integrations.servicedesk_plus import ServiceDeskPlus, Solution
from storage import history, tombstones
from storage.session import Database

NEWEST = 100
_PASSAGE_CHARACTERS = 1500
_MOST_PASSAGES = 20
_SHARE_OF_RATE = 3


def _calls_a_minute(rate_per_minute: int) -> int:
    return max(1, rate_per_minute // _SHARE_OF_RATE)


def full_copy_seconds(settings: DeskSettings) -> float:
    """How long the pace makes a copy of all the newest tickets and solutions take: 2 minutes to hours."""
    return 60 * (2 * NEWEST + 2) / _calls_a_minute(settings.rate_per_minute)


class _Pace:
    """At most a third of the desk's calls a minute: the rest is for jobs.

    Each call takes its turn in the desk's own rate besides (`integrations.rate`), which jobs share.
    """

    def __init__(self, rate_per_minute: int) -> None:
        self._most = _calls_a_minute(rate_per_minute)
        self._calls: list[float] = []

    async def wait(self) -> None:
        now = time.monotonic()
        self._calls = [moment for moment in self._calls if now - moment < 60]
        if len(self._calls) >= self._most:
            await asyncio.sleep(60 - (now - self._calls[0]))
        self._calls.append(time.monotonic())


async def sync_tenant(
    database: Database, desk: ServiceDeskPlus, tenant_id: str, settings: DeskSettings
) -> tuple[int, int]:
    """Copy what is new or changed; answers with how many tickets and passages were copied.

    Raises OutsideFailure or HeldBack, or one of DATABASE_FAILURES; what was copied until then stays.
    """
    pace = _Pace(settings.rate_per_minute)
    await pace.wait()
    listed = await desk.list_newest(NEWEST)
    known = await history.known_tickets(database, tenant_id)
    current = [ticket_id for ticket_id, status in listed if known.get(ticket_id) == status]
    forgotten = await tombstones.forgotten_among(database, tenant_id, [ticket_id for ticket_id, _ in listed])
    await history.touch_tickets(database, tenant_id, current)
    tickets = 0
    for ticket_id, _ in listed:
        if ticket_id in current or ticket_id in forgotten:
            continue
        await pace.wait()
        try:
            ticket = await desk.read_ticket(ticket_id)
        except TicketGone:
            continue  # deleted since it was listed
        copy = {
            "ticket_id": ticket.ticket_id,
            "subject": ticket.subject,
            "description": ticket.description,
            "resolution": ticket.resolution,
            "status": ticket.status,
        }
        tickets += await history.save_ticket(database, tenant_id, copy, ticket.requester)
    return tickets, await _sync_solutions(database, desk, tenant_id, pace)


async def _sync_solutions(database: Database, desk: ServiceDeskPlus, tenant_id: str, pace: _Pace) -> int:
    passages = 0
    await pace.wait()
    for solution_id in await desk.list_solutions(NEWEST):
        await pace.wait()
        solution = await desk.read_solution(solution_id)
        if solution is None:
            continue
        bodies = _passages(solution)
        await history.save_passages(database, tenant_id, solution.solution_id, solution.title, bodies)
        passages += len(bodies)
    return passages


def _passages(solution: Solution) -> list[str]:
    """The text in parts of about 1500 characters, cut between words."""
    parts: list[str] = []
    current = ""
    for word in solution.text.split():
        if len(current) + len(word) > _PASSAGE_CHARACTERS:
            parts.append(current)
            current = ""
        current = f"{current} {word}".strip()
    if current:
        parts.append(current)
    return parts[:_MOST_PASSAGES]
