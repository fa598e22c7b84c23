"""Records of tickets without a webhook: one job each, kept as long as rejections."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from storage import erasure, reconciling, rejections, relaying
from storage.erasure import Which
from storage.jobs import RECOVERED, Event
from storage.limits import MOST_RECOVERED_A_MINUTE
from storage.reconciling import OpenAgain, SeenTicket
from storage.session import Database
from tests.kit.postgres import Store, Table

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def tickets(count: int) -> list[SeenTicket]:
    return [SeenTicket(str(number), None, NOW - timedelta(minutes=count - number)) for number in range(count)]


async def missed(database: Database, count: int = 1, tenant_id: str = "acme") -> None:
    await reconciling.begin(database, tenant_id, NOW - HOUR)
    await reconciling.compare(database, tenant_id, tickets(count), seen_at=NOW, until=NOW)
    for each in tickets(count):
        assert await reconciling.count_missed(database, tenant_id, each.ticket_id, counts=True)


def event(ticket_id: str = "0", tenant_id: str = "acme") -> Event:
    return Event(uuid4(), tenant_id, ticket_id, RECOVERED, (), "00-1-2-01", NOW)


async def test_of_several_that_make_a_job_at_once_one_does(store: Store) -> None:
    """For example two leaders, one of which has not noticed its replacement."""
    await missed(store.database)
    made = await asyncio.gather(*(reconciling.recover(store.database, event(), HOUR) for _ in range(5)))
    assert sorted(made) == [False] * 4 + [True]
    (job,) = store.table.run("SELECT * FROM jobs")
    assert (job["ticket_id"], job["event"], job["state"], job["published_at"]) == ("0", RECOVERED, "waiting", None)
    (row,) = store.table.run("SELECT * FROM missing_webhooks")
    assert row["job_id"] == job["id"]
    assert store.table.run("SELECT missed, recovered FROM reconciliations") == [{"missed": 1, "recovered": 1}]
    assert [row["what"] for row in store.table.run("SELECT what FROM job_events")] == ["accepted"]
    (due,) = await relaying.take_due(store.database, 9)
    assert due.job_id == job["id"]


async def test_a_webhook_that_came_in_the_meantime_is_the_job(store: Store) -> None:
    await missed(store.database)
    await store.accept(ticket_id="0")
    assert not await reconciling.recover(store.database, event(), HOUR)
    assert (await reconciling.to_recover(store.database, "acme", NOW - HOUR)).tickets == []
    assert len(store.table.run("SELECT * FROM jobs")) == 1


async def test_what_nobody_has_missed_is_not_made(store: Store) -> None:
    await reconciling.begin(store.database, "acme", NOW - HOUR)
    await reconciling.compare(store.database, "acme", tickets(1), seen_at=NOW, until=NOW)
    assert not await reconciling.recover(store.database, event(), HOUR)
    assert not await reconciling.recover(store.database, event(tenant_id="globex"), HOUR)
    assert store.table.run("SELECT * FROM jobs") == []


async def test_there_is_room_for_so_many_a_minute(database: Database, table: Table) -> None:
    await missed(database, MOST_RECOVERED_A_MINUTE + 5)
    await missed(database, 1, "globex")
    first = await reconciling.to_recover(database, "acme", NOW - 2 * HOUR)
    assert (len(first.tickets), first.more_in) == (MOST_RECOVERED_A_MINUTE, 60)
    assert [each.ticket_id for each in first.tickets[:3]] == ["0", "1", "2"]
    for each in first.tickets[:50]:
        assert await reconciling.recover(database, event(each.ticket_id), HOUR)
    table.run("UPDATE missing_webhooks SET recovered_at = now() - interval '20 seconds' WHERE job_id IS NOT NULL")
    more = await reconciling.to_recover(database, "acme", NOW - 2 * HOUR)
    assert (len(more.tickets), more.tickets[0].ticket_id) == (10, "50")
    assert more.more_in == pytest.approx(40, abs=5)
    table.run("UPDATE missing_webhooks SET recovered_at = recovered_at - interval '1 minute'")
    assert await reconciling.to_recover(database, "acme", NOW - 2 * HOUR) == ([*more.tickets, *tickets(65)[60:]], None)
    assert len((await reconciling.to_recover(database, "globex", NOW - HOUR)).tickets) == 1


async def test_a_tenant_is_first_seen_once(database: Database, table: Table) -> None:
    assert await reconciling.load(database, "acme") is None
    assert await reconciling.figures(database, "acme") is None
    await reconciling.begin(database, "acme", NOW - HOUR)
    await reconciling.begin(database, "acme", NOW)
    state = await reconciling.load(database, "acme")
    assert state is not None
    assert (state.since, state.compared_until) == (NOW - HOUR, NOW - HOUR)
    await reconciling.compare(database, "acme", [], seen_at=NOW, until=NOW + timedelta(days=9))
    await reconciling.compare(database, "acme", [], seen_at=NOW, until=NOW - timedelta(days=9))
    (row,) = table.run("SELECT compared_until <= now() AS ours, compared_until > %s AS moved FROM reconciliations", NOW)
    assert row == {"ours": True, "moved": True}


async def test_the_last_webhook_of_before_is_known_and_what_was_made_without_is_none(store: Store) -> None:
    webhook = await store.accept(ticket_id="1", accepted_at="now() - interval '3 days'")
    own = await store.accept(ticket_id="2")
    store.table.change(own, event=RECOVERED)
    await reconciling.begin(store.database, "acme", NOW - HOUR)
    figures = await reconciling.figures(store.database, "acme")
    assert figures is not None
    assert figures.last_webhook_at == store.table.job(webhook)["accepted_at"]
    newer = await store.accept(ticket_id="3")
    figures = await reconciling.figures(store.database, "acme")
    assert figures is not None
    assert figures.last_webhook_at == store.table.job(newer)["accepted_at"]


async def test_a_job_that_was_made_without_is_none_though_it_was_forgotten(store: Store) -> None:
    webhook = await store.accept(ticket_id="1", accepted_at="now() - interval '2 hours'")
    store.table.change(await store.accept(ticket_id="2"), event=RECOVERED)
    await reconciling.begin(store.database, "acme", NOW)
    await erasure.erase(store.database, Which("acme", ticket_id="2"))
    figures = await reconciling.figures(store.database, "acme")
    assert figures is not None
    assert figures.last_webhook_at == store.table.job(webhook)["accepted_at"]


async def test_what_was_found_is_told_once_an_hour(database: Database, table: Table) -> None:
    await missed(database, 3)
    await reconciling.looked_for_notes(database, "acme", NOW, removed=True)
    assert await reconciling.take_found(database, "acme") is None
    table.run("UPDATE reconciliations SET told_at = now() - interval '1 hour'")
    told = await reconciling.take_found(database, "acme")
    assert told is not None
    assert told[1:] == (3, 0, 1, 0)
    table.run("UPDATE reconciliations SET told_at = now() - interval '1 hour'")
    again = await reconciling.take_found(database, "acme")
    assert again is not None
    assert again[1:] == (0, 0, 0, 0)


async def test_support_is_told_of_a_ticket_by_either_number(database: Database) -> None:
    await reconciling.begin(database, "acme", NOW - HOUR)
    both = [SeenTicket("123640000000240013", "102", NOW)]
    await reconciling.compare(database, "acme", both, seen_at=NOW, until=NOW)
    for number in ("102", "123640000000240013"):
        seen = await reconciling.seen_without_webhook(database, "acme", ["7", number])
        assert seen is not None
        assert (seen.ticket_id, seen.seen_at, seen.missed_at, seen.job_id) == ("123640000000240013", NOW, None, None)
    assert await reconciling.seen_without_webhook(database, "acme", ["7"]) is None
    assert await reconciling.seen_without_webhook(database, "globex", ["102"]) is None
    heard_of = [await rejections.is_heard_of(database, *whose) for whose in (("acme", "102"), ("globex", "102"))]
    assert heard_of == [True, False]


async def test_they_go_when_refused_webhooks_do(store: Store) -> None:
    await missed(store.database, 3)
    await missed(store.database, 1, "globex")
    store.table.run("UPDATE missing_webhooks SET seen_at = now() - interval '8 days' WHERE ticket_id = '1'")
    await relaying.purge_short_lived(store.database)
    left = "SELECT tenant_id, ticket_id FROM missing_webhooks ORDER BY 1, 2"
    assert [tuple(row.values()) for row in store.table.run(left)] == [("acme", "0"), ("acme", "2"), ("globex", "0")]


async def skipped(store: Store, **columns: Any) -> UUID:
    values: dict[str, Any] = {"state": "skipped", "reason": "ticket deleted or closed", "finished_at": "now()"}
    return await store.accept(ticket_id="7", **values | columns)


async def seen_open(store: Store, seconds_ago: float = 0) -> OpenAgain | None:
    window, ago = timedelta(days=1), timedelta(seconds=seconds_ago)
    about = (store.database, "acme", "7")
    return await reconciling.seen_open_again(*about, reasons=["ticket deleted or closed"], window=window, ago=ago)


async def test_a_skip_is_mended_by_a_later_reading_and_once(store: Store) -> None:
    job_id = await skipped(store)
    # Data read before the skip does not count.
    assert await seen_open(store, 60) is None
    assert await seen_open(store) == OpenAgain(job_id, is_new=True)
    assert await seen_open(store) == OpenAgain(job_id, is_new=False)
    # The same job was retried, and skipped again.
    store.table.run("UPDATE job_events SET at = at - interval '1 hour'")
    assert await seen_open(store) == OpenAgain(job_id, is_new=True)


@pytest.mark.parametrize("state", ["completed", "waiting"])
async def test_a_ticket_with_a_note_or_a_later_job_needs_no_other(state: str, store: Store) -> None:
    if state == "completed":
        await store.accept(ticket_id="7", state=state, finished_at="now()")
    await skipped(store)
    if state == "waiting":
        await store.accept(ticket_id="0", desk_id="7")
    assert await seen_open(store) is None
