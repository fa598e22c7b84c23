"""The cases of the evaluation: a ticket, its sources, a reference fix, and statements that a note must not make.

An author who saw neither the code nor its tests wrote them (`written/cases.jsonl`), in two halves. A third has no
source with the right fix.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from config.tenants import NoteSettings, Tenant
from integrations.values import DeskTicket
from knowledge.models import Document, SimilarTicket
from workflow.question import ModelQuestion, question_of
from workflow.state import Attempt, GraphState

WRITTEN = Path(__file__).with_name("written")
ARMS = ("full", "no context", "oracle source", "no redaction", "shuffled sources")
"""The case as in production; without sources; with the right source only; unredacted; in another order."""


def rows(name: str) -> Iterator[dict[str, Any]]:
    for line in (WRITTEN / f"{name}.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)


@dataclass(frozen=True, slots=True)
class EvaluationCase:
    """A case as written."""

    id: str
    half: str
    language: str
    ticket: dict[str, str]
    conversation: Sequence[str]
    sources: Sequence[dict[str, str]]
    right_source: str
    reference_fix: str
    root_cause: str
    must_not: Sequence[str]

    def state(self, arm: str = "full") -> GraphState:
        """Return what the workflow gathered, in one of ARMS."""
        sources = [] if arm == "no context" else list(self.sources)
        if arm == "oracle source":
            sources = [each for each in sources if each["id"] == self.right_source]
        if arm == "shuffled sources":
            random.Random(self.id).shuffle(sources)  # noqa: S311 -- the same order each time
        ticket = self.ticket
        fields = (ticket["description"], ticket["priority"], ticket["category"], "Open", ticket["group"])
        return {
            "ticket": DeskTicket(ticket["id"], ticket["subject"], *fields),
            "conversation": self.conversation,
            "similar_tickets": [_similar(each) for each in sources if each["kind"] == "ticket"],
            "documents": [Document(each["title"], each["text"]) for each in sources if each["kind"] == "document"],
            "nothing_found": not sources,
        }


def cases(half: str = "") -> list[EvaluationCase]:
    """Return the cases of `first` or `second` half, or all."""
    return [EvaluationCase(**each) for each in rows("cases") if half in ("", each["half"])]


def _similar(source: dict[str, str]) -> SimilarTicket:
    return SimilarTicket(
        source["id"].removeprefix("ticket-"),
        source["title"],
        source["text"],
        created_at=datetime.fromisoformat(source["day"]).replace(tzinfo=UTC),
        category=source["category"],
        group=source["group"],
        problem=source["problem"],
    )


class _TicketOfNoJob:
    """The parts of an attempt that a question needs."""

    def __init__(self, model: str, masking: Any) -> None:
        self.name = model
        self.model = self.desk = self
        self._tenant = Tenant("acme", note=NoteSettings(masking=masking))

    def tenant_settings(self) -> Tenant:
        return self._tenant

    def link_to(self, ticket_id: str) -> str:
        return f"https://desk.acme.example/{ticket_id}"


def question_about(case: EvaluationCase, arm: str, model: str) -> ModelQuestion:
    masking = "none" if arm == "no redaction" else "personal"
    return question_of(cast(Attempt, _TicketOfNoJob(model, masking)), case.state(arm))
