"""Questions about tickets, answers of a model, and their notes as a desk shows them."""

import json
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

from config.tenants import NoteSettings, Tenant
from tests.kit.model import STATE, case_in
from workflow.answer import Content, Enhancement, Statement
from workflow.grounding import Grounding
from workflow.prompt import CURRENT
from workflow.question import ModelQuestion, question_of
from workflow.state import GraphState

ANSWERED: dict[str, Any] = {
    "sources": [{"id": "ticket-101", "quote": "Raised the quota.", "same_problem": "yes"}],
    "summary": "The mailbox is full.",
    "likely_cause": {
        "text": "Large attachments.",
        "sources": ["ticket-101"],
        "quote": "Archived the mail of last year.",
    },
    "next_steps": [
        {"text": "Raise the quota.", "sources": ["ticket-101"], "quote": "raised the  quota"},
        {"text": "Archive old mail.", "sources": [], "quote": ""},
    ],
    "questions": ["Since when?"],
    "category": "",
    "priority": "",
    "group": "",
}


def answer(**changed: Any) -> Enhancement:
    return Enhancement.model_validate_json(json.dumps(ANSWERED | changed))


def claims(*texts: str, sources: tuple[str, ...] = (), quote: str = "") -> list[dict[str, Any]]:
    return [{"text": text, "sources": [*sources], "quote": quote} for text in texts]


def grounded(
    said: Enhancement, state: GraphState = STATE, *, link: str = "", language: str = "en", nothing_found: bool = False
) -> Content:
    """Return the grounded content of an answer, with nothing masked.

    A claim without a quote gets one of the first found source that it cites.
    """
    case = case_in(state)
    texts = {each.id: each.text for each in case.sources}

    def quoted(claim: Statement) -> Statement:
        found = [texts[each] for each in claim.sources if each in texts]
        return claim.model_copy(update={"quote": found[0][:100]}) if found and not claim.quote else claim

    cause, steps = quoted(said.likely_cause), [quoted(step) for step in said.next_steps]
    said = said.model_copy(update={"likely_cause": cause, "next_steps": steps})
    return Grounding(case, str, lambda _: link).content(
        said, prompt=CURRENT, language=language, nothing_found=nothing_found
    )


def asked(state: GraphState, placeholders: dict[str, str] | None = None, **note: Any) -> ModelQuestion:
    tenant = Tenant("acme", note=NoteSettings(**note))
    desk = SimpleNamespace(link_to=lambda ticket_id: f"https://desk.acme.example/{ticket_id}")
    attempt: Any = SimpleNamespace(tenant_settings=lambda: tenant, model=SimpleNamespace(name="gpt-6-luna"), desk=desk)
    return question_of(attempt, state, placeholders)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[Any] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    return tags
