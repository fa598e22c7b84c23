"""Housekeeping's checks of desks and models on behalf of the console.

The console has neither their credentials nor a network path to them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from cli.pilot.free_ports import free_port
from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from integrations.probes import DeskProbe, ModelProbe, ProbeTarget
from jobs.diagnosis.facts import sought_of
from jobs.probe_requests import ANSWER, QUESTIONS, NoAnswerError, ProbeClient, ProbeRequest, ProbeRequests
from tests.jobs.diagnosis.known import JOB_ID, NOW, job
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.simulators import Simulator
from tests.kit.tenants_toml import given
from worker.scheduler.probes import ProbeServer
from workflow.answer import Content
from workflow.note import to_html

Console = Callable[..., AbstractAsyncContextManager[ProbeClient]]
Answer = TypeVar("Answer", DeskProbe, ModelProbe)


class PatientClient(ProbeClient):
    """Asks again if a busy machine used up the limit of one or two seconds."""

    async def desk(self, tenant_id: str | None, sought: ProbeTarget) -> DeskProbe:
        return await in_time(partial(super().desk, tenant_id, sought))

    async def model(self, tenant_id: str | None) -> ModelProbe:
        return await in_time(partial(super().model, tenant_id))


async def in_time(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    async with asyncio.timeout(60):
        while "answer within" in (answer := await ask()).failure:
            pass
    return answer


@pytest.fixture
def console(redis_url: str, redis: Redis, desks: Simulator, model: Simulator) -> Console:
    @asynccontextmanager
    async def looking(**changed: object) -> AsyncIterator[ProbeClient]:
        values: dict[str, object] = {
            "SERVICEDESK_URL_ACME": f"{desks.url}/acme",
            "SERVICEDESK_API_KEY_ACME": "acme-key",
            "acme.servicedesk.rate_per_minute": 6000,
        } | changed
        stores: dict[str, Any] = {"database_url": "postgresql://nobody@127.0.0.1/x", "redis_url": redis_url}
        of_process = HousekeepingSettings(**stores, openai_base_url=f"{model.url}/v1")
        server = ProbeServer(TenantDirectory(lambda: given(values)), of_process, redis)
        running, probes = asyncio.create_task(server.run()), PatientClient(redis_url)
        yield probes
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        await probes.close()

    return looking


async def test_a_ticket_and_the_model_are_looked_at(console: Console, desks: Simulator, model: Simulator) -> None:
    ticket_id = new_ticket(desks)
    async with console() as probes:
        seen, server = await asyncio.gather(probes.desk("acme", ProbeTarget(ticket_id)), probes.model("acme"))
        gone = await probes.desk("acme", ProbeTarget("999999"))
    assert (seen.asked, seen.failure, seen.ticket, seen.note, seen.numbers[0]) == (True, "", "open", None, ticket_id)
    assert (server.asked, server.failure) == (True, "")
    assert (gone.asked, gone.ticket) == (True, "gone")
    assert model.requests(operation="chat") == []


async def test_the_note_of_a_job_is_looked_for(console: Console, desks: Simulator) -> None:
    ticket_id = new_ticket(desks)
    done = job("completed", ticket_id=ticket_id, note_id="4711", note_attempted_at=NOW)
    async with console() as probes, opened(settings(desks.url)) as worker:
        missing = await probes.desk("acme", sought_of(ticket_id, done))
        note_id = await worker.add_note(ticket_id, to_html(Content(summary="s"), JOB_ID, "m"))
        there = await probes.desk("acme", ProbeTarget(ticket_id, JOB_ID, note_id=note_id))
        by_another = await probes.desk("acme", ProbeTarget(ticket_id, any_note=True))
    assert (missing.ticket, missing.note) == ("open", False)
    assert (there.note, by_another.note) == (True, True)


async def test_a_look_that_fails_says_why(console: Console, desks: Simulator) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    own = {"acme.openai.base_url": f"{nowhere}/v1", "OPENAI_API_KEY_ACME": "sk-of-acme"}
    async with console(SERVICEDESK_URL_ACME=nowhere, **own) as probes:
        desk, server = await asyncio.gather(probes.desk("acme", ProbeTarget("1")), probes.model("acme"))
        unknown = await probes.desk("initech", ProbeTarget("1")), await probes.model("initech")
    assert (desk.asked, desk.failure) == (True, "ServiceDesk Plus API: connection")
    assert (server.asked, bool(server.failure)) == (True, True)
    assert [look.failure for look in unknown] == ["housekeeping does not know the tenant"] * 2
    assert desks.requests(operation="read_ticket") == []


async def test_what_is_no_number_is_never_part_of_an_address(console: Console, desks: Simulator) -> None:
    before = len(desks.requests())
    odd = ["", "[]", '{"number": "1/../../users"}', '{"number": "1\\n"}', '{"number": "1", "note_id": "../2"}']
    async with console() as probes:
        asked = [probes.request("desk", "acme", about) for about in odd]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [NoAnswerError] * len(odd)
        assert len(desks.requests()) == before
        assert (await probes.desk("acme", ProbeTarget("1"))).asked


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
    first = asyncio.create_task(asking.request("desk", "acme", '{"number": "124"}'))
    asked = await taken(questions)
    second = asyncio.create_task(asking.request("model", "globex"))
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
        await asking.request("model", "acme")
    assert 0 < await redis.ttl(QUESTIONS) <= 10
    assert await ProbeRequests(redis).take() is None
    assert await redis.llen(QUESTIONS) == 0


async def test_of_a_flood_the_newest_questions_are_kept(asking: ProbeClient, redis: Redis) -> None:
    await redis.rpush(QUESTIONS, *["old"] * 500)
    task = asyncio.create_task(asking.request("model", "acme"))
    while await redis.lindex(QUESTIONS, -1) == "old" and not task.done():  # noqa: ASYNC110 -- another server's memory
        await asyncio.sleep(0)
    assert await redis.llen(QUESTIONS) == 32
    questions = ProbeRequests(redis)
    await questions.answer(await taken(questions), "answered")
    assert await task == "answered"


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
        await asking.request("model", "acme")
    await asking.close()


@pytest.mark.parametrize("answer", ["", "no JSON", "[]", '{"ticket": "lost"}', '{"asked": "perhaps"}'])
async def test_an_answer_that_cant_be_read_is_no_look(answer: str, asking: ProbeClient, redis: Redis) -> None:
    questions = ProbeRequests(redis)
    looks = asyncio.gather(asking.desk("acme", ProbeTarget("124")), asking.model("acme"))
    while not looks.done():
        if (question := await questions.take()) is not None:
            await questions.answer(question, answer)
    desk, model = await looks
    assert (desk.asked, "can't be read" in desk.failure) == (False, True)
    assert model.asked is False


async def test_nobody_is_asked_about_a_ticket_of_no_tenant(asking: ProbeClient, redis: Redis) -> None:
    failures = [(await asking.desk(None, ProbeTarget("124"))).failure, (await asking.model(None)).failure]
    assert (failures, await redis.keys()) == (["this process does not know the tenant"] * 2, [])
