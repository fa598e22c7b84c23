"""Fingerprints of secrets: age, uses, confidentiality, and reports of processes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from db.session import DATABASE_FAILURES, Database
from privacy import secret_fingerprints
from privacy.secret_fingerprints import (
    CURRENT,
    OF_PROCESS,
    PREVIOUS,
    RETIRED,
    SecretUsage,
    last_seen,
    record,
    remembered,
    report_secrets,
    seen,
)
from tests.kit.clock import Clock
from tests.kit.postgres import Table
from tests.kit.world import wait_for

OLD, NEW = "the 0ld secret", "the n3w secret"

LONG_AGO = "UPDATE known_secrets SET first_seen_at = first_seen_at - interval '91 days'"


def age(table: Table, hours: int) -> None:
    times = ", ".join(f"{name} = {name} - %s" for name in ("first_seen_at", "last_seen_at", "last_used_at"))
    table.run(f"UPDATE known_secrets SET {times}", *[timedelta(hours=hours)] * 3)  # noqa: S608 -- names above
    table.run("UPDATE secret_uses SET hour = hour - %s", timedelta(hours=hours))


async def days_of(database: Database) -> dict[str, int]:
    """Return the age of each setting of processes in days."""
    known = await last_seen(database, OF_PROCESS)
    return {setting: (one.read_at - one.first_seen_at).days for setting, one in known.items()}


async def test_a_secrets_age_is_independent_of_its_setting(database: Database, table: Table) -> None:
    first = await record(database, [seen("acme", CURRENT, OLD, uses=2)])
    age(table, 100)
    await record(database, [seen("acme", CURRENT, NEW), seen("acme", PREVIOUS, OLD)])
    known = await remembered(database, "acme", {CURRENT: NEW, PREVIOUS: OLD})
    assert known[PREVIOUS].first_seen_at == first["acme", CURRENT] - timedelta(hours=100)
    assert known[PREVIOUS].setting == PREVIOUS
    assert known[CURRENT].read_at - known[CURRENT].first_seen_at < timedelta(hours=1)
    assert known[CURRENT].last_used_at is None
    retired = await remembered(database, "acme", {RETIRED: OLD})
    assert retired[RETIRED].first_seen_at == known[PREVIOUS].first_seen_at


async def test_uses_are_summed_and_reported_per_day(database: Database, table: Table) -> None:
    await record(database, [seen("acme", PREVIOUS, OLD, uses=5)])
    table.run("UPDATE secret_uses SET hour = date_trunc('hour', now() - interval '23 hours 59 minutes')")
    assert (await remembered(database, "acme", {PREVIOUS: OLD}))[PREVIOUS].uses == 5
    age(table, 30)
    for uses in (2, 1, 0):
        await record(database, [seen("acme", PREVIOUS, OLD, uses=uses), seen("globex", CURRENT, OLD, uses=9)])
    (known,) = (await remembered(database, "acme", {PREVIOUS: OLD})).values()
    assert known.uses == 3
    assert known.last_used_at is not None
    assert known.read_at - known.last_used_at < timedelta(minutes=1)
    assert (await last_seen(database, "globex"))[CURRENT].uses == 27


async def test_the_first_of_two_settings_with_one_secret_counts(database: Database) -> None:
    """As after a rotation that was stopped at its start."""
    both = [seen("acme", CURRENT, OLD, uses=1), seen("acme", PREVIOUS, OLD, uses=2)]
    assert list(await record(database, both)) == [("acme", CURRENT)]
    known = await remembered(database, "acme", {CURRENT: OLD, PREVIOUS: OLD})
    assert known[CURRENT] == known[PREVIOUS]
    assert known[CURRENT].uses == 3


async def test_no_row_reveals_a_secret_or_that_two_tenants_share_one(database: Database, table: Table) -> None:
    """Not even by guessing: a fingerprint is made with the tenant's key."""
    same = [seen(tenant, setting, OLD) for tenant in ("acme", "globex") for setting in (CURRENT, "OPENAI_API_KEY")]
    await record(database, [*same, seen("", "OPENAI_API_KEY", OLD)])
    rows = table.run("SELECT * FROM known_secrets")
    prints = {bytes(row["fingerprint"]) for row in rows}
    assert len(prints) == len(rows) == 5
    assert {row["tenant_id"] for row in rows} == {"acme", "globex", OF_PROCESS}
    assert not prints & {secret_fingerprints.digest(setting, OLD) for setting in (CURRENT, "OPENAI_API_KEY")}
    assert OLD not in str(rows)


async def test_a_secret_of_an_environment_that_is_no_text_is_known_all_the_same(database: Database) -> None:
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    await record(database, [seen("acme", CURRENT, odd)])
    assert list(await remembered(database, "acme", {CURRENT: odd})) == [CURRENT]


