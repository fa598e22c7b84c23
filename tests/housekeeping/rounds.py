"""Reconciliation rounds over several desks, and their metrics."""

from datetime import timedelta

from prometheus_client import REGISTRY
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from dispatch.inbox import Inbox
from housekeeping.reconcile import Reconciling
from housekeeping.rounds import CopyPaces
from integrations.servicedesk.desks import Desks
from storage.session import Database
from tests.kit.clock import Clock
from tests.kit.postgres import Table
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given

_SECONDS = 30
SETTINGS = HousekeepingSettings.model_construct(
    reconcile_interval_seconds=300,
    reconcile_window_hours=24,
    keep_jobs_days=90,
    job_deadline_seconds=1800,
    servicedesk_timeout_seconds=5,
    servicedesk_ca_bundle=None,
    https_proxy=None,
    no_proxy=None,
)


class RoundsOf:
    def __init__(self, desks: Simulator, database: Database, table: Table, redis: Redis) -> None:
        self.values: dict[str, object] = {
            "WEBHOOK_SECRET_ACME": "s",
            "SERVICEDESK_URL_ACME": f"{desks.url}/acme",
            "SERVICEDESK_API_KEY_ACME": "acme-key",
            "acme.servicedesk.rate_per_minute": 100_000,
            "SERVICEDESK_URL_INITECH": f"{desks.url}/acme",
            "SERVICEDESK_API_KEY_INITECH": "wrong",
            "initech.webhook.mode": "poll",
        }
        self.clock = Clock()
        tenants = TenantDirectory(lambda: given(self.values), monotonic=self.clock)
        self.desks = Desks(tenants, SETTINGS, redis, connections=4, yields=True)
        about = (tenants, database, self.desks, Inbox(redis), CopyPaces(), SETTINGS)
        self.reconciling = Reconciling(*about)
        self._table = table

    async def round(self, *, minutes: int = 5) -> None:
        """Run a round this long after the previous one."""
        ago = timedelta(minutes=minutes)
        self._table.run("UPDATE missing_webhooks SET seen_at = seen_at - %s, missed_at = missed_at - %s", ago, ago)
        self._table.run("UPDATE reconciliations SET told_at = told_at - %s", ago)
        await self.reconciling.round(_SECONDS)


def value(name: str, **labels: str) -> float | None:
    """Return a metric of acme or of the given labels, None if absent."""
    return REGISTRY.get_sample_value(f"ai_agents_reconcile_{name}", {"tenant_id": "acme", **labels})
