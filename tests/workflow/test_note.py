"""The note: short, escaped, and recognizable as ours in each language."""

import re
from datetime import date

import pytest

from integrations.servicedesk.parsing import plain_text
from tests.workflow.answers import answer, claims, grounded, read
from workflow.answer import Content, NotedSource, NotedText, Suggested
from workflow.note import is_note, is_note_of, marker, to_html
from workflow.note_words import WORDS

JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
MODEL = "gpt-6-luna-2026-08-01"
TAGS = {"div", "b", "p", "ol", "ul", "li"}
TICKET = NotedSource(
    id="ticket-101",
    kind="ticket",
    number="101",
    title="Mailbox <full>",
    day=date(2026, 3, 2),
    link="https://d/x?a=1&b=2",
    gives="The same.",
)
WHOLE = Content(
    summary="The mailbox is full.",
    likely_cause=NotedText(text="Large attachments.", sources=["ticket-101"]),
    next_steps=[NotedText(text="Ask a colleague."), NotedText(text="Raise the quota.", sources=["ticket-101"])],
    sources=[TICKET],
    confidence="high",
    questions=["Since when?"],
    suggestions=[Suggested(field="group", value="Mail", strength="weak")],
)
HOSTILE = (
    "<script>alert(document.cookie)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</p></div><iframe src=javascript:alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#60;b&#62;",
    "<!-- a comment -->",
    "<b",
)


def test_the_note_says_everything_and_whose_it_is() -> None:
    shown = read(to_html(WHOLE, JOB, MODEL))
    said = (f"written by {MODEL};", "The mailbox is full.", "Large attachments.", "Raise the quota.", "Since when?")
    for text in (*said, "#101 Mailbox <full> (2026-03-02): The same.", "group Mail (little speaks for it)"):
        assert text in shown.text
    assert f"Ref {JOB}" in shown.text
    assert shown.tags == TAGS | {"a"}
    assert {value for name, value in shown.attributes} == {"https://d/x?a=1&b=2"}


def test_what_may_help_stands_first_and_what_is_known_apart_from_what_is_guessed() -> None:
    text = read(to_html(WHOLE, JOB, MODEL)).text
    order = [
        "Likely cause (the model is sure): Large",
        "Next steps, from your desk",
        "Raise the quota. (#101)",
        "Ideas of the model, not from your desk",
        "Ask a colleague.",
        "Ask first",
        "From your desk#101",
        "Suggested:",
        "In short: The mailbox is full.",
        "Ref ",
    ]
    assert sorted(order, key=text.index) == order
    guess = WHOLE.model_copy(update={"likely_cause": NotedText(text="Bad."), "confidence": "low"})
    assert "Possible cause (not from your desk) (the model is unsure): Bad." in read(to_html(guess, JOB, MODEL)).text


def test_a_link_for_feedback_is_the_last_line_before_whose_note_it_is() -> None:
    note = to_html(Content(summary="s"), JOB, MODEL, feedback_link="https://f.example/f/a?b=1&c='2")
    shown = read(note)
    assert shown.attributes == [("href", "https://f.example/f/a?b=1&c='2")]
    assert shown.text.index("In short") < shown.text.index("Was this useful?") < shown.text.index(marker(JOB))
    assert is_note_of(JOB, plain_text(note))
    assert "useful" not in read(to_html(Content(summary="s"), JOB, MODEL)).text


def test_parts_that_are_empty_have_no_heading() -> None:
    text = read(to_html(Content(summary="The mailbox is full."), JOB, MODEL)).text
    assert text == (
        f"Enhancement (written by {MODEL}; please check before acting on it)In short: The mailbox is full.{marker(JOB)}"
    )


def test_where_nothing_was_found_one_line_says_so() -> None:
    nothing = WHOLE.model_copy(update={"nothing_found": True})
    assert to_html(nothing, JOB, MODEL).count(WORDS["en"].nothing_found) == 1
    assert WORDS["en"].nothing_found not in to_html(WHOLE, JOB, MODEL)


