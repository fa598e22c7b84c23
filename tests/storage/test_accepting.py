"""Acceptance of webhooks: one row a delivery; duplicates get the first job's id."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from storage import jobs
from storage.jobs import Event
from storage.session import Database
from tests.kit.postgres import DEADLINE, NewEvent, Store, Table, accept, claim_by_id


async def test_an_accepted_webhook_is_a_waiting_job(database: Database, new_event: NewEvent, table: Table) -> None:
    event = new_event()
    assert await accept(database, event) == event.job_id
    row = table.job(event.job_id)
    expected = {
        "tenant_id": "acme",
        "ticket_id": "12345",
        "event": "ticket.created",
        "state": "waiting",
        "attempt": 0,
        "traceparent": event.traceparent,
        "reason": None,
        "lease_owner": None,
        "enhancement": None,
        "note_id": None,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["due_at"] == row["accepted_at"] == row["published_at"]
    assert row["deadline_at"] - row["accepted_at"] == timedelta(seconds=DEADLINE)
    assert abs(datetime.now(UTC) - row["accepted_at"]) < timedelta(seconds=30)


async def test_a_job_whose_message_was_not_sent_is_left_to_the_relay(store: Store) -> None:
    event = store.new_event(event=None, traceparent="")
    await store.accept(event, published=False)
    row = store.table.job(event.job_id)
    assert (row["published_at"], row["event"], row["traceparent"]) == (None, None, None)


async def test_a_duplicate_is_answered_with_the_first_jobs_id_and_makes_no_job(store: Store) -> None:
    first = store.new_event(dedupe_keys=("k",))
    await store.accept(first)
    for _ in range(3):
        again = store.new_event(dedupe_keys=("k",))
        assert await store.accept(again) == first.job_id
    assert [row["id"] for row in store.table.run("SELECT id FROM jobs")] == [first.job_id]


async def test_of_duplicates_at_the_same_moment_one_makes_the_job(store: Store) -> None:
    copies = [store.new_event(dedupe_keys=("k",)) for _ in range(16)]
    answers = await asyncio.gather(*(store.accept(copy) for copy in copies))
    assert set(answers) == {row["id"] for row in store.table.run("SELECT id FROM jobs")}
    assert len(set(answers)) == 1


async def test_webhooks_of_several_tenants_are_recorded_in_one_statement(store: Store) -> None:
    known = store.new_event(tenant_id="globex", dedupe_keys=("known",))
    await store.accept(known)
    events = [store.new_event(tenant_id=tenant, ticket_id=str(n)) for n in range(9) for tenant in ("globex", "acme")]
    again = store.new_event(tenant_id="globex", dedupe_keys=("known", "new"))
    elsewhere = store.new_event(tenant_id="acme", dedupe_keys=("known",))
    firsts = await jobs.accept_all(store.database, [*events, again, elsewhere], DEADLINE, published=True)
    assert firsts == {event.job_id: event.job_id for event in [*events, elsewhere]} | {again.job_id: known.job_id}
    rows = {row["id"]: row for row in store.table.run("SELECT * FROM jobs")}
    assert rows.keys() == {event.job_id for event in [*events, known, elsewhere]}
    assert all(rows[event.job_id]["ticket_id"] == event.ticket_id for event in events)
    assert all(rows[event.job_id]["tenant_id"] == event.tenant_id for event in events)
    told = store.table.run("SELECT job_id, tenant_id FROM job_events WHERE what = 'accepted'")
    assert {(row["job_id"], row["tenant_id"]) for row in told} == {(key, row["tenant_id"]) for key, row in rows.items()}
    # From then on a duplicate's keys lead to the first job.
    assert await store.accept(tenant_id="globex", dedupe_keys=("new",)) == known.job_id


async def test_duplicates_among_webhooks_of_one_batch_get_the_first_ones_id(store: Store) -> None:
    first, twin = (store.new_event(dedupe_keys=("a", "b")), store.new_event(dedupe_keys=("b", "c")))
    third, other = (store.new_event(dedupe_keys=("c",)), store.new_event(dedupe_keys=("d", "d")))
    firsts = await jobs.accept_all(store.database, [first, twin, other, third], DEADLINE, published=True)
    assert firsts == {event.job_id: first.job_id for event in (first, twin, third)} | {other.job_id: other.job_id}


async def test_batches_with_the_same_deliveries_in_other_orders_never_wait_for_each_other(store: Store) -> None:
    keys = [(f"k{number}", f"m{-number}") for number in range(40)]

    def batch(order: list[int]) -> list[Event]:
        tenants = ("acme", "globex")
        return [store.new_event(tenant_id=tenants[n % 2], dedupe_keys=keys[n]) for n in order]

    orders = [list(range(40)), list(range(39, -1, -1)), [(7 * n) % 40 for n in range(40)]] * 3
    batches = [batch(order) for order in orders]
    answers = await asyncio.gather(
        *(jobs.accept_all(store.database, events, DEADLINE, published=True) for events in batches)
    )
    rows = {row["id"] for row in store.table.run("SELECT id FROM jobs")}
    assert len(rows) == 40
    assert {first for firsts in answers for first in firsts.values()} == rows


async def test_an_event_whose_commit_was_in_doubt_can_be_accepted_again(store: Store) -> None:
    event = store.new_event()
    for _ in range(2):
        assert await store.accept(event) == event.job_id
    assert await jobs.accept_late(store.database, event, DEADLINE)
    (row,) = store.table.run("SELECT id, state FROM jobs")
    assert row == {"id": event.job_id, "state": "waiting"}


async def test_a_copy_does_not_make_the_ten_minutes_longer(store: Store) -> None:
    first = store.new_event(dedupe_keys=("k",))
    await store.accept(first)
    (row,) = store.table.run("SELECT expires_at - now() AS remaining FROM delivery_keys")
    assert timedelta(minutes=9) < row["remaining"] <= timedelta(minutes=10)
    store.table.run("UPDATE delivery_keys SET expires_at = now() + interval '20 seconds'")
    assert await store.accept(dedupe_keys=("k",)) == first.job_id
    (row,) = store.table.run("SELECT job_id, expires_at - now() AS remaining FROM delivery_keys")
    assert row["job_id"] == first.job_id
    assert row["remaining"] <= timedelta(seconds=20)


@pytest.mark.parametrize("state", ["skipped", "failed"])
async def test_a_job_without_a_note_frees_its_keys_but_what_was_signed_stays_known(state: str, store: Store) -> None:
    first = store.new_event(dedupe_keys=("id", "signed:1"))
    await store.accept(first)
    store.table.change(first.job_id, state=state, finished_at="now()")
    captured = store.new_event(dedupe_keys=("another id", "signed:1"))
    assert await store.accept(captured) == first.job_id
    again = store.new_event(dedupe_keys=("id", "signed:2"))
    assert await store.accept(again) == again.job_id
    for keys in (("id", "signed:3"), ("id", "signed:2")):
        copy = store.new_event(dedupe_keys=keys)
        assert await store.accept(copy) == again.job_id
    assert {row["id"] for row in store.table.run("SELECT id FROM jobs")} == {first.job_id, again.job_id}


@pytest.mark.parametrize("state", ["waiting", "running", "completed"])
async def test_a_job_that_has_or_may_get_a_note_keeps_its_keys(state: str, store: Store) -> None:
    first = store.new_event(dedupe_keys=("id", "signed:1"))
    await store.accept(first)
    store.table.change(first.job_id, state=state)
    again = store.new_event(dedupe_keys=("id", "signed:2"))
    assert await store.accept(again) == first.job_id


async def test_the_ten_minutes_count_from_the_delivery_of_a_late_event(database: Database, new_event: NewEvent) -> None:
    """Copies sent during an outage of Postgres are duplicates, later ones are not."""
    sent = datetime.now(UTC) - timedelta(minutes=30)
    first, copy, later = (
        new_event(dedupe_keys=("k",), accepted_at=sent + timedelta(minutes=minutes)) for minutes in (0, 5, 15)
    )
    assert [await jobs.accept_late(database, event, DEADLINE) for event in (first, copy, later)] == [True, False, True]


async def test_deliveries_that_share_a_key_are_the_same_and_so_are_those_of_its_others(store: Store) -> None:
    first = store.new_event(dedupe_keys=("id 1", "signed"))
    await store.accept(first)
    for keys in (("id 2", "signed"), ("id 1", "signed again"), ("id 2", "signed a third time")):
        assert await store.accept(dedupe_keys=keys) == first.job_id
    assert [row["id"] for row in store.table.run("SELECT id FROM jobs")] == [first.job_id]
    assert {row["job_id"] for row in store.table.run("SELECT job_id FROM delivery_keys")} == {first.job_id}


async def test_a_delivery_after_the_ten_minutes_is_a_new_job(store: Store) -> None:
    first, later = store.new_event(dedupe_keys=("k",)), store.new_event(dedupe_keys=("k",))
    await store.accept(first)
    store.table.run("UPDATE delivery_keys SET expires_at = now() - interval '1 second'")
    assert await store.accept(later) == later.job_id
    assert await store.accept(dedupe_keys=("k",)) == later.job_id
    assert len(store.table.run("SELECT 1 FROM jobs")) == 2


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))])
async def test_an_event_that_waited_in_redis_keeps_the_time_at_which_it_was_accepted(
    zone: timezone, database: Database, new_event: NewEvent, table: Table
) -> None:
    accepted_at = datetime.now(zone) - timedelta(minutes=5)
    event = new_event(accepted_at=accepted_at)
    assert await jobs.accept_late(database, event, DEADLINE)
    row = table.job(event.job_id)
    assert row["state"] == "waiting"
    assert row["accepted_at"] == row["due_at"] == accepted_at
    assert row["deadline_at"] == accepted_at + timedelta(seconds=DEADLINE)
    assert row["published_at"] is not None


async def test_a_clock_that_runs_ahead_does_not_put_a_job_off(store: Store) -> None:
    event = store.new_event(accepted_at=datetime.now(UTC) + timedelta(hours=2))
    await jobs.accept_late(store.database, event, DEADLINE)
    assert store.table.job(event.job_id)["due_at"] <= store.table.run("SELECT now() AS now")[0]["now"]


async def test_a_duplicate_that_waited_in_redis_ends_as_skipped(store: Store) -> None:
    first = store.new_event(dedupe_keys=("k",))
    await store.accept(first)
    late = store.new_event(dedupe_keys=("k",))
    assert not await jobs.accept_late(store.database, late, DEADLINE)
    row = store.table.job(late.job_id)
    assert (row["state"], row["reason"]) == ("skipped", "duplicate webhook")
    assert row["finished_at"] is not None
    assert store.table.job(first.job_id)["state"] == "waiting"
    assert await claim_by_id(store.database, late.job_id, "w", 45) is None


async def test_an_event_moved_from_redis_twice_is_one_job_and_changes_nothing(store: Store) -> None:
    event = store.new_event()
    await jobs.accept_late(store.database, event, DEADLINE)
    assert await claim_by_id(store.database, event.job_id, "w", 45) is not None
    before = store.table.job(event.job_id)
    await jobs.accept_late(store.database, event, DEADLINE)
    assert store.table.job(event.job_id) == before


async def test_states_are_told_across_tenants(database: Database, new_event: NewEvent) -> None:
    event = new_event(tenant_id="globex")
    await accept(database, event)
    assert await jobs.state_of(database, event.job_id) == "waiting"
    assert await jobs.state_of(database, uuid4()) is None
    assert await claim_by_id(database, uuid4(), "w", 45) is None
