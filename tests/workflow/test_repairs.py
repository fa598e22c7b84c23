"""GPT-4's delayed repair call: the paid first answer is not paid for again."""

import asyncio
from uuid import UUID

import pytest
from langgraph.runtime import Runtime
from redis.asyncio import Redis

from integrations.errors import HeldBack, ModelRefused, ModelUnavailable
from integrations.model.client import ModelClient
from integrations.resilience import Breaker
from storage import by_hand, claims
from storage.claims import Claim
from storage.session import Database
from tests.kit.clock import Clock
from tests.kit.model import DOCUMENTS, SIMILAR, TICKET, opened
from tests.kit.postgres import DEADLINE, Table, attempt_at, claimed
from tests.kit.simulators import Simulator
from workflow.attempt import GraphState
from workflow.kept_answers import AnswersInRedis
from workflow.nodes.call_gpt4 import call_gpt4
from workflow.ports import Kept

STATE: GraphState = {"ticket": TICKET, "similar_tickets": SIMILAR, "documents": DOCUMENTS}


async def called(gpt4: ModelClient, claim: Claim, database: Database, redis: Redis) -> GraphState:
    attempt = attempt_at(claim, database, model=gpt4, answers=AnswersInRedis(redis, 60))
    return await call_gpt4(STATE, Runtime(context=attempt))


def roles(model: Simulator) -> list[int]:
    """Return the number of messages of each request: 2 for an answer, 4 for a repair."""
    return [len(request["payload"]["messages"]) for request in model.requests(operation="chat")]


async def test_a_repair_that_failed_for_now_is_all_that_the_next_attempt_asks_for(
    waiting: UUID, database: Database, redis: Redis, model: Simulator
) -> None:
    model.order(kind="malformed", times=1)
    model.order(kind="status", code=503, times=1)
    async with opened(model.url) as gpt4:
        first = await claimed(database, waiting)
        with pytest.raises(ModelUnavailable):
            await called(gpt4, first, database, redis)
        await claims.retry_later(database, first, 0, "OpenAI API: 503")
        state = await called(gpt4, await claimed(database, waiting), database, redis)
    assert state["content"].summary
    assert roles(model) == [2, 4, 4]
    assert len(model.look("/answers")["answers"]) == 2
    assert await redis.keys("masked-unusable:*") == []


async def test_a_repair_that_is_held_back_is_all_that_the_next_attempt_asks_for(
    waiting: UUID, database: Database, redis: Redis, model: Simulator
) -> None:
    """The breaker opens during the first answer: other jobs met a model that is down."""
    model.order(kind="malformed", times=1)
    clock = Clock(0)
    breaker = Breaker("model", "model unavailable", most_failures=1, monotonic=clock)
    async with opened(model.url, breaker=breaker) as gpt4:
        first = await claimed(database, waiting)
        under_way = asyncio.create_task(called(gpt4, first, database, redis))
        while not model.requests(operation="chat"):  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0)
        with pytest.raises(ModelUnavailable), breaker.watch():
            raise ModelUnavailable("503 Service Unavailable")
        with pytest.raises(HeldBack):
            await under_way
        await claims.hold_back(database, first, 0, "model unavailable")
        clock.now += 60
        await called(gpt4, await claimed(database, waiting), database, redis)
    assert roles(model) == [2, 4]
    assert len(model.look("/answers")["answers"]) == 2


async def test_a_job_that_failed_with_its_repair_asks_anew_when_a_person_retries_it(
    waiting: UUID, database: Database, redis: Redis, model: Simulator, table: Table
) -> None:
    model.order(kind="malformed", times=2)
    async with opened(model.url) as gpt4:
        first = await claimed(database, waiting)
        with pytest.raises(ModelRefused):
            await called(gpt4, first, database, redis)
        await claims.fail(database, first, "OpenAI API: invalid answer")
        await by_hand.retry(database, waiting, DEADLINE)
        await called(gpt4, await claimed(database, waiting), database, redis)
    assert roles(model) == [2, 4, 2]
    assert table.job(waiting)["enhancement"]["summary"]


async def test_a_repaired_answer_is_safe_before_redis_is_told_to_forget_the_text(
    waiting: UUID, database: Database, redis: Redis, model: Simulator, table: Table
) -> None:
    """A worker that stops during a slow Redis call must not lose the answer."""

    class SlowRedis(AnswersInRedis):
        def __init__(self) -> None:
            super().__init__(redis, 60)
            self.asked = asyncio.Event()

        async def drop(self, job_id: UUID, *what: Kept) -> None:
            self.asked.set()
            await asyncio.sleep(30)
            await super().drop(job_id, *what)

    model.order(kind="malformed", times=1)
    answers = SlowRedis()
    async with opened(model.url) as gpt4:
        attempt = attempt_at(await claimed(database, waiting), database, model=gpt4, answers=answers)
        under_way = asyncio.ensure_future(call_gpt4(STATE, Runtime(context=attempt)))
        await asyncio.wait_for(answers.asked.wait(), 10)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
    assert table.job(waiting)["enhancement"]["summary"]
