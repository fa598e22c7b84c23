"""The check of an answer's claims by a second request."""

import asyncio
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from langgraph.runtime import Runtime
from redis.asyncio import Redis

from config.tenants import Tenant
from integrations.errors import DeferredError, ModelUnavailableError
from integrations.values import ModelAnswer, Person, Prompt, Unanswered, Usage
from tests.kit.model import STATE, opened
from tests.kit.postgres import Store, attempt_at, claimed
from tests.kit.simulators import Simulator
from tests.workflow.answers import answer, claims
from workflow.answer import Content, Enhancement
from workflow.claim_check import NO_TIME, OTHER_CLAIMS, VERSION, ClaimVerdicts
from workflow.nodes.call_gpt4 import call_gpt4
from workflow.nodes.resume import resume
from workflow.state import AttemptLimit, GraphState
from workflow.stored_answers import StoredAnswers

QUOTED = claims("Raise the quota.", sources=("ticket-101",), quote="Raised the quota.")
# General knowledge.
UNQUOTED = claims("Ask the user.")
CAUSE, STEP, GENERAL = 1, 2, 3
Check = Callable[[], list[dict[str, Any]]]


class ScriptedModel:
    """A model that gives one answer, and then `verdicts` on its claims."""

    provider, name, check_name, base_url = "openai", "gpt-6-luna", "gpt-6-luna", "https://models.example"

    def __init__(
        self, verdicts: Check, steps: list[dict[str, Any]] = QUOTED + UNQUOTED, *, cause: str = "The archive is full."
    ) -> None:
        self._verdicts, self._steps, self._cause = verdicts, steps, cause
        self.checked: list[dict[str, Any]] = []
        self.answers = 0
        self.checking = asyncio.Event()

    async def complete(
        self,
        prompt: Prompt,
        answer_type: Any,
        on_paid: Callable[[Usage], None],
        *,
        on_unanswered: Callable[[Unanswered], None],
        **_: Any,
    ) -> ModelAnswer[Any]:
        stated = {"text": self._cause, "sources": ["ticket-101"], "quote": "Archived the mail of last year."}
        content: Enhancement | ClaimVerdicts = answer(next_steps=self._steps, likely_cause=stated)
        if answer_type is ClaimVerdicts:
            self.checked.append(json.loads(prompt.user))
            self.checking.set()
            try:
                if self._verdicts is forever:
                    await asyncio.Event().wait()
                content = ClaimVerdicts.model_validate({"verdicts": self._verdicts()})
            except BaseException:
                on_unanswered(Unanswered("models.example", self.name, "stopped", Usage(), 5))
                raise
        else:
            self.answers += 1
        on_paid(Usage(10, 5))
        return ModelAnswer(content, 200, self.name, "id", "stop", Usage(10, 5), 5, 5, "models.example")


def forever() -> list[dict[str, Any]]:
    return []


def on(**verdicts: str) -> Check:
    numbers = {"cause": CAUSE, "step": STEP, "general": GENERAL}
    return lambda: [{"number": numbers[name], "reason": "", "verdict": said} for name, said in verdicts.items()]


def failing(failure: Exception) -> Check:
    def fail() -> list[dict[str, Any]]:
        raise failure

    return fail


class Job:
    """A job of a tenant that keeps audit records."""

    def __init__(self, job_id: UUID, store: Store, redis: Redis) -> None:
        self.id, self.store, self._redis = job_id, store, redis

    async def runtime(self, model: Any) -> Runtime[Any]:
        wanted = partial(Tenant, "acme", audit_days=30)
        claim = await claimed(self.store.database, self.id)
        answers = StoredAnswers(self._redis, 60)
        return Runtime(
            context=attempt_at(claim, self.store.database, model=model, answers=answers, tenant_settings=wanted)
        )

    async def content(self, model: Any, state: GraphState = STATE) -> Content:
        return (await call_gpt4(state, await self.runtime(model)))["content"]

    def records(self) -> list[tuple[str, bool]]:
        found = self.store.table.run("SELECT prompt, answer IS NOT NULL AS answered FROM audit_records ORDER BY at")
        return [(each["prompt"], each["answered"]) for each in found]


@pytest.fixture
def job(waiting: UUID, store: Store, redis: Redis) -> Job:
    return Job(waiting, store, redis)


