"""Copying one desk's newest tickets and solutions into the tables that context is gathered from."""

import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from config.tenants import DeskSettings
from config.ticket_rules import fold_all
from housekeeping.alone import alone, solutions_listed
from housekeeping.forbidden import Forbidden
from housekeeping.pace import NEWEST, CopyPace, full_copy_seconds
from housekeeping.passages import passages_of
from housekeeping.synced import Synced
from integrations.errors import OutsideFailure, TicketGone
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.contents import ListedTicket, numbers_in
from observability import metrics, phrases
from observability.identifiers import bound
from observability.logging import say
from retrieval.language import LANGUAGES
from storage import history, indexing, tombstones
from storage.session import Database

_UNSEEN_HOURS = 20  # then it is looked for again, so that each is seen once a day
_MOST_ASKED_FOR = _MOST_INDEXED = 1000
# Of the time of a full copy, from the sync's start. The copy ends after twice that time, whatever it does.
_ASKS_UNTIL = 1.5
# Of the time that is left after copying: the rest is for asking.
_LISTS_SHARE = 0.75
_COPIED = ("subject", "description", "resolution", "status", "display_id")
# More pages in a row than these that show nothing new end a look.
_MOST_IN_VAIN = 2
# More in a row that the desk does not give end a step.
_MOST_REFUSED_IN_A_ROW = 3


