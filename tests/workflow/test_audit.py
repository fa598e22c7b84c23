"""The audit record of an answer: masked as sent, once, and never blocking the job."""

import asyncio
from uuid import UUID

import pytest
from redis.asyncio import Redis

from config.tenants import NoteSettings
from storage.claims import LeaseLost
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from tests.kit.simulators import Simulator
from tests.workflow.recording import called, records, wait_again
from workflow.prompt import CURRENT


async def test_an_answer_leaves_a_record_of_what_was_sent_as_it_was_sent(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    await called(store, model, redis, waiting, audit_days=30)
    (record,) = records(store)
    (request,) = model.requests(operation="chat")
    system, user = request["payload"]["messages"]
    assert (record["system"], record["sent"]) == (system["content"], user["content"])
    assert (record["job_id"], record["ticket_id"], record["prompt"]) == (waiting, "12345", CURRENT)
    assert (record["host"], record["masking"]) == ("127.0.0.1", "personal")
    assert record["answer"]["summary"]
    assert record["input_tokens"] > 0
    assert record["output_tokens"] > 0
    ticket, document = record["sources"]
    assert ticket == {"id": "ticket-101", "kind": "ticket", "number": "101", "title": "Full mailbox of [PERSON_1]"}
    assert (document["kind"], document["title"]) == ("document", "Mail quotas")
    assert "Adeyemi" not in str(record)
    assert "Zo" not in str(record)


async def test_a_tenant_that_masks_nothing_has_it_in_its_record(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    await called(store, model, redis, waiting, audit_days=1, note=NoteSettings(masking="none"))
    (record,) = records(store)
    assert "Zoë Adeyemi" in record["sent"]
    assert record["masking"] == "none"


async def test_without_days_no_record_is_kept(waiting: UUID, store: Store, redis: Redis, model: Simulator) -> None:
    state = await called(store, model, redis, waiting)
    assert state["content"].summary
    assert records(store) == []


async def test_a_record_that_can_not_be_kept_is_a_line_and_the_job_goes_on(
    waiting: UUID, store: Store, redis: Redis, model: Simulator, start_log: StartLog
) -> None:
    stream = start_log()
    store.table.run("ALTER TABLE audit_records RENAME TO elsewhere")
    try:
        state = await called(store, model, redis, waiting, audit_days=30)
    finally:
        store.table.run("ALTER TABLE elsewhere RENAME TO audit_records")
    assert state["content"].summary
    assert store.table.job(waiting)["enhancement"]["summary"]
    assert f"Audit record error: job_id={waiting}, not kept" in stream.getvalue()
    assert "Mailbox" not in stream.getvalue()


async def test_an_answer_that_could_not_be_committed_has_its_record_with_the_next_attempt(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    model.order(kind="slow_stream", seconds=0.05, pieces=8, times=1)
    under_way = asyncio.create_task(called(store, model, redis, waiting, audit_days=30))
    while not (model.requests(operation="chat") or under_way.done()):  # noqa: ASYNC110 -- another server's memory
        await asyncio.sleep(0.01)
    # Its claim is gone meanwhile.
    wait_again(store, waiting)
    with pytest.raises(LeaseLost):
        await under_way
    assert records(store) == []
    await called(store, model, redis, waiting, audit_days=30)
    (record,) = records(store)
    assert (record["answer"]["summary"] != "", len(model.requests(operation="chat"))) == (True, 1)
