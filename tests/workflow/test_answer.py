"""Form of GPT-4's answer, and the limits of its texts."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.workflow.answers import ANSWERED, answer, claims
from workflow.answer import Content, Enhancement


def test_control_characters_and_marks_that_reorder_text_are_removed() -> None:
    dirty = "a\x00\x07\x1b[31m\x7f\x9b\u202eb\u2066\ufeff\u2028\u200bc\r\n\td"
    assert answer(summary=dirty).summary == "a[31mbc\n\td"
    assert answer(next_steps=claims(dirty)).next_steps[0].text == "a[31mbc\n\td"
    assert answer(questions=[dirty]).questions == ["a[31mbc\n\td"]
    assert answer(sources=[{"id": "T1\x00", "gives": dirty}]).sources[0].id == "T1"


def test_texts_and_lists_are_cut_to_a_bounded_length() -> None:
    long = answer(
        summary="x" * 100_000,
        next_steps=claims(*["y" * 10_000] * 50),
        sources=[{"id": "1", "gives": "z" * 10_000}] * 50,
        questions=["q" * 10_000] * 50,
    )
    assert (len(long.summary), long.summary[-2:]) == (1500, "x…")
    assert [len(step.text) for step in long.next_steps] == [1500] * 8
    assert [len(source.gives) for source in long.sources] == [1500] * 8
    assert [len(question) for question in long.questions] == [1500] * 8
    assert answer(summary="x" * 1500).summary == "x" * 1500


@pytest.mark.parametrize(
    "changed",
    [
        {"summary": ""},
        {"summary": " \n"},
        {"summary": "\x00\u200b"},
        {"summary": None},
        {"summary": ["not", "a", "text"]},
        {"likely_cause": "a text"},
        {"likely_cause": {"text": "a text"}},
        {"next_steps": "not a list"},
        {"next_steps": ["a text"]},
        {"next_steps": [1]},
        {"sources": [{"id": "ticket-1"}]},
        {"sources": [{"id": "ticket-1", "gives": "y", "url": "http://elsewhere"}]},
        {"confidence": 0.9},
        {"confidence": "certain"},
        {"confidence": None},
        {"group": "Network"},
        {"group": {"value": "Network", "strength": "certain"}},
        {"applied": True},
    ],
)
def test_an_answer_of_another_form_is_no_answer(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        answer(**changed)


@pytest.mark.parametrize("missing", ANSWERED)
def test_an_answer_with_a_part_missing_is_no_answer(missing: str) -> None:
    with pytest.raises(ValidationError):
        Enhancement.model_validate({name: value for name, value in ANSWERED.items() if name != missing})


@pytest.mark.parametrize("said", ["high", "High", " HIGH.", "high <script>"])
def test_a_word_of_a_list_is_taken_however_it_is_written(said: str) -> None:
    assert answer(confidence=said).confidence == "high"
    assert answer(group={"value": "Mail", "strength": f" Strong, {said}"}).group.strength == "strong"


def test_what_the_next_release_may_have_kept_is_read_without_what_is_new() -> None:
    kept = Content(summary="s").model_dump(mode="json") | {"mood": "good"}
    assert Content.model_validate(kept) == Content(summary="s")
