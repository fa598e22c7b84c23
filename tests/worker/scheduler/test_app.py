"""Tenants that left: the purge removes their audit records."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from config.secret_files import UNREADABLE
from config.tenant_directory import TenantDirectory
from db.session import DATABASE_FAILURES, Database
from observability import metrics
from privacy.secret_fingerprints import record, seen
from tests.kit.clock import Clock
from tests.kit.postgres import Table
from tests.kit.tenants_toml import filed
from tests.kit.world import wait_for
from worker.scheduler.app import SecretAges
from worker.scheduler.purge import RemovedTenants

FILED = {"WEBHOOK_SECRET_ACME": "s" * 32, **filed({}, {"acme.audit_days": 30})}


# Whether the settings are there, seconds that pass, and whether the tenant has left.
@pytest.mark.parametrize(
    "steps",
    [
        [(True, 0, False), (False, 3600, False), (False, 1799, False), (False, 1, True)],
        [(False, 1800, False), (True, 1800, False), (False, 1800, False)],
    ],
    ids=["for half an hour", "back in between"],
)
def test_a_tenant_has_left_when_its_settings_are_gone_for_half_an_hour(steps: list[tuple[bool, int, bool]]) -> None:
    clock, given = Clock(), dict(FILED)
    left = RemovedTenants(TenantDirectory(lambda: dict(given), monotonic=clock).names, monotonic=clock)
    for there, seconds, has_left in steps:
        given = FILED if there else {}
        clock.now += seconds
        assert left.has_left("acme") == has_left


@pytest.mark.parametrize(
    "given",
    [
        *(filed(FILED, {"acme.masking": "bogus"}), FILED | {"tenants.toml": "acme.audit_days ="}),
        *(filed({}, {"acme.audit_days": 30}), {"AUDIT_DAYS_ACME": "30"}, {"SECRETS_DIR": UNREADABLE}),
    ],
)
def test_settings_with_a_mistake_or_that_nobody_could_list_are_no_leaving(given: dict[str, str]) -> None:
    clock = Clock()
    left = RemovedTenants(TenantDirectory(lambda: given, monotonic=clock).names, monotonic=clock)
    for _ in range(3):
        assert not left.has_left("acme")
        clock.now += 3600


GIVEN = {
    "WEBHOOK_SECRET_ACME": "new",
    "PREVIOUS_WEBHOOK_SECRET_ACME": "old",
    "RETIRED_WEBHOOK_SECRET_ACME": "older",
    "SERVICEDESK_URL_ACME": "nowhere",
    "SERVICEDESK_API_KEY_ACME": "a key",
    "OPENAI_API_KEY_ACME": "the tenant's",
    "OPENAI_API_KEY": "the process's",
    "OPENAI_API_KEY_OF_SOMEBODY": "no tenant's",
}


@pytest.fixture(autouse=True)
def untold() -> Iterator[None]:
    metrics.SECRET_AGE.clear()
    yield
    metrics.SECRET_AGE.clear()


def told() -> dict[tuple[str, ...], float]:
    (family,) = metrics.SECRET_AGE.collect()
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


async def test_each_configured_secret_has_its_age(database: Database, table: Table) -> None:
    given, clock = dict(GIVEN), Clock()
    ages = SecretAges(database, TenantDirectory(lambda: dict(given), monotonic=clock).secrets, monotonic=clock)
    await ages.update()
    settings = ("WEBHOOK_SECRET", "PREVIOUS_WEBHOOK_SECRET", "SERVICEDESK_API_KEY", "OPENAI_API_KEY")
    assert told().keys() == {("(process)", "OPENAI_API_KEY"), *(("acme", setting) for setting in settings)}
    table.run("UPDATE known_secrets SET first_seen_at = first_seen_at - %s", timedelta(days=91))
    clock.now += 3600
    await ages.update()
    assert told()["acme", "SERVICEDESK_API_KEY"] == pytest.approx(91 * 86400, abs=60)
    given["SERVICEDESK_API_KEY_ACME"] = "another key"
    del given["PREVIOUS_WEBHOOK_SECRET_ACME"]
    clock.now += 15
    await ages.update()
    assert told()["acme", "SERVICEDESK_API_KEY"] < 60
    assert ("acme", "PREVIOUS_WEBHOOK_SECRET") not in told()


async def test_secrets_reported_by_other_processes_have_their_age(database: Database, table: Table) -> None:
    await record(database, [seen("", "CONSOLE_TOKEN_ANNA", "hers")])
    table.run("UPDATE known_secrets SET first_seen_at = first_seen_at - %s", timedelta(days=91))
    ages = SecretAges(database, TenantDirectory(lambda: GIVEN).secrets)
    await ages.update()
    assert told()["(process)", "CONSOLE_TOKEN_ANNA"] == pytest.approx(91 * 86400, abs=60)
    assert ("acme", "WEBHOOK_SECRET") in told()
    gone = "UPDATE known_secrets SET last_seen_at = last_seen_at - interval '3 hours' WHERE setting = %s"
    table.run(gone, "CONSOLE_TOKEN_ANNA")
    await ages.update()
    assert ("(process)", "CONSOLE_TOKEN_ANNA") not in told()
    assert ("(process)", "OPENAI_API_KEY") in told()


async def test_who_does_not_lead_any_more_tells_nothing(database: Database) -> None:
    ages = SecretAges(database, TenantDirectory(lambda: GIVEN).secrets)
    asked = 0

    async def still_leads() -> None:
        nonlocal asked
        asked += 1

    work = asyncio.create_task(ages.run(still_leads))
    await asyncio.to_thread(wait_for, told)
    work.cancel()
    await asyncio.wait({work})
    assert (asked, told()) == (1, {})


async def still_leads() -> None:
    pass


async def test_waiting_for_a_connection_does_not_end_the_lead() -> None:
    """Copying may use up the pool; the leader probes over its own connection."""
    asked = 0

    class InLine(Database):
        async def call(self, *_: Any, **__: Any) -> Any:
            nonlocal asked
            asked += 1
            raise TimeoutError

    database = InLine("postgresql://u:p@127.0.0.1:1/x", application_name="tests")
    work = asyncio.create_task(SecretAges(database, TenantDirectory(lambda: GIVEN).secrets).run(still_leads))
    await asyncio.wait({work}, timeout=0.2)
    assert (asked, work.done()) == (1, False)
    work.cancel()
    await asyncio.wait({work})
    await database.close()


async def test_a_database_that_is_away_ends_the_round_as_it_ends_the_others() -> None:
    away = Database("postgresql://u:p@127.0.0.1:1/x", application_name="tests")
    with pytest.raises(DATABASE_FAILURES):
        await SecretAges(away, TenantDirectory(lambda: GIVEN).secrets).update()
    await away.close()
