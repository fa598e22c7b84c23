"""The check of an answer's claims: a second, smaller request to the model.

A true quote does not make the claim beside it true: the claim may drop a condition, name another owner, or come from a
ticket with another problem. No rule sees that, so the model judges each claim by the sources. A claim that cites a
source and is not supported by it is removed; general knowledge only if a source contradicts it. If the check fails,
fixed rules apply (`workflow.grounding`), and the note is marked as unchecked.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from integrations.errors import DeferredError, ExternalError, ModelRefusedError
from integrations.values import ModelAnswer, Prompt, Unanswered
from observability import log_events, tracing
from observability.logging import log_event
from privacy.audit import ModelExchange
from workflow.answer import Enhancement, Statement
from workflow.model_requests import count_paid, exchanges_of, model_span
from workflow.prompt import VERSIONS, PromptContext
from workflow.question import ModelQuestion
from workflow.quotes import is_negated
from workflow.state import Attempt

VERSION = "check-2"
OTHER_CLAIMS = "verdicts of other claims"
NO_TIME = "no time left"
# The note is posted within the attempt's time too.
_SECONDS_FOR_NOTE = 30.0
_MIN_WORDS, _SHORT_WORD_LENGTH = 4, 3
_WORD = re.compile(r"\w+")
_NO_CLAIM = Statement(text="", sources=[], quote="")
_VERDICTS = ("supported", "unsupported", "contradicted")


def _verdict(value: object) -> object:
    """Return a verdict; one of other words, as from a server without a schema, is `unsupported`."""
    words = _WORD.findall(value.casefold()) if isinstance(value, str) else []
    return words[0] if words and words[0] in _VERDICTS else "unsupported"


class ClaimVerdict(BaseModel):
    """The verdict on the claim with this number."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    number: int
    reason: Annotated[object, WithJsonSchema({"type": "string"})]
    verdict: Annotated[Literal["supported", "contradicted", "unsupported"], BeforeValidator(_verdict)]