async def sync_tenant(
    database: Database,
    desk: ServiceDeskPlus,
    tenant_id: str,
    settings: DeskSettings,
    forbidden: Forbidden,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> Synced:
    """Copy what is new or changed, and remove the copies of what is gone from the desk.

    What is wrong with one ticket or solution is a line, and the others are copied. Raises OutsideFailure or HeldBack,
    or one of DATABASE_FAILURES; what was copied until then stays. A desk that gives its lists and nothing else has
    failed as well.
    """
    languages = settings.languages or LANGUAGES
    sync = _Sync(database, desk, tenant_id, forbidden, CopyPace(settings.rate_per_minute), monotonic, languages)
    asks_until = monotonic() + _ASKS_UNTIL * full_copy_seconds(settings)
    # By what is known of them already, whatever the desk answers.
    await sync.remove_forbidden()
    await sync.tell_oldest_seen()
    tickets = await sync.newest_tickets()
    solutions = await sync.solutions()
    await indexing.index_again(database, tenant_id, languages, _MOST_INDEXED)
    await sync.look_further(tickets, asks_until)
    await sync.ask_for_the_rest(tickets, solutions, asks_until)
    await sync.tell_oldest_seen()
    if sync.gave_up is not None and not sync.given:
        raise sync.gave_up
    return Synced(sync.tickets, sync.passages, sync.removed, with_solutions=solutions is not None)


@dataclass(slots=True)
class _Sync:
    """One tenant's sync, and what it has done so far."""

    database: Database
    desk: ServiceDeskPlus
    tenant_id: str
    forbidden: Forbidden
    pace: CopyPace
    monotonic: Callable[[], float]
    languages: Sequence[str]
    tickets: int = 0
    passages: int = 0
    removed: int = 0
    given: int = 0
    """Single tickets and solutions that the desk gave, or said to be gone."""
    gave_up: OutsideFailure | None = None
    """What ended a step: several in a row that the desk did not give."""
    known: dict[str, str] = field(default_factory=dict)
    """The copied tickets, with the status of each."""

    async def newest_tickets(self) -> list[str]:
        """Copy those that are new or changed; the ids of those of which the list tells all that is to be known."""
        await self.pace.wait()
        listed = await self.desk.list_newest(NEWEST)
        self.known = known = await history.known_tickets(self.database, self.tenant_id)
        wanted = await self._wanted_of(listed)
        told = {each.ticket_id for each in wanted if self.forbidden.is_told_by(each)}
        # One in the trash is asked for only where there is a copy.
        ours = [each for each in wanted if not each.is_trashed or each.ticket_id in known]
        current = [each.ticket_id for each in ours if each.is_as(known) and each.ticket_id in told]
        await history.touch_tickets(self.database, self.tenant_id, current)
        changed = [each.ticket_id for each in ours if not each.is_as(known)]
        # In another order each time: those that the desk never gives keep no other from its turn for ever.
        random.shuffle(changed)
        await self._each("ticket_id", changed, partial(self._ticket, listed=True))
        # Those of which the list does not tell all were just read as it has them, or are asked for once a day.
        read = {one.ticket_id: one.status for one in ours if one.ticket_id in changed and one.ticket_id not in told}
        if read:
            await history.see_tickets(self.database, self.tenant_id, read, hours=_UNSEEN_HOURS)
        return list(told)

    async def remove_forbidden(self) -> None:
        """Remove the copies of which it is known that they are forbidden."""
        self.removed += await history.remove_forbidden(self.database, self.tenant_id, self.forbidden.names)

    async def _wanted_of(self, listed: Sequence[ListedTicket]) -> list[ListedTicket]:
        """Note numbers and kinds of those that are listed; return those that are neither forbidden nor forgotten.

        Copies of the others go. One that was made before numbers were kept is known as forgotten by it only now.
        """
        numbers = numbers_in(listed)
        await history.number_tickets(self.database, self.tenant_id, numbers)
        kinds = {each.ticket_id: fold_all(each.kinds) for each in listed}
        await history.note_kinds(self.database, self.tenant_id, kinds)
        await self.remove_forbidden()
        tickets = {each.ticket_id for each in listed}
        left = await tombstones.forgotten_among(self.database, self.tenant_id, {*tickets, *numbers.values()})
        forgotten = {ticket_id for ticket_id in tickets if not left.isdisjoint((ticket_id, numbers.get(ticket_id)))}
        for ticket_id in forgotten & self.known.keys():
            self.removed += await history.remove_ticket(self.database, self.tenant_id, ticket_id)
        return [each for each in listed if each.ticket_id not in forgotten and not self.forbidden.bars_listed(each)]

    async def solutions(self) -> list[str] | None:
        """Copy those that the desk lists; their ids, or None where it refuses to list them."""
        await self.pace.wait()
        listed = await solutions_listed(self.desk, self.tenant_id, NEWEST)
        await self._each("solution_id", listed or (), partial(self._solution, listed=True))
        return listed

    async def look_further(self, newest: list[str], until: float) -> None:
        """See copies in further pages of the desk's list, a hundred a call, while there is more than one to ask for.

        A copy listed with another status is not seen by that: it is asked for in what is left, like one not listed.
        """
        until -= (1 - _LISTS_SHARE) * (until - self.monotonic())
        to_ask_for = await self._to_ask_for(newest, most=len(self.known))
        # What was seen not long ago are the first ones, up to where the sync before ended. What this skips comes then.
        goes_on = max(NEWEST, len(self.known) - len(to_ask_for) - NEWEST)
        listed = set(newest)
        for start in dict.fromkeys((goes_on, NEWEST)):
            await self._look_from(start + 1, newest, listed, until)

    async def _look_from(self, start: int, newest: list[str], listed: set[str], until: float) -> None:
        """Read pages until one is missing, or several have shown nothing that is to be asked for."""
        in_vain = 0
        while self.monotonic() < until and len(await self._to_ask_for(newest, most=2)) > 1:
            await self.pace.wait()
            try:
                page = await self.desk.list_newest(NEWEST, start)
            except OutsideFailure as failure:
                # If it is not this page alone, whatever is asked for next says so.
                say(phrases.SYNC_FAILED, tenant_id=self.tenant_id, reason=failure.reason, also=failure.also)
                return
            ticket_ids = {ticket.ticket_id for ticket in page}
            if ticket_ids <= listed:
                return  # the end, or a desk that knows one page only
            removed = self.removed
            wanted = await self._wanted_of(page)
            told = [each for each in wanted if self.forbidden.is_told_by(each)]
            shown = {each.ticket_id: each.status for each in told if not each.is_trashed}
            seen = await history.see_tickets(self.database, self.tenant_id, shown, hours=_UNSEEN_HOURS)
            in_vain = 0 if seen or self.removed > removed else in_vain + 1
            if in_vain > _MOST_IN_VAIN:
                return
            listed |= ticket_ids
            start += len(page)

    async def _to_ask_for(self, newest: list[str], most: int) -> list[str]:
        return await history.tickets_to_ask_for(self.database, self.tenant_id, newest, hours=_UNSEEN_HOURS, most=most)

    async def tell_oldest_seen(self) -> None:
        """Tell how long the desk has not shown the copy that it has not shown for the longest."""
        oldest = await history.oldest_seen(self.database, self.tenant_id)
        metrics.OLDEST_COPY_SEEN_AT.labels(self.tenant_id).set(time.time() if oldest is None else oldest.timestamp())

    async def ask_for_the_rest(self, tickets: list[str], solutions: list[str] | None, until: float) -> None:
        """Ask for copies that may be gone, as long as there is time for it; the next sync goes on from there."""
        asked = await self._to_ask_for(tickets, most=_MOST_ASKED_FOR)
        await self._each("ticket_id", asked, partial(self._ticket, listed=False), until=until)
        if solutions is not None:
            limits = {"hours": _UNSEEN_HOURS, "most": _MOST_ASKED_FOR}
            asked = await history.solutions_to_ask_for(self.database, self.tenant_id, solutions, **limits)
            await self._each("solution_id", asked, partial(self._solution, listed=False), until=until)

    async def _each(
        self, name: str, ids: Sequence[str], step: Callable[[str], Awaitable[None]], *, until: float = math.inf
    ) -> None:
        """Take a step for each, by itself, until its time is over or the desk does not give several in a row.

        A copy that the desk refuses to give, as it does with what it hides from us, comes after the others next time.
        """
        refused_in_a_row = 0
        for each in ids:
            if self.monotonic() >= until:
                return
            with bound(**{name: each}):
                was_given, refusal = await alone(self.tenant_id, step(each))
                self.given += was_given
                if refusal is None:
                    refused_in_a_row = 0
                    continue
                await history.put_off(self.database, self.tenant_id, **{name: each})
            refused_in_a_row += 1
            if refused_in_a_row > _MOST_REFUSED_IN_A_ROW:
                self.gave_up = refusal
                return

    async def _ticket(self, ticket_id: str, *, listed: bool) -> None:
        await self.pace.wait()
        try:
            ticket = await self.desk.read_ticket(ticket_id)
        except TicketGone:
            ticket = None
        if ticket is None or self.forbidden.bars(ticket):
            self.removed += await history.remove_ticket(self.database, self.tenant_id, ticket_id)
            return
        copy = {"ticket_id": ticket_id} | {name: getattr(ticket, name) for name in _COPIED}
        about = (self.tenant_id, copy, ticket.requester)
        saved = await history.save_ticket(
            self.database,
            *about,
            kinds=fold_all(ticket.kinds),
            listed=listed,
            languages=self.languages,
        )
        self.tickets += saved and listed

    async def _solution(self, solution_id: str, *, listed: bool) -> None:
        await self.pace.wait()
        solution = await self.desk.read_solution(solution_id)
        if solution is None:
            self.removed += await history.remove_passages(self.database, self.tenant_id, solution_id)
            return
        bodies = passages_of(solution)
        about = (self.tenant_id, solution_id, solution.title, bodies)
        await history.save_passages(self.database, *about, listed=listed, languages=self.languages)
        self.passages += len(bodies) if listed else 0
