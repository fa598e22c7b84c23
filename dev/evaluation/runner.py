"""The path from a case to a judged note, without job and desk."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from dev.evaluation.cases import EvaluationCase, question_about
from dev.evaluation.judge import Entailment, Preference, Verdict, about_note, about_pair, labelled_claims
from integrations.errors import DeferredError, ExternalError
from integrations.llm.client import ModelClient
from integrations.values import Prompt, Usage
from workflow.answer import Content, Enhancement
from workflow.claim_check import ClaimVerdicts, apply, prompt_of
from workflow.note import to_text

_NO_JOB = UUID(int=0)
_POINTS = {"first": 1.0, "neither": 0.5, "second": 0.0}
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(slots=True)
class CaseRun:
    """The answer to one case in one arm, its note, and the judge's verdict."""

    case: EvaluationCase
    model: str
    arm: str
    prompt: Prompt
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    answer: Enhancement | None = None
    content: Content | None = None
    verdict: Verdict | None = None
    failed: str = ""
    """The reason for a missing answer or verdict."""
    check: ClaimVerdicts | None = None
    """The model's verdicts on the claims of its answer; None if it has no quotes, or the check failed."""

    def transcript(self) -> dict[str, Any]:
        """Return what was sent, answered, shown and judged."""
        return {
            "case": self.case.id,
            "model": self.model,
            "arm": self.arm,
            "prompt": {"system": self.prompt.system, "user": self.prompt.user},
            "answer": self.answer.model_dump() if self.answer else None,
            "check": self.check.model_dump() if self.check else None,
            "note": to_text(self.content.model_dump(), _NO_JOB, self.model) if self.content else None,
            "verdict": self.verdict.model_dump() if self.verdict else None,
            "failed": self.failed,
        }


async def run_case(case: EvaluationCase, arm: str, model: ModelClient, judge: ModelClient) -> CaseRun:
    """Answer and judge a case; a failure is in the result."""
    question = question_about(case, arm, model.name)
    run = CaseRun(case, model.name, arm, question.prompt)
    began = time.monotonic()

    def paid(usage: Usage) -> None:
        run.usage = run.usage.plus(usage)

    try:
        run.answer = (await model.complete(question.prompt, Enhancement, paid)).content
        answer, quoted = run.answer, question.grounding.claims_to_check(run.answer)
        verdicts: dict[int, str] | None = None
        if quoted:
            prompt = prompt_of(question.grounding.case, quoted)
            with suppress(ExternalError, DeferredError):  # as in production, fixed rules apply then
                run.check = (await model.complete(prompt, ClaimVerdicts, paid, is_check=True)).content
                verdicts = run.check.of(quoted)
        run.seconds = time.monotonic() - began
        nothing_found, is_judged = case.state(arm)["nothing_found"], verdicts is not None or not quoted
        answer = apply(verdicts or {}, answer)
        run.content = question.content(answer, nothing_found=nothing_found, is_judged=is_judged)
        claims = [each for each in (run.content.likely_cause, *run.content.next_steps) if each.sources]
        verdict = (await judge.complete(about_note(case, run.content, claims), Verdict)).content
        run.verdict = verdict if len(verdict.entailed) == len(claims) else None
        run.failed = "" if run.verdict else "the judge answered about another number of claims"
    except (ExternalError, DeferredError) as failure:
        run.failed = failure.reason
    return run


async def preferences(runs: Sequence[CaseRun], judge: ModelClient, at_once: int) -> list[float]:
    """Compare the notes with and without context in both orders.

    Return the share of comparisons that each case's note with context wins; `neither` counts half.
    """
    without = {(run.model, run.case.id): run for run in runs if run.arm == "no context"}
    pairs = [(run, without.get((run.model, run.case.id))) for run in runs if run.arm == "full"]

    async def compare(pair: tuple[CaseRun, CaseRun | None]) -> float | None:
        full, bare = pair
        if full.content is None or bare is None or bare.content is None:
            return None
        try:
            first = (await judge.complete(about_pair(full.case, full.content, bare.content), Preference)).content
            second = (await judge.complete(about_pair(full.case, bare.content, full.content), Preference)).content
        except (ExternalError, DeferredError):
            return None
        return (_POINTS[first.better] + 1 - _POINTS[second.better]) / 2

    return [value for value in await in_parallel(pairs, compare, at_once) if value is not None]


async def agreement(cases: Sequence[EvaluationCase], judge: ModelClient, at_once: int) -> tuple[int, int]:
    """Return how many of the labelled claims the judge sees as the readers do, and their number."""

    async def agrees(claim: tuple[Prompt, bool]) -> bool | None:
        try:
            answer = (await judge.complete(claim[0], Entailment)).content
        except (ExternalError, DeferredError):
            return None
        return answer.entailed == [claim[1]]

    results = [each for each in await in_parallel(labelled_claims(cases), agrees, at_once) if each is not None]
    return sum(results), len(results)


async def in_parallel(
    items: Sequence[_Item], work: Callable[[_Item], Awaitable[_Result]], at_once: int
) -> list[_Result]:
    slots = asyncio.Semaphore(at_once)

    async def in_slot(item: _Item) -> _Result:
        async with slots:
            return await work(item)

    return list(await asyncio.gather(*map(in_slot, items)))
