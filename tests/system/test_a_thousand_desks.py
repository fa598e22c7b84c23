"""Rounds over a thousand desks, queued for housekeeping's few connections."""

import asyncio
from typing import cast

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from sqlalchemy import text

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from devstack.postgres import Postgres
from dispatch.inbox import Inbox
from housekeeping.app import open_database
from housekeeping.reconcile import Reconciling
from housekeeping.rounds import CopyPaces
from integrations.servicedesk.desks import Desks
from tests.housekeeping.plain_desk import PlainDesk
from tests.kit.postgres import Table
from tests.kit.tenants_toml import filed

pytestmark = pytest.mark.slow
COUNT = 1000
_SUCCESS = "ai_agents_reconcile_last_success_timestamp_seconds"
SETTINGS = HousekeepingSettings.model_construct(
    reconcile_interval_seconds=300, reconcile_window_hours=24, keep_jobs_days=90, job_deadline_seconds=1800
)


class OneDesk:
    def __init__(self, desk: PlainDesk) -> None:
        self._desk = desk

    def of(self, _tenant_id: str) -> PlainDesk:
        return self._desk


@pytest.mark.usefixtures("spans")
async def test_each_of_a_thousand_is_compared(server: Postgres, table: Table, redis: Redis) -> None:
    names = [f"t{number}" for number in range(COUNT)]
    values = {f"SERVICEDESK_URL_{name.upper()}": "http://desk" for name in names}
    values |= {f"SERVICEDESK_API_KEY_{name.upper()}": "k" for name in names}
    values = filed(values, {f"{name}.webhook.mode": "poll" for name in names})
    database = open_database(server.url)
    desks = cast("Desks", OneDesk(PlainDesk.of(20)))
    tenants = TenantDirectory(lambda: values)
    rounds = Reconciling(tenants, database, desks, Inbox(redis), CopyPaces(), SETTINGS)
    try:
        for _ in range(2):
            await rounds.round(300)
        assert table.run("SELECT count(*) FROM reconciliations") == [{"count": COUNT}]
        shown = [REGISTRY.get_sample_value(_SUCCESS, {"tenant_id": name}) for name in names]
        assert all(shown)
    finally:
        await rounds.stop()
        await database.close()


async def test_who_stands_in_line_for_a_while_is_served(server: Postgres) -> None:
    """A queue of a thousand takes longer, and a timeout in it is not an outage."""
    database = open_database(server.url)
    try:
        away = [database.call(text("SELECT pg_sleep(6)")) for _ in range(4)]
        assert len(await asyncio.gather(*away, database.ask())) == len(away) + 1
    finally:
        await database.close()
