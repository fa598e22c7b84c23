"""Audit records of a stopped worker, written by the next attempt."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest
from langgraph.runtime import Runtime
from redis.asyncio import Redis

from devstack.postgres import Postgres
from storage.session import Database
from tests.kit.model import opened
from tests.kit.postgres import Store
from tests.kit.simulators import Simulator
from tests.workflow.recording import STATE, attempt_of, records, wait_again
from workflow.nodes.call_gpt4 import call_gpt4
from workflow.nodes.resume import resume


class StoppedAtCommit:
    """A database that commits an answer and stops the worker before confirming it."""

    def __init__(self, real: Database) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def call_for_one(self, question: Any, **values: Any) -> Any:
        await self._real.call_for_one(question, **values)
        raise asyncio.CancelledError


async def resumed(store: Store, redis: Redis, job_id: UUID) -> bool:
    """Let the next attempt resume the job; return True if the answer is there."""
    wait_again(store, job_id)
    attempt = await attempt_of(store, redis, job_id, None)
    return "content" in await resume({}, Runtime(context=attempt))


async def test_a_record_is_not_lost_when_the_worker_stops_right_after_the_commit(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    async with opened(model.url) as gpt4:
        attempt = await attempt_of(store, redis, waiting, gpt4, database=StoppedAtCommit(store.database))
        with pytest.raises(asyncio.CancelledError):
            await call_gpt4(STATE, Runtime(context=attempt))
    assert records(store) == []
    assert await resumed(store, redis, waiting)
    assert [bool(record["answer"]) for record in records(store)] == [True]
    assert await resumed(store, redis, waiting)
    assert len(records(store)) == 1


async def test_a_record_is_not_lost_when_the_worker_stops_while_it_is_written(
    waiting: UUID, store: Store, redis: Redis, model: Simulator, server: Postgres
) -> None:
    async with opened(model.url) as gpt4:
        attempt = await attempt_of(store, redis, waiting, gpt4)
        with psycopg.connect(server.superuser_url) as other:
            other.execute("LOCK TABLE audit_records IN SHARE MODE")
            under_way = asyncio.create_task(call_gpt4(STATE, Runtime(context=attempt)))
            while store.table.job(waiting)["enhancement"] is None:  # noqa: ASYNC110 -- another server's memory
                await asyncio.sleep(0.01)
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way
    assert records(store) == []
    assert await resumed(store, redis, waiting)
    assert len(records(store)) == 1


async def test_a_question_that_was_out_when_the_worker_stopped_has_its_record(
    waiting: UUID, store: Store, redis: Redis, model: Simulator
) -> None:
    model.order(kind="stall", times=1)
    async with opened(model.url) as gpt4:
        attempt = await attempt_of(store, redis, waiting, gpt4)
        under_way = asyncio.create_task(call_gpt4(STATE, Runtime(context=attempt)))
        while not model.requests(operation="chat"):  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0.01)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
    assert not await resumed(store, redis, waiting)
    (record,) = records(store)
    assert (record["answer"], record["reason"]) == (None, "stopped while it was asked")
    assert "Mailbox of [PERSON_1] is full" in record["sent"]
