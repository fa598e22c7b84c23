"""Passes over all pages of a list: items missing in two, an hour apart, are gone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from housekeeping.desk_copy import UNSEEN_HOURS, DeskCopy, Source, TakenPage
from storage import listings
from storage.listings import PassState

_AGAIN_AFTER = timedelta(hours=1)
_LONGEST_INTERVAL = timedelta(hours=UNSEEN_HOURS)
_SHARE_OF_CALLS = 20
_ROWS_A_PAGE = 100
# More consecutive pages than these without a new item end a pass as incomplete.
_MOST_IN_VAIN = 2


class ListPass:
    """The pass over one source's lists, resumed where the last process stopped."""

    def __init__(self, copy: DeskCopy, source: Source) -> None:
        self._copy = copy
        self._source = source
        self._in_vain = 0
        self._last: Sequence[str] = ()

    async def step(self) -> bool:
        """Take a page if a pass is under way or due, else return False.

        Raises OutsideFailure or HeldBack.
        """
        state = await self._load()
        if not self._is_due(state):
            return False
        if state.began_at is None:
            state = state.begun()
        began_at = state.began_at or state.now
        page = await self._source.take_page(state.next_start, began_at)
        repeated = page.ids == self._last or (page.kept > 0 and page.news == 0)
        self._in_vain, self._last = (self._in_vain + 1 if repeated else 0), page.ids
        behind = _behind(state, page)
        if reason := await self._odd(page, behind, began_at):
            # An incomplete pass proves nothing about the items it has not shown.
            self._copy.stopped = reason
            behind = behind.ended()
        elif not page.has_more or self._rest_is_old(state, page, behind):
            behind = await self._complete(behind, began_at)
        where = (self._copy.database, self._copy.tenant_id, self._source.collection)
        await listings.save_pass(*where, behind, self._copy.holder.id)
        return True

    async def _odd(self, page: TakenPage, behind: PassState, began_at: datetime) -> str:
        if self._in_vain > _MOST_IN_VAIN:
            return "its list repeats itself"
        if not page.ids and page.has_more:
            return "its list has an empty page"
        if behind.next_start == 1 and self._source.collection == "t":
            # We may have lost the right to see any.
            known = await listings.count_missing(self._copy.database, self._copy.tenant_id, "t", began_at)
            return "its list is empty" if known else ""
        return ""

    async def _load(self) -> PassState:
        return await listings.load_pass(self._copy.database, self._copy.tenant_id, self._source.collection)

    def _is_due(self, state: PassState) -> bool:
        if state.began_at is not None or state.ended_at is None:
            return True
        if state.now - state.ended_at < _AGAIN_AFTER:
            return False
        if state.missing or state.complete_from is None:
            return True
        return state.now - state.complete_from >= self._interval(state)

    def _interval(self, state: PassState) -> timedelta:
        """Return the interval between passes, which use a twentieth of the calls."""
        took = state.next_start / _ROWS_A_PAGE * self._copy.call_seconds
        return min(_LONGEST_INTERVAL, timedelta(seconds=_SHARE_OF_CALLS * took))

    def _rest_is_old(self, before: PassState, page: TakenPage, behind: PassState) -> bool:
        """Return True if a sorted list has reached items that are too old.

        A list that begins with old items is in another order, even if all are of one moment.
        """
        oldest, last = self._copy.oldest, behind.last_created
        newer = [created for created in (before.last_created, *page.created) if created is not None]
        return behind.in_order and last is not None and last < oldest <= max(newer)

    async def _complete(self, state: PassState, began_at: datetime) -> PassState:
        where = (self._copy.database, self._copy.tenant_id, self._source.collection)
        state = replace(state, now=(await self._load()).now)
        before, ended = state.complete_from, state.complete_at
        if before is not None and ended is not None and began_at - ended >= _AGAIN_AFTER:
            self._copy.removed += await listings.remove_unlisted(*where, before)
        self._copy.removed += await listings.remove_older(*where, self._copy.oldest)
        return state.ended(await listings.count_missing(*where, began_at))


def _behind(state: PassState, page: TakenPage) -> PassState:
    last, in_order = state.last_created, state.in_order
    for created in page.created:
        in_order = in_order and created is not None and (last is None or created <= last)
        last = created
    return replace(state, next_start=state.next_start + len(page.ids), last_created=last, in_order=in_order)