async def test_what_no_process_has_any_more_goes_after_a_month(database: Database, table: Table) -> None:
    await record(database, [seen("acme", CURRENT, OLD, uses=1), seen("acme", RETIRED, "gone", uses=1)])
    age(table, 31 * 24)
    await record(database, [seen("acme", CURRENT, OLD)])
    await secret_fingerprints.purge(database)
    assert [row["setting"] for row in table.run("SELECT setting FROM known_secrets")] == [CURRENT]
    assert table.run("SELECT * FROM secret_uses") == []


async def test_fingerprints_are_written_for_the_named_tenant_only(database: Database, table: Table) -> None:
    """The function runs with the caller's rights, and leaves no tenant set."""
    await record(database, [seen("acme", CURRENT, OLD)])
    async with database.across_tenants() as session:
        await session.execute(text("SELECT know_secrets('[]')"))
        assert (await session.execute(text("SELECT * FROM known_secrets"))).all() == []
    assert len(table.run("SELECT 1 FROM known_secrets")) == 1


KEY, KEPT_KEY = "CONSOLE_KEY", "CONSOLE_PREVIOUS_KEY"


async def test_what_has_changed_is_told_at_once_and_the_rest_once_an_hour(database: Database, table: Table) -> None:
    there, clock = {("", KEY): "the first"}, Clock()
    told = SecretUsage(database, lambda: dict(there), monotonic=clock)
    await told.report_if_due()
    there["", "CONSOLE_TOKEN_ANNA"] = "hers"
    await told.report_if_due()
    assert (await last_seen(database, OF_PROCESS)).keys() == {KEY, "CONSOLE_TOKEN_ANNA"}
    table.run("UPDATE known_secrets SET last_seen_at = last_seen_at - interval '50 minutes'")
    for seconds, within in ((3000, (49, 55)), (600, (0, 1))):
        clock.now += seconds
        await told.report_if_due()
        (row,) = table.run("SELECT EXTRACT(epoch FROM now() - min(last_seen_at)) / 60 AS minutes FROM known_secrets")
        assert within[0] <= row["minutes"] < within[1]


async def test_unreported_secrets_are_removed_after_two_hours(database: Database, table: Table) -> None:
    await record(database, [seen("", KEY, "a console's")])
    table.run("UPDATE known_secrets SET last_seen_at = last_seen_at - %s", timedelta(minutes=119))
    await record(database, [seen("", "REDIS_URL", "everybody's")])
    assert (await last_seen(database, OF_PROCESS)).keys() == {KEY, "REDIS_URL"}
    table.run("UPDATE known_secrets SET last_seen_at = last_seen_at - %s WHERE setting = %s", timedelta(minutes=2), KEY)
    assert (await last_seen(database, OF_PROCESS)).keys() == {"REDIS_URL"}


@pytest.mark.parametrize(("who_tells_last", "days"), [(("new",), 0), (("old", "new"), 91)])
async def test_an_old_secret_in_use_counts(who_tells_last: Any, days: int, database: Database, table: Table) -> None:
    """It publishes the old one again after the others have published the new one."""
    await record(database, [seen("", "REDIS_URL", "old")])
    table.run(LONG_AGO)
    for secret in ("new", *who_tells_last):
        await record(database, [seen("", "REDIS_URL", secret)])
    assert await days_of(database) == {"REDIS_URL": days}


@pytest.mark.parametrize(
    ("before", "after"),
    [(KEY, (KEPT_KEY, KEY)), ("CONSOLE_TOKEN_ANNA", ("CONSOLE_TOKEN_NIGHT", "CONSOLE_TOKEN_BERTA"))],
)
async def test_a_renamed_secret_keeps_its_age(before: str, after: Any, database: Database, table: Table) -> None:
    await record(database, [seen("", before, "hers")])
    table.run(LONG_AGO)
    await record(database, [seen("", after[0], "hers"), seen("", after[1], "another")])
    assert await days_of(database) == dict(zip(after, (91, 0), strict=True))


async def test_secrets_are_reported_beside_a_process_work(database: Database) -> None:
    async with report_secrets(database, lambda: {("", KEY): "the first"}) as told:
        await asyncio.to_thread(wait_for, lambda: told.since)
    assert (await last_seen(database, OF_PROCESS)).keys() == {KEY}
    away = Database("postgresql://u:p@127.0.0.1:1/x", application_name="tests")
    async with report_secrets(away, lambda: {("", KEY): "the first"}) as told:
        with pytest.raises(DATABASE_FAILURES):
            await told.report_if_due()
    await away.close()
