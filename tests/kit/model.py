"""Test requests to a GPT-4 for an enhancement."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from integrations.errors import ExternalError
from integrations.http import STRAIGHT, EgressConfig
from integrations.llm.client import ModelClient, ModelOptions
from integrations.resilience import Breaker, Hold
from integrations.values import DeskTicket, ModelAnswer, Prompt
from knowledge.models import Document, SimilarTicket
from workflow.answer import Enhancement
from workflow.prompt import Instructions, PromptContext, case_of
from workflow.state import GraphState

TICKET = DeskTicket("12345", "Mailbox full", "Zoë can't send mail: the mailbox is full.", "High", "Email", "Open", "")
SIMILAR = [SimilarTicket("101", "Mailbox full again", "Archived the mail of last year. Raised the quota.")]
DOCUMENTS = [Document("Mail quotas", "Open the console. Choose the mailbox. Raise its quota.")]
STATE: GraphState = {"ticket": TICKET, "similar_tickets": SIMILAR, "documents": DOCUMENTS}
BARE: GraphState = {"ticket": TICKET, "similar_tickets": [], "documents": []}


def as_it_is(text: str, *, own: bool = True) -> str:  # noqa: ARG001 -- as `Masking.mask`
    return text


def case_in(state: GraphState, budget: int = 32_000) -> PromptContext:
    conversation, similar, documents = state.get("conversation", ()), state["similar_tickets"], state["documents"]
    return case_of(state["ticket"], conversation, similar, documents, as_it_is, budget)


PROMPT: Prompt = Instructions().prompt(case_in(STATE))


@asynccontextmanager
async def opened(
    url: str,
    *,
    key: str = "sk-test",
    idle: float = 5,
    total: float = 10,
    model: str = "gpt-6-luna",
    breaker: Breaker | None = None,
    egress: EgressConfig = STRAIGHT,
    hold: Hold | None = None,
    options: ModelOptions | None = None,
) -> AsyncIterator[ModelClient]:
    client = ModelClient(
        api_key=key,
        base_url=f"{url}/v1",
        model=model,
        idle_seconds=idle,
        total_seconds=total,
        connections=16,
        egress=egress,
        breaker=breaker or Breaker("model", "model unavailable"),
        hold=hold,
        options=options or ModelOptions(),
    )
    try:
        yield client
    finally:
        await client.close()


async def ask(url: str, *, key: str = "sk-test", idle: float = 5, total: float = 10) -> ModelAnswer[Enhancement]:
    async with opened(url, key=key, idle=idle, total=total) as client:
        return await client.complete(PROMPT, Enhancement)


async def failure_of(url: str, *, key: str = "sk-test", idle: float = 5, total: float = 10) -> ExternalError:
    with pytest.raises(ExternalError) as failed:
        await ask(url, key=key, idle=idle, total=total)
    return failed.value
