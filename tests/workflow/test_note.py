"""The answer's form and limits; the note: short, escaped, and recognizable as ours in each language."""

import re
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from integrations.plain_text import lines_of, plain_text
from tests.workflow.answers import ANSWERED, answer, claims, grounded, read
from workflow.answer import Content, Enhancement, NoteSource, NoteText, Suggested
from workflow.note import WORDS, is_note, is_note_of, is_own_note, marker, to_html, without_own_notes


def test_control_characters_and_marks_that_reorder_text_are_removed() -> None:
    dirty = "a\x00\x07\x1b[31m\x7f\x9b\u202eb\u2066\ufeff\u2028\u200bc\r\n\td"
    sources = [{"id": "T1\x00", "quote": dirty, "same_problem": "yes"}]
    clean = answer(summary=dirty, next_steps=claims(dirty), questions=[dirty], sources=sources)
    assert {clean.summary, clean.next_steps[0].text, *clean.questions} == {"a[31mbc\n\td"}
    assert clean.sources[0].id == "T1"


def test_texts_and_lists_are_cut_to_a_bounded_length() -> None:
    long = answer(
        summary="x" * 100_000,
        next_steps=claims(*["y" * 10_000] * 50),
        sources=[{"id": "1", "quote": "z" * 10_000, "same_problem": "no"}] * 50,
        questions=["q" * 10_000] * 50,
    )
    assert (len(long.summary), long.summary[-2:]) == (1500, "x…")
    steps, quotes = [step.text for step in long.next_steps], [source.quote for source in long.sources]
    assert [len(text) for text in (*steps, *quotes, *long.questions)] == [1500] * 24
    assert answer(summary="x" * 1500).summary == "x" * 1500


