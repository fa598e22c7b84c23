"""Requests to a model, without any personal value of thousands of tickets."""

import asyncio
import random
import re
from typing import Any

import pytest

from integrations.values import Usage
from tests.kit.model import opened
from tests.kit.simulators import Simulator
from tests.workflow.asking import asked
from tests.workflow.personal import PersonalTicket, case_by
from workflow.answer import Enhancement
from workflow.question import ModelQuestion
from workflow.state import GraphState

_ROUNDS = 20
_A_ROUND = 100
_AT_ONCE = 8


def state_of(case: PersonalTicket) -> GraphState:
    return {
        "ticket": case.ticket,
        "conversation": case.conversation,
        "similar_tickets": [case.similar],
        "documents": [case.document],
    }


def flat(text: str) -> str:
    """Return a text without variations of spelling."""
    return re.sub(r"[\s().,/+-]", "", text).casefold()


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(_ROUNDS))
async def test_no_value_of_a_ticket_is_in_what_the_model_receives(round_: int, model: Simulator) -> None:
    chance = random.Random(round_)  # noqa: S311 -- the same tickets each time
    cases = [case_by(chance) for _ in range(_A_ROUND)]
    questions = [asked(state_of(case)) for case in cases]
    async with opened(model.url) as client, asyncio.TaskGroup() as all_of_them:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def ask(question: ModelQuestion) -> None:
            async with turns:
                await client.ask(question.prompt, Enhancement, _ignored)

        for question in questions:
            all_of_them.create_task(ask(question))
    received: list[dict[str, Any]] = model.requests(operation="chat")
    texts = ["".join(message["content"] for message in each["payload"]["messages"][1:]) for each in received]
    case_of = {question.prompt.user: case for question, case in zip(questions, cases, strict=True)}
    # Their order is arbitrary.
    assert sorted(texts) == sorted(case_of)
    leaks = [
        (value, case.ticket.ticket_id)
        for case, text in ((case_of[text], flat(text)) for text in texts)
        for value in case.values
        if flat(value) in text
    ]
    assert leaks == []


def _ignored(_usage: Usage) -> None:
    pass
