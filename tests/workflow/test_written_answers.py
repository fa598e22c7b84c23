"""Hand-written answers, right and wrong, by authors who saw neither the code nor its tests.

`written/` has cases (a ticket and its sources), two answers to each, and a label for each statement. Only the first
half is read and measured; the second one is for the last measurement. Two readers labelled 100 claims of the second
half independently (`labels.jsonl`).
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from integrations.values import DeskTicket
from knowledge.models import Document, SimilarTicket
from tests.kit.model import case_in
from tests.workflow.answers import answer, grounded
from workflow.answer import NoteText
from workflow.note_words import WORDS
from workflow.state import GraphState

WRITTEN = Path(__file__).parent / "written"
MAX_DAMAGED = 0.03


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (WRITTEN / f"{name}.jsonl").read_text("utf-8").splitlines()]


@cache
def first_half() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in rows("cases") if case["half"] == "first"}


def state_of(case: dict[str, Any]) -> GraphState:
    ticket = case["ticket"]
    fields = (ticket["description"], ticket["priority"], ticket["category"], "Open", ticket["group"])
    tickets = [
        SimilarTicket(each["id"].removeprefix("ticket-"), each["title"], each["text"], created_at=day_of(each))
        for each in case["sources"]
        if each["kind"] == "ticket"
    ]
    documents = [Document(each["title"], each["text"]) for each in case["sources"] if each["kind"] == "document"]
    return {
        "ticket": DeskTicket(ticket["id"], ticket["subject"], *fields),
        "conversation": case["conversation"],
        "similar_tickets": tickets,
        "documents": documents,
    }


def day_of(source: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(source["day"]).replace(tzinfo=UTC)


def statements(written: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool, NoteText]]:
    """Yield each statement of an answer, whether it is right, and the note's text for it."""
    case = first_half()[written["case"]]
    state, said = state_of(case), written["answer"]
    titles = {each["title"]: each["id"] for each in case["sources"]}
    ids = {titles[source.title]: source.id for source in case_in(state).sources}

    def claim(statement: dict[str, Any]) -> dict[str, Any]:
        return {"text": statement["text"], "sources": [ids[each] for each in statement["sources"]]}

    given = answer(
        summary=said["summary"],
        likely_cause=claim(said["likely_cause"]),
        next_steps=[claim(step) for step in said["next_steps"]],
        sources=[{"id": ids[each["id"]], "gives": each["quote"]} for each in said["sources"]],
    )
    content = grounded(given, state, language=case["language"])
    labels = [written["labels"]["likely_cause"], *written["labels"]["next_steps"]]
    shown = [content.likely_cause, *content.next_steps]
    for statement, label, text in zip([said["likely_cause"], *said["next_steps"]], labels, shown, strict=True):
        if statement["text"]:
            yield statement, label["right"], text


def test_right_statements_keep_their_words_and_sources() -> None:
    right, damaged = 0, []
    for written in rows("answers"):
        for statement, is_right, shown in statements(written) if written["case"] in first_half() else ():
            words = WORDS[first_half()[written["case"]]["language"]]
            plain = re.sub(rf" \({words.origin.format('[^()]*')}\)", "", shown.text)
            right += is_right
            if is_right and (plain != statement["text"] or bool(shown.sources) != bool(statement["sources"])):
                damaged.append((written["id"], shown.text))
    assert right > 150
    assert len(damaged) <= MAX_DAMAGED * right, damaged


def test_two_readers_agree_on_the_labels() -> None:
    labels = rows("labels")
    assert len(labels) == len(rows("claims")) == 100
    assert sum(each["first_reader"] == each["second_reader"] for each in labels) >= 90
