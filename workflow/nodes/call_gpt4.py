"""Ask GPT-4 for the enhancement, and commit its answer."""

from functools import partial

from langgraph.runtime import Runtime
from opentelemetry.trace import SpanKind

from integrations.errors import ModelRefused, OutsideFailure
from integrations.values import ModelAnswer, Prompt, Usage
from observability import metrics, phrases, timing, tracing
from observability.logging import say
from storage import claims
from workflow import genai
from workflow.attempt import Attempt, GraphState
from workflow.enhancement import Enhancement
from workflow.lease import insist
from workflow.ports import Kept
from workflow.prompts import VERSION, enhancement_prompt, only_given


async def call_gpt4(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:
    """Ask GPT-4, and commit its answer; one that an earlier attempt could not commit is used."""
    attempt = runtime.context
    if (kept := await _kept_answer(attempt)) is not None:
        say(phrases.GPT4_ANSWER_KEPT)
        return kept
    # What is paid for is not cut off before it is kept: each call has its own limit, and the fallback's comes on top.
    with attempt.limit.paused():
        return await _enhance(attempt, state)


async def _enhance(attempt: Attempt, state: GraphState) -> GraphState:
    prompt = enhancement_prompt(state)
    request = genai.request_attributes(attempt.model, VERSION)
    if attempt.capture_messages:
        request |= genai.question(prompt)
    with (
        tracing.span(tracing.GPT4, kind=SpanKind.CLIENT, attributes=request) as span,
        timing.step("gpt4"),
        timing.external_call("gpt4", attempt.claim.tenant_id, OutsideFailure, model=attempt.model.name),
    ):
        answer, repaired = await _ask(attempt, prompt)
        span.set_attributes(genai.response_attributes(answer))
        if attempt.capture_messages:
            span.set_attributes(genai.reply(answer))
    enhancement = only_given(answer.content, state)
    await _commit(attempt, enhancement, answer.model)
    if repaired:
        # Not before: whoever is stopped while Redis takes its time must not lose what was paid for.
        await attempt.answers.drop(attempt.claim.job_id, Kept.UNUSABLE)
    say(
        phrases.GPT4_ANSWERED,
        status=answer.status,
        also={
            "model": answer.model,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "took_ms": answer.milliseconds,
        },
    )
    return {"enhancement": enhancement, "model": answer.model}


async def _ask(attempt: Attempt, prompt: Prompt) -> tuple[ModelAnswer[Enhancement], bool]:
    """Return the answer, and True if it is the repair of an unusable one.

    A repair is a call of its own, which may fail for now or be held back when the unusable answer is already paid for.
    That text is then kept, and the next attempt asks for its repair alone: the repair is about the answer's form, so
    what that attempt finds as context does not matter. A repair that is unusable too fails the job; a person who has
    it retried gets a new answer.
    """
    answers, job_id = attempt.answers, attempt.claim.job_id
    unusable = await answers.get(Kept.UNUSABLE, job_id) if attempt.claim.started_before else None
    repaired = unusable is not None

    async def keep(text: str) -> None:
        nonlocal repaired
        repaired = True
        await answers.put(Kept.UNUSABLE, job_id, text)

    try:
        count = partial(_count, attempt)
        answer = await attempt.model.ask(prompt, Enhancement, count, unusable=unusable, on_unusable=keep)
    except ModelRefused:
        await answers.drop(job_id, Kept.UNUSABLE)
        raise
    return answer, repaired


def _count(attempt: Attempt, usage: Usage) -> None:
    # The model that was asked for: what an answer calls it is from outside, and may be anything.
    tokens = usage.input_tokens, usage.output_tokens
    metrics.tokens_paid(attempt.claim.tenant_id, usage.model or attempt.model.name, tokens, usage.cost)


async def _kept_answer(attempt: Attempt) -> GraphState | None:
    """Return the answer that an earlier attempt kept since it could not commit it, committed now; None without one."""
    claim = attempt.claim
    kept = await attempt.answers.get(Kept.ANSWER, claim.job_id) if claim.started_before else None
    if kept is None:
        return None
    answer, model = kept
    enhancement = Enhancement.model_validate(answer)
    await _commit(attempt, enhancement, model)
    return {"enhancement": enhancement, "model": model}


async def _commit(attempt: Attempt, enhancement: Enhancement, model: str) -> None:
    """Write the answer into the row; keep it for the next attempt if the write is stopped before it is done."""
    answer = enhancement.model_dump(mode="json")
    try:
        await insist(partial(claims.save_answer, attempt.database, attempt.claim, answer, model))
    except BaseException:
        await attempt.answers.put(Kept.ANSWER, attempt.claim.job_id, (answer, model))
        raise
