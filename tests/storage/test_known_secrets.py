"""Fingerprints of secrets: first seen, number of uses, and confidentiality."""

from datetime import timedelta

from sqlalchemy import text

from storage import erasure, known_secrets
from storage.erasure import Which
from storage.known_secrets import CURRENT, OF_PROCESS, PREVIOUS, RETIRED, know, remembered, seen
from storage.session import Database
from tests.kit.postgres import Table

OLD, NEW = "the 0ld secret", "the n3w secret"


def age(table: Table, hours: int) -> None:
    by = timedelta(hours=hours)
    table.run(
        "UPDATE known_secrets SET first_seen_at = first_seen_at - %s, last_seen_at = last_seen_at - %s,"
        " last_used_at = last_used_at - %s",
        *(by, by, by),
    )
    table.run("UPDATE secret_uses SET hour = hour - %s", by)


async def test_a_secret_is_as_old_as_it_is_known_whatever_place_it_stands_in(database: Database, table: Table) -> None:
    """A rotation moves the old secret to another setting; its age and uses follow."""
    first = await know(database, [seen("acme", CURRENT, OLD, uses=2)])
    age(table, 100)
    await know(database, [seen("acme", CURRENT, NEW), seen("acme", PREVIOUS, OLD)])
    known = await remembered(database, "acme", {CURRENT: NEW, PREVIOUS: OLD})
    assert known[PREVIOUS].first_seen_at == first["acme", CURRENT] - timedelta(hours=100)
    assert known[PREVIOUS].setting == PREVIOUS
    assert known[CURRENT].asked_at - known[CURRENT].first_seen_at < timedelta(hours=1)
    assert known[CURRENT].last_used_at is None
    retired = await remembered(database, "acme", {RETIRED: OLD})
    assert retired[RETIRED].first_seen_at == known[PREVIOUS].first_seen_at


async def test_uses_add_up_and_those_of_a_day_are_told(database: Database, table: Table) -> None:
    await know(database, [seen("acme", PREVIOUS, OLD, uses=5)])
    age(table, 30)
    for uses in (2, 1, 0):
        await know(database, [seen("acme", PREVIOUS, OLD, uses=uses), seen("globex", CURRENT, OLD, uses=9)])
    (known,) = (await remembered(database, "acme", {PREVIOUS: OLD})).values()
    assert known.uses == 3
    assert known.last_used_at is not None
    assert known.asked_at - known.last_used_at < timedelta(minutes=1)
    assert (await known_secrets.last_seen(database, "globex"))[CURRENT].uses == 27


async def test_what_was_used_within_a_day_has_uses(database: Database, table: Table) -> None:
    """Uses are counted by the hour, and the day begins in the middle of one."""
    await know(database, [seen("acme", PREVIOUS, OLD, uses=5)])
    table.run("UPDATE secret_uses SET hour = date_trunc('hour', now() - interval '23 hours 59 minutes')")
    assert (await remembered(database, "acme", {PREVIOUS: OLD}))[PREVIOUS].uses == 5


async def test_of_two_places_with_one_secret_the_first_counts(database: Database) -> None:
    """As after a rotation that was stopped at its start."""
    both = [seen("acme", CURRENT, OLD, uses=1), seen("acme", PREVIOUS, OLD, uses=2)]
    assert list(await know(database, both)) == [("acme", CURRENT)]
    known = await remembered(database, "acme", {CURRENT: OLD, PREVIOUS: OLD})
    assert known[CURRENT] == known[PREVIOUS]
    assert known[CURRENT].uses == 3


async def test_nothing_that_is_stored_tells_a_secret_or_that_two_tenants_share_one(
    database: Database, table: Table
) -> None:
    """Not even by guessing: a fingerprint is made with the tenant's key."""
    same = [seen(tenant, setting, OLD) for tenant in ("acme", "globex") for setting in (CURRENT, "OPENAI_API_KEY")]
    await know(database, [*same, seen("", "OPENAI_API_KEY", OLD)])
    rows = table.run("SELECT * FROM known_secrets")
    prints = {bytes(row["fingerprint"]) for row in rows}
    assert len(prints) == len(rows) == 5
    assert {row["tenant_id"] for row in rows} == {"acme", "globex", OF_PROCESS}
    assert not prints & {known_secrets.digest(setting, OLD) for setting in (CURRENT, "OPENAI_API_KEY")}
    assert OLD not in str(rows)


async def test_a_secret_of_an_environment_that_is_no_text_is_known_all_the_same(database: Database) -> None:
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    await know(database, [seen("acme", CURRENT, odd)])
    assert list(await remembered(database, "acme", {CURRENT: odd})) == [CURRENT]


async def test_what_no_process_has_any_more_goes_after_a_month(database: Database, table: Table) -> None:
    await know(database, [seen("acme", CURRENT, OLD, uses=1), seen("acme", RETIRED, "gone", uses=1)])
    age(table, 31 * 24)
    await know(database, [seen("acme", CURRENT, OLD)])
    await known_secrets.purge(database)
    assert [row["setting"] for row in table.run("SELECT setting FROM known_secrets")] == [CURRENT]
    assert table.run("SELECT * FROM secret_uses") == []


async def test_all_of_it_goes_with_its_tenant(database: Database, table: Table) -> None:
    await know(database, [seen(tenant, CURRENT, OLD, uses=1) for tenant in ("acme", "globex")])
    await erasure.erase(database, Which("acme"))
    for name in ("known_secrets", "secret_uses"):
        assert [row["tenant_id"] for row in table.run(f"SELECT tenant_id FROM {name}")] == ["globex"]  # noqa: S608


async def test_who_tells_of_secrets_tells_of_the_tenant_that_he_names_alone(database: Database, table: Table) -> None:
    """The function runs with the caller's rights, and leaves no tenant set."""
    await know(database, [seen("acme", CURRENT, OLD)])
    async with database.across_tenants() as session:
        await session.execute(text("SELECT know_secrets('[]')"))
        assert (await session.execute(text("SELECT * FROM known_secrets"))).all() == []
    assert len(table.run("SELECT 1 FROM known_secrets")) == 1
