"""The structured answer that is requested from GPT-4."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from workflow.texts import cut, printable

_LONGEST_TEXT = 1500
_MOST_ITEMS = 8


class _StrictTexts(BaseModel):
    # Strict structured output allows no length limits in a schema: long texts are cut here instead.
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _within_bounds(cls, value: object) -> object:
        if isinstance(value, str):
            return _bounded(value)
        if isinstance(value, list):
            return [_bounded(item) if isinstance(item, str) else item for item in value[:_MOST_ITEMS]]
        return value


def _bounded(text: str) -> str:
    return cut(printable(text).strip(), _LONGEST_TEXT)


def _one_of(words: tuple[str, ...], said: object) -> object:
    """Return the initial word of a text: without a schema, a model writes `High.`."""
    begin = said.strip().casefold() if isinstance(said, str) else ""
    return next((word for word in words if begin.startswith(word)), said)


class Statement(_StrictTexts):
    """Something that an answer says, and the ids of the sources that it builds on: none for general knowledge."""

    text: str
    sources: list[str]


class CitedSource(_StrictTexts):
    """What one source gives for the ticket."""

    id: str
    gives: str


class Suggestion(_StrictTexts):
    """What a field of the ticket should say; empty where it is right, or nothing speaks for another value."""

    value: str
    strength: Literal["strong", "weak"]

    @field_validator("strength", mode="before")
    @classmethod
    def _a_strength(cls, said: object) -> object:
        return _one_of(("strong", "weak"), said)


class Enhancement(_StrictTexts):
    """GPT-4's answer: plain texts, no markup."""

    summary: str
    likely_cause: Statement
    next_steps: list[Statement]
    sources: list[CitedSource]
    confidence: Literal["high", "medium", "low"]
    questions: list[str]
    category: Suggestion
    priority: Suggestion
    group: Suggestion

    @field_validator("confidence", mode="before")
    @classmethod
    def _a_confidence(cls, said: object) -> object:
        return _one_of(("high", "medium", "low"), said)

    @field_validator("summary")
    @classmethod
    def _says_something(cls, summary: str) -> str:
        if not summary.strip():
            raise ValueError("the summary is empty")
        return summary