@pytest.mark.parametrize(
    "changed",
    [
        *({"summary": each} for each in (None, ["not", "a", "text"])),
        *({"likely_cause": each} for each in ("a text", {"text": "a text"}, {"text": "a text", "sources": []})),
        *({"next_steps": each} for each in ("not a list", ["a text"], [1])),
        *(
            {"sources": [{"id": "ticket-1", "quote": "y"} | more]}
            for more in ({}, {"same_problem": "certainly"}, {"same_problem": "none"})
        ),
        {"sources": [{"id": "ticket-1", "quote": "y", "same_problem": "yes", "url": "http://elsewhere"}]},
        *({"group": each} for each in (None, ["Network"], {"value": "Network"})),
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


@pytest.mark.parametrize("said", ["yes", "Yes", " YES.", "yes <script>"])
def test_a_word_of_a_list_is_taken_however_it_is_written(said: str) -> None:
    assert answer(sources=[{"id": "1", "quote": "", "same_problem": said}]).sources[0].same_problem == "yes"
    assert answer(sources=[{"id": "1", "quote": "", "same_problem": "Partially"}]).sources[0].same_problem == "partly"


def test_what_the_next_release_may_have_kept_is_read_without_what_is_new() -> None:
    kept = Content(summary="s").model_dump(mode="json") | {"mood": "good"}
    assert Content.model_validate(kept) == Content(summary="s")


JOB = "01936b2e-7c1a-7000-8000-0123456789ab"
MODEL = "gpt-6-luna-2026-08-01"
TAGS = {"div", "b", "i", "p", "ol", "li"}
TICKET = NoteSource(
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
    likely_cause=NoteText(text="Large attachments.", sources=["ticket-101"], quote="Attachments of 2 GB."),
    next_steps=[NoteText(text="Ask a colleague."), NoteText(text="Raise the quota.", sources=["ticket-101"])],
    sources=[TICKET],
    confidence="high",
    questions=["Since when?"],
    suggestions=[Suggested(field="group", value="Mail")],
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
    said = (f"{MODEL}, please check", "The mailbox is full.", "Large attachments.", "Raise the quota.", "Since when?")
    for text in (*said, '#101 Mailbox <full> (2026-03-02): "Attachments of 2 GB.": The same.', "group Mail"):
        assert text in shown.text
    assert f"Ref {JOB}" in shown.text
    assert shown.tags == TAGS | {"a"}
    assert {value for name, value in shown.attributes} == {"https://d/x?a=1&b=2"}


def test_the_cause_is_first_and_each_source_is_named_once() -> None:
    text = read(to_html(WHOLE, JOB, MODEL)).text
    order = ["Likely cause: Large attachments. [1] (high confidence)", "Raise the quota. [1]"]
    order += ["Also worth trying: Ask a colleague.", "Ask the requester: Since when?"]
    order += ['[1] #101 Mailbox <full> (2026-03-02): "Attachments of 2 GB."', "Suggested: group Mail"]
    order += ["In short: The mailbox is full.", f"{MODEL}, please check", "Ref "]
    assert sorted(order, key=text.index) == order
    assert text.count("Attachments of 2 GB.") == text.count("general") + 1 == 1
    guess = WHOLE.model_copy(update={"likely_cause": NoteText(text="Bad."), "confidence": "low"})
    text = read(to_html(guess, JOB, MODEL)).text
    # Without a sourced cause, the question is the next thing to do.
    assert text.startswith(
        "Ask the requester: Since when?Possible cause: Bad.Low confidence: check each step before acting."
    )
    thin = read(to_html(guess.model_copy(update={"is_thin": True}), JOB, MODEL)).text
    assert "Low confidence: the ticket has too little information." in thin


def test_a_quote_that_repeats_the_step_is_left_out() -> None:
    step = NoteText(text="Raise the quota.", sources=["ticket-101"], quote="raise the quota")
    text = read(to_html(WHOLE.model_copy(update={"next_steps": [step]}), JOB, MODEL)).text
    assert text.count("aise the quota") == 1
    assert "Raise the quota. [1]Ask the requester" in text


def test_sources_have_the_numbers_of_their_first_citation() -> None:
    document = NoteSource(id="doc-1", kind="document", title="VPN guide", link="https://d/12")
    unused = NoteSource(id="ticket-9", kind="ticket", number="9")
    steps = [
        NoteText(
            text="Reinstall the client.", sources=["doc-1", "ticket-101"], quote="remove it, and install it again"
        ),
        NoteText(text="Restart.", sources=["doc-1"], quote="Restart it."),
    ]
    changed = {"next_steps": steps, "sources": [document, unused, TICKET]}
    shown = read(to_html(WHOLE.model_copy(update=changed), JOB, MODEL))
    text = shown.text
    assert {value for name, value in shown.attributes} == {"https://d/12", "https://d/x?a=1&b=2"}
    assert "Reinstall the client. [2] [1]Restart. [2]" in text
    assert '[2] document "VPN guide": "remove it, and install it again"; "Restart it."' in text
    assert "#9" not in text


def test_lines_about_steps_or_sources_need_some() -> None:
    question = Content(questions=["Which printer?"], confidence="low")
    assert "Low confidence" not in read(to_html(question, JOB, MODEL)).text
    advice = Content(next_steps=[NoteText(text="Restart it.")], confidence="low", is_unchecked=True)
    text = read(to_html(advice, JOB, MODEL)).text
    assert "Not checked: verify each statement yourself." in text
    removed = Content(removed=2, confidence="low")
    assert read(to_html(removed, JOB, MODEL)).text.startswith("Cause not known yet")
    keys = [NoteText(text="[Win]+[R], then type cmd and press [Enter]")]
    assert "General advice, no source: [Win]" in read(to_html(Content(next_steps=keys), JOB, MODEL)).text


@pytest.mark.parametrize("language", WORDS)
def test_a_note_within_a_longer_text_is_removed(language: str) -> None:
    for failed in (False, True):
        note = lines_of(to_html(WHOLE.model_copy(update={"language": language}), JOB, MODEL, failed=failed))
        assert without_own_notes(f"Step 1 did not help.\n{note}\nReplaced it.").split("\n\n") == [
            "Step 1 did not help.",
            "Replaced it.",
        ]
    assert without_own_notes("Likely cause: the cable. Ref 12") == "Likely cause: the cable. Ref 12"


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("failed", [False, True])
def test_a_note_in_any_language_is_known_as_our_own(language: str, *, failed: bool) -> None:
    content = Content(language=language, sources=[TICKET])
    text = plain_text(to_html(content, JOB, MODEL, failed=failed))
    assert (is_own_note(text), is_note(text)) == (True, not failed)
    assert not is_own_note(f"> {text}")


@pytest.mark.parametrize("language", WORDS)
def test_an_unchecked_note_says_so_and_words_a_quotation_as_one(language: str) -> None:
    cause = NoteText(text="Attachments of 2 GB", sources=["ticket-101"], quote="Attachments of 2 GB.")
    changed = {"is_unchecked": True, "confidence": "medium", "likely_cause": cause, "language": language}
    text = read(to_html(WHOLE.model_copy(update=changed), JOB, MODEL)).text
    words = WORDS[language]
    assert words.unchecked in text
    assert f"{words.cause}{words.colon}{words.says.format('#101', 'Attachments of 2 GB.')} [1]" in text
    assert words.high not in text
    assert words.unchecked not in read(to_html(WHOLE, JOB, MODEL)).text


@pytest.mark.parametrize("language", WORDS)
def test_a_note_without_a_supported_claim_says_so_and_lists_the_sources(language: str) -> None:
    left = Content(removed=3, sources=[TICKET], confidence="low", language=language)
    text = plain_text(to_html(left, JOB, MODEL))
    assert text.startswith(WORDS[language].nothing_left)
    assert "#101 Mailbox <full>" in text
    assert is_note_of(JOB, text)


def test_general_advice_alone_has_a_heading_and_no_mark_on_each_line() -> None:
    steps = [NoteText(text="Restart it."), NoteText(text="Try another port.")]
    text = read(to_html(Content(next_steps=steps), JOB, MODEL)).text
    assert "General advice, no source: Restart it.Try another port." in text


def test_an_answer_of_an_earlier_release_is_still_shown() -> None:
    kept = {
        "summary": "The mailbox is full.",
        "likely_cause": {"text": "Large attachments.", "sources": ["ticket-101"]},
        "next_steps": [{"text": "Raise the quota.", "sources": ["ticket-101"]}, {"text": "Wait.", "sources": []}],
        "sources": [{"id": "ticket-101", "kind": "ticket", "number": "101", "gives": "The same."}],
        "confidence": "high",
    }
    text = read(to_html(Content.model_validate(kept), JOB, MODEL)).text
    for shown in (
        "Likely cause: Large attachments. [1]",
        "Raise the quota. [1]",
        "Also worth trying: Wait.",
        "[1] #101: The same.",
    ):
        assert shown in text
    assert "In short: The mailbox is full." in text
    assert "high confidence" not in text  # needs a verified quote
    for start in (
        "Enhancement (written by x)",
        "Updated because it was asked for.",
        "Likely cause: Full.",
        "Mögliche Ursache",
    ):
        assert is_note_of(JOB, f"{start} In short: Full. {marker(JOB)}")


def test_a_link_for_feedback_is_the_last_line_before_whose_note_it_is() -> None:
    note = to_html(Content(summary="s"), JOB, MODEL, feedback_link="https://f.example/f/a?b=1&c='2")
    shown = read(note)
    assert shown.attributes == [("href", "https://f.example/f/a?b=1&c='2")]
    assert shown.text.index("In short") < shown.text.index("Useful?") < shown.text.index(marker(JOB))
    assert is_note_of(JOB, plain_text(note))
    assert "Useful" not in read(to_html(Content(summary="s"), JOB, MODEL)).text


def test_parts_that_are_empty_have_no_heading() -> None:
    text = read(to_html(Content(summary="The mailbox is full."), JOB, MODEL)).text
    assert text == (
        f"Cause not known yetIn short: The mailbox is full.Written by {MODEL}, please check - {marker(JOB)}"
    )


def test_the_longest_answer_is_at_most_a_screen() -> None:
    long = answer(
        summary="word " * 20_000,
        likely_cause={"text": "word " * 20_000, "sources": ["ticket-101"], "quote": ""},
        next_steps=claims(*(f"{number} " + "word " * 20_000 for number in range(50))),
        questions=["word " * 20_000] * 50,
    )
    text = read(to_html(grounded(long), JOB, MODEL)).text
    assert len(text) < 4_500
    assert text.count("…") == 9


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_anybody_wrote_becomes_markup(hostile: str) -> None:
    everywhere = Content(
        summary=hostile,
        likely_cause=NoteText(text=hostile, sources=["ticket-101"], quote=hostile),
        next_steps=[NoteText(text=hostile), NoteText(text=hostile, sources=["doc-000001"])],
        sources=[
            TICKET.model_copy(update={"number": hostile, "title": hostile, "link": hostile, "gives": hostile}),
            NoteSource(id="doc-000001", kind="document", title=hostile, gives=hostile),
        ],
        questions=[hostile],
        suggestions=[Suggested(field="category", value=hostile)],
    )
    shown = read(to_html(everywhere, JOB, hostile))
    assert shown.tags <= TAGS | {"br", "ul"}
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
    assert f"Written by {named}, please check - Ref" in shown.text
    assert shown.tags == {"div", "b", "p"}


@pytest.mark.parametrize("why", [None, "asked", "reopened"])
@pytest.mark.parametrize("language", WORDS)
def test_a_note_is_ours_in_each_language_and_a_further_one_begins_with_why(language: str, why: Any) -> None:
    text = plain_text(to_html(WHOLE.model_copy(update={"language": language}), JOB, MODEL, updated_because=why))
    assert (is_note_of(JOB, text), is_note(text)) == (True, True)
    assert not is_note_of(JOB[:-1] + "c", text)
    assert not is_note(f"> {text}")
    assert not is_note(f"{text} Thanks!")
    words = WORDS[language]
    assert text.startswith(getattr(words, f"updated_{why}") if why else words.cause)
    for each in (words.cause, words.high, words.also, words.questions, words.suggested):
        assert each in text
    assert words.in_short in text


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
