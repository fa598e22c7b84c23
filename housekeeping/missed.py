"""One desk's new tickets compared with the jobs; missed ones are reported.

Their jobs are made if the tenant wants that.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from config.tenants import Tenant
from dispatch.inbox import Inbox
from dispatch.queue import QueueUnreachable
from dispatch.recovery import WhyRecovered, recover_job
from housekeeping.alone import is_its_own
from housekeeping.new_tickets import MOST_AHEAD, list_new
from integrations.errors import OutsideFailure, TicketGone
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.parsing import ListedTicket, is_number
from observability import metrics, phrases
from observability.identifiers import other_numbers
from observability.logging import say
from storage import reconciling, tombstones
from storage.reconciling import Compared, SeenTicket
from storage.session import Database
from storage.turns import has_room

# Intervals differ slightly between the clocks of this process and the database: on a busy machine a round may be late.
_WHOLE_INTERVAL = 0.75
_MOST_OVERDUE = 1000
# Single tickets read in a round, if the desk's list lacks fields that the tenant's rules need.
_MOST_READ = 20
_KINDS = ("category", "group", "site", "template")
_NEVER_COMPARED = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReconcileLimits:
    """Limits for a webhook's delay, a recovered ticket's age and a job's duration."""

    interval: timedelta
    window: timedelta
    job_deadline_seconds: int


@dataclass(slots=True)
class MissedTickets:
    """Missed tickets of one desk in one round.

    `tenant` returns the current tenant; `turn` returns when the desk may be called. Each step raises the desk's
    failures or one of DATABASE_FAILURES, and the next round resumes there.
    """

    database: Database
    desk: ServiceDeskPlus
    inbox: Inbox
    tenant: Callable[[], Tenant]
    turn: Callable[[], Awaitable[None]]
    limits: ReconcileLimits
    tenant_id: str

    async def look(self) -> str:
        """Record new tickets without a job; return why some were not compared, or "".

        A new tenant is compared from now on: its existing tickets are ignored.
        """
        state = await reconciling.load(self.database, self.tenant_id)
        if state is None:
            found = await list_new(self.desk.lists, self.turn, _NEVER_COMPARED, _NEVER_COMPARED)
            # If the newest may be missing, nothing before this moment counts.
            now = datetime.now(UTC)
            newest = found.newest_by(now)
            newest = max(newest or now, now) if found.not_compared else newest
            await reconciling.begin(self.database, self.tenant_id, newest)
            return found.not_compared
        oldest = max(state.since, state.now - self.limits.window)
        found = await list_new(self.desk.lists, self.turn, state.compared_until, oldest)
        new = found.created_between(oldest, state.now + state.ahead + MOST_AHEAD)
        tickets = [ticket for each, at in new if at > state.since and (ticket := self._wanted(each, at))]
        tickets = await self._without_forgotten(tickets)
        about = (self.database, self.tenant_id, tickets)
        await reconciling.compare(*about, seen_at=state.now, until=found.newest or state.compared_until)
        await self._count_overdue(state)
        return found.not_compared

    def _wanted(self, listed: ListedTicket, created_at: datetime) -> SeenTicket | None:
        rules = self.tenant().rules
        if listed.is_trashed or rules.leave_out(listed.kinds):
            return None
        if not is_number(listed.ticket_id):
            return None  # only numbers may appear in log lines and addresses, as for webhooks
        tells_all = not any(rules.ask_for(kind) and kind not in listed.kinds for kind in _KINDS)
        return SeenTicket(listed.ticket_id, listed.display_id or None, created_at, tells_all)

    async def _without_forgotten(self, tickets: Sequence[SeenTicket]) -> list[SeenTicket]:
        numbers = set().union(*(each.numbers for each in tickets))
        left = await tombstones.forgotten_among(self.database, self.tenant_id, numbers) if numbers else set()
        if left:
            gone = [each.ticket_id for each in tickets if not left.isdisjoint(each.numbers)]
            await reconciling.forget(self.database, self.tenant_id, gone)
        return [each for each in tickets if left.isdisjoint(each.numbers)]

    async def _count_overdue(self, state: Compared) -> None:
        """Count tickets seen an interval ago, still without a job, as missed.

        At once if no webhook is expected.
        """
        waits = timedelta() if self.tenant().polled else self.limits.interval * _WHOLE_INTERVAL
        limits = {"before": state.now - waits, "oldest": state.now - self.limits.window}
        tickets = await reconciling.overdue(self.database, self.tenant_id, **limits, most=_MOST_OVERDUE)
        if not tickets:
            return
        try:
            kept = {event.ticket_id for event in await self.inbox.of_tenant(self.tenant_id)}
        except QueueUnreachable:
            return  # a webhook may wait there
        read = 0
        for ticket in await self._without_forgotten(tickets):
            if not kept.isdisjoint(ticket.numbers):
                continue
            if not ticket.tells_all:
                read += 1
                if read > _MOST_READ or not await self._is_wanted(ticket):
                    continue
            await self._count(ticket)

    async def _is_wanted(self, ticket: SeenTicket) -> bool:
        await self.turn()
        try:
            found = await self.desk.read_ticket(ticket.ticket_id)
        except TicketGone:
            await reconciling.forget(self.database, self.tenant_id, [ticket.ticket_id])
            return False
        except OutsideFailure as failure:
            if not is_its_own(failure):
                raise
            wanted = False
        else:
            wanted = not self.tenant().rules.leave_out(found.kinds)
        if not wanted:
            await reconciling.leave_out(self.database, self.tenant_id, ticket.ticket_id)
        return wanted

    async def _count(self, ticket: SeenTicket) -> None:
        tenant = self.tenant()
        missed = not tenant.polled
        if not await reconciling.count_missed(self.database, self.tenant_id, ticket.ticket_id, counts=missed):
            return
        if missed:
            metrics.RECONCILE_FOUND.labels(self.tenant_id, "missed").inc()
            created = f"{ticket.created_at:%Y-%m-%dT%H:%M:%SZ}"
            mode = "on" if tenant.recovers else "report"
            about = {"ticket_id": ticket.ticket_id, "tenant_id": self.tenant_id, "created": created, "reconcile": mode}
            say(phrases.WEBHOOK_MISSED, about, also=other_numbers(ticket.ticket_id, None, ticket.display_id))

    async def recover(self, until: float, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Make jobs of missed tickets, oldest first, within the minute's limit.

        It stops at `until` (monotonic), leaving the rest to the next round. A tenant that only wants reports gets the
        jobs of webhooks refused with 429: its desk sent them. Jobs never exceed the tenant's limit of waiting jobs.
        """
        while True:
            everything = self.tenant().recovers
            oldest = datetime.now(UTC) - self.limits.window
            about = (self.database, self.tenant_id, oldest)
            found = await reconciling.to_recover(*about, only_refused=not everything)
            for ticket in await self._without_forgotten(found.tickets):
                tenant = self.tenant()
                most = tenant.share.most_waiting
                if tenant.recovers != everything or not await has_room(self.database, self.tenant_id, most):
                    return
                why: WhyRecovered = "webhook missed" if everything else "webhook refused with 429"
                why = "polled" if tenant.polled else why
                deadline = self.limits.job_deadline_seconds
                if await recover_job(self.database, self.tenant_id, ticket, why, deadline):
                    metrics.RECONCILE_FOUND.labels(self.tenant_id, "recovered").inc()
            if found.more_in is None or time.monotonic() + found.more_in >= until:
                return
            await sleep(found.more_in)
