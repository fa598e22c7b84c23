"""A round of copying one desk: new and changed items, then its history."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from housekeeping.desk_copy import CopyWishes, DeskCopy, Source
from housekeeping.extent import tell_extent
from housekeeping.forbidden import Forbidden
from housekeeping.list_pass import ListPass
from housekeeping.pace import CopyPace, CopyPaces, call_seconds
from housekeeping.reading import Reading
from housekeeping.reopened import Reopened
from housekeeping.solutions import SolutionSource
from housekeeping.synced import Synced
from housekeeping.tickets import TicketSource
from integrations.errors import OutsideFailure
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.desks import Desks
from observability import phrases
from observability.logging import say
from retrieval.language import LANGUAGES
from storage import history, listings
from storage.listings import COLLECTIONS
from storage.session import Database

_MOST_INDEXED = 1000
# One of so many calls lists a page, while there are both: a pass and its findings advance together.
_READS_A_PAGE = 4
# The longest call and a margin: after that, another process may copy this desk.
_HELD_SECONDS = 30.0
_CALLS_HELD = 4


async def sync_tenant(
    database: Database,
    desk: ServiceDeskPlus,
    tenant_id: str,
    settings: DeskSettings,
    wishes: CopyWishes,
    *,
    seconds: float,
    pace: CopyPace,
    monotonic: Callable[[], float] = time.monotonic,
) -> Synced:
    """Copy new and changed items, and go on with the history, for about `seconds`.

    A failure of one item is logged, and the others are copied. Raises OutsideFailure, HeldBack or HeldByAnother, or one
    of DATABASE_FAILURES; earlier copies stay, and the next round resumes there. A desk that returns its lists and
    nothing else has failed too.
    """
    until = monotonic() + seconds
    a_call = call_seconds(settings)
    async with listings.held(database, tenant_id, _HELD_SECONDS + _CALLS_HELD * a_call) as holder:
        copy = DeskCopy(
            database,
            desk,
            tenant_id,
            wishes.forbidden,
            pace,
            holder,
            wishes.reopened,
            settings.languages or LANGUAGES,
            datetime.now(UTC) - timedelta(days=settings.history_days),
            settings.conversation,
            a_call,
        )
        # From stored kinds, whatever the desk answers.
        copy.removed += await history.remove_forbidden(database, tenant_id, wishes.forbidden.names)
        copy.removed += await history.remove_expired(database, tenant_id)
        await tell_extent(database, tenant_id)
        await _newest(copy)
        await history.index_again(database, tenant_id, copy.languages, _MOST_INDEXED)
        steps = [_Steps(copy, TicketSource(copy)), _Steps(copy, SolutionSource(copy))]
        while steps and monotonic() < until:
            steps = [each for each in steps if await each.go_on()]
    extent = await tell_extent(database, tenant_id)
    if copy.gave_up is not None and not copy.given:
        raise copy.gave_up
    done = (copy.tickets, copy.passages, copy.removed, extent.to_read)
    return Synced(
        *done, with_solutions=copy.gives_solutions, refused=copy.refused, done=not steps, stopped=copy.stopped
    )


class Copies:
    """Copies of all tenants' desks, each with its own pace across rounds."""

    def __init__(
        self,
        tenants: TenantDirectory,
        database: Database,
        desks: Desks,
        job_deadline_seconds: int,
        paces: CopyPaces | None = None,
    ) -> None:
        self._tenants = tenants
        self._database = database
        self._desks = desks
        self._job_deadline = job_deadline_seconds
        self._paces = paces or CopyPaces()

    async def copy(self, tenant_id: str, desk: DeskSettings, seconds: float) -> Synced:
        pace = self._paces.of(tenant_id, desk.rate_per_minute)
        forbidden = Forbidden(lambda: self._now(tenant_id).rules)
        reopened = Reopened(
            self._database,
            tenant_id,
            lambda: self._now(tenant_id).note.if_reopened,
            self._job_deadline,
            recovers=lambda: self._now(tenant_id).recovers,
        )
        about = (self._database, self._desks.of(tenant_id), tenant_id, desk, CopyWishes(forbidden, reopened))
        return await sync_tenant(*about, seconds=seconds, pace=pace)

    def _now(self, tenant_id: str) -> Tenant:
        # A tenant that has just left has no desk to copy.
        return self._tenants.get(tenant_id) or Tenant(tenant_id)


async def _newest(copy: DeskCopy) -> None:
    tickets, where = TicketSource(copy), (copy.database, copy.tenant_id)
    state = await tickets.newest(await listings.load_pass(*where, "t"))
    try:
        state = await tickets.changed(state)
    except OutsideFailure as failure:
        # If more than this list fails, the next call reports it.
        say(phrases.SYNC_FAILED, tenant_id=copy.tenant_id, reason=failure.reason, also=failure.also)
    await listings.save_pass(*where, "t", state, copy.holder.id)
    for collection in COLLECTIONS:
        state, digest = await listings.load_pass(*where, collection), copy.forbidden.digest(collection)
        if state.rules != digest:
            await listings.read_what_was_left_out(*where, collection)
            await listings.save_pass(*where, collection, replace(state, rules=digest), copy.holder.id)


class _Steps:
    """The steps of one source in one round."""

    def __init__(self, copy: DeskCopy, source: Source) -> None:
        self._copy = copy
        self._collection = source.collection
        self._list_pass: ListPass | None = ListPass(copy, source)
        self._reading = Reading(copy, source)

    async def go_on(self) -> bool:
        listed = await self._list()
        return bool(await self._reading.some(_READS_A_PAGE)) or listed

    async def _list(self) -> bool:
        try:
            return self._list_pass is not None and await self._list_pass.step()
        except OutsideFailure as failure:
            self._list_pass, self._copy.stopped = None, failure.reason
            refused = self._collection == "p" and not self._copy.gives_solutions
            phrase = phrases.SOLUTIONS_REFUSED if refused else phrases.SYNC_FAILED
            say(phrase, tenant_id=self._copy.tenant_id, reason=failure.reason, also=failure.also)
        return False
