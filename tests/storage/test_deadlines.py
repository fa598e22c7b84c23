"""Deadlines, excluding up to a day of waiting for the tenant's share."""

from datetime import timedelta
from typing import Any

import pytest

from storage import relaying
from storage.session import Database
from tests.kit.postgres import Store, Table

HALF_AN_HOUR = 1800
IN_FLIGHT: dict[str, Any] = {"state": "running", "lease_until": "now() + interval '1 minute'"}
IN_A_MINUTE, IN_TEN = (f"now() + interval '{minutes} minutes'" for minutes in (1, 10))


async def put_off(database: Database) -> None:
    await relaying.put_off_deadlines(database, {"acme": 1}, HALF_AN_HOUR, 10)


def minutes_left(table: Table, job_id: object) -> float:
    (row,) = table.run("SELECT deadline_at - now() AS left FROM jobs WHERE id = %s", job_id)
    return float(row["left"] / timedelta(minutes=1))


async def test_a_job_that_waits_for_its_share_gets_its_time_anew(
    store: Store, database: Database, table: Table
) -> None:
    await store.accept(published=True, **IN_FLIGHT)
    near = await store.accept(published=True, deadline_at=IN_A_MINUTE)
    passed = await store.accept(published=True, deadline_at="now() - interval '1 minute'")
    far = await store.accept(published=True, deadline_at=IN_TEN)
    await put_off(database)
    assert [round(minutes_left(table, job_id)) for job_id in (near, passed, far)] == [30, 30, 10]
    assert await relaying.expire(database, 10, "deadline passed") == []


@pytest.mark.parametrize(
    ("others", "its_own"),
    [
        pytest.param({}, {}, id="nothing of its tenant is in flight"),
        pytest.param(IN_FLIGHT | {"tenant_id": "globex"}, {}, id="another tenant's is"),
        pytest.param(IN_FLIGHT | {"lease_until": "now() - interval '1 second'"}, {}, id="its worker fell silent"),
        pytest.param(IN_FLIGHT, {"tenant_id": "globex"}, id="a tenant without a limit"),
        pytest.param(IN_FLIGHT, {"published_at": None}, id="a time or a message"),
        pytest.param(IN_FLIGHT, {"accepted_at": "now() - interval '1 day'"}, id="a day old"),
    ],
)
async def test_what_waits_for_anything_else_is_counted(
    others: dict[str, Any], its_own: dict[str, Any], store: Store, database: Database, table: Table
) -> None:
    if others:
        await store.accept(published=True, **others)
    job_id = await store.accept(published=True, **{"deadline_at": IN_A_MINUTE} | its_own)
    await put_off(database)
    assert round(minutes_left(table, job_id)) == 1


async def test_a_limit_that_is_not_reached_puts_off_nothing(store: Store, database: Database, table: Table) -> None:
    await store.accept(published=True, **IN_FLIGHT)
    job_id = await store.accept(published=True, deadline_at=IN_A_MINUTE)
    await relaying.put_off_deadlines(database, {"acme": 2}, HALF_AN_HOUR, 10)
    assert round(minutes_left(table, job_id)) == 1


async def test_it_is_put_off_to_a_day_after_its_last_retry_and_no_longer(
    store: Store, database: Database, table: Table
) -> None:
    await store.accept(published=True, **IN_FLIGHT)
    day_ago = "now() - interval '23 hours 50 minutes'"
    old = await store.accept(published=True, deadline_at=IN_A_MINUTE, accepted_at=day_ago)
    retried = await store.accept(
        published=True, deadline_at=IN_A_MINUTE, accepted_at="now() - interval '9 days'", retried_at=day_ago
    )
    await put_off(database)
    assert [round(minutes_left(table, job_id)) for job_id in (old, retried)] == [10, 10]


async def test_a_short_deadline_is_put_off_at_its_half(store: Store, database: Database, table: Table) -> None:
    await store.accept(published=True, **IN_FLIGHT)
    waits = await store.accept(published=True, deadline_at="now() + interval '40 seconds'")
    await relaying.put_off_deadlines(database, {"acme": 1}, 60, 10)
    assert minutes_left(table, waits) < 0.7
    await relaying.put_off_deadlines(database, {"acme": 1}, 120, 10)
    assert minutes_left(table, waits) > 1.9
