"""Use of each secret: counted, stored, and named in the job's first event."""

import json
from typing import Any

import pytest

from api.authentication import Proof, SecretUsage
from config.tenant_directory import TenantDirectory
from db.session import Database
from jobs.repository import SIGNED_BY_PREVIOUS
from privacy import secret_fingerprints
from privacy.secret_fingerprints import CURRENT, MAX_BATCH, PREVIOUS, RETIRED, TOKEN
from tests.kit.clock import Clock
from tests.kit.postgres import Store
from tests.kit.receiver import Receiver, raw
from tests.kit.signing import timed

NEW, OLD, GONE = "n3w-secret", "0ld-secret", "g0ne-secret"
DESK_TOKEN = "t0ken-of-a-desk-" + "z" * 32
SETTINGS = {
    "WEBHOOK_SECRET_ACME": NEW,
    "PREVIOUS_WEBHOOK_SECRET_ACME": OLD,
    "RETIRED_WEBHOOK_SECRET_ACME": GONE,
    "WEBHOOK_TOKEN_ACME": DESK_TOKEN,
}
BODY = json.dumps({"tenant_id": "acme", "ticket_id": "124"}).encode()


async def post(receiver: Receiver, headers: dict[str, str], body: bytes = BODY) -> int:
    status, _ = await receiver.post([body], raw({"content-type": "application/json", **headers}))
    return status


@pytest.mark.parametrize(("setting", "remark"), [(CURRENT, None), (PREVIOUS, SIGNED_BY_PREVIOUS), (TOKEN, None)])
async def test_what_proves_a_webhook_is_noted(setting: str, remark: str | None) -> None:
    receiver = Receiver(TenantDirectory(lambda: SETTINGS))
    secret = SETTINGS[f"{setting}_ACME"]
    assert await post(receiver, {"X-ServiceDesk-Token": secret} if setting == TOKEN else timed(secret, BODY)) == 202
    assert [(tenant, proof.setting, proof.secret) for tenant, proof in receiver.proofs] == [("acme", setting, secret)]
    assert [event.remark for event in receiver.events] == [remark]


async def test_a_check_counts_and_so_does_what_the_retired_secret_signs() -> None:
    receiver = Receiver(TenantDirectory(lambda: SETTINGS))
    check = json.dumps({"tenant_id": "acme", "event": "webhook.check"}).encode()
    assert await post(receiver, timed(NEW, check), check) == 200
    assert await post(receiver, timed(GONE, BODY)) == 403
    assert await post(receiver, timed("a stranger's", BODY)) == 403
    assert [(proof.setting, proof.secret) for _, proof in receiver.proofs] == [(CURRENT, NEW), (RETIRED, GONE)]
    assert receiver.events == []


async def test_the_previous_secret_alone_is_not_counted_as_current() -> None:
    """The state after the current one is withdrawn during a rotation."""
    given, clock = dict(SETTINGS), Clock()
    receiver = Receiver(TenantDirectory(lambda: given, monotonic=clock))
    del given["WEBHOOK_SECRET_ACME"]
    clock.now += 60
    assert await post(receiver, timed(OLD, BODY)) == 202
    assert [proof.setting for _, proof in receiver.proofs] == [PREVIOUS]


async def test_uses_are_told_together(store: Store) -> None:
    usage = SecretUsage(store.database)
    for setting, secret in ((PREVIOUS, OLD), (CURRENT, NEW), (PREVIOUS, OLD)):
        usage.count("acme", Proof(setting, secret))
    await usage.close()
    await usage.write()
    known = await secret_fingerprints.remembered(store.database, "acme", {CURRENT: NEW, PREVIOUS: OLD})
    assert {setting: one.uses for setting, one in known.items()} == {CURRENT: 1, PREVIOUS: 2}


class LosingDatabase(Database):
    calls = 0

    async def call(self, *given: Any, **values: Any) -> Any:
        self.calls += 1
        if self.calls == 2:
            raise TimeoutError
        return await super().call(*given, **values)


async def test_no_use_is_lost_or_told_twice_when_an_answer_is_lost(store: Store, server: Any) -> None:
    database = LosingDatabase(server.url, application_name="tests")
    usage = SecretUsage(database)
    for number in range(MAX_BATCH + 1):
        usage.count(f"tenant-{number}", Proof(CURRENT, NEW))
    with pytest.raises(TimeoutError):
        await usage.write()
    await usage.write()
    await database.close()
    found_rows = store.table.run("SELECT sum(uses) AS uses, count(*) AS tenants FROM secret_uses")
    assert [(row["uses"], row["tenants"]) for row in found_rows] == [(MAX_BATCH + 1, MAX_BATCH + 1)]


async def test_the_first_event_says_that_the_previous_secret_signed(store: Store) -> None:
    """Unless the event waited in Redis: the previous release could not read it there."""
    event = store.new_event(remark=SIGNED_BY_PREVIOUS)
    await store.accept(event)
    await store.accept()
    found_rows = store.table.run("SELECT what, reason FROM job_events ORDER BY id")
    assert [tuple(row.values()) for row in found_rows] == [("accepted", SIGNED_BY_PREVIOUS), ("accepted", None)]
    assert "remark" not in event.to_json()
