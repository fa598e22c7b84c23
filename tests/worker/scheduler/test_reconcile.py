"""Reconciliation over several desks: metrics of each, isolated failures, and removed notes."""

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from db.session import Database
from integrations.errors import DeskUnavailableError
from integrations.servicedesk.clients import Desks
from jobs import reconcile
from jobs.inbox import Inbox
from jobs.repository import ASKED_BY_HAND
from knowledge.rounds import SyncThrottles
from knowledge.sync import tell_no_others
from observability import metrics
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket
from tests.kit.postgres import Store, Table
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given
from tests.worker.scheduler.comparing import told
from tests.worker.scheduler.site import Site
from worker.scheduler.reconcile import MOST_LOOKED_FOR, Reconciling, look_for_notes
from workflow.answer import Content
from workflow.note import to_html

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
        self.desks = Desks(tenants, SETTINGS, redis, connections=4, yields=True)
        self.reconciling = Reconciling(tenants, database, self.desks, Inbox(redis), SyncThrottles(), SETTINGS)
        self._table = table

    async def round(self, *, minutes: int = 5) -> None:
        ago = timedelta(minutes=minutes)
        self._table.run("UPDATE missing_webhooks SET seen_at = seen_at - %s, missed_at = missed_at - %s", ago, ago)
        self._table.run("UPDATE reconciliations SET told_at = told_at - %s", ago)
        await self.reconciling.round(30)

    async def round_with(self, **values: object) -> None:
        """Run a round with other settings; None removes one."""
        self.values = {name: value for name, value in (self.values | values).items() if value is not None}
        self.clock.now += 6
        await self.round()

    async def close(self) -> None:
        await self.reconciling.stop()
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
    store.table.change(by_hand, event=ASKED_BY_HAND)
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (2, 3)
    store.table.run("UPDATE missing_webhooks SET missed_at = now() - interval '61 minutes'")
    store.table.run("DELETE FROM jobs")
    await rounds.round()
    # The time of the last webhook outlives its purged row.
    assert (value("missed_tickets"), value("missed_since_webhook")) == (0, 3)
    assert value("last_webhook_timestamp_seconds") == pytest.approx(accepted_at, abs=0.01)


async def test_a_desk_that_stands_does_so_for_the_next_leader(rounds: RoundsOf, table: Table, log: io.StringIO) -> None:
    await rounds.reconciling.stop()
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


async def test_a_desk_that_fails_keeps_no_old_figures(rounds: RoundsOf, desks: Simulator, store: Store) -> None:
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
    seen = await reconcile.seen_without_webhook(store.database, "acme", [polled["ticket_id"]])
    assert seen is not None
    assert seen.missed_at is None
    # A ticket missed after that counts.
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (1, 1)


async def test_a_tenant_that_comes_back_has_a_time_before_its_first_round_is_done(rounds: RoundsOf) -> None:
    names = ("SERVICEDESK_API_KEY_INITECH", "SERVICEDESK_URL_INITECH")
    before = {name: rounds.values[name] for name in names}
    tell_no_others(["acme"])
    await rounds.round_with(**dict.fromkeys(names))
    assert value("last_success_timestamp_seconds", tenant_id="initech") is None
    await rounds.round_with(**before)
    assert value("last_success_timestamp_seconds", tenant_id="initech")


async def test_who_leads_no_more_tells_nothing_nor_does_a_tenant_that_left(rounds: RoundsOf) -> None:
    assert value("missed_tickets") == 0
    tell_no_others(["globex"])
    assert value("missed_tickets") is None
    await rounds.round()
    assert value("missed_tickets") == 0
    await rounds.reconciling.stop()
    assert [next(iter(gauge.collect())).samples for gauge in metrics.OF_RECONCILING] == [[]] * 4


async def test_a_desk_whose_tickets_cannot_be_read_stands(site: Site, redis: Redis, log: io.StringIO) -> None:
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
    made = Reconciling(nothing, database, nothing, Inbox(redis), SyncThrottles(), settings)
    # Half of it: a desk's clock may be ahead.
    assert made._window.total_seconds() == 24 * 3600


