"""Answers and repairs that one attempt keeps in Redis for the next."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from langgraph.runtime import Runtime
from redis.asyncio import Redis

from devstack.free_ports import free_port
from dispatch.queue import open_redis
from integrations.errors import HeldBack, ModelRefused, ModelUnavailable
from integrations.resilience import Breaker
from storage import by_hand, claims
from tests.kit.clock import Clock
from tests.kit.model import opened
from tests.kit.postgres import DEADLINE, Store, claimed
from tests.kit.simulators import Simulator
from tests.workflow.place import MAILBOX, Asking
from workflow.kept_answers import AnswersInRedis, Kept, UnusableAnswer
from workflow.nodes.call_gpt4 import call_gpt4

JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
ANSWER = {"summary": "Zoë's \u202e mailbox", "next_steps": ["a"]}


UNUSABLE = UnusableAnswer("{ Zoë's \u202e", {"[PERSON_1]": "Zoë"})


@pytest.mark.parametrize(
    ("what", "value", "other"),
    [
        (Kept.ANSWER, (ANSWER, "gpt-6-luna"), Kept.UNUSABLE),
        (Kept.UNUSABLE, UNUSABLE, Kept.ANSWER),
        (Kept.UNUSABLE, UnusableAnswer("", {}), Kept.ANSWER),
    ],
)
async def test_a_value_comes_back_as_it_was_kept_and_ends_with_its_job(
    what: Kept, value: Any, other: Kept, redis: Redis
) -> None:
    answers = AnswersInRedis(redis, 1800)
    assert await answers.get(what, JOB) is None
    await answers.put(what, JOB, value)
    assert await answers.get(what, JOB) == value
    assert await answers.get(what, uuid4()) is await answers.get(other, JOB) is None
    (key,) = await redis.keys("*")
    assert 1700 < await redis.ttl(key) <= 1800
    await answers.drop(JOB, what)
    assert await answers.get(what, JOB) is None


@pytest.mark.parametrize("strange", ["", "not json", "[]", "[1, 2, 3]", "17", "null"])
async def test_what_is_no_answer_is_none(strange: str, redis: Redis) -> None:
    answers = AnswersInRedis(redis, 1800)
    await answers.put(Kept.ANSWER, JOB, (ANSWER, "m"))
    (key,) = await redis.keys("*")
    await redis.set(key, strange)
    assert await answers.get(Kept.ANSWER, JOB) is None


async def test_without_redis_an_answer_is_lost_and_nothing_else() -> None:
    away = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    answers = AnswersInRedis(away, 1800)
    await answers.put(Kept.ANSWER, JOB, (ANSWER, "m"))
    assert await answers.get(Kept.ANSWER, JOB) is None
    await answers.put(Kept.UNUSABLE, JOB, "{")
    assert await answers.get(Kept.UNUSABLE, JOB) is None
    await answers.drop(JOB, Kept.UNUSABLE)
    await away.aclose()


def roles(model: Simulator) -> list[int]:
    """Return the number of messages of each request: 2 for an answer, 4 for a repair."""
    return [len(request["payload"]["messages"]) for request in model.requests(operation="chat")]


async def test_a_repair_that_failed_for_now_is_all_that_the_next_attempt_asks_for(asking: Asking, redis: Redis) -> None:
    asking.model.order(kind="malformed", times=1)
    asking.model.order(kind="status", code=503, times=1)
    with pytest.raises(ModelUnavailable):
        await asking.call()
    asking.wait_again()
    assert (await asking.call())["content"].summary
    assert roles(asking.model) == [2, 4, 4]
    assert len(asking.model.look("/answers")["answers"]) == 2
    assert await redis.keys("masked-unusable:*") == []


async def test_a_repair_that_is_held_back_is_all_that_the_next_attempt_asks_for(asking: Asking) -> None:
    """The breaker opens during the first answer: other jobs met a model that is down."""
    asking.model.order(kind="malformed", times=1)
    clock = Clock(0)
    breaker = Breaker("model", "model unavailable", most_failures=1, monotonic=clock)
    under_way = asyncio.create_task(asking.call(opening={"breaker": breaker}))
    await asking.received()
    with pytest.raises(ModelUnavailable), breaker.watch():
        raise ModelUnavailable("503 Service Unavailable")
    with pytest.raises(HeldBack):
        await under_way
    asking.wait_again()
    clock.now += 60
    await asking.call(opening={"breaker": breaker})
    assert roles(asking.model) == [2, 4]
    assert len(asking.model.look("/answers")["answers"]) == 2


async def test_a_job_that_failed_with_its_repair_asks_anew_when_a_person_retries_it(
    asking: Asking, store: Store
) -> None:
    asking.model.order(kind="malformed", times=2)
    with pytest.raises(ModelRefused):
        await asking.call()
    asking.wait_again()
    await claims.fail(store.database, await claimed(store.database, asking.job_id), "OpenAI API: invalid answer")
    await by_hand.retry(store.database, asking.job_id, DEADLINE)
    await asking.call()
    assert roles(asking.model) == [2, 4, 2]
    assert store.table.job(asking.job_id)["enhancement"]["summary"]


async def test_a_repaired_answer_is_safe_before_redis_is_told_to_forget_the_text(asking: Asking, redis: Redis) -> None:
    """A worker that stops during a slow Redis call must not lose the answer."""

    class SlowRedis(AnswersInRedis):
        asked = asyncio.Event()

        async def drop(self, job_id: UUID, *what: Kept) -> None:
            self.asked.set()
            await asyncio.sleep(30)
            await super().drop(job_id, *what)

    asking.model.order(kind="malformed", times=1)
    answers = SlowRedis(redis, 60)
    async with opened(asking.model.url) as gpt4:
        attempt = replace(await asking.attempt(gpt4), answers=answers)
        under_way = asyncio.ensure_future(call_gpt4(MAILBOX, Runtime(context=attempt)))
        await asyncio.wait_for(answers.asked.wait(), 10)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
    assert asking.store.table.job(asking.job_id)["enhancement"]["summary"]
