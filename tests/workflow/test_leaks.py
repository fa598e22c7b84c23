"""Nothing personal leaves: what a model receives has no value of thousands of tickets that are full of them."""

import random
import re
from typing import Any

import pytest

from integrations.values import Usage
from tests.kit.model import opened
from tests.kit.simulators import Simulator
from tests.workflow.asking import asked
from tests.workflow.personal import PersonalTicket, case_by
from workflow.attempt import GraphState
from workflow.enhancement import Enhancement

_ROUNDS = 20
_A_ROUND = 100


def state_of(case: PersonalTicket) -> GraphState:
    return {
        "ticket": case.ticket,
        "conversation": case.conversation,
        "similar_tickets": [case.similar],
        "documents": [case.document],
    }


def flat(text: str) -> str:
    """A text without what is written now this way, now that."""
    return re.sub(r"[\s().,/+-]", "", text).casefold()


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(_ROUNDS))
async def test_no_value_of_a_ticket_is_in_what_the_model_receives(round_: int, model: Simulator) -> None:
    chance = random.Random(round_)  # noqa: S311 -- the same tickets each time
    cases = [case_by(chance) for _ in range(_A_ROUND)]
    async with opened(model.url) as client:
        for case in cases:
            question = asked(state_of(case))
            await client.ask(question.prompt, Enhancement, _ignored)
    received: list[dict[str, Any]] = model.requests(operation="chat")
    assert len(received) == _A_ROUND
    sent = [flat("".join(message["content"] for message in each["payload"]["messages"][1:])) for each in received]
    leaks = [
        (value, case.ticket.ticket_id)
        for case, text in zip(cases, sent, strict=True)
        for value in case.values
        if flat(value) in text
    ]
    assert leaks == []


def _ignored(_usage: Usage) -> None:
    pass
