"""GPT-4 answers that the database could not store, kept for the next attempt."""

from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from devstack.free_ports import free_port
from dispatch.queue import open_redis
from workflow.kept_answers import AnswersInRedis, Kept, UnusableAnswer

JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
ANSWER = {"summary": "Zoë's \u202e mailbox", "next_steps": ["a"]}


async def test_an_answer_comes_back_as_it_was_kept_and_ends_with_its_job(redis: Redis) -> None:
    answers = AnswersInRedis(redis, 1800)
    assert await answers.get(Kept.ANSWER, JOB) is None
    await answers.put(Kept.ANSWER, JOB, (ANSWER, "gpt-6-luna"))
    assert await answers.get(Kept.ANSWER, JOB) == (ANSWER, "gpt-6-luna")
    assert await answers.get(Kept.ANSWER, uuid4()) is None
    (key,) = await redis.keys("*")
    assert 1700 < await redis.ttl(key) <= 1800


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


async def test_a_text_that_is_to_be_repaired_is_no_answer(redis: Redis) -> None:
    answers = AnswersInRedis(redis, 1800)
    for text in ("", "{ Zoë's \u202e"):
        unusable = UnusableAnswer(text, {"[PERSON_1]": "Zoë"})
        await answers.put(Kept.UNUSABLE, JOB, unusable)
        assert await answers.get(Kept.UNUSABLE, JOB) == unusable
        assert await answers.get(Kept.ANSWER, JOB) is None
        assert await answers.get(Kept.UNUSABLE, uuid4()) is None
        (key,) = await redis.keys("*")
        assert 1700 < await redis.ttl(key) <= 1800
    await answers.drop(JOB, Kept.UNUSABLE)
    assert await answers.get(Kept.UNUSABLE, JOB) is None
