"""Hand-written answers, right and wrong, and their notes: the part of the evaluation that needs no model.

Their author saw neither the code nor its tests (`written/answers.jsonl`). Each statement has a label.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dev.evaluation.cases import EvaluationCase, cases, question_about, rows
from workflow.answer import Enhancement, NoteText
from workflow.grounding import Grounding
from workflow.note import WORDS


@dataclass(slots=True)
class WrittenFigures:
    """Numbers of right and wrong statements, and the texts of those that the note shows badly."""

    right: int = 0
    wrong: int = 0
    damaged: list[str] = field(default_factory=list)
    """Right statements that are removed, marked or without their source."""
    unmarked: list[str] = field(default_factory=list)
    """Wrong statements that the note shows unchanged, with a source."""


def measured(half: str) -> WrittenFigures:
    """Return the figures of the `first` or `second` half."""
    figures = WrittenFigures()
    by_id = {case.id: case for case in cases(half)}
    for written in rows("answers"):
        if written["case"] not in by_id:
            continue
        case = by_id[written["case"]]
        origin = WORDS[case.language].origin.format("[^()]*")
        for statement, is_right, shown in _statements(written, case):
            is_unchanged = re.sub(rf" \({origin}\)", "", shown.text) == statement["text"]
            described = f"{written['id']}: {statement['text']} -> {shown.text} [{shown.quote}]"
            if is_right:
                figures.right += 1
                if not is_unchanged or bool(shown.sources) != bool(statement["sources"]):
                    figures.damaged.append(described)
            else:
                figures.wrong += 1
                if is_unchanged and shown.sources:
                    figures.unmarked.append(described)
    return figures


def _statements(written: dict[str, Any], case: EvaluationCase) -> Iterator[tuple[dict[str, Any], bool, NoteText]]:
    """Yield each statement of an answer, whether it is right, and its text in the note."""
    sent = question_about(case, "no redaction", "none").grounding.case
    # The sources of the case have the author's ids.
    ids = {each["id"]: source.id for each in case.sources for source in sent.sources if source.title == each["title"]}
    said = written["answer"]

    def claim(statement: dict[str, Any]) -> dict[str, Any]:
        return statement | {"sources": [ids[each] for each in statement["sources"]]}

    answer = Enhancement.model_validate(
        said
        | {
            "sources": [each | {"id": ids[each["id"]]} for each in said["sources"]],
            "likely_cause": claim(said["likely_cause"]),
            "next_steps": [claim(step) for step in said["next_steps"]],
        }
    )
    content = Grounding(sent, str, str).content(answer, prompt="", language=case.language, nothing_found=False)
    statements = [said["likely_cause"], *said["next_steps"]]
    labels = [written["labels"]["likely_cause"], *written["labels"]["next_steps"]]
    for statement, label, text in zip(statements, labels, [content.likely_cause, *content.next_steps], strict=True):
        if statement["text"]:
            yield statement, label["right"], text
