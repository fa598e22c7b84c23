"""The copying of one desk: its state, and the steps of each source, tickets or solutions."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NamedTuple, Protocol

from config.tenants import DeskSettings, Tenant
from config.ticket_rules import TicketRules
from housekeeping.rounds import CopyPace, call_seconds, is_its_own
from integrations.errors import HeldBack, OutsideFailure
from integrations.servicedesk.client import ServiceDeskPlus
from observability import phrases
from observability.identifiers import bound
from observability.logging import say
from retrieval.language import LANGUAGES
from storage import listings, passes
from storage.listings import Collection
from storage.passes import HeldByAnother, Holder, PassState
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked

UNSEEN_HOURS = 20
"""Then is read again what no list tells the tenant's rules enough of, and what the desk refused to give: once a day."""
_AGAIN_AFTER = timedelta(hours=1)
_LONGEST_INTERVAL = timedelta(hours=UNSEEN_HOURS)
_SHARE_OF_CALLS = 20
_ROWS_A_PAGE = 100
# More consecutive pages than these without a new item end a pass as incomplete.
_MOST_IN_VAIN = 2
# More consecutive refusals end the reading.
_MOST_FAILED_IN_A_ROW = 3
_ASKED_FOR = 100
# One of so many calls lists a page, while there are both: a pass and its findings advance together.
_READS_A_PAGE = 4
_NAMES = {"t": "ticket_id", "p": "solution_id"}


@dataclass(slots=True)
class Synced:
    """Numbers of copied items, and of copies removed because the desk lacks them."""

    tickets: int = 0
    passages: int = 0
    removed: int = 0
    to_read: int = 0
    """Tickets and solutions that are still to be read."""
    with_solutions: bool = True
    """False where the desk refuses to list them."""
    refused: int = 0
    """Single ones that the desk did not give."""
    done: bool = True
    """False if there was more to do when its time was over."""
    stopped: str = ""
    """Why a list was not read as far as there was time for, if it was not."""


@dataclass(slots=True)
class DeskCopy:
    """The copying of one tenant's desk. `tenant` returns the current settings."""

    database: Database
    desk: ServiceDeskPlus
    tenant: Callable[[], Tenant]
    settings: DeskSettings
    pace: CopyPace
    holder: Holder
    job_deadline_seconds: int
    tenant_id: str = field(init=False)
    oldest: datetime = field(init=False)
    """Tickets created before are left out."""
    synced: Synced = field(default_factory=Synced)
    tells_changes: bool = True
    """False where the desk's list does not tell what was changed since a time."""
    given: int = 0
    """Single tickets and solutions that the desk gave, or said to be gone."""
    gave_up: OutsideFailure | None = None
    """What ended a step: several in a row that the desk did not give."""

    def __post_init__(self) -> None:
        self.tenant_id = self.tenant().id
        self.oldest = datetime.now(UTC) - timedelta(days=self.settings.history_days)

    @property
    def languages(self) -> Sequence[str]:
        return self.settings.languages or LANGUAGES

    @property
    def rules(self) -> TicketRules:
        return self.tenant().rules

    def rules_digest(self, collection: Collection) -> str:
        """Return a hash of the names whose items are not copied; empty without any."""
        rules = self.rules
        named = {kind: sorted(names) for kind, names in rules.forbidden.items()}
        told = named if collection == "t" else sorted(rules.never_topics)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() if told else ""

    async def turn(self) -> None:
        """Return when the desk may be called again. Raises HeldByAnother."""
        await self.pace.wait()
        await self.holder.insist()


class TakenPage(NamedTuple):
    """A recorded page of a list (`storage.listings.take_in`)."""

    ids: Sequence[str]
    """Of all that it lists."""
    created: Sequence[datetime | None]
    kept: int
    """How many of them may be copied."""
    news: int
    """How many of those had not been seen in this pass."""
    has_more: bool


class Source(Protocol):
    """A collection of a desk that is copied: tickets or solutions."""

    collection: ClassVar[Collection]

    async def take_page(self, start: int, pass_from: datetime) -> TakenPage:
        """List a page from the `start`-th item on, and record it for a pass.

        `pass_from`: when the pass began. Raises OutsideFailure or HeldBack.
        """

    async def read(self, item_id: str) -> None:
        """Read and copy an item.

        Raises OutsideFailure or HeldBack, or one of DATABASE_FAILURES.
        """

    async def hide(self, item_id: str) -> None:
        """Hide an item that the desk refused to return."""


