"""Weekly value reports: an HTML file for each tenant and week, in REPORTS_DIR."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from jobs.report.document import read_report
from jobs.report.period import Period, last_week
from jobs.report.render import to_html
from observability import log_events, tracing
from observability.logging import log_event

_INTERVAL_SECONDS = 3600.0
_READ_SECONDS = 60.0
_KEPT = timedelta(weeks=53)
_FILE = re.compile(r"report-[a-z0-9-]{1,63}-(\d{4}-W\d{2})\.(?:html|tmp)")


class WeeklyReports:
    """Writes each tenant's report of the last complete week, once an hour if missing."""

    def __init__(
        self,
        settings: HousekeepingSettings,
        tenants: TenantDirectory,
        database: Database,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder = settings.reports_dir
        self._prices = settings.model_prices
        self._tenants = tenants
        self._database = database
        self._now = now

    async def run(self, check_lead: Callable[[], Awaitable[None]]) -> None:
        """Write until cancelled or until this process loses leadership; return if off."""
        while self._folder is not None:
            await check_lead()
            with tracing.untraced():
                await self.write(self._folder)
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def write(self, folder: Path) -> None:
        """Write missing files and delete old ones; log a failure.

        Raises one of DATABASE_FAILURES if the database is away.
        """
        oldest = last_week("UTC", self._now()).first - _KEPT
        # Deletion first: a missing folder is logged once, not for each tenant.
        if await self._isolated("", asyncio.to_thread(_delete_older, folder, Period(oldest, oldest).week)):
            for tenant in self._tenants.all():
                await self._isolated(tenant.id, self._write_of(folder, tenant))

    async def _write_of(self, folder: Path, tenant: Tenant) -> None:
        week = last_week(tenant.report.timezone, self._now())
        path = folder / f"report-{tenant.id}-{week.week}.html"
        if not await asyncio.to_thread(path.is_file):
            await asyncio.to_thread(_replace, path, await self._page(tenant, week))
            log_event(log_events.REPORT_WRITTEN, tenant_id=tenant.id, file=path.name)

    async def _isolated(self, tenant_id: str, step: Awaitable[None]) -> bool:
        also = {"tenant_id": tenant_id} if tenant_id else {}
        try:
            await step
        except TimeoutError:
            log_event(log_events.REPORTS_NOT_WRITTEN, reason="the database did not answer in time", also=also)
        except OSError as failure:
            log_event(log_events.REPORTS_NOT_WRITTEN, reason=f"REPORTS_DIR: {failure.strerror}", also=also)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            log_event(log_events.REPORTS_NOT_WRITTEN, reason="refused by the database", failure=failure, also=also)
        else:
            return True
        return False

    async def _page(self, tenant: Tenant, week: Period) -> str:
        async with asyncio.timeout(_READ_SECONDS):
            return to_html(await read_report(self._database, [tenant], week, prices=self._prices), self._now())


def _replace(path: Path, text: str) -> None:
    # Readers of the folder never see half a file.
    partial = path.with_suffix(".tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _delete_older(folder: Path, week: str) -> None:
    for path in folder.iterdir():
        if (found := _FILE.fullmatch(path.name)) and found[1] < week:
            path.unlink(missing_ok=True)
