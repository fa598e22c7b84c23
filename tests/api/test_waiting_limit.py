"""Webhooks above a tenant's limit of waiting jobs: refused, and recorded."""

from dataclasses import replace

import pytest

from config.tenant_directory import TenantDirectory
from tests.kit.postgres import Store
from tests.kit.receiver import SECRET, Receiver, raw
from tests.kit.signing import timed
from tests.kit.tenants_toml import filed

FULL = "too many jobs waiting: 1 or more of this tenant wait"


@pytest.fixture
async def receiver(store: Store) -> Receiver:
    """Return the receiver of a tenant at its limit."""
    made = Receiver(TenantDirectory(lambda: filed({"WEBHOOK_SECRET_ACME": SECRET}, {"acme.jobs.most_waiting": 1})))
    made.app.state.api = replace(made.app.state.api, database=store.database)
    await store.accept(ticket_id="1")
    return made


async def post(receiver: Receiver, ticket_id: int) -> int:
    body = b'{"tenant_id": "acme", "ticket_id": %d}' % ticket_id
    status, _ = await receiver.post([body], raw(timed(SECRET, body)))
    return status


async def test_the_refusal_is_recorded_before_it_is_answered(receiver: Receiver, store: Store) -> None:
    """Once per ticket, however often the desk repeats it."""
    assert [await post(receiver, ticket_id) for ticket_id in (77, 77, 78)] == [429] * 3
    rows = store.table.run("SELECT tenant_id, ticket_id, status, reason FROM rejections ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("acme", "77", 429, FULL), ("acme", "78", 429, FULL)]
    assert (receiver.events, receiver.rejections) == ([], [])


async def test_a_webhook_whose_refusal_can_not_be_recorded_is_taken(receiver: Receiver, store: Store) -> None:
    """It would be lost: the desk may never send it again."""
    store.table.run("ALTER TABLE rejections ADD CONSTRAINT no_429 CHECK (status <> 429)")
    try:
        assert await post(receiver, 77) == 202
    finally:
        store.table.run("ALTER TABLE rejections DROP CONSTRAINT no_429")
    assert [event.ticket_id for event in receiver.events] == ["77"]
