"""Rejected webhooks, kept for support: by tenant, without body, capped hourly."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from api.refusals import RejectionRecorder
from storage import rejections
from storage.jobs import ASKED_BY_HAND
from storage.session import Database
from tests.kit.postgres import Store, Table
from tests.kit.world import wait_for


@pytest.mark.parametrize(
    ("proved", "most"), [(True, rejections.MOST_PER_HOUR), (False, rejections.MOST_OF_ANYONE_PER_HOUR)]
)
async def test_a_flood_fills_its_own_share_of_an_hour(
    proved: bool, most: int, database: Database, table: Table
) -> None:
    table.run(
        "INSERT INTO rejections (tenant_id, status, reason) SELECT 'acme', 403, 'flood' FROM generate_series(1, %s)",
        most - 1,
    )
    others = [("acme", "flood: known cause"), ("acme", "malformed payload: line 1"), ("globex", "flood")]
    for tenant_id, reason in [("acme", "flood")] * 3 + others:
        await rejections.record(database, tenant_id, "1", 403, reason, proved=proved)
    counts = table.run("SELECT tenant_id, reason, count(*) FROM rejections GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row.values()) for row in counts] == [("acme", "flood", most), *((*other, 1) for other in others)]
    table.run("UPDATE rejections SET rejected_at = now() - interval '61 minutes'")
    await rejections.record(database, "acme", "1", 403, "flood", proved=proved)
    assert table.run("SELECT count(*) AS kept FROM rejections WHERE reason = 'flood'") == [{"kept": most + 2}]


async def test_a_ticket_refused_with_429_has_a_row_an_hour_within_a_limit(database: Database, table: Table) -> None:
    """The cap equals the number of jobs that reconciliation makes in that time."""
    table.run(
        "INSERT INTO rejections (tenant_id, ticket_id, status, reason)"
        " SELECT 'acme', number::text, 429, 'full' FROM generate_series(1, %s) AS number",
        rejections.MOST_FULL_PER_HOUR - 1,
    )
    for tenant_id, ticket_id in (("acme", "a"), ("acme", "a"), ("acme", "b"), ("globex", "b")):
        await rejections.record_full(database, tenant_id, ticket_id, "full")
    question = "SELECT tenant_id, ticket_id FROM rejections WHERE ticket_id IN ('a', 'b') ORDER BY id"
    assert [tuple(row.values()) for row in table.run(question)] == [("acme", "a"), ("globex", "b")]
    table.run("UPDATE rejections SET rejected_at = now() - interval '61 minutes'")
    for ticket_id in ("a", "b"):
        await rejections.record_full(database, "acme", ticket_id, "full")
    assert table.run("SELECT count(*) AS kept FROM rejections WHERE ticket_id IN ('a', 'b')") == [{"kept": 4}]


async def test_a_strangers_flood_leaves_places_for_what_is_proved(database: Database, table: Table) -> None:
    recorder = RejectionRecorder(database)
    for _ in range(200):
        recorder.record("acme", None, 403, "token mismatch", proved=False)
    recorder.record("acme", "77", 403, "signature mismatch: signed with a line break behind the secret", proved=True)
    work = asyncio.create_task(recorder.run())
    await asyncio.to_thread(wait_for, lambda: table.run("SELECT 1 FROM rejections WHERE ticket_id = '77'"))
    work.cancel()


async def test_what_a_tenants_webhooks_met_is_told_of_one_ticket(store: Store) -> None:
    """Since the last accepted one; nothing of another tenant's."""
    table, retired = store.table, "signature mismatch: signed with the retired secret"
    for tenant_id, ticket_id, reason, minutes in (
        ("acme", "1", retired, 90),
        ("acme", "2", retired, 30),
        ("acme", "3", "stale timestamp", 25),
        ("acme", "1", retired, 20),
        ("acme", None, "malformed payload", 10),
        ("globex", "1", "token mismatch", 5),
    ):
        table.run(
            "INSERT INTO rejections (tenant_id, ticket_id, status, reason, rejected_at)"
            " VALUES (%s, %s, 403, %s, now() - make_interval(mins => %s))",
            *(tenant_id, ticket_id, reason, minutes),
        )
    accepted = await store.accept(ticket_id="9")
    table.change(accepted, accepted_at="now() - interval '1 hour'")
    told = await rejections.receiving(store.database, "acme", ["1", "11"])
    assert [refused.reason for refused in told.refused] == [retired, retired]
    assert told.since is not None
    assert 29 < (told.refused[0].at - told.since).total_seconds() / 60 + 20 < 31
    assert [(unread.reason, unread.count) for unread in told.unread] == [("malformed payload", 1)]
    assert told.last_accepted_at == table.job(accepted)["accepted_at"]
    assert not told.shares_used_up
    # A job requested by hand is not a webhook.
    table.change(accepted, event=ASKED_BY_HAND)
    told = await rejections.receiving(store.database, "acme", ["1"])
    assert (told.last_accepted_at, told.since == told.refused[1].at) == (None, True)
    assert [await rejections.is_heard_of(store.database, tenant, "3") for tenant in ("acme", "globex")] == [True, False]
    nothing = await rejections.receiving(store.database, "initech", ["1"])
    assert (nothing.refused, nothing.since, nothing.unread) == ([], None, [])


async def test_an_hours_share_that_is_used_up_is_told(database: Database, table: Table) -> None:
    question = (
        "INSERT INTO rejections (tenant_id, status, reason) SELECT 'acme', 403, 'flood' FROM generate_series(1, %s)"
    )
    table.run(question, rejections.MOST_OF_ANYONE_PER_HOUR - 1)
    assert not (await rejections.receiving(database, "acme", ["1"])).shares_used_up
    table.run(question, 1)
    assert (await rejections.receiving(database, "acme", ["1"])).shares_used_up


async def test_tenants_none_of_whose_webhooks_is_accepted_any_more_are_told(store: Store) -> None:
    """A job that was made without a webhook does not show that one was accepted."""
    for tenant_id, status, reason in (
        ("acme", 403, "signature mismatch"),
        ("acme", 422, "malformed payload"),
        ("globex", 403, "token mismatch"),
        ("initech", 403, "stale timestamp"),
    ):
        await rejections.record(store.database, tenant_id, "1", status, reason, proved=True)
    store.table.run("UPDATE rejections SET rejected_at = now() - interval '2 days' WHERE tenant_id = 'initech'")
    store.table.change(await store.accept(), event=ASKED_BY_HAND)
    await store.accept(tenant_id="globex")
    (told,) = await rejections.refused_tenants(store.database, datetime.now(UTC) - timedelta(days=1))
    assert (told.tenant_id, told.reason) == ("acme", "malformed payload")
