"""Rounds that compare each desk's new tickets with the jobs, and their reports."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from config.tenant_settings import JobShare
from config.tenants import DeskSettings, Tenant
from dispatch.inbox import Inbox
from housekeeping.desk_rounds import DeskRounds
from housekeeping.missed import MissedTickets, ReconcileLimits
from housekeeping.pace import CopyPaces
from housekeeping.removed_notes import look_for_notes
from integrations.servicedesk.desks import Desks
from observability import metrics, phrases
from observability.logging import say
from storage import reconciling
from storage.session import Database

_RESULTS = ("missed", "recovered", "note removed", "reopened")


class Reconciling(DeskRounds):
    """The rounds under way; `stop()` it. Its calls share the copying's rate."""

    span = "Reconcile"

    def __init__(
        self,
        tenants: TenantDirectory,
        database: Database,
        desks: Desks,
        inbox: Inbox,
        paces: CopyPaces,
        settings: HousekeepingSettings,
        **limits: Any,
    ) -> None:
        super().__init__(tenants, **limits)
        self._database = database
        self._desks = desks
        self._inbox = inbox
        self._paces = paces
        self._expected: set[str] = set()
        # A purged job must not look like one that was never made. Half the time, since a desk's clock may be ahead:
        # then a ticket looks younger than its job.
        hours = min(settings.reconcile_window_hours, settings.keep_jobs_days * 12)
        interval = timedelta(seconds=settings.reconcile_interval_seconds)
        self._limits = ReconcileLimits(interval, timedelta(hours=hours), settings.job_deadline_seconds)

    async def round(self, seconds: float) -> None:
        self._expected &= {tenant.id for tenant in self._tenants.all() if tenant.desk is not None}
        await super().round(seconds)

    async def work(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._expect(tenant.id)
        turn = self._paces.of(tenant.id, desk.rate_per_minute).wait
        client, where = self._desks.of(tenant.id), (self._database, tenant.id)
        missed = MissedTickets(
            self._database, client, self._inbox, lambda: self._now(tenant.id), turn, self._limits, tenant.id
        )
        try:
            if not_compared := await missed.look():
                say(phrases.RECONCILE_INCOMPLETE, tenant_id=tenant.id, reason=not_compared)
            await missed.recover(until)
            # Not before: listed tickets that could not be counted as missed would go unnoticed.
            await reconciling.all_done(*where)
        finally:
            # While the desk's API is down, webhooks and jobs continue: the old figures would raise an alarm.
            await self._tell(tenant)
        if state := await reconciling.load(*where):
            about = (self._database, client, tenant.id, turn)
            await look_for_notes(*about, after=state.notes_until, now=state.now)

    def _expect(self, tenant_id: str) -> None:
        if tenant_id in self._expected:
            return
        self._expected.add(tenant_id)
        for result in _RESULTS:
            metrics.RECONCILE_FOUND.labels(tenant_id, result)
        metrics.RECONCILED_AT.labels(tenant_id).set_to_current_time()

    def _now(self, tenant_id: str) -> Tenant:
        # A tenant that has just left gets no job.
        return self._tenants.get(tenant_id) or Tenant(tenant_id, share=JobShare.model_construct(most_waiting=0))

    async def _tell(self, tenant: Tenant) -> None:
        told = await reconciling.figures(self._database, tenant.id)
        if told is None:
            return
        # From the database, so that every leader exports the same.
        metrics.RECONCILED_AT.labels(tenant.id).set(told.compared_at.timestamp())
        metrics.MISSED_TICKETS.labels(tenant.id).set(0 if tenant.polled else told.missed)
        metrics.MISSED_SINCE_WEBHOOK.labels(tenant.id).set(0 if tenant.polled else told.since_webhook)
        if told.last_webhook_at is not None:
            metrics.LAST_WEBHOOK_AT.labels(tenant.id).set(told.last_webhook_at.timestamp())
        found = await reconciling.take_found(self._database, tenant.id)
        if found is not None and any(found[1:]):
            since = f"{found.told_at:%Y-%m-%dT%H:%M:%SZ}"
            say(phrases.RECONCILED, {"tenant_id": tenant.id, **found._asdict(), "since": since})

    def failed(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        say(phrases.RECONCILE_FAILED, tenant_id=tenant_id, reason=reason, failure=failure, also=also)

    async def stop(self) -> None:
        await super().stop()
        self._expected.clear()
        for gauge in metrics.OF_RECONCILING:
            gauge.clear()
