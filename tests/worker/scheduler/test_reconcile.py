"""Reconciliation over several desks: metrics of each, isolated failures."""

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from db.session import Database
from integrations.desks import Desks
from jobs import missed_webhooks
from jobs.inbox import Inbox
from jobs.repository import REFRESH_BY_HAND
from knowledge.desk_tasks import SyncThrottles
from knowledge.sync import drop_other_tenants
from observability import metrics
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket
from tests.kit.postgres import Store, Table
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given
from tests.knowledge.site import Site
from tests.worker.scheduler.comparison import told
from worker.scheduler.missed_webhooks import Reconciliation

STORES = {"database_url": "postgresql://nobody@127.0.0.1/x", "redis_url": "redis://127.0.0.1:1/0"}
SETTINGS = HousekeepingSettings.model_validate(STORES)


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
        self.desks = Desks(tenants, SETTINGS, redis, connections=4, yields_to_jobs=True)
        self.reconciliation = Reconciliation(tenants, database, self.desks, Inbox(redis), SyncThrottles(), SETTINGS)
        self._table = table

    async def round(self, *, minutes: int = 5) -> None:
        ago = timedelta(minutes=minutes)
        self._table.run("UPDATE missing_webhooks SET seen_at = seen_at - %s, missed_at = missed_at - %s", ago, ago)
        self._table.run("UPDATE reconciliations SET told_at = told_at - %s", ago)
        await self.reconciliation.run_round(30)

    async def round_with(self, **values: object) -> None:
        """Run a round with other settings; None removes one."""
        self.values = {name: value for name, value in (self.values | values).items() if value is not None}
        self.clock.now += 6
        await self.round()

    async def close(self) -> None:
        await self.reconciliation.stop()
        await self.desks.close()


def value(name: str, **labels: str) -> float | None:
    """Return a metric of acme or of the given labels, None if absent."""
    return REGISTRY.get_sample_value(f"ai_agents_reconcile_{name}", {"tenant_id": "acme", **labels})


@pytest.fixture
async def rounds(desks: Simulator, database: Database, table: Table, redis: Redis) -> AsyncIterator[RoundsOf]:
    made = RoundsOf(desks, database, table, redis)
    await made.round()
    yield made
    await made.close()


@pytest.mark.usefixtures("spans")
async def test_each_hour_has_a_line_of_what_was_found(rounds: RoundsOf, desks: Simulator, log: io.StringIO) -> None:
    new_ticket(desks)
    for _ in range(3):
        await rounds.round()
    assert told(log, "Reconciled") == []
    await rounds.round(minutes=60)
    (line,) = told(log, "Reconciled: tenant_id=acme, since=20")
    assert "missed=1, recovered=0, notes_removed=0, reopened=0 |" in line
    for _ in range(2):
        await rounds.round(minutes=60)
    assert len(told(log, "Reconciled")) == 1


async def test_a_desk_that_fails_delays_no_other(rounds: RoundsOf, desks: Simulator, log: io.StringIO) -> None:
    ticket_id = new_ticket(desks)
    await rounds.round()
    await rounds.round()
    lines = told(log, "Reconcile error")
    assert lines
    assert all("Reconcile error: tenant_id=initech, reason=" in line for line in lines)
    assert told(log, f"Webhook missed: ticket_id={ticket_id}")


async def test_the_figures_of_a_tenant(rounds: RoundsOf, desks: Simulator, store: Store) -> None:
    assert (value("missed_tickets"), value("missed_since_webhook")) == (0, 0)
    assert value("last_webhook_timestamp_seconds") is None
    assert value("last_success_timestamp_seconds")
    before = value("found_total", result="missed") or 0
    last = await store.accept(ticket_id="1", accepted_at="now() - interval '2 hours'")
    tickets = [new_ticket(desks) for _ in range(3)]
    await rounds.round()
    store.table.run("UPDATE missing_webhooks SET seen_at = now()")
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (3, 3)
    assert value("found_total", result="missed") == before + 3
    accepted_at = store.table.job(last)["accepted_at"].timestamp()
    assert value("last_webhook_timestamp_seconds") == pytest.approx(accepted_at, abs=0.01)
    # One has a job that was requested by hand, which is not a webhook.
    by_hand = await store.accept(ticket_id=tickets[0])
    store.table.change(by_hand, event=REFRESH_BY_HAND)
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (2, 3)
    store.table.run("UPDATE missing_webhooks SET missed_at = now() - interval '61 minutes'")
    store.table.run("DELETE FROM jobs")
    await rounds.round()
    # The time of the last webhook outlives its purged row.
    assert (value("missed_tickets"), value("missed_since_webhook")) == (0, 3)
    assert value("last_webhook_timestamp_seconds") == pytest.approx(accepted_at, abs=0.01)


async def test_a_desk_that_stands_does_so_for_the_next_leader(rounds: RoundsOf, table: Table, log: io.StringIO) -> None:
    await rounds.reconciliation.stop()
    (row,) = table.run("UPDATE reconciliations SET compared_at = now() - interval '2 hours' RETURNING compared_at")
    await rounds.round_with(SERVICEDESK_API_KEY_ACME="wrong")
    assert told(log, "Reconcile error: tenant_id=acme")
    assert value("last_success_timestamp_seconds") == pytest.approx(row["compared_at"].timestamp(), abs=0.01)
    await rounds.round_with(SERVICEDESK_API_KEY_ACME="acme-key")
    now = value("last_success_timestamp_seconds")
    assert now is not None
    assert now > row["compared_at"].timestamp() + 7000


