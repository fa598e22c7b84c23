"""Publication of each process's secrets: at once, on change and before expiry."""

import asyncio
from datetime import timedelta

import pytest

from storage.known_secrets import OF_PROCESS, ToldSecrets, know, last_seen, seen, telling
from storage.session import DATABASE_FAILURES, Database
from tests.kit.clock import Clock
from tests.kit.postgres import Table
from tests.kit.world import wait_for

KEY, PREVIOUS = "CONSOLE_KEY", "CONSOLE_PREVIOUS_KEY"


async def test_what_has_changed_is_told_at_once_and_the_rest_once_an_hour(database: Database, table: Table) -> None:
    there, clock = {("", KEY): "the first"}, Clock()
    told = ToldSecrets(database, lambda: dict(there), monotonic=clock)
    await told.look()
    there["", "CONSOLE_TOKEN_ANNA"] = "hers"
    await told.look()
    assert (await last_seen(database, OF_PROCESS)).keys() == {KEY, "CONSOLE_TOKEN_ANNA"}
    table.run("UPDATE known_secrets SET last_seen_at = last_seen_at - %s", timedelta(minutes=50))
    clock.now += 3000
    await told.look()
    assert await untold_for(table) > timedelta(minutes=49)
    clock.now += 600
    await told.look()
    assert await untold_for(table) < timedelta(minutes=1)


async def untold_for(table: Table) -> timedelta:
    (row,) = table.run("SELECT now() - min(last_seen_at) AS ago FROM known_secrets")
    found: timedelta = row["ago"]
    return found


async def test_a_key_that_is_kept_beside_a_new_one_is_as_old_as_it_was(database: Database, table: Table) -> None:
    await know(database, [seen("", KEY, "the first")])
    table.run("UPDATE known_secrets SET first_seen_at = first_seen_at - %s", timedelta(days=80))
    await know(database, [seen("", KEY, "the second"), seen("", PREVIOUS, "the first")])
    known = await last_seen(database, OF_PROCESS)
    assert known[KEY].asked_at - known[KEY].first_seen_at < timedelta(hours=1)
    assert known[PREVIOUS].asked_at - known[PREVIOUS].first_seen_at > timedelta(days=79)


async def test_what_nobody_tells_of_any_more_is_gone_two_hours_later(database: Database, table: Table) -> None:
    """For example a console that no longer runs."""
    await know(database, [seen("", KEY, "a console's")])
    table.run("UPDATE known_secrets SET last_seen_at = last_seen_at - %s", timedelta(minutes=119))
    await know(database, [seen("", "REDIS_URL", "everybody's")])
    assert (await last_seen(database, OF_PROCESS)).keys() == {KEY, "REDIS_URL"}
    table.run("UPDATE known_secrets SET last_seen_at = last_seen_at - %s WHERE setting = %s", timedelta(minutes=2), KEY)
    assert (await last_seen(database, OF_PROCESS)).keys() == {"REDIS_URL"}


async def test_what_the_last_one_told_of_is_gone_two_hours_later_too(database: Database, table: Table) -> None:
    """If no other process has a secret of its own."""
    await know(database, [seen("", KEY, "a console's")])
    table.run("UPDATE known_secrets SET last_seen_at = last_seen_at - %s", timedelta(minutes=121))
    assert await last_seen(database, OF_PROCESS) == {}


@pytest.mark.parametrize(("who_tells_last", "days"), [(("new",), 0), (("old", "new"), 91)])
async def test_a_process_that_still_has_the_old_one_counts(
    who_tells_last: tuple[str, ...], days: int, database: Database, table: Table
) -> None:
    """It publishes the old one again after the others have published the new one."""
    await know(database, [seen("", "REDIS_URL", "old")])
    table.run("UPDATE known_secrets SET first_seen_at = first_seen_at - %s", timedelta(days=91))
    for secret in ("new", *who_tells_last):
        await know(database, [seen("", "REDIS_URL", secret)])
    known = (await last_seen(database, OF_PROCESS))["REDIS_URL"]
    assert (known.asked_at - known.first_seen_at).days == days


async def test_a_token_of_the_console_keeps_its_age_when_it_is_given_another_name(
    database: Database, table: Table
) -> None:
    await know(database, [seen("", "CONSOLE_TOKEN_ANNA", "hers")])
    table.run("UPDATE known_secrets SET first_seen_at = first_seen_at - %s", timedelta(days=91))
    await know(database, [seen("", "CONSOLE_TOKEN_NIGHT_SHIFT", "hers"), seen("", "CONSOLE_TOKEN_BERTA", "another")])
    known = await last_seen(database, OF_PROCESS)
    ages = {setting: (one.asked_at - one.first_seen_at).days for setting, one in known.items()}
    assert ages == {"CONSOLE_TOKEN_NIGHT_SHIFT": 91, "CONSOLE_TOKEN_BERTA": 0}


async def test_it_is_told_beside_what_a_process_does(database: Database) -> None:
    async with telling(database, lambda: {("", KEY): "the first"}) as told:
        await asyncio.to_thread(wait_for, lambda: told.since)
    assert (await last_seen(database, OF_PROCESS)).keys() == {KEY}


async def test_without_the_database_a_process_goes_on() -> None:
    """The look itself reports the outage."""
    away = Database("postgresql://u:p@127.0.0.1:1/x", application_name="tests")
    async with telling(away, lambda: {("", KEY): "the first"}) as told:
        with pytest.raises(DATABASE_FAILURES):
            await told.look()
    await away.close()
