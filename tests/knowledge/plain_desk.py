"""An in-memory desk whose lists may be malformed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from integrations.errors import DeskRefusedError, ExternalError
from integrations.values import DeskTicket, ListedSolution, ListedTicket, ListPage, Solution

NOW = datetime.now(UTC)
SOON = timedelta(minutes=-1)
"""So long ago is what will have been created in a minute."""
_PAGE = 10


@dataclass
class PlainTicket:
    number: int
    created: datetime
    changed: datetime
    subject: str = "S"
    group: str = ""

    @property
    def id(self) -> str:
        return str(self.number)


def newest_first(tickets: Sequence[PlainTicket]) -> list[PlainTicket]:
    return sorted(tickets, key=lambda ticket: (ticket.created, ticket.number), reverse=True)


@dataclass
class PlainDesk:
    """An in-memory desk. `tells` is False for one without fields and criteria."""

    there: dict[str, PlainTicket]
    order: Callable[[Sequence[PlainTicket]], list[PlainTicket]] = newest_first
    tells: bool = True
    on_page: Callable[[int, ListPage[ListedTicket]], ListPage[ListedTicket]] = lambda _start, page: page
    fails_at: dict[str, ExternalError] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    pages: int = 0

    @classmethod
    def of(cls, count: int, apart: timedelta = timedelta(hours=1)) -> "PlainDesk":
        moments = [NOW - apart * (count - number) for number in range(count)]
        made = [PlainTicket(1000 + number, moment, moment) for number, moment in enumerate(moments)]
        return cls({ticket.id: ticket for ticket in made})

    async def list_solutions(self, _start: int = 1) -> ListPage[ListedSolution]:
        return ListPage([], has_more=False)

    async def read_solution(self, _solution_id: str) -> Solution | None:
        return None

    async def list_tickets(self, start: int = 1, *, changed_since: datetime | None = None) -> ListPage[ListedTicket]:
        """Return a page of either list; a test may alter the list of all tickets."""
        there = list(self.there.values())
        if changed_since is None:
            return self.on_page(start, self._page(self.order(there), start))
        if not self.tells:
            raise DeskRefusedError("400")
        changed = [ticket for ticket in there if ticket.changed > changed_since]
        return self._page(sorted(changed, key=lambda ticket: (ticket.changed, ticket.number)), start)

    def _page(self, tickets: Sequence[PlainTicket], start: int) -> ListPage[ListedTicket]:
        rows = [self._row(ticket) for ticket in tickets[start - 1 : start - 1 + _PAGE]]
        return ListPage(rows, has_more=len(tickets) > start - 1 + _PAGE)

    def _row(self, ticket: PlainTicket) -> ListedTicket:
        row = ListedTicket(ticket.id, "Closed", subject=ticket.subject, created_at=ticket.created)
        if not self.tells:
            return row
        kinds = {"group": ticket.group, "category": "", "site": "", "template": ""}
        return row._replace(kinds=kinds, changed_at=ticket.changed)

    async def read_ticket(self, ticket_id: str) -> DeskTicket:
        self.reads.append(ticket_id)
        if ticket_id in self.fails_at:
            raise self.fails_at[ticket_id]
        ticket = self.there[ticket_id]
        texts = (ticket.id, ticket.subject, "text", "", "", "Closed", "Restarted it.")
        changed = ticket.changed if self.tells else None
        return DeskTicket(*texts, group=ticket.group, created_at=ticket.created, changed_at=changed)


def add(desk: PlainDesk, *ago: timedelta) -> list[str]:
    """Add tickets created this long ago; return their ids."""
    # The time of this test, not of the session: many tests take minutes.
    now, first = datetime.now(UTC), 5000 + len(desk.there)
    made = [PlainTicket(first + number, now - each, now - each) for number, each in enumerate(ago)]
    desk.there |= {ticket.id: ticket for ticket in made}
    return [ticket.id for ticket in made]
