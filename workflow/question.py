"""The question to GPT-4 about a ticket, redacted, and its restored answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from integrations.values import Prompt
from privacy.redaction.redaction import Redaction
from retrieval.language import languages_of
from workflow.attempt import Attempt, GraphState
from workflow.case import TicketCase, case_of
from workflow.content import Content
from workflow.defanging import without_links
from workflow.enhancement import Enhancement
from workflow.grounding import Grounding
from workflow.note_words import WORDS
from workflow.prompts import CURRENT, Instructions
from workflow.tokens import budget_for

_instructions = lru_cache(1000)(Instructions)


@dataclass(frozen=True, slots=True)
class ModelQuestion:
    """A prompt without personal data, and the data to read its answer."""

    prompt: Prompt
    version: str
    """Of the prompt (`workflow.prompts`)."""
    language: str
    """The one that the answer is wanted in; empty where that is for the model to tell."""
    placeholders: dict[str, str]
    """What those of the prompt stand for."""
    grounding: Grounding
    masking: str
    """What was masked, as `NoteWishes` has it."""

    def content(self, answer: Enhancement, *, nothing_found: bool) -> Content:
        """Return the content to show of the answer, with fixed words in its language."""
        said = " ".join([answer.summary, answer.likely_cause.text, *(step.text for step in answer.next_steps)])
        told = languages_of(said, tuple(WORDS))
        language = told[0] if len(told) == 1 else self.language or "en"
        return self.grounding.content(answer, prompt=self.version, language=language, nothing_found=nothing_found)


def question_of(
    attempt: Attempt, state: GraphState, placeholders: Mapping[str, str] | None = None, version: str = CURRENT
) -> ModelQuestion:
    """Return the question about the attempt's ticket.

    `placeholders` are those of an answer to repair; `version` is that of the prompt (`workflow.prompts`).
    """
    wishes, ticket = attempt.wishes().note, state["ticket"]
    others = [person for each in state["similar_tickets"] for person in each.people]
    redaction = Redaction(
        ticket.people,
        others=others,
        network=wishes.masking == "all",
        known=placeholders,
        terms=[*ticket.terms, *(term for each in state["similar_tickets"] for term in (each.category, each.group))],
    )
    is_redacted = wishes.masking != "none"
    restore = partial(redaction.restore, clean=without_links) if is_redacted else str
    case: TicketCase = case_of(
        ticket,
        state.get("conversation", ()),
        state["similar_tickets"],
        state["documents"],
        redaction.redact if is_redacted else _as_it_is,
        budget_for(attempt.model.name, wishes.prompt_tokens),
    )
    language = wanted_language(wishes.language, ticket.subject, ticket.description)
    instructions = _instructions(wishes.rules, version)
    return ModelQuestion(
        instructions.prompt(case, language),
        instructions.version,
        language,
        redaction.placeholders,
        Grounding(case, restore, attempt.desk.link_to, wishes.rules),
        wishes.masking,
    )


def wanted_language(of_tenant: str, subject: str, description: str) -> str:
    """Return the code of the answer's language; empty if the model decides."""
    told = [of_tenant] if of_tenant != "ticket" else languages_of(f"{subject}\n{description}")
    return told[0] if len(told) == 1 else ""


def _as_it_is(text: str, *, own: bool = True) -> str:  # noqa: ARG001 -- as `Redaction.redact`
    return text
