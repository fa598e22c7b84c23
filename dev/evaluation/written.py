"""Hand-written answers, right and wrong, and their notes: the part of the evaluation that needs no model.

Their author saw neither the code nor its tests (`written/answers.jsonl`). Each statement has a label. The check of the
claims (`workflow.claim_check`) is played by a reader who got its prompt and nothing else (`written/verdicts.jsonl`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev.evaluation.cases import EvaluationCase, cases, question_about, rows
from integrations.values import Prompt
from workflow.answer import Enhancement, NoteText
from workflow.claim_check import apply, is_removed, prompt_of
from workflow.commands import commands_in
from workflow.defanging import BREAK
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


def verdicts_of_reader() -> dict[str, dict[int, str]]:
    """Return the reader's verdicts on the claims of each answer."""
    return {
        each["answer"]: {int(number): verdict for number, verdict in each["verdicts"].items()}
        for each in rows("verdicts")
    }


def check_requests(half: str) -> Iterator[tuple[str, Prompt]]:
    """Yield the id of each answer with claims to check, and the request."""
    for written, case in _answers(half):
        grounding, answer = _answer(written, case)
        claims = grounding.claims_to_check(answer)
        if claims:
            yield written["id"], prompt_of(grounding.case, claims)


def measured(half: str, verdicts: Mapping[str, Mapping[int, str]] | None = None) -> WrittenFigures:
    """Return the figures of a half, after the check of the claims if there are `verdicts` by answer."""
    figures = WrittenFigures()
    for written, case in _answers(half):
        words = WORDS[case.language]
        origin, mark = words.origin.format("[^()]*"), re.escape(words.no_source) + "[^()]*"
        for statement, is_right, shown in _statements(written, case, (verdicts or {}).get(written["id"], {})):
            text = re.sub(rf" \({origin}\)", "", shown.text).replace(BREAK, "")
            if not statement["sources"] and any(commands_in(statement["text"])):
                # A command of general knowledge is marked, and stays.
                text = re.sub(rf" \({mark}\)", "", text)
            is_unchanged = text == statement["text"]
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


def _answers(half: str) -> Iterator[tuple[dict[str, Any], EvaluationCase]]:
    by_id = {case.id: case for case in cases(half)}
    for written in rows("answers"):
        if written["case"] in by_id:
            yield written, by_id[written["case"]]


def _answer(written: dict[str, Any], case: EvaluationCase) -> tuple[Grounding, Enhancement]:
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
    return Grounding(sent, str, str), answer


def _statements(
    written: dict[str, Any], case: EvaluationCase, verdicts: Mapping[int, str]
) -> Iterator[tuple[dict[str, Any], bool, NoteText]]:
    """Yield each statement of an answer, whether it is right, and its text in the note; empty if it was removed."""
    grounding, answer = _answer(written, case)
    given = [answer.likely_cause, *answer.next_steps]
    removed = {number for number, verdict in verdicts.items() if is_removed(given[number], verdict)}
    kept = {number: verdict for number, verdict in verdicts.items() if number not in removed}
    content = grounding.content(
        apply(kept, answer), prompt="", language=case.language, nothing_found=False, is_judged=bool(verdicts)
    )
    statements = [written["answer"]["likely_cause"], *written["answer"]["next_steps"]]
    labels = [written["labels"]["likely_cause"], *written["labels"]["next_steps"]]
    shown = [content.likely_cause, *content.next_steps]
    for number, (statement, label, text) in enumerate(zip(statements, labels, shown, strict=True)):
        if statement["text"]:
            yield statement, label["right"], NoteText(text="") if number in removed else text
