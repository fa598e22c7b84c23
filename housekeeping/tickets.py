"""Tickets of a desk: their lists, and the copying of one."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from config.ticket_rules import fold_all
from housekeeping.desk_copy import UNSEEN_HOURS, DeskCopy, TakenPage, digest
from housekeeping.taken_up import measure
from integrations.errors import DeskRefused, TicketGone
from integrations.servicedesk.parsing import ListedTicket, ListPage, numbers_in
from storage import history, listings, tombstones
from storage.listings import Collection, ListedItem
from storage.passes import PassState

_COPIED = ("subject", "description", "resolution", "status", "display_id")
# Changes are queried from a quarter of an hour earlier: a desk may show a change after a later one.
_OVERLAP = timedelta(minutes=15)
_STEP = timedelta(milliseconds=1)
_MOST_PAGES_OF_CHANGES = 10
_MOST_MAILS = 10


class TicketSource:
    """The tickets of one desk."""

    collection: ClassVar[Collection] = "t"

    def __init__(self, copy: DeskCopy) -> None:
        self._copy = copy

    async def take_page(self, start: int, pass_from: datetime) -> TakenPage:
        """List a page, newest first if the desk sorts, and record it for the pass."""
        await self._copy.turn()
        listed = await self._copy.desk.lists.tickets(start)
        kept, news = await self._take(listed.items, pass_from)
        return TakenPage(
            [each.ticket_id for each in listed.items],
            [each.created_at for each in listed.items],
            kept,
            news,
            listed.has_more,
        )

    async def newest(self, state: PassState) -> PassState:
        await self._copy.turn()
        listed = await self._copy.desk.lists.tickets()
        self._copy.tells_changes = any(each.changed_at is not None for each in listed.items)
        await self._take(listed.items)
        times = [moment for each in listed.items for moment in (each.created_at, each.changed_at) if moment is not None]
        if not times or state.changes_until is not None:
            return state
        # A future ticket must not hide changes until then.
        return replace(state, changes_until=min(max(times), state.now))

    async def changed(self, state: PassState) -> PassState:
        """Record changes since the last query; return the state with their latest time.

        A desk that refuses the query or ignores it has no changes. The rest of a large result is left to the next sync
        if the list is sorted, else to the next pass.
        """
        since = state.changes_until
        if since is None or not self._copy.tells_changes:
            return state
        after, start, seen, in_order = since - _OVERLAP, 1, set[str](), True
        for _ in range(_MOST_PAGES_OF_CHANGES):
            listed = await self._changed_after(after, start)
            times = [
                each.changed_at for each in listed.items if each.changed_at is not None and each.changed_at > after
            ]
            if len(times) < len(listed.items):
                self._copy.tells_changes = False
                return state
            ids = {each.ticket_id for each in listed.items}
            if ids <= seen:
                break
            seen, in_order = ids, in_order and times == sorted(times)
            await self._take(listed.items)
            since = min(max(since, *times), state.now)
            if not listed.has_more:
                break
            # Query by the last time, not by page: changed tickets move between pages.
            jumps = in_order and max(times) - _STEP > after
            after, start = (max(times) - _STEP, 1) if jumps else (after, start + len(listed.items))
        else:
            # The rest comes in the next sync if sorted, else in the next pass. Not from further back: that may be all
            # of these.
            self._copy.tells_changes = in_order
            since += _OVERLAP
        return replace(state, changes_until=since)

    async def _changed_after(self, after: datetime, start: int) -> ListPage[ListedTicket]:
        await self._copy.turn()
        try:
            return await self._copy.desk.lists.tickets(start, changed_since=after)
        except DeskRefused:
            # As for a list that ignores the query.
            return ListPage([ListedTicket("", "")], has_more=False)

    async def _take(self, listed: Sequence[ListedTicket], pass_from: datetime | None = None) -> tuple[int, int]:
        copy = self._copy
        numbers = numbers_in(listed)
        await history.number_tickets(copy.database, copy.tenant_id, numbers)
        kinds = {each.ticket_id: fold_all(each.kinds) for each in listed}
        await history.note_kinds(copy.database, copy.tenant_id, kinds)
        # A copy made before numbers were stored is matched to its tombstone by number only now.
        ids = {each.ticket_id for each in listed}
        left = await tombstones.forgotten_among(copy.database, copy.tenant_id, {*ids, *numbers.values()})
        barred = [
            each.ticket_id
            for each in listed
            if each.is_trashed
            or copy.forbidden.bars_listed(each)
            or not left.isdisjoint((each.ticket_id, numbers.get(each.ticket_id)))
        ]
        copy.removed += await listings.remove(copy.database, copy.tenant_id, "t", barred)
        kept = [
            each
            for each in listed
            if each.ticket_id not in barred and (each.created_at is None or each.created_at >= copy.oldest)
        ]
        rows = [self._row(each) for each in kept]
        where = (copy.database, copy.tenant_id)
        return len(kept), await listings.take_in(*where, "t", rows, hours=UNSEEN_HOURS, pass_from=pass_from)

    def _row(self, each: ListedTicket) -> ListedItem:
        # Without kinds: copies get those here, and lists may change whether they have them.
        told = digest(each.status, each.subject, each.display_id)
        tells_all = self._copy.forbidden.is_told_by(each) or self._copy.tells_changes
        return ListedItem(each.ticket_id, told, each.created_at, each.changed_at, tells_all)

    async def read(self, ticket_id: str) -> None:
        copy = self._copy
        await copy.turn()
        asked_at = time.monotonic()
        try:
            ticket = await copy.desk.read_ticket(ticket_id)
        except TicketGone:
            copy.removed += await history.remove_ticket(copy.database, copy.tenant_id, ticket_id)
            return
        if copy.forbidden.bars(ticket):
            copy.removed += await history.remove_ticket(copy.database, copy.tenant_id, ticket_id)
        else:
            said = await self._said(ticket_id) if copy.conversation and ticket.closed else ""
            columns = {"ticket_id": ticket_id, "conversation": said} | {name: getattr(ticket, name) for name in _COPIED}
            saved = await history.save_ticket(
                copy.database,
                copy.tenant_id,
                columns,
                ticket.requester,
                kinds=fold_all(ticket.kinds),
                created_at=ticket.created_at,
                people=ticket.people,
                languages=copy.languages,
            )
            copy.tickets += saved
            if saved:
                await measure(copy.database, copy.tenant_id, ticket, copy.languages)
                await copy.reopened.mind(ticket, time.monotonic() - asked_at)
            else:
                # It was forgotten, and so are its list values.
                await listings.remove(copy.database, copy.tenant_id, "t", [ticket_id])
        times = {"created_at": ticket.created_at, "changed_at": ticket.changed_at}
        await listings.was_read(copy.database, copy.tenant_id, "t", ticket_id, **times)

    async def _said(self, ticket_id: str) -> str:
        lists, texts = self._copy.desk.lists, []
        try:
            await self._copy.turn()
            for mail_id, _sent in (await lists.mails(ticket_id))[-_MOST_MAILS:]:
                await self._copy.turn()
                texts.append(await lists.mail(ticket_id, mail_id))
        except (DeskRefused, TicketGone):
            pass
        return "\n\n".join(filter(None, texts))

    async def hide(self, ticket_id: str) -> None:
        """Hide a ticket that the desk refused to return: it may be in another queue now."""
        await history.hide_kinds(self._copy.database, self._copy.tenant_id, ticket_id)
