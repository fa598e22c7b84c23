"""Erasure of a job during the GPT-4 call: no part of the answer is stored."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from redis.asyncio import Redis

from integrations.model.client import ModelClient
from storage import by_hand, erasure
from storage.erasure import Which
from storage.session import Database
from tests.kit import desk
from tests.kit import model as gpt4
from tests.kit.by_id import run_job
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE, Store, Table
from tests.kit.runner import TICKET, runner_on
from tests.kit.simulators import Simulator
from workflow.kept_answers import AnswersInRedis
from workflow.ports import Kept


class MeanwhileForgotten:
    """A model whose ticket is erased once its answer is complete and repaired."""

    def __init__(self, real: ModelClient, forget: Callable[[], Awaitable[object]]) -> None:
        self._real = real
        self._forget = forget

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def ask(self, *given: Any, **named: Any) -> Any:
        answer = await self._real.ask(*given, **named)
        await named["on_unusable"]("{ the ticket's text")
        await self._forget()
        return answer


@pytest.mark.parametrize(
    "which",
    [Which("acme", ticket_id="12345"), Which("acme", requester="zoe@acme.example")],
    ids=["ticket", "requester"],
)
async def test_its_answer_is_kept_neither_in_the_row_nor_in_redis_and_nothing_fails(
    which: Which, waiting: UUID, redis: Redis, model: Simulator, start_log: StartLog, store: Store
) -> None:
    stream = start_log()

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.method == "GET"
        request_with = {"id": "12345", "subject": "S", "requester": {"email_id": "Zoe@acme.example"}}
        return httpx2.Response(200, json=TICKET | {"request": request_with})

    async with (
        desk.opened(desk.settings("http://desk"), transport=httpx2.MockTransport(answer)) as its_desk,
        gpt4.opened(model.url) as real,
    ):
        asked: Any = MeanwhileForgotten(real, lambda: erasure.erase(store.database, which))
        runner = replace(
            runner_on(its_desk, store.database, store.database),
            model_of=lambda _: asked,
            answers=AnswersInRedis(redis, 60),
        )
        assert await run_job(runner, waiting)
    row = store.table.job(waiting)
    assert (row["state"], row["reason"], row["enhancement"]) == ("skipped", "forgotten", None)
    assert await redis.keys("*:*") == []
    told = stream.getvalue()
    assert f"Task skipped: job_id={waiting}, ticket_id=12345, reason=forgotten" in told
    assert "error" not in told.lower()


async def test_what_an_earlier_attempt_left_in_redis_goes_when_it_is_found_forgotten(
    waiting: UUID, database: Database, table: Table, redis: Redis
) -> None:
    """Redis was unavailable at the erasure, and an operator retries the job."""
    table.change(waiting, started_at="now()", attempt=1)
    await erasure.erase(database, Which("acme", ticket_id="12345"))
    await by_hand.retry(database, waiting, DEADLINE)
    answers = AnswersInRedis(redis, 60)
    await answers.put(Kept.ANSWER, waiting, ({"summary": "the ticket's text"}, "m"))
    await answers.put(Kept.UNUSABLE, waiting, "{ the ticket's text")
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=TICKET))
    async with desk.opened(desk.settings("http://desk"), transport=transport) as its_desk:
        assert await run_job(replace(runner_on(its_desk, database, database), answers=answers), waiting)
    row = table.job(waiting)
    assert (row["state"], row["reason"]) == ("skipped", "forgotten")
    assert await redis.keys("*:*") == []
