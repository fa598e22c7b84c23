"""A pass over all pages of a desk's lists: what it does not list, twice, is gone from the desk."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from housekeeping.desk_copy import UNSEEN_HOURS, DeskCopy, Source, TakenPage
from storage import listings, passes
from storage.passes import PassState

_AGAIN_AFTER = timedelta(hours=1)
_LONGEST_INTERVAL = timedelta(hours=UNSEEN_HOURS)
_SHARE_OF_CALLS = 20
_ROWS_A_PAGE = 100
# More pages in a row than these that show nothing new end a pass: it has not seen all then.
_MOST_IN_VAIN = 2


class ListPass:
    """The pass over one source's lists, page by page, from where the one before this process stopped."""

    def __init__(self, copy: DeskCopy, source: Source) -> None:
        self._copy = copy
        self._source = source
        self._in_vain = 0
        self._last: Sequence[str] = ()
        self._vain = False

    async def step(self) -> bool:
        """Take one page, if a pass is under way or due; return False if not. Raises OutsideFailure or HeldBack."""
        state = await self._load()
        if self._vain or not self._is_due(state):
            return False
        if state.began_at is None:
            await listings.adopt(self._copy.database, self._copy.tenant_id, self._source.collection)
            state = state.begun()
        began_at = state.began_at or state.now
        page = await self._source.take_page(state.next_start, began_at)
        repeated = page.ids == self._last or (page.kept > 0 and page.news == 0)
        self._in_vain, self._last = (self._in_vain + 1 if repeated else 0), page.ids
        state = _behind(state, page)
        if not page.has_more or not page.ids or (state.in_order and self._is_old(state.last_created)):
            state = await self._complete(state, began_at)
        elif self._in_vain > _MOST_IN_VAIN:
            # The same page again and again, as of a desk that does not know pages: the next sync begins anew.
            self._vain, state = True, state.ended()
        await passes.save(self._copy.database, self._copy.tenant_id, self._source.collection, state)
        return True

    async def _load(self) -> PassState:
        return await passes.load(self._copy.database, self._copy.tenant_id, self._source.collection)

    def _is_due(self, state: PassState) -> bool:
        if state.began_at is not None or state.complete_from is None or state.complete_at is None:
            return True
        if state.missing and state.now - state.complete_at >= _AGAIN_AFTER:
            return True
        return state.now - state.complete_from >= self._interval(state)

    def _interval(self, state: PassState) -> timedelta:
        """How long after one pass began the next one is due: passes may take a twentieth of the calls."""
        took = state.next_start / _ROWS_A_PAGE * self._copy.call_seconds
        return min(_LONGEST_INTERVAL, max(_AGAIN_AFTER, timedelta(seconds=_SHARE_OF_CALLS * took)))

    def _is_old(self, created: datetime | None) -> bool:
        return created is not None and created < self._copy.oldest

    async def _complete(self, state: PassState, began_at: datetime) -> PassState:
        """Remove what is gone: it was in neither of two passes, an hour from each other."""
        where = (self._copy.database, self._copy.tenant_id, self._source.collection)
        state = replace(state, now=(await self._load()).now)
        before, ended = state.complete_from, state.complete_at
        if before is not None and ended is not None and began_at - ended >= _AGAIN_AFTER:
            self._copy.removed += await listings.remove_unlisted(*where, before)
        self._copy.removed += await listings.remove_older(*where, self._copy.oldest)
        return state.ended(await listings.count_missing(*where, began_at))


def _behind(state: PassState, page: TakenPage) -> PassState:
    """Return the state with the page behind it."""
    last, in_order = state.last_created, state.in_order
    for created in page.created:
        in_order = in_order and created is not None and (last is None or created <= last)
        last = created
    return replace(state, next_start=state.next_start + len(page.ids), last_created=last, in_order=in_order)
