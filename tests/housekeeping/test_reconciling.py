"""Reconciliation over several desks: metrics of each, and isolated failures."""

import io
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from dispatch.inbox import Inbox
from housekeeping.extent import tell_no_others
from housekeeping.pace import CopyPaces
from housekeeping.reconciling import Reconciling
from observability import metrics
from storage import reconciling
from storage.jobs import ASKED_BY_HAND
from storage.session import Database
from tests.housekeeping.comparing import told
from tests.housekeeping.rounds import SETTINGS, RoundsOf, value
from tests.kit.desk import new_ticket
from tests.kit.logs import StartLog
from tests.kit.postgres import Store, Table
from tests.kit.simulators import Simulator


@pytest.fixture
async def rounds(desks: Simulator, database: Database, table: Table, redis: Redis) -> AsyncIterator[RoundsOf]:
    made = RoundsOf(desks, database, table, redis)
    await made.round()
    yield made
    await made.reconciling.stop()
    await made.desks.close()


@pytest.fixture
def stream(start_log: StartLog) -> io.StringIO:
    return start_log()


@pytest.mark.usefixtures("spans")
async def test_each_hour_has_a_line_if_anything_was_found(
    rounds: RoundsOf, desks: Simulator, stream: io.StringIO
) -> None:
    new_ticket(desks)
    for _ in range(3):
        await rounds.round()
    assert told(stream, "Reconciled") == []
    await rounds.round(minutes=60)
    (line,) = told(stream, "Reconciled: tenant_id=acme, since=20")
    assert "missed=1, recovered=0, notes_removed=0, reopened=0 |" in line
    for _ in range(2):
        await rounds.round(minutes=60)
    assert len(told(stream, "Reconciled")) == 1


async def test_a_desk_that_fails_is_a_line_and_the_other_is_compared(
    rounds: RoundsOf, desks: Simulator, stream: io.StringIO
) -> None:
    ticket_id = new_ticket(desks)
    await rounds.round()
    await rounds.round()
    lines = told(stream, "Reconcile error")
    assert lines
    assert all("Reconcile error: tenant_id=initech, reason=" in line for line in lines)
    assert told(stream, f"Webhook missed: ticket_id={ticket_id}")


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


async def test_a_desk_that_stands_does_so_for_the_next_leader_too(
    rounds: RoundsOf, table: Table, stream: io.StringIO
) -> None:
    await rounds.reconciling.stop()
    (row,) = table.run("UPDATE reconciliations SET compared_at = now() - interval '2 hours' RETURNING compared_at")
    rounds.values["SERVICEDESK_API_KEY_ACME"] = "wrong"
    rounds.clock.now += 6
    await rounds.round()
    assert told(stream, "Reconcile error: tenant_id=acme")
    assert value("last_success_timestamp_seconds") == pytest.approx(row["compared_at"].timestamp(), abs=0.01)
    rounds.values["SERVICEDESK_API_KEY_ACME"] = "acme-key"
    rounds.clock.now += 6
    await rounds.round()
    now = value("last_success_timestamp_seconds")
    assert now is not None
    assert now > row["compared_at"].timestamp() + 7000


async def test_a_tenant_that_is_polled_misses_none(rounds: RoundsOf, desks: Simulator, table: Table) -> None:
    rounds.values["SERVICEDESK_API_KEY_INITECH"] = "acme-key"
    rounds.clock.now += 6
    await rounds.round()
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
    rounds.values["SERVICEDESK_API_KEY_ACME"] = "wrong"
    rounds.clock.now += 6
    last = store.table.job(await store.accept(ticket_id="2"))["accepted_at"]
    ago = "missed_at = missed_at - interval '2 hours', seen_at = seen_at - interval '2 hours'"
    store.table.run(f"UPDATE missing_webhooks SET {ago}")  # noqa: S608 -- a constant
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (0, 0)
    assert value("last_webhook_timestamp_seconds") == pytest.approx(last.timestamp(), abs=0.01)


async def test_a_desk_that_was_polled_and_sends_again_missed_none(
    rounds: RoundsOf, desks: Simulator, store: Store
) -> None:
    await store.accept(ticket_id="1", accepted_at="now() - interval '2 hours'")
    for mode in ("poll", "push"):
        rounds.values["acme.webhook.mode"] = mode
        rounds.clock.now += 6
        new_ticket(desks)
        await rounds.round(minutes=0)
    assert (value("missed_tickets"), value("missed_since_webhook")) == (0, 0)
    (polled, _) = store.table.run("SELECT ticket_id, job_id FROM missing_webhooks ORDER BY seen_at")
    assert polled["job_id"] is not None
    seen = await reconciling.seen_without_webhook(store.database, "acme", [polled["ticket_id"]])
    assert seen is not None
    assert seen.missed_at is None
    # A ticket missed after that counts.
    await rounds.round()
    assert (value("missed_tickets"), value("missed_since_webhook")) == (1, 1)


async def test_a_tenant_that_comes_back_has_a_time_before_its_first_round_is_done(rounds: RoundsOf) -> None:
    key = rounds.values.pop("SERVICEDESK_API_KEY_INITECH")
    url = rounds.values.pop("SERVICEDESK_URL_INITECH")
    rounds.clock.now += 6
    tell_no_others(["acme"])
    await rounds.round()
    assert value("last_success_timestamp_seconds", tenant_id="initech") is None
    rounds.values |= {"SERVICEDESK_API_KEY_INITECH": key, "SERVICEDESK_URL_INITECH": url}
    rounds.clock.now += 6
    await rounds.round()
    assert value("last_success_timestamp_seconds", tenant_id="initech")


async def test_who_leads_no_more_tells_nothing_nor_does_a_tenant_that_left(rounds: RoundsOf) -> None:
    assert value("missed_tickets") == 0
    tell_no_others(["globex"])
    assert value("missed_tickets") is None
    await rounds.round()
    assert value("missed_tickets") == 0
    await rounds.reconciling.stop()
    assert [next(iter(gauge.collect())).samples for gauge in metrics.OF_RECONCILING] == [[]] * 4


def test_the_window_is_not_beyond_what_is_kept_of_jobs(database: Database, redis: Redis) -> None:
    """Otherwise a purged job would look like one that was never made."""
    values = SETTINGS.model_dump() | {"reconcile_window_hours": 168, "keep_jobs_days": 2}
    settings = HousekeepingSettings.model_construct(**values)
    nothing = cast("Any", None)
    made = Reconciling(nothing, database, nothing, Inbox(redis), CopyPaces(), settings)
    # Half of it: a desk's clock may be ahead.
    assert made._limits.window.total_seconds() == 24 * 3600
