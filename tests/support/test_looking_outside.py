"""Addresses that the check requests at a desk, and the answers that it accepts."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from dispatch.asking import LookAsker, LookQuestions
from integrations.looks import SOUGHT, DeskLook, ModelLook, Sought
from support.diagnose.outside import HasHousekeepingLook, sought_of
from tests.support.known import JOB_ID, NOW, job

POSTED: dict[str, Any] = {"note_attempted_at": NOW}


@pytest.mark.parametrize(
    ("of", "sought"),
    [
        (None, Sought("124")),
        (job("waiting"), Sought("124")),
        (job("running", desk_id="900", **POSTED), Sought("900", JOB_ID, NOW)),
        (job("failed", "x", note_id="7", **POSTED), Sought("124", JOB_ID, NOW)),
        (job("completed", note_id="7", **POSTED), Sought("124", JOB_ID, NOW, "7")),
        (job("completed", note_id="", note_attempted_at=None), Sought("124", JOB_ID)),
        (job("skipped", "already enhanced"), Sought("124", any_note=True)),
        (job("skipped", "ticket not found"), Sought("124")),
    ],
)
def test_what_is_looked_for_follows_from_the_job(of: Any, sought: Sought) -> None:
    found = sought_of("124", of)
    assert found == sought
    assert SOUGHT.validate_json(SOUGHT.dump_json(found, exclude_defaults=True)) == sought


@pytest.mark.parametrize("answer", ["", "no JSON", "[]", '{"ticket": "lost"}', '{"asked": "perhaps"}'])
async def test_an_answer_that_cant_be_read_is_no_look(answer: str, redis_url: str, redis: Redis) -> None:
    asking, questions = LookAsker(redis_url), LookQuestions(redis)
    outside = HasHousekeepingLook(asking)
    asked = [asyncio.create_task(look) for look in (outside.desk("acme", "124", None), outside.model("acme"))]
    for _ in asked:
        while (question := await questions.take()) is None:
            pass
        await questions.answer(question, answer)
    desk, model = await asyncio.gather(*asked)
    await asking.close()
    assert isinstance(desk, DeskLook)
    assert isinstance(model, ModelLook)
    assert (desk.asked, "can't read" in desk.failure) == (False, True)
    assert model.asked is False


async def test_nobody_is_asked_about_a_ticket_of_no_tenant(redis_url: str, redis: Redis) -> None:
    asking = LookAsker(redis_url)
    outside = HasHousekeepingLook(asking)
    desk, model = await outside.desk(None, "124", None), await outside.model(None)
    await asking.close()
    assert {desk.failure, model.failure} == {"this process does not know the tenant"}
    assert await redis.keys() == []


def test_a_time_survives_the_way_over_redis() -> None:
    sought = Sought("1", JOB_ID, NOW - timedelta(microseconds=1))
    assert SOUGHT.validate_json(SOUGHT.dump_json(sought)) == sought
