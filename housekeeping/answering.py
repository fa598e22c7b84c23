"""Looks at desks and models for the console, which has no route or credentials.

Each housekeeping process answers (`dispatch.asking`), leader or not, and without the database.
"""

import asyncio

from pydantic import ValidationError
from redis.asyncio import Redis

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from dispatch.asking import LookQuestion, LookQuestions
from dispatch.queue import QueueUnavailableError
from integrations.looks import (
    DESK_LOOK,
    MODEL_LOOK,
    SOUGHT,
    DeskLook,
    ModelLook,
    NoteMarks,
    look_at_desk,
    look_at_model,
)
from observability import phrases, tracing
from observability.logging import say
from workflow.note import is_note, is_note_of

_AT_ONCE = 4
# After each look, so that a flood of questions causes at most eight looks in a second. Their calls yield to all jobs.
_PAUSE_SECONDS = 0.5
_WITHOUT_REDIS_SECONDS = 5.0
_MARKS = NoteMarks(is_note_of, is_note)
_UNKNOWN = "housekeeping does not know the tenant"


class Answering:
    """Answers several questions at once."""

    def __init__(self, tenants: TenantDirectory, settings: HousekeepingSettings, redis: Redis) -> None:
        self._tenants = tenants
        self._settings = settings
        self._redis = redis
        self._questions = LookQuestions(redis)

    async def run(self) -> None:
        with tracing.untraced():
            await asyncio.gather(*(self._answer_each() for _ in range(_AT_ONCE)))

    async def _answer_each(self) -> None:
        while True:
            try:
                question = await self._questions.take()
                if question is None:
                    continue
                answer = await self._look(question)
                if answer is not None:
                    await self._questions.answer(question, answer.decode())
                await asyncio.sleep(_PAUSE_SECONDS)
            except QueueUnavailableError:
                # Not logged: the caller gets a failure, and processes that need Redis for jobs have logged it.
                await asyncio.sleep(_WITHOUT_REDIS_SECONDS)
            except Exception as failure:  # noqa: BLE001 -- one odd question must not end the others
                say(phrases.LOOK_FAILED, reason="unexpected failure", failure=failure)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self, question: LookQuestion) -> bytes | None:
        tenant = self._tenants.get(question.tenant_id)
        if question.kind == "model":
            model = ModelLook(failure=_UNKNOWN) if tenant is None else await look_at_model(tenant, self._settings)
            return MODEL_LOOK.dump_json(model)
        try:
            sought = SOUGHT.validate_json(question.about)
        except ValidationError:
            return None
        if tenant is None:
            return DESK_LOOK.dump_json(DeskLook(failure=_UNKNOWN))
        return DESK_LOOK.dump_json(await look_at_desk(tenant, self._settings, self._redis, sought, _MARKS))