def digest(*told: object) -> str:
    """Return a short hash of an item's values in a list."""
    return hashlib.blake2b(repr(told).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class SourceSteps:
    """The steps of one source in one sync: pages of its lists, and readings of items.

    A pass over all pages resumes where the last process stopped. Items missing in two passes, an hour apart, are gone.
    New or changed items are read one by one, latest change first.
    """

    def __init__(self, copy: DeskCopy, source: Source) -> None:
        self._copy = copy
        self._source = source
        self._where = (copy.database, copy.tenant_id, source.collection)
        self._lists = True
        self._in_vain = 0
        self._last_ids: Sequence[str] = ()
        self._failed_in_a_row = 0
        self._next: deque[str] = deque()

    async def go_on(self) -> bool:
        """List a page and read some items; return False if there was nothing to do.

        Raises HeldBack, HeldByAnother, one of DATABASE_FAILURES, or the desk's failure after several in a row.
        """
        listed = await self._list()
        return bool(await self._read_some()) or listed

    async def _list(self) -> bool:
        try:
            return self._lists and await self._take_page()
        except OutsideFailure as failure:
            self._lists, self._copy.synced.stopped = False, failure.reason
            refused = self._source.collection == "p" and not self._copy.synced.with_solutions
            phrase = phrases.SOLUTIONS_REFUSED if refused else phrases.SYNC_FAILED
            say(phrase, tenant_id=self._copy.tenant_id, reason=failure.reason, also=failure.also)
        return False

    async def _take_page(self) -> bool:
        """Take a page if a pass is under way or due, else return False."""
        state = await passes.load(*self._where)
        if not self._is_due(state):
            return False
        if state.began_at is None:
            await listings.adopt(*self._where)
            state = state.begun()
        began_at = state.began_at or state.now
        page = await self._source.take_page(state.next_start, began_at)
        repeated = page.ids == self._last_ids or (page.kept > 0 and page.news == 0)
        self._in_vain, self._last_ids = (self._in_vain + 1 if repeated else 0), page.ids
        behind = _behind(state, page)
        if reason := await self._odd(page, behind, began_at):
            # An incomplete pass proves nothing about the items it has not shown.
            self._copy.synced.stopped = reason
            behind = behind.ended()
        elif not page.has_more or self._rest_is_old(state, page, behind):
            behind = await self._complete(behind, began_at)
        await passes.save(*self._where, behind, self._copy.holder.id)
        return True

    async def _odd(self, page: TakenPage, behind: PassState, began_at: datetime) -> str:
        if self._in_vain > _MOST_IN_VAIN:
            return "its list repeats itself"
        if not page.ids and page.has_more:
            return "its list has an empty page"
        # An empty list of tickets: we may have lost the right to see any.
        is_empty = behind.next_start == 1 and self._source.collection == "t"
        return "its list is empty" if is_empty and await listings.count_missing(*self._where, began_at) else ""

    def _is_due(self, state: PassState) -> bool:
        if state.began_at is not None or state.ended_at is None:
            return True
        if state.now - state.ended_at < _AGAIN_AFTER:
            return False
        if state.missing or state.complete_from is None:
            return True
        # Passes use a twentieth of the calls.
        took = state.next_start / _ROWS_A_PAGE * call_seconds(self._copy.settings)
        return state.now - state.complete_from >= min(_LONGEST_INTERVAL, timedelta(seconds=_SHARE_OF_CALLS * took))

    def _rest_is_old(self, before: PassState, page: TakenPage, behind: PassState) -> bool:
        """Return True if a sorted list has reached items that are too old.

        A list that begins with old items is in another order, even if all are of one moment.
        """
        oldest, last = self._copy.oldest, behind.last_created
        newer = [created for created in (before.last_created, *page.created) if created is not None]
        return behind.in_order and last is not None and last < oldest <= max(newer)

    async def _complete(self, state: PassState, began_at: datetime) -> PassState:
        state = replace(state, now=(await passes.load(*self._where)).now)
        before, ended = state.complete_from, state.complete_at
        if before is not None and ended is not None and began_at - ended >= _AGAIN_AFTER:
            self._copy.synced.removed += await listings.remove_unlisted(*self._where, before)
        self._copy.synced.removed += await listings.remove_older(*self._where, self._copy.oldest)
        return state.ended(await listings.count_missing(*self._where, began_at))

    async def _read_some(self) -> int:
        """Read a few items; return how many there were, 0 after several refusals.

        A failure of one item is logged, and the item is read again later: after a day if the desk refuses it.
        """
        if self._failed_in_a_row > _MOST_FAILED_IN_A_ROW:
            return 0
        if not self._next:
            # Many at once: rows just read precede them in the index until a vacuum.
            self._next.extend(await listings.next_to_read(*self._where, _ASKED_FOR))
        items = [self._next.popleft() for _ in range(min(_READS_A_PAGE, len(self._next)))]
        for item_id in items:
            with bound(**{_NAMES[self._source.collection]: item_id}):
                failure = await self._read(item_id)
            if failure is not None and self._failed_in_a_row > _MOST_FAILED_IN_A_ROW:
                if not is_its_own(failure):
                    raise failure
                self._copy.gave_up = failure
                return 0
        return len(items)

    async def _read(self, item_id: str) -> OutsideFailure | None:
        """Read one item, putting it off if it fails; return the desk's failure."""
        failure: OutsideFailure | None = None
        try:
            await self._source.read(item_id)
        except (HeldBack, HeldByAnother):
            raise
        except OutsideFailure as its_failure:
            failure = its_failure
            self._failed_in_a_row += 1
            say(phrases.SYNC_FAILED, tenant_id=self._copy.tenant_id, reason=failure.reason, also=failure.also)
        except DATABASE_FAILURES as refusal:
            if is_away(refusal) and not is_locked(refusal):
                raise
            say(phrases.SYNC_FAILED, tenant_id=self._copy.tenant_id, reason="could not be stored", failure=refusal)
        except Exception as odd:  # noqa: BLE001 -- one odd ticket must not end the copying of all the others
            say(phrases.SYNC_FAILED, tenant_id=self._copy.tenant_id, reason="unexpected failure", failure=odd)
        else:
            self._copy.given += 1
            self._failed_in_a_row = 0
            return None
        is_refused = failure is not None and is_its_own(failure)
        await listings.put_off(*self._where, item_id, hours=UNSEEN_HOURS if is_refused else 1)
        if is_refused:
            self._copy.synced.refused += 1
            await self._source.hide(item_id)
        return failure


def _behind(state: PassState, page: TakenPage) -> PassState:
    last, in_order = state.last_created, state.in_order
    for created in page.created:
        in_order = in_order and created is not None and (last is None or created <= last)
        last = created
    return replace(state, next_start=state.next_start + len(page.ids), last_created=last, in_order=in_order)
