"""The path from question to note without job and desk, as in `workflow.nodes`."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from config.tenants import Tenant
from dev.evaluation.cases import EvaluatedTicket
from integrations.errors import DeferredError, ExternalError
from integrations.values import Usage
from workflow.answer import Content, Enhancement
from workflow.note import to_html
from workflow.ports import Model
from workflow.prompt import CURRENT
from workflow.question import ModelQuestion, question_of
from workflow.state import Attempt

_NO_JOB = UUID(int=0)


@dataclass(frozen=True, slots=True)
class TicketRun:
    """The result of one question."""

    case: EvaluatedTicket
    question: ModelQuestion
    usage: Usage
    seconds: float
    repaired: bool = False
    answer: Enhancement | None = None
    content: Content | None = None
    note: str = ""
    failed: str = ""
    """The reason for a missing answer: refused, unusable, or no connection."""


class _TicketOfNoJob:
    """The parts of an attempt that a question needs, with default settings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model = self.desk = self

    def tenant_settings(self) -> Tenant:
        return Tenant("acme")

    def link_to(self, ticket_id: str) -> str:
        return f"https://desk.acme.example/{ticket_id}"


def question_about(case: EvaluatedTicket, model: str, version: str = CURRENT) -> ModelQuestion:
    return question_of(cast(Attempt, _TicketOfNoJob(model)), case.state, version=version)


async def run_ticket(case: EvaluatedTicket, model: Model, version: str) -> TicketRun:
    """Query the model about a ticket and build the note; failures are returned."""
    question = question_about(case, model.name, version)
    paid, repaired = Usage(), False

    def count(usage: Usage) -> None:
        nonlocal paid
        paid = paid.plus(usage)

    async def note_repair(_text: str) -> None:
        nonlocal repaired
        repaired = True

    began = time.monotonic()
    try:
        answer = await model.complete(
            question.prompt,
            Enhancement,
            count,
            unusable=None,
            on_unusable=note_repair,
            on_unanswered=lambda _: None,
        )
    except (ExternalError, DeferredError) as failure:
        seconds = time.monotonic() - began
        return TicketRun(case, question, paid, seconds, repaired, failed=failure.reason)
    seconds = time.monotonic() - began
    content = question.content(answer.content, nothing_found=case.state["nothing_found"])
    note = to_html(content, _NO_JOB, answer.model)
    return TicketRun(case, question, paid, seconds, repaired, answer.content, content, note)


async def run_tickets(cases: Sequence[EvaluatedTicket], model: Model, version: str, at_once: int) -> list[TicketRun]:
    slots = asyncio.Semaphore(at_once)

    async def run(case: EvaluatedTicket) -> TicketRun:
        async with slots:
            return await run_ticket(case, model, version)

    return list(await asyncio.gather(*map(run, cases)))
