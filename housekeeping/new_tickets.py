"""New tickets in a desk's list, page by page up to those already compared."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median_low

from integrations.servicedesk.client import DeskLists
from integrations.servicedesk.parsing import ListedTicket, is_number

MOST_PAGES = 10
# A desk may show a ticket after a later one.
_OVERLAP = timedelta(minutes=15)
# Rows of the previous page: a ticket that disappears meanwhile must not hide another one.
_ROWS_AGAIN = 5
_SOME = 5
MOST_AHEAD = timedelta(days=1)
"""One that was created later than that by the desk's clock has a wrong time, and has been there before most likely."""


@dataclass(frozen=True, slots=True)
class NewTickets:
    """The listed tickets by id; `not_compared`: why some new ones are missing, or ""."""

    listed: dict[str, ListedTicket]
    not_compared: str = ""

    @property
    def newest(self) -> datetime | None:
        return max(_moments(self.listed.values()), default=None)

    def created_between(self, first: datetime, last: datetime) -> list[tuple[ListedTicket, datetime]]:
        """Return tickets created between two moments of the desk's clock, with times."""
        moments = [(each, each.created_at) for each in self.listed.values()]
        return [(each, at) for each, at in moments if at is not None and first <= at <= last]

    def newest_by(self, now: datetime) -> datetime | None:
        """Return when the newest was created, ignoring times more than a day ahead.

        Ahead of `now`, or of the other tickets. A desk numbers its tickets in order, so the highest numbers show its
        clock.
        """
        numbered = [each for each in self.listed.values() if is_number(each.ticket_id)]
        last = _moments(sorted(numbered, key=lambda each: int(each.ticket_id))[-_SOME:])
        latest = max([now, *([median_low(last)] if last else [])]) + MOST_AHEAD
        return max((moment for moment in _moments(self.listed.values()) if moment <= latest), default=None)


async def list_new(
    lists: DeskLists, turn: Callable[[], Awaitable[None]], compared_until: datetime, oldest: datetime
) -> NewTickets:
    """List tickets down to those already compared or older than `oldest`.

    `turn` is awaited before each call. The first page is always returned whole: a clock that was set back hides no
    ticket of it.
    """
    until = max(compared_until - _OVERLAP, oldest)
    listed: dict[str, ListedTicket] = {}
    start, last, in_order = 1, None, True
    for _ in range(MOST_PAGES):
        await turn()
        page = await lists.tickets(start)
        fresh = [each for each in page.items if each.ticket_id not in listed]
        moments = _moments(fresh)
        if fresh and not moments:
            return NewTickets(listed, "its list tells no times")
        # A ticket without a time does not exclude the others.
        listed |= {each.ticket_id: each for each in fresh if each.created_at is not None}
        in_order = in_order and moments == sorted(moments, reverse=True) and (last is None or moments[:1] <= [last])
        last = moments[-1] if moments else last
        if not page.has_more or (in_order and last is not None and last < until):
            return NewTickets(listed)
        if not fresh:
            return NewTickets(listed, "its list repeats itself")
        start += max(1, len(page.items) - _ROWS_AGAIN)
    return NewTickets(listed, "more are new than are listed" if in_order else "its list is in no order")


def _moments(tickets: Iterable[ListedTicket]) -> list[datetime]:
    return [each.created_at for each in tickets if each.created_at is not None]