async def test_a_tenant_that_is_polled_misses_none(rounds: RoundsOf, desks: Simulator, table: Table) -> None:
    await rounds.round_with(SERVICEDESK_API_KEY_INITECH="acme-key")
    new_ticket(desks)
    await rounds.round()
    assert [job["tenant_id"] for job in table.run("SELECT tenant_id FROM jobs")] == ["initech"]
    assert value("missed_tickets", tenant_id="initech") == 0
    assert value("missed_since_webhook", tenant_id="initech") == 0
    assert value("found_total", tenant_id="initech", result="recovered") == 1


async def test_a_failing_desk_keeps_no_old_figures(rounds: RoundsOf, desks: Simulator, store: Store) -> None:
    """Its webhooks still arrive; old values would raise alerts while its API is down."""
    await store.accept(ticket_id="1", accepted_at="now() - interval '2 hours'")
    for _ in range(3):
        new_ticket(desks)
    await rounds.round()
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (3, 3)
    last = store.table.job(await store.accept(ticket_id="2"))["accepted_at"]
    ago = "missed_at = missed_at - interval '2 hours', seen_at = seen_at - interval '2 hours'"
    store.table.run(f"UPDATE missing_webhooks SET {ago}")  # noqa: S608 -- a constant
    await rounds.round_with(SERVICEDESK_API_KEY_ACME="wrong")
    assert (value("missed_tickets"), value("missed_since_webhook")) == (0, 0)
    assert value("last_webhook_timestamp_seconds") == pytest.approx(last.timestamp(), abs=0.01)


async def test_a_desk_that_was_polled_missed_none(rounds: RoundsOf, desks: Simulator, store: Store) -> None:
    await store.accept(ticket_id="1", accepted_at="now() - interval '2 hours'")
    for mode in ("poll", "push"):
        rounds.values["acme.webhook.mode"] = mode
        rounds.clock.now += 6
        new_ticket(desks)
        await rounds.round(minutes=0)
    assert (value("missed_tickets"), value("missed_since_webhook")) == (0, 0)
    (polled, _) = store.table.run("SELECT ticket_id, job_id FROM missing_webhooks ORDER BY seen_at")
    assert polled["job_id"] is not None
    seen = await missed_webhooks.seen_without_webhook(store.database, "acme", [polled["ticket_id"]])
    assert seen is not None
    assert seen.missed_at is None
    # A ticket missed after that counts.
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (1, 1)


async def test_a_tenant_that_comes_back_has_a_time_before_its_first_round_is_done(rounds: RoundsOf) -> None:
    names = ("SERVICEDESK_API_KEY_INITECH", "SERVICEDESK_URL_INITECH")
    before = {name: rounds.values[name] for name in names}
    drop_other_tenants(["acme"])
    await rounds.round_with(**dict.fromkeys(names))
    assert value("last_success_timestamp_seconds", tenant_id="initech") is None
    await rounds.round_with(**before)
    assert value("last_success_timestamp_seconds", tenant_id="initech")


async def test_who_leads_no_more_tells_nothing_nor_does_a_tenant_that_left(rounds: RoundsOf) -> None:
    assert value("missed_tickets") == 0
    drop_other_tenants(["globex"])
    assert value("missed_tickets") is None
    await rounds.round()
    assert value("missed_tickets") == 0
    await rounds.reconciliation.stop()
    assert [next(iter(gauge.collect())).samples for gauge in metrics.OF_RECONCILING] == [[]] * 4


async def test_a_desk_with_unreadable_tickets_counts_as_stalled(site: Site, redis: Redis, log: io.StringIO) -> None:
    """Unread items do not count as missed, so only this metric shows the problem."""
    rounds = RoundsOf(site.desk, site.database, site.table, redis)
    site.set_desk(list_fields=False)
    try:
        await rounds.round_with(**{"acme.tickets.never.category": ["Payroll"]})
        site.new_ticket()
        await rounds.round()
        at = "UPDATE reconciliations SET compared_at = now() - interval '2 hours' RETURNING compared_at"
        (row,) = site.table.run(at)
        site.desk.order(kind="status", code=500, operation="read_ticket")
        await rounds.round()
        assert told(log, "Reconcile error: tenant_id=acme")
        assert value("last_success_timestamp_seconds") == pytest.approx(row["compared_at"].timestamp(), abs=0.01)
    finally:
        await rounds.close()


def test_the_window_is_not_beyond_what_is_kept_of_jobs(database: Database, redis: Redis) -> None:
    """Otherwise a purged job would look like one that was never made."""
    settings = SETTINGS.model_copy(update={"reconcile_window_hours": 168, "keep_jobs_days": 2})
    nothing: Any = None
    made = Reconciliation(nothing, database, nothing, Inbox(redis), SyncThrottles(), settings)
    # Half of it: a desk's clock may be ahead.
    assert made._window.total_seconds() == 24 * 3600