class ClaimVerdicts(BaseModel):
    """One verdict for each claim."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    verdicts: list[ClaimVerdict]

    def of(self, claims: Iterable[int]) -> dict[int, str] | None:
        """Return the verdict of each claim, which the request numbers from 1; None if there is none of them.

        A missing one is `unsupported`; of several for a claim, the worst counts.
        """
        by_severity = sorted(self.verdicts, key=lambda each: _VERDICTS.index(each.verdict))
        given = {each.number: each.verdict for each in by_severity}
        numbers = dict(enumerate(claims, 1))
        if 0 in given and len(numbers) not in given:
            given = {number + 1: verdict for number, verdict in given.items()}
        if given.keys().isdisjoint(numbers):
            return None
        return {claim: given.get(number, "unsupported") for number, claim in numbers.items()}


class CheckedAnswer(NamedTuple):
    """An answer without claims that its sources do not support, their number, and figures of the check for the log."""

    answer: Enhancement
    removed: int
    figures: Mapping[str, int]


async def check_claims(
    attempt: Attempt,
    question: ModelQuestion,
    answer: Enhancement,
    claims: Mapping[int, Statement],
    exchanges: list[ModelExchange],
) -> CheckedAnswer | None:
    """Check the claims of an answer; return None if that failed. The audit records are added to `exchanges`.

    The check has what is left of the attempt's time.
    """
    seconds = attempt.limit.seconds_left() - _SECONDS_FOR_NOTE
    if seconds <= 0:
        log_event(log_events.CLAIMS_NOT_CHECKED, reason=NO_TIME)
        return None
    check = replace(question, prompt=prompt_of(question.grounding.case, claims), version=VERSION)
    results: list[ModelAnswer[ClaimVerdicts] | Unanswered] = []
    try:
        async with asyncio.timeout(seconds):
            result = await _request_verdicts(attempt, check, results)
    except TimeoutError:
        log_event(log_events.CLAIMS_NOT_CHECKED, reason=NO_TIME)
        return None
    except (DeferredError, ExternalError) as failure:
        log_event(log_events.CLAIMS_NOT_CHECKED, reason=failure.reason)
        return None
    except Exception as failure:  # noqa: BLE001 -- the answer is paid for, and good without a check
        log_event(log_events.CLAIMS_NOT_CHECKED, reason="unexpected failure", failure=failure)
        return None
    finally:
        exchanges += exchanges_of(attempt, check, results, None)
    verdicts = result.content.of(claims)
    if verdicts is None:
        log_event(log_events.CLAIMS_NOT_CHECKED, reason=OTHER_CLAIMS)
        return None
    counts = Counter(verdicts.values())
    figures = {f"claims_{verdict}": counts[verdict] for verdict in ("supported", "unsupported", "contradicted")}
    figures |= {"check_input_tokens": result.usage.input_tokens, "check_output_tokens": result.usage.output_tokens}
    removed = sum(is_removed(claims[number], verdict) for number, verdict in verdicts.items())
    return CheckedAnswer(apply(verdicts, answer), removed, figures)


async def _request_verdicts(
    attempt: Attempt, check: ModelQuestion, results: list[ModelAnswer[ClaimVerdicts] | Unanswered]
) -> ModelAnswer[ClaimVerdicts]:
    model = attempt.model.check_name
    with model_span(attempt, check, tracing.CLAIM_CHECK, "claim_check", model) as record_answer:
        result = await attempt.model.complete(
            check.prompt,
            ClaimVerdicts,
            partial(count_paid, attempt),
            unusable=None,
            on_unusable=_refuse_repair,
            on_unanswered=results.append,
            is_check=True,
        )
        results.append(result)
        record_answer(result)
    return result


def repeat_their_quotes(claims: Iterable[Statement]) -> bool:
    """Return True if each claim repeats its quote nearly word for word, so that no check is needed."""
    return all(claim.sources and _repeats(claim.text, claim.quote) for claim in claims)


def _repeats(text: str, quote: str) -> bool:
    words, quoted = _WORD.findall(text.casefold()), _WORD.findall(quote.casefold())
    # At most one short word differs, such as an article; the others have the same order.
    other = list(((Counter(words) - Counter(quoted)) + (Counter(quoted) - Counter(words))).elements())
    return (
        len(words) >= _MIN_WORDS
        and len(other) <= 1
        and all(len(word) <= _SHORT_WORD_LENGTH and word.isalpha() for word in other)
        and [word for word in words if word not in other] == [word for word in quoted if word not in other]
        and is_negated(text) == is_negated(quote)
    )


def prompt_of(case: PromptContext, claims: Mapping[int, Statement]) -> Prompt:
    cited = {source for claim in claims.values() for source in claim.sources}
    if not all(claim.sources for claim in claims.values()):
        # Any source may contradict general knowledge.
        cited = {source.id for source in case.sources}
    document = {
        "ticket": case.ticket,
        "conversation": list(case.conversation),
        "sources": [source.as_json() for source in case.sources if source.id in cited],
        "claims": [
            {"number": number, "claim": claim.text, "sources": claim.sources, "quote": claim.quote}
            for number, claim in enumerate(claims.values(), 1)
        ],
    }
    return Prompt(_instructions(), json.dumps(document, ensure_ascii=False))


@cache
def _instructions() -> str:
    return (VERSIONS / f"{VERSION}.txt").read_text(encoding="utf-8")


def is_removed(claim: Statement, verdict: str) -> bool:
    return verdict == "contradicted" or (verdict == "unsupported" and bool(claim.sources))


def apply(verdicts: Mapping[int, str], answer: Enhancement) -> Enhancement:
    """Return the answer after verdicts by number: 0 is the cause, the steps follow."""

    def checked(number: int, claim: Statement) -> Statement:
        return _NO_CLAIM if is_removed(claim, verdicts.get(number, "supported")) else claim

    changed = {
        "likely_cause": checked(0, answer.likely_cause),
        "next_steps": [checked(number, step) for number, step in enumerate(answer.next_steps, 1)],
    }
    return answer.model_copy(update=changed)


async def _refuse_repair(_unusable: str) -> None:
    raise ModelRefusedError("invalid answer")