@pytest.mark.parametrize(
    ("verdicts", "cause", "steps"),
    [
        (on(cause="supported", step="supported"), ["ticket-101"], [["ticket-101"], []]),
        (on(cause="unsupported", step="Supported."), [], [["ticket-101"], []]),
        (on(cause="supported", step="unsupported", general="unsupported"), ["ticket-101"], [[]]),
        (on(cause="supported", step="contradicted"), ["ticket-101"], [[]]),
        (on(cause="contradicted", step="not at all"), [], [[]]),
        (on(cause="supported", step="supported", general="contradicted"), ["ticket-101"], [["ticket-101"]]),
        # A missing number counts as unsupported, and others do not count.
        (on(step="supported"), [], [["ticket-101"], []]),
        (lambda: [*on(cause="supported")(), {"number": 9, "reason": "", "verdict": "supported"}], ["ticket-101"], [[]]),
        (lambda: 200 * on(cause="supported", step="supported")(), ["ticket-101"], [["ticket-101"], []]),
        # Of two, the worse counts.
        (lambda: [*on(step="contradicted")(), *on(cause="supported", step="supported")()], ["ticket-101"], [[]]),
        (on(cause="**Supported**", step="Supported, mostly"), ["ticket-101"], [["ticket-101"], []]),
    ],
)
async def test_a_claim_keeps_its_source_only_if_the_check_supports_it(
    verdicts: Check, cause: list[str], steps: list[list[str]], job: Job, log: io.StringIO
) -> None:
    model = ScriptedModel(verdicts)
    content = await job.content(model)
    assert (content.likely_cause.sources, [step.sources for step in content.next_steps]) == (cause, steps)
    assert content.removed == 3 - len(content.next_steps) - bool(content.likely_cause.text)
    assert not content.is_unchecked
    (checked,) = model.checked
    assert [(claim["number"], claim["quote"]) for claim in checked["claims"]] == [
        (CAUSE, "Archived the mail of last year."),
        (STEP, "Raised the quota."),
        (GENERAL, ""),
    ]
    # Any source may contradict general knowledge.
    assert len(checked["sources"]) == 2
    assert len(re.findall(r"claims_\w+: \d", log.getvalue())) == 3
    assert [prompt for prompt, _ in job.records()][-1] == VERSION
    assert bool(content.likely_cause.text) is bool(cause)
    if not cause:
        assert content.confidence != "high"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ModelUnavailableError("503 Service Unavailable"), "OpenAI API: 503 Service Unavailable"),
        (DeferredError("model out of credit", 30), "model out of credit"),
        (KeyError("number"), "unexpected failure"),
    ],
)
async def test_an_answer_with_a_failed_check_is_unchecked(
    failure: Exception, reason: str, job: Job, log: io.StringIO
) -> None:
    content = await job.content(ScriptedModel(failing(failure)))
    assert (content.is_unchecked, content.confidence) == (True, "medium")
    assert [step.sources for step in content.next_steps] == [["ticket-101"], []]
    assert f"Claims not checked: reason={reason}" in log.getvalue()
    assert job.records()[1:] == [(VERSION, False)]


@pytest.mark.parametrize("verdicts", [on(), lambda: [{"number": 9, "reason": "", "verdict": "supported"}]])
async def test_verdicts_of_other_claims_are_no_check(verdicts: Check, job: Job, log: io.StringIO) -> None:
    content = await job.content(ScriptedModel(verdicts))
    assert [step.sources for step in content.next_steps] == [["ticket-101"], []]
    assert content.is_unchecked
    assert f"Claims not checked: reason={OTHER_CLAIMS}" in log.getvalue()


async def test_without_time_left_there_is_no_check(job: Job, log: io.StringIO) -> None:
    model = ScriptedModel(on(cause="supported", step="supported"))
    runtime = await job.runtime(model)
    runtime.context.limit = AttemptLimit(20, 20)
    content = (await call_gpt4(STATE, runtime))["content"]
    assert (content.is_unchecked, model.checked) == (True, [])
    assert f"Claims not checked: reason={NO_TIME}" in log.getvalue()


async def test_claims_that_repeat_their_quotes_need_no_check(job: Job) -> None:
    said = claims("Archived the mail of last year", sources=("ticket-101",), quote="Archived the mail of last year.")
    model = ScriptedModel(on(), said, cause="Archived the mail of last year.")
    content = await job.content(model)
    assert (content.is_unchecked, model.checked) == (False, [])


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("Mail flow was moved from EX02 to EX01.", "Mail flow was moved from EX01 to EX02."),
        ("Clearing the Teams cache helped.", "Clearing the Teams cache rarely helped."),
        ("Do not reinstall the client, restart it.", "Do not restart the client, reinstall it."),
        ("Replace the toner cartridge now.", "Replace the toner cartridge now."),
    ],
)
async def test_claims_with_other_words_or_an_invented_quote_are_checked(text: str, quote: str, job: Job) -> None:
    ticket = STATE["similar_tickets"][0]
    known = quote if text != quote else "Resumed the queue."
    state: GraphState = STATE | {"similar_tickets": [replace(ticket, resolution=known)]}
    model = ScriptedModel(on(), claims(text, sources=("ticket-101",), quote=quote), cause="")
    await job.content(model, state)
    assert model.checked


async def test_a_stop_during_the_check_costs_no_second_answer(job: Job) -> None:
    model = ScriptedModel(forever)
    under_way = asyncio.create_task(job.content(model))
    await model.checking.wait()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    job.store.table.change(job.id, state="waiting", claim_token=None, lease_owner=None, lease_until=None)
    content = (await resume({}, await job.runtime(None)))["content"]
    assert content.is_unchecked
    assert [step.sources for step in content.next_steps] == [["ticket-101"], []]
    assert (model.answers, sorted(answered for _, answered in job.records())) == (1, [False, True])


async def test_an_answer_without_quotes_needs_no_check(job: Job, model: Simulator) -> None:
    async with opened(model.url) as client:
        await job.content(client, {"ticket": STATE["ticket"], "similar_tickets": [], "documents": []})
    assert (len(model.requests(operation="chat")), model.requests(operation="check")) == (1, [])


async def test_the_request_is_redacted_and_paid_for(job: Job, model: Simulator) -> None:
    ticket = replace(STATE["ticket"], people=(Person("Zoë Adeyemi", ("zoe.adeyemi@acme.example",)),))
    async with opened(model.url) as client:
        content = await job.content(client, STATE | {"ticket": ticket})
    (request,) = model.requests(operation="check")
    assert "Zoë" not in request["payload"]["messages"][1]["content"]
    assert content.likely_cause.sources == ["ticket-101"]
    spent = job.store.table.run("SELECT sum(input_tokens) AS tokens FROM audit_records")
    assert spent[0]["tokens"] == sum(each["usage"]["prompt_tokens"] for each in model.look("/answers")["answers"])