def test_the_longest_answer_is_at_most_a_screen() -> None:
    long = answer(
        summary="word " * 20_000,
        likely_cause={"text": "word " * 20_000, "sources": ["ticket-101"]},
        next_steps=claims(*(f"{number} " + "word " * 20_000 for number in range(50))),
        sources=[{"id": "ticket-101", "gives": "word " * 20_000}],
        questions=["word " * 20_000] * 50,
    )
    text = read(to_html(grounded(long), JOB, MODEL)).text
    assert len(text) < 4_500
    assert text.count("…") == 11


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_anybody_wrote_becomes_markup(hostile: str) -> None:
    everywhere = Content(
        summary=hostile,
        likely_cause=NotedText(text=hostile, sources=["ticket-101"]),
        next_steps=[NotedText(text=hostile), NotedText(text=hostile, sources=["doc-000001"])],
        sources=[
            TICKET.model_copy(update={"number": hostile, "title": hostile, "link": hostile, "gives": hostile}),
            NotedSource(id="doc-000001", kind="document", title=hostile, gives=hostile),
        ],
        questions=[hostile],
        suggestions=[Suggested(field="category", value=hostile, strength="weak")],
    )
    shown = read(to_html(everywhere, JOB, hostile))
    assert shown.tags == TAGS
    assert shown.attributes == []
    assert shown.text.count(hostile) >= 11


def test_quotes_are_escaped_too_wherever_a_desk_may_put_the_text() -> None:
    note = to_html(Content(summary="say \"hi\" & 'bye'"), JOB, MODEL)
    assert "say &#34;hi&#34; &amp; &#39;bye&#39;" in note
    linked = WHOLE.model_copy(update={"sources": [TICKET.model_copy(update={"link": "https://d/'\"><b>"})]})
    assert "https://d/&#39;&#34;&gt;&lt;b&gt;" in to_html(linked, JOB, MODEL)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("openai/gpt-6-luna", "openai/gpt-6-luna"),
        ("<b>m</b>\n\x1b[31m \u202ex", "<b>m</b> [31m x"),
        ("m" * 200, f"{'m' * 79}…"),
        ("", "a language model"),
    ],
)
def test_the_model_that_answered_is_named_as_plain_text_in_bounds(model: str, named: str) -> None:
    shown = read(to_html(Content(summary="s"), JOB, model))
    assert f"(written by {named}; please check" in shown.text
    assert shown.tags == {"div", "b", "p"}


@pytest.mark.parametrize("language", WORDS)
def test_a_note_is_ours_in_each_language(language: str) -> None:
    note = to_html(WHOLE.model_copy(update={"language": language}), JOB, MODEL)
    text = plain_text(note)
    assert is_note_of(JOB, text)
    assert is_note(text)
    assert not is_note_of(JOB[:-1] + "c", text)
    assert not is_note(f"> {text}")
    assert not is_note(f"{text} Thanks!")
    words = WORDS[language]
    for each in (words.cause, words.steps, words.guessed_steps, words.questions, words.sources, words.in_short):
        assert each in text


def test_a_note_in_a_language_without_words_of_ours_has_the_english_ones() -> None:
    assert "In short" in to_html(Content(summary="s", language="ja"), JOB, MODEL)


def test_each_language_has_all_words_and_their_places() -> None:
    english = vars(WORDS["en"])
    for words in map(vars, WORDS.values()):
        assert words.keys() == english.keys()
        for name, text in words.items():
            assert text
            assert text.count("{}") == english[name].count("{}"), name
            assert not re.search(r"[<>&]", text)


@pytest.mark.parametrize("why", ["asked", "reopened"])
@pytest.mark.parametrize("language", WORDS)
def test_a_further_note_begins_with_why_and_is_known_as_ours(language: str, why: str) -> None:
    html = to_html(WHOLE.model_copy(update={"language": language}), JOB, MODEL, updated_because=why)
    text = plain_text(html)
    words = WORDS[language]
    assert text.startswith(getattr(words, f"updated_{why}"))
    assert words.title in text
    assert is_note(text)
    assert is_note_of(JOB, text)
