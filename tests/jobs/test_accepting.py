"""Acceptance of webhooks: one row a delivery; duplicates get the first job's id."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobs import repository
from jobs.repository import Event
from tests.kit.postgres import DEADLINE, Store, claim_by_id


def job_ids(store: Store) -> list[object]:
    return [row["id"] for row in store.table.run("SELECT id FROM jobs ORDER BY accepted_at")]


async def test_an_accepted_webhook_is_a_waiting_job(store: Store) -> None:
    event = store.new_event()
    assert await store.accept(event) == event.job_id
    row = store.table.job(event.job_id)
    assert (row["tenant_id"], row["ticket_id"], row["event"]) == ("acme", "12345", "ticket.created")
    assert (row["state"], row["attempt"], row["traceparent"]) == ("waiting", 0, event.traceparent)
    assert {row[name] for name in ("reason", "lease_owner", "enhancement", "note_id")} == {None}
    assert row["due_at"] == row["accepted_at"] == row["published_at"]
    assert row["deadline_at"] - row["accepted_at"] == timedelta(seconds=DEADLINE)
    assert abs(datetime.now(UTC) - row["accepted_at"]) < timedelta(seconds=30)


async def test_a_job_whose_message_was_not_sent_is_left_to_the_relay(store: Store) -> None:
    event = store.new_event(event=None, traceparent="")
    await store.accept(event, published=False)
    row = store.table.job(event.job_id)
    assert (row["published_at"], row["event"], row["traceparent"]) == (None, None, None)


@pytest.mark.parametrize(
    "later",
    [[("signed", "id 1")] * 3, [("id 2", "signed"), ("id 1", "signed again"), ("id 2", "signed a third time")]],
    ids=["the same keys", "one key in common, or one with a copy"],
)
async def test_a_duplicate_is_answered_with_the_first_jobs_id(later: list[tuple[str, str]], store: Store) -> None:
    first = await store.accept(dedupe_keys=("id 1", "signed"))
    for keys in later:
        assert await store.accept(dedupe_keys=keys) == first
    assert job_ids(store) == [first]
    assert {row["job_id"] for row in store.table.run("SELECT job_id FROM delivery_keys")} == {first}


async def test_of_duplicates_at_the_same_moment_one_makes_the_job(store: Store) -> None:
    answers = await asyncio.gather(*(store.accept(dedupe_keys=("k",)) for _ in range(16)))
    assert [*set(answers)] == job_ids(store)


async def test_webhooks_of_several_tenants_are_recorded_in_one_statement(store: Store) -> None:
    known = store.new_event(tenant_id="globex", dedupe_keys=("known",))
    await store.accept(known)
    events = [store.new_event(tenant_id=tenant, ticket_id=str(n)) for n in range(9) for tenant in ("globex", "acme")]
    again = store.new_event(tenant_id="globex", dedupe_keys=("known", "new"))
    elsewhere = store.new_event(tenant_id="acme", dedupe_keys=("known",))
    firsts = await repository.accept_all(store.database, [*events, again, elsewhere], DEADLINE, published=True)
    assert firsts == [*(event.job_id for event in events), known.job_id, elsewhere.job_id]
    rows = store.table.run("SELECT id, tenant_id, ticket_id FROM jobs")
    made = {(event.job_id, event.tenant_id, event.ticket_id) for event in [*events, known, elsewhere]}
    assert {tuple(row.values()) for row in rows} == made
    found_rows = store.table.run("SELECT job_id, tenant_id FROM job_events WHERE what = 'accepted'")
    assert {tuple(row.values()) for row in found_rows} == {job[:2] for job in made}
    # From then on a duplicate's keys lead to the first job.
    assert await store.accept(tenant_id="globex", dedupe_keys=("new",)) == known.job_id


async def test_duplicates_among_webhooks_of_one_batch_get_the_first_ones_id(store: Store) -> None:
    keys = (("a", "b"), ("b", "c"), ("d", "d"), ("c",))
    first, twin, other, third = (store.new_event(dedupe_keys=each) for each in keys)
    firsts = await repository.accept_all(store.database, [first, twin, other, third], DEADLINE, published=True)
    assert firsts == [first.job_id, first.job_id, other.job_id, first.job_id]


async def test_batches_with_the_same_deliveries_in_other_orders_never_wait_for_each_other(store: Store) -> None:
    def batch(order: list[int]) -> list[Event]:
        return [store.new_event(tenant_id=("acme", "globex")[n % 2], dedupe_keys=(f"k{n}", f"m{-n}")) for n in order]

    orders = [list(range(40)), list(range(39, -1, -1)), [(7 * n) % 40 for n in range(40)]] * 3
    accepting = (repository.accept_all(store.database, batch(order), DEADLINE, published=True) for order in orders)
    answers = await asyncio.gather(*accepting)
    assert len(job_ids(store)) == 40
    assert {first for firsts in answers for first in firsts} == {*job_ids(store)}


async def test_an_event_with_a_doubtful_commit_can_be_accepted_again(store: Store) -> None:
    event = store.new_event()
    for _ in range(2):
        assert await store.accept(event) == event.job_id
        assert await repository.accept_late(store.database, event, DEADLINE)
    assert await claim_by_id(store.database, event.job_id, "w", 45) is not None
    before = store.table.job(event.job_id)
    await repository.accept_late(store.database, event, DEADLINE)
    assert store.table.job(event.job_id) == before
    assert job_ids(store) == [event.job_id]


async def test_the_ten_minutes_count_from_the_first_delivery_and_a_copy_does_not_extend_them(store: Store) -> None:
    remaining = "SELECT job_id, expires_at - now() AS remaining FROM delivery_keys"
    first = await store.accept(dedupe_keys=("k",))
    (row,) = store.table.run(remaining)
    assert timedelta(minutes=9) < row["remaining"] <= timedelta(minutes=10)
    store.table.run("UPDATE delivery_keys SET expires_at = now() + interval '20 seconds'")
    assert await store.accept(dedupe_keys=("k",)) == first
    (row,) = store.table.run(remaining)
    assert (row["job_id"], row["remaining"] <= timedelta(seconds=20)) == (first, True)
    store.table.run("UPDATE delivery_keys SET expires_at = now() - interval '1 second'")
    later = await store.accept(dedupe_keys=("k",))
    assert await store.accept(dedupe_keys=("k",)) == later
    assert job_ids(store) == [first, later]


@pytest.mark.parametrize("state", ["skipped", "failed"])
async def test_a_job_without_a_note_frees_its_keys_but_what_was_signed_stays_known(state: str, store: Store) -> None:
    first = await store.accept(dedupe_keys=("id", "signed:1"), state=state, finished_at="now()")
    assert await store.accept(dedupe_keys=("another id", "signed:1")) == first
    again = await store.accept(dedupe_keys=("id", "signed:2"))
    for keys in (("id", "signed:3"), ("id", "signed:2")):
        assert await store.accept(dedupe_keys=keys) == again
    assert job_ids(store) == [first, again]


@pytest.mark.parametrize("state", ["waiting", "running", "completed"])
async def test_a_job_that_has_or_may_get_a_note_keeps_its_keys(state: str, store: Store) -> None:
    first = await store.accept(dedupe_keys=("id", "signed:1"), state=state)
    assert await store.accept(dedupe_keys=("id", "signed:2")) == first


async def test_a_late_events_ten_minutes_start_at_its_delivery(store: Store) -> None:
    sent = datetime.now(UTC) - timedelta(minutes=30)
    times = (sent + timedelta(minutes=minutes) for minutes in (0, 5, 15))
    events = [store.new_event(dedupe_keys=("k",), accepted_at=at) for at in times]
    assert [await repository.accept_late(store.database, event, DEADLINE) for event in events] == [True, False, True]


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))])
async def test_an_event_that_waited_in_redis_keeps_its_time(zone: timezone, store: Store) -> None:
    accepted_at = datetime.now(zone) - timedelta(minutes=5)
    event = store.new_event(accepted_at=accepted_at)
    assert await repository.accept_late(store.database, event, DEADLINE)
    row = store.table.job(event.job_id)
    assert row["accepted_at"] == row["due_at"] == accepted_at
    assert row["deadline_at"] == accepted_at + timedelta(seconds=DEADLINE)
    assert (row["state"], row["published_at"] is not None) == ("waiting", True)


async def test_a_clock_that_runs_ahead_does_not_put_a_job_off(store: Store) -> None:
    event = store.new_event(accepted_at=datetime.now(UTC) + timedelta(hours=2))
    await repository.accept_late(store.database, event, DEADLINE)
    assert store.table.job(event.job_id)["due_at"] <= store.table.run("SELECT now() AS now")[0]["now"]


async def test_a_duplicate_that_waited_in_redis_ends_as_skipped(store: Store) -> None:
    first, late = await store.accept(dedupe_keys=("k",)), store.new_event(dedupe_keys=("k",))
    assert not await repository.accept_late(store.database, late, DEADLINE)
    row = store.table.job(late.job_id)
    assert (row["state"], row["reason"]) == ("skipped", "duplicate webhook")
    assert row["finished_at"] is not None
    assert store.table.job(first)["state"] == "waiting"
    assert await claim_by_id(store.database, late.job_id, "w", 45) is None
