"""A model with planted answers that validate the judge: right and wrong ones.

A right answer consists of one or two resolutions that were found, in the ticket's language if available. The wrong
ones, of three kinds, have one change: an invention, sources of another family, or the fix of another family, from the
finds if possible.
"""

import json
import random
import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.evaluation.cases import EvaluatedTicket, earlier_by_number
from benchmarks.evaluation.truth import ideas, unseen
from benchmarks.retrieval.methods import said
from benchmarks.retrieval.sets import Resolved
from integrations.values import ModelAnswer, Prompt, Structured, Unanswered, Usage
from workflow.prompt import count_tokens

Planted = Literal["right", "invention", "wrong sources", "wrong fix"]
KINDS: Sequence[Planted] = get_args(Planted)
_MADE_OF = 2
_MOST_STEPS = 4
_NONE = {"value": "", "strength": "weak"}
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[^\W\d_])|\s+->\s+")


@dataclass(frozen=True, slots=True)
class Plant:
    """The planted fault of an answer."""

    made_of: frozenset[str]
    """Ids of the tickets whose resolutions it tells."""
    invented: str = ""
    """Its kind, and what it is."""


class Inventions:
    """Inventions in turn by language and kind, first in claims, then in the summary."""

    def __init__(self) -> None:
        self._values = _texts()["measuring"]
        self._told: Counter[str] = Counter()

    def next(self, case: EvaluatedTicket, language: str) -> tuple[str, str, bool]:
        """Return kind and value, the sentence, and whether it belongs to the summary."""
        kinds = list(self._values)
        turn, at = divmod(self._told[language], len(kinds))
        self._told[language] += 1
        values = deque(self._values[kinds[at]])
        values.rotate(-turn)
        value = next(each for each in values if each.strip("\"'«»") not in case.known)
        told = _texts()["sentences"][language][kinds[at]].format(value)
        return f"{kinds[at]}: {value}", told, turn % 2 == 1


class PlantedModel:
    """A `workflow.ports.Model` with answers of one kind; `plants` holds faults by ticket."""

    provider = "planted"
    base_url = ""

    def __init__(self, kind: Planted, cases: Sequence[EvaluatedTicket], inventions: Inventions | None = None) -> None:
        self.name = f"planted: {kind}"
        self.kind = kind
        self.plants: dict[str, Plant] = {}
        self._cases = {case.number: case for case in cases}
        self._inventions = inventions or Inventions()

    def check(self) -> None:
        """Accept any question."""

    async def ask(
        self,
        prompt: Prompt,
        answer_type: type[Structured],
        on_paid: Callable[[Usage], None],
        *,
        unusable: str | None,  # noqa: ARG002 -- as the port has it; no answer is unusable
        on_unusable: Callable[[str], Awaitable[None]],  # noqa: ARG002
        on_unanswered: Callable[[Unanswered], None],  # noqa: ARG002
    ) -> ModelAnswer[Structured]:
        asked = json.loads(prompt.user)
        answer, plant = self._answer(self._cases[asked["ticket"]["id"]], asked)
        self.plants[asked["ticket"]["id"]] = plant
        told = json.dumps(answer, ensure_ascii=False)
        usage = Usage(count_tokens(prompt.system + prompt.user), count_tokens(told))
        on_paid(usage)
        return ModelAnswer(answer_type.model_validate_json(told), 200, self.name, "", "stop", usage, 0)

    def _answer(self, case: EvaluatedTicket, asked: Any) -> tuple[dict[str, Any], Plant]:
        right = [source["id"] for source in asked["sources"] if case.is_right(_name(source))]
        wrong = [source["id"] for source in asked["sources"] if not case.is_right(_name(source))]
        chance = random.Random(case.number)  # noqa: S311 -- the same ones each time
        made_of = _wrong_fix(case) if self.kind == "wrong fix" else _right_fix(case)
        claims = _reworded(made_of, chance)
        language = made_of[0].language if made_of else case.asked.language
        general = _texts()["general"][language]
        claims = [*claims, chance.choice(general)] if claims else chance.sample(general, 2)
        invented, summary = "", case.asked.subject or "?"
        if self.kind == "invention":
            invented, told, is_of_summary = self._inventions.next(case, language)
            if is_of_summary:
                summary = f"{summary}. {told}"
            else:
                claims.insert(chance.randrange(1, len(claims) + 1), told)
        sources = right if case.asked.family else []
        if self.kind == "wrong sources":
            # If all finds are right, cite one that was never found.
            sources = wrong[:1] or ["ticket-99999"]
        cause, *steps = ({"text": claim, "sources": sources} for claim in claims)
        answer = {"summary": summary, "likely_cause": cause, "next_steps": steps, "sources": [], "questions": []}
        answer |= {"confidence": "high" if right else "low", "category": _NONE, "priority": _NONE, "group": _NONE}
        return answer, Plant(frozenset(one.id for one in made_of), invented)


def _name(source: Mapping[str, str]) -> str:
    return source.get("ticket_id") or source["title"]


def _right_fix(case: EvaluatedTicket) -> list[Resolved]:
    """Return finds of the family in one language, the ticket's if possible.

    Empty without a right find: a model cannot know the fix then.
    """
    found = [one for one in _found(case) if case.asked.family is not None and one.family == case.asked.family]
    best = sorted(found, key=lambda one: one.language != case.asked.language)
    return [one for one in best if one.language == best[0].language][:_MADE_OF]


def _found(case: EvaluatedTicket) -> list[Resolved]:
    return [earlier_by_number()[one.ticket_id] for one in case.similar_tickets]


def _wrong_fix(case: EvaluatedTicket) -> list[Resolved]:
    """Return a find of another family, else resolutions of the most similarly named family."""
    found = [one for one in _found(case) if one.family != case.asked.family]
    if found:
        return found[:1]
    own = case.asked.family or ""
    others = sorted(ideas().keys() - {own})
    alike = max(
        others, key=lambda family: len([*takewhile(lambda pair: pair[0] == pair[1], zip(family, own, strict=False))])
    )
    return sorted(unseen(alike), key=lambda one: one.language != case.asked.language)[:_MADE_OF]


def _reworded(made_of: Sequence[Resolved], chance: random.Random) -> list[str]:
    """Return the resolutions' sentences, shuffled."""
    told = [each.strip() for one in made_of for each in _SENTENCE.split(said(one.resolution)) if each.strip()]
    chance.shuffle(told)
    # A note shows this many claims; the rest is joined into the last.
    rest = told[_MOST_STEPS - 1 :]
    return [*told[: _MOST_STEPS - 1], *([" ".join(rest)] if rest else [])]


@cache
def _texts() -> dict[str, Any]:
    return dict(json.loads(Path(__file__).with_name("planted.json").read_text("utf-8")))