async def enhanced(site: Site, store: Store, **columns: Any) -> str:
    ticket_id = site.new_ticket()
    done = {"state": "completed", "note_attempted_at": "now()", "finished_at": "now() - interval '20 minutes'"}
    job_id = await store.accept(ticket_id=ticket_id, **done | columns)
    html = to_html(Content(summary="s"), job_id, "m")
    store.table.change(job_id, note_id=await site.client.add_note(ticket_id, html))
    return ticket_id


async def look(site: Site) -> int:
    """Run a look as a round does, the first one for a day's notes; return the number of desk calls."""
    before = len(site.desk.requests())
    if await reconcile.load(site.database, "acme") is None:
        await reconcile.begin(site.database, "acme", datetime.now(UTC))
        site.table.run("UPDATE reconciliations SET notes_until = now() - interval '1 day'")
    state = await reconcile.load(site.database, "acme")
    assert state is not None

    async def turn() -> None:
        """At once."""

    await look_for_notes(site.database, site.client, "acme", turn, after=state.notes_until, now=state.now)
    return len(site.desk.requests()) - before


async def test_a_note_that_is_there_costs_one_call_and_no_word(site: Site, store: Store, log: io.StringIO) -> None:
    await enhanced(site, store)
    assert [await look(site) for _ in range(2)] == [1, 0]
    # Nor does a note under another id, or a ticket that is gone.
    site.delete(await enhanced(site, store))
    await enhanced(site, store)
    store.table.run("UPDATE jobs SET note_id = '987654'")
    site.table.run("UPDATE reconciliations SET notes_until = now() - interval '1 day'")
    await look(site)
    assert log.getvalue() == ""


async def test_one_that_was_removed_is_told_once(site: Site, store: Store, log: io.StringIO) -> None:
    ticket_id = await enhanced(site, store)
    site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    for _ in range(2):
        await look(site)
    (line,) = told(log, "Note removed")
    (job,) = store.table.run("SELECT id, state FROM jobs")
    assert f"Note removed: job_id={job['id']}, ticket_id={ticket_id}" in line
    assert (job["state"], " warning " in line) == ("completed", True)
    assert site.table.run("SELECT notes_removed FROM reconciliations") == [{"notes_removed": 1}]


async def test_a_few_of_the_newest_settled_ones_are_looked_for(site: Site, store: Store, log: io.StringIO) -> None:
    tickets = [
        await enhanced(site, store, finished_at=f"now() - interval '{minutes} minutes'") for minutes in (40, 30, 20, 5)
    ]
    for ticket_id in tickets:
        site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    await look(site)
    assert [f"ticket_id={ticket_id}" in log.getvalue() for ticket_id in tickets] == [False, True, True, False]
    assert MOST_LOOKED_FOR == 2
    site.table.run("UPDATE jobs SET finished_at = finished_at - interval '12 minutes'")
    site.table.run("UPDATE reconciliations SET notes_until = notes_until - interval '12 minutes'")
    await look(site)
    assert f"ticket_id={tickets[3]}" in log.getvalue()


async def test_it_is_told_once_though_the_desk_fails_at_the_next(site: Site, store: Store, log: io.StringIO) -> None:
    removed = await enhanced(site, store, finished_at="now() - interval '30 minutes'")
    fails = await enhanced(site, store)
    for ticket_id in (removed, fails):
        site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    site.desk.order(kind="status", code=503, times=9, ticket_id=fails)
    for _ in range(2):
        with pytest.raises(DeskUnavailableError):
            await look(site)
    assert len(told(log, "Note removed")) == 1
    assert site.table.run("SELECT notes_removed FROM reconciliations") == [{"notes_removed": 1}]
    site.desk.forget()
    await look(site)
    assert len(told(log, "Note removed")) == 2
