"""Webhooks that were refused or never came: rows without a body, capped, and one job each for missed tickets."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.webhooks import RejectionRecorder
from db.session import Database
from jobs import missed_webhooks, rejections, repository
from jobs.missed_webhooks import NewTicket, ReopenedJob
from jobs.repository import MAX_RECOVERED_PER_MINUTE, RECOVERED, REFRESH_BY_HAND, Event
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.postgres import Store, Table
from tests.kit.world import wait_for

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def tickets(count: int) -> list[NewTicket]:
    return [NewTicket(str(number), None, NOW - timedelta(minutes=count - number)) for number in range(count)]


async def missed(database: Database, count: int = 1, tenant_id: str = "acme") -> None:
    await missed_webhooks.begin(database, tenant_id, NOW - HOUR)
    await missed_webhooks.compare(database, tenant_id, tickets(count), seen_at=NOW, until=NOW)
    for each in tickets(count):
        assert await missed_webhooks.mark_missed(database, tenant_id, each.ticket_id, was_expected=True)


def event(ticket_id: str = "0", tenant_id: str = "acme") -> Event:
    return Event(uuid4(), tenant_id, ticket_id, RECOVERED, (), "00-1-2-01", NOW)


async def test_one_of_several_concurrent_recoveries_makes_the_job(store: Store) -> None:
    """For example two leaders, one of which has not noticed its replacement."""
    await missed(store.database)
    made = await asyncio.gather(*(missed_webhooks.recover(store.database, event(), HOUR) for _ in range(5)))
    assert sorted(made) == [False] * 4 + [True]
    (job,) = store.table.run("SELECT * FROM jobs")
    assert (job["ticket_id"], job["event"], job["state"], job["published_at"]) == ("0", RECOVERED, "waiting", None)
    (row,) = store.table.run("SELECT * FROM missing_webhooks")
    assert row["job_id"] == job["id"]
    assert store.table.run("SELECT missed, recovered FROM reconciliations") == [{"missed": 1, "recovered": 1}]
    assert [row["what"] for row in store.table.run("SELECT what FROM job_events")] == ["accepted"]
    (due,) = await repository.take_due(store.database, 9)
    assert due.job_id == job["id"]


async def test_what_nobody_missed_or_a_webhook_told_meanwhile_is_not_made(store: Store) -> None:
    await missed_webhooks.begin(store.database, "acme", NOW - HOUR)
    await missed_webhooks.compare(store.database, "acme", tickets(1), seen_at=NOW, until=NOW)
    assert not await missed_webhooks.recover(store.database, event(), HOUR)
    assert not await missed_webhooks.recover(store.database, event(tenant_id="globex"), HOUR)
    assert store.table.run("SELECT * FROM jobs") == []
    await missed(store.database)
    await store.accept(ticket_id="0")
    assert not await missed_webhooks.recover(store.database, event(), HOUR)
    assert (await missed_webhooks.to_recover(store.database, "acme", NOW - HOUR)).tickets == []
    assert len(store.table.run("SELECT * FROM jobs")) == 1


async def test_there_is_room_for_so_many_a_minute(database: Database, table: Table) -> None:
    await missed(database, MAX_RECOVERED_PER_MINUTE + 5)
    await missed(database, 1, "globex")
    first = await missed_webhooks.to_recover(database, "acme", NOW - 2 * HOUR)
    assert (len(first.tickets), first.more_in) == (MAX_RECOVERED_PER_MINUTE, 60)
    assert [each.ticket_id for each in first.tickets[:3]] == ["0", "1", "2"]
    for each in first.tickets[:50]:
        assert await missed_webhooks.recover(database, event(each.ticket_id), HOUR)
    table.run("UPDATE missing_webhooks SET recovered_at = now() - interval '20 seconds' WHERE job_id IS NOT NULL")
    more = await missed_webhooks.to_recover(database, "acme", NOW - 2 * HOUR)
    assert (len(more.tickets), more.tickets[0].ticket_id) == (10, "50")
    assert more.more_in == pytest.approx(40, abs=5)
    table.run("UPDATE missing_webhooks SET recovered_at = recovered_at - interval '1 minute'")
    assert await missed_webhooks.to_recover(database, "acme", NOW - 2 * HOUR) == (
        [*more.tickets, *tickets(65)[60:]],
        None,
    )
    assert len((await missed_webhooks.to_recover(database, "globex", NOW - HOUR)).tickets) == 1


async def test_a_tenant_is_first_seen_once(database: Database, table: Table) -> None:
    assert await missed_webhooks.load(database, "acme") is None
    assert await missed_webhooks.figures(database, "acme") is None
    await missed_webhooks.begin(database, "acme", NOW - HOUR)
    await missed_webhooks.begin(database, "acme", NOW)
    state = await missed_webhooks.load(database, "acme")
    assert state is not None
    assert (state.since, state.compared_until) == (NOW - HOUR, NOW - HOUR)
    await missed_webhooks.compare(database, "acme", [], seen_at=NOW, until=NOW + timedelta(days=9))
    await missed_webhooks.compare(database, "acme", [], seen_at=NOW, until=NOW - timedelta(days=9))
    (row,) = table.run("SELECT compared_until <= now() AS ours, compared_until > %s AS moved FROM reconciliations", NOW)
    assert row == {"ours": True, "moved": True}


async def last_webhook_at(store: Store) -> datetime | None:
    figures = await missed_webhooks.figures(store.database, "acme")
    return figures and figures.last_webhook_at


async def test_the_last_webhook_ignores_jobs_without_one(store: Store) -> None:
    webhook = await store.accept(ticket_id="1", accepted_at="now() - interval '3 days'")
    store.table.change(await store.accept(ticket_id="2"), event=RECOVERED)
    await missed_webhooks.begin(store.database, "acme", NOW - HOUR)
    assert await last_webhook_at(store) == store.table.job(webhook)["accepted_at"]
    await erasure.erase(store.database, ErasureScope("acme", ticket_id="2"))
    assert await last_webhook_at(store) == store.table.job(webhook)["accepted_at"]
    newer = await store.accept(ticket_id="3")
    assert await last_webhook_at(store) == store.table.job(newer)["accepted_at"]


async def test_what_was_found_is_told_once_an_hour(database: Database, table: Table) -> None:
    await missed(database, 3)
    await missed_webhooks.mark_notes_checked(database, "acme", NOW, removed=True)
    assert await missed_webhooks.take_findings(database, "acme") is None
    for found in ((3, 0, 1, 0), (0, 0, 0, 0)):
        table.run("UPDATE reconciliations SET told_at = now() - interval '1 hour'")
        findings = await missed_webhooks.take_findings(database, "acme")
        assert findings is not None
        assert findings[1:] == found


async def test_support_is_told_of_a_ticket_by_either_number(database: Database) -> None:
    await missed_webhooks.begin(database, "acme", NOW - HOUR)
    both = [NewTicket("123640000000240013", "102", NOW)]
    await missed_webhooks.compare(database, "acme", both, seen_at=NOW, until=NOW)
    for number in ("102", "123640000000240013"):
        seen = await missed_webhooks.seen_without_webhook(database, "acme", ["7", number])
        assert seen is not None
        assert (seen.ticket_id, seen.seen_at, seen.missed_at, seen.job_id) == ("123640000000240013", NOW, None, None)
    assert await missed_webhooks.seen_without_webhook(database, "acme", ["7"]) is None
    assert await missed_webhooks.seen_without_webhook(database, "globex", ["102"]) is None
    heard_of = [await rejections.has_webhook_record(database, *whose) for whose in (("acme", "102"), ("globex", "102"))]
    assert heard_of == [True, False]


async def test_they_go_when_refused_webhooks_do(store: Store) -> None:
    await missed(store.database, 3)
    await missed(store.database, 1, "globex")
    store.table.run("UPDATE missing_webhooks SET seen_at = now() - interval '8 days' WHERE ticket_id = '1'")
    await repository.purge_short_lived(store.database)
    left = "SELECT tenant_id, ticket_id FROM missing_webhooks ORDER BY 1, 2"
    assert [tuple(row.values()) for row in store.table.run(left)] == [("acme", "0"), ("acme", "2"), ("globex", "0")]


async def skipped(store: Store, **columns: Any) -> UUID:
    values: dict[str, Any] = {"state": "skipped", "reason": "ticket deleted or closed", "finished_at": "now()"}
    return await store.accept(ticket_id="7", **values | columns)


async def seen_open(store: Store, seconds_ago: float = 0) -> ReopenedJob | None:
    window, ago = timedelta(days=1), timedelta(seconds=seconds_ago)
    about = (store.database, "acme", "7")
    return await missed_webhooks.seen_open_again(*about, reasons=["ticket deleted or closed"], window=window, ago=ago)


async def test_a_skip_is_mended_by_a_later_reading_and_once(store: Store) -> None:
    job_id = await skipped(store)
    # Data read before the skip does not count.
    assert await seen_open(store, 60) is None
    assert await seen_open(store) == ReopenedJob(job_id, is_new=True)
    assert await seen_open(store) == ReopenedJob(job_id, is_new=False)
    # The same job was retried, and skipped again.
    store.table.run("UPDATE job_events SET at = at - interval '1 hour'")
    assert await seen_open(store) == ReopenedJob(job_id, is_new=True)


@pytest.mark.parametrize("state", ["completed", "waiting"])
async def test_a_ticket_with_a_note_or_a_later_job_needs_no_other(state: str, store: Store) -> None:
    if state == "completed":
        await store.accept(ticket_id="7", state=state, finished_at="now()")
    await skipped(store)
    if state == "waiting":
        await store.accept(ticket_id="0", desk_id="7")
    assert await seen_open(store) is None


FLOOD = "INSERT INTO rejections (tenant_id, status, reason) SELECT 'acme', 403, 'flood' FROM generate_series(1, %s)"


@pytest.mark.parametrize(
    ("proved", "most"), [(True, rejections.MAX_PER_HOUR), (False, rejections.MAX_FROM_UNKNOWN_PER_HOUR)]
)
async def test_a_flood_fills_its_share_of_an_hour(proved: bool, most: int, database: Database, table: Table) -> None:
    table.run(FLOOD, most - 1)
    others = [("acme", "flood: known cause"), ("acme", "malformed payload: line 1"), ("globex", "flood")]
    for tenant_id, reason in [("acme", "flood")] * 3 + others:
        await rejections.record(database, tenant_id, "1", 403, reason, proved=proved)
    counts = table.run("SELECT tenant_id, reason, count(*) FROM rejections GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row.values()) for row in counts] == [("acme", "flood", most), *((*other, 1) for other in others)]
    table.run("UPDATE rejections SET rejected_at = now() - interval '61 minutes'")
    await rejections.record(database, "acme", "1", 403, "flood", proved=proved)
    assert table.run("SELECT count(*) AS kept FROM rejections WHERE reason = 'flood'") == [{"kept": most + 2}]


async def test_a_ticket_refused_with_429_has_one_row_an_hour_within_a_limit(database: Database, table: Table) -> None:
    """The cap equals the number of jobs that reconciliation makes in that time."""
    table.run(
        "INSERT INTO rejections (tenant_id, ticket_id, status, reason)"
        " SELECT 'acme', number::text, 429, 'full' FROM generate_series(1, %s) AS number",
        rejections.MAX_FULL_PER_HOUR - 1,
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


async def test_received_webhooks_are_reported_per_ticket_and_tenant(store: Store) -> None:
    table, retired = store.table, "signature mismatch: signed with the retired secret"
    for tenant_id, ticket_id, reason, minutes in (
        ("acme", "1", retired, 90),
        ("acme", "2", retired, 30),
        ("acme", "3", "stale timestamp", 25),
        ("acme", "1", retired, 20),
        ("acme", None, "malformed payload", 10),
        ("globex", "1", "token mismatch", 5),
    ):
        insert = "INSERT INTO rejections (tenant_id, ticket_id, status, reason, rejected_at)"
        values = " VALUES (%s, %s, 403, %s, now() - make_interval(mins => %s))"
        table.run(insert + values, tenant_id, ticket_id, reason, minutes)
    accepted = await store.accept(ticket_id="9")
    table.change(accepted, accepted_at="now() - interval '1 hour'")
    received = await rejections.receiving(store.database, "acme", ["1", "11"])
    assert [refused.reason for refused in received.refused] == [retired, retired]
    assert received.since is not None
    assert 29 < (received.refused[0].at - received.since).total_seconds() / 60 + 20 < 31
    assert [(unread.reason, unread.count) for unread in received.without_ticket] == [("malformed payload", 1)]
    assert received.last_accepted_at == table.job(accepted)["accepted_at"]
    assert not received.shares_used_up
    # A job requested by hand is not a webhook.
    table.change(accepted, event=REFRESH_BY_HAND)
    received = await rejections.receiving(store.database, "acme", ["1"])
    assert (received.last_accepted_at, received.since == received.refused[1].at) == (None, True)
    assert [await rejections.has_webhook_record(store.database, tenant, "3") for tenant in ("acme", "globex")] == [
        True,
        False,
    ]
    nothing = await rejections.receiving(store.database, "initech", ["1"])
    assert (nothing.refused, nothing.since, nothing.without_ticket) == ([], None, [])


async def test_an_hours_share_that_is_used_up_is_told(database: Database, table: Table) -> None:
    table.run(FLOOD, rejections.MAX_FROM_UNKNOWN_PER_HOUR - 1)
    assert not (await rejections.receiving(database, "acme", ["1"])).shares_used_up
    table.run(FLOOD, 1)
    assert (await rejections.receiving(database, "acme", ["1"])).shares_used_up


async def test_tenants_whose_webhooks_are_all_refused_are_listed(store: Store) -> None:
    for tenant_id, status, reason in (
        ("acme", 403, "signature mismatch"),
        ("acme", 422, "malformed payload"),
        ("globex", 403, "token mismatch"),
        ("initech", 403, "stale timestamp"),
    ):
        await rejections.record(store.database, tenant_id, "1", status, reason, proved=True)
    store.table.run("UPDATE rejections SET rejected_at = now() - interval '2 days' WHERE tenant_id = 'initech'")
    store.table.change(await store.accept(), event=REFRESH_BY_HAND)
    await store.accept(tenant_id="globex")
    (told,) = await rejections.refused_tenants(store.database, datetime.now(UTC) - timedelta(days=1))
    assert (told.tenant_id, told.reason) == ("acme", "malformed payload")
