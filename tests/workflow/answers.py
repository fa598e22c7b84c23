"""Answers of a model, and their notes."""

import json
from typing import Any

from tests.kit.model import STATE, case_in
from workflow.answer import Content, Enhancement
from workflow.grounding import Grounding
from workflow.state import GraphState

NONE = {"value": "", "strength": "weak"}
ANSWERED: dict[str, Any] = {
    "summary": "The mailbox is full.",
    "likely_cause": {"text": "Large attachments.", "sources": ["ticket-101"]},
    "next_steps": [
        {"text": "Raise the quota.", "sources": ["ticket-101"]},
        {"text": "Archive old mail.", "sources": []},
    ],
    "sources": [{"id": "ticket-101", "gives": "Also a full mailbox."}],
    "confidence": "high",
    "questions": ["Since when?"],
    "category": NONE,
    "priority": NONE,
    "group": NONE,
}


def answer(**changed: Any) -> Enhancement:
    return Enhancement.model_validate_json(json.dumps(ANSWERED | changed))


def claims(*texts: str, sources: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [{"text": text, "sources": [*sources]} for text in texts]


def grounded(
    said: Enhancement, state: GraphState = STATE, *, link: str = "", language: str = "en", nothing_found: bool = False
) -> Content:
    """Return the grounded content of an answer, with nothing masked."""
    grounding = Grounding(case_in(state), _unchanged, lambda _: link)
    return grounding.content(said, prompt="2", language=language, nothing_found=nothing_found)


def _unchanged(text: str) -> str:
    return text
