"""Requests over Redis: an answer or a reason within two seconds, no leftovers."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from dev.stack.free_ports import free_port
from integrations.probes import Sought
from jobs.probe_requests import ANSWER, QUESTIONS, NoAnswerError, ProbeClient, ProbeRequest, ProbeRequests


@pytest.fixture
async def asking(redis_url: str, redis: Redis) -> AsyncIterator[ProbeClient]:  # noqa: ARG001 -- emptied by it
    opened = ProbeClient(redis_url)
    yield opened
    await opened.close()


async def taken(questions: ProbeRequests) -> ProbeRequest:
    async with asyncio.timeout(20):
        while (question := await questions.take()) is None:
            pass
    return question


async def test_a_question_is_answered_to_the_one_who_asked(asking: ProbeClient, redis: Redis) -> None:
    questions = ProbeRequests(redis)
    first = asyncio.create_task(asking.ask("desk", "acme", '{"number": "124"}'))
    asked = await taken(questions)
    second = asyncio.create_task(asking.ask("model", "globex"))
    other = await taken(questions)
    assert (asked.kind, asked.tenant_id, asked.about) == ("desk", "acme", '{"number": "124"}')
    assert (other.kind, other.tenant_id, other.about) == ("model", "globex", "")
    await questions.answer(other, "to the second")
    await questions.answer(asked, "to the first")
    assert (await first, await second) == ("to the first", "to the second")
    assert await redis.keys() == []
    # An answer that nobody waits for any more goes by itself.
    await questions.answer(asked, "late")
    assert 0 < await redis.ttl(f"{ANSWER}{asked.id}") <= 10


async def test_without_an_answer_it_is_said_and_the_question_is_dropped(asking: ProbeClient, redis: Redis) -> None:
    with pytest.raises(NoAnswerError, match="housekeeping did not answer within 2 s"):
        await asking.ask("model", "acme")
    assert 0 < await redis.ttl(QUESTIONS) <= 10
    assert await ProbeRequests(redis).take() is None
    assert await redis.llen(QUESTIONS) == 0


async def test_of_a_flood_the_newest_questions_are_kept(asking: ProbeClient, redis: Redis) -> None:
    await redis.rpush(QUESTIONS, *["old"] * 500)
    asked = asyncio.create_task(asking.ask("model", "acme"))
    while await redis.lindex(QUESTIONS, -1) == "old" and not asked.done():  # noqa: ASYNC110 -- another server's memory
        await asyncio.sleep(0)
    assert await redis.llen(QUESTIONS) == 32
    questions = ProbeRequests(redis)
    await questions.answer(await taken(questions), "answered")
    assert await asked == "answered"


GOOD = {"id": "01936b2e-7c1a-7000-8000-0123456789ab", "kind": "desk", "tenant_id": "acme", "about": "", "until": 4e9}


@pytest.mark.parametrize(
    "changed",
    [
        *({"id": "celery"}, {"kind": "shell"}, {"tenant_id": "Acme/../globex"}, {"about": "x" * 1001}),
        *({"until": "soon"}, {"until": 1}),
    ],
)
async def test_what_is_no_question_of_ours_is_dropped(changed: dict[str, object], redis: Redis) -> None:
    questions = ProbeRequests(redis)
    await redis.rpush(QUESTIONS, json.dumps(GOOD | changed))
    assert await questions.take() is None
    await redis.rpush(QUESTIONS, "no JSON", json.dumps(GOOD))
    assert await questions.take() is None
    assert (await taken(questions)).kind == "desk"


async def test_without_redis_it_is_said_at_once() -> None:
    asking = ProbeClient(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(NoAnswerError, match="Redis does not answer"):
        await asking.ask("model", "acme")
    await asking.close()


@pytest.mark.parametrize("answer", ["", "no JSON", "[]", '{"ticket": "lost"}', '{"asked": "perhaps"}'])
async def test_an_answer_that_cant_be_read_is_no_look(answer: str, asking: ProbeClient, redis: Redis) -> None:
    questions = ProbeRequests(redis)
    looks = asyncio.gather(asking.desk("acme", Sought("124")), asking.model("acme"))
    while not looks.done():
        if (question := await questions.take()) is not None:
            await questions.answer(question, answer)
    desk, model = await looks
    assert (desk.asked, "can't read" in desk.failure) == (False, True)
    assert model.asked is False


async def test_nobody_is_asked_about_a_ticket_of_no_tenant(asking: ProbeClient, redis: Redis) -> None:
    failures = [(await asking.desk(None, Sought("124"))).failure, (await asking.model(None)).failure]
    assert (failures, await redis.keys()) == (["this process does not know the tenant"] * 2, [])
