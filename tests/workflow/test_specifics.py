"""Specific values: in the ticket or a source, or marked as a guess."""

import json
import re
from pathlib import Path

import pytest

from integrations.values import DeskTicket, Document, SimilarTicket
from tests.documents.readme import ROOT
from tests.kit.model import case_in
from tests.workflow.answers import answer, claims, grounded
from tests.workflow.asking import asked
from tests.workflow.shown import read
from workflow.answer import Content
from workflow.note import to_html
from workflow.note_words import WORDS
from workflow.state import GraphState

TICKET = DeskTicket(
    "12345",
    "CorpLink drops",
    r"CorpLink 4.2.1 of Zoë Ahlers writes to C:\CorpLink\Logs\tunnel.log; Outlook says 0x800CCC0E.",
    "High",
    "VPN",
    "Open",
    "",
)
SIMILAR = [
    SimilarTicket("101", "Tunnel slow", "Set the MTU to 1400 (was 1500). Let vpn.acme.example reach 10.20.30.40."),
    SimilarTicket("102", "Mailbox full", "Raised the quota to 50 GB on srv-mail02."),
]
STATE: GraphState = {
    "ticket": TICKET,
    "similar_tickets": SIMILAR,
    "documents": [Document("Updates", "KB5034441 needs a bigger partition.")],
}
EN = WORDS["en"]
SENTENCES = [json.loads(line) for line in Path(__file__).with_name("specifics.jsonl").read_text("utf-8").splitlines()]


def _note(content: Content) -> str:
    return read(to_html(content, "j", "m")).text


def _shown(sentence: dict[str, str]) -> str:
    said = answer(next_steps=claims(sentence["text"]))
    return grounded(said, STATE, language=sentence["language"]).next_steps[0].text


def _step(text: str, *sources: str) -> tuple[str, list[str]]:
    content = grounded(answer(next_steps=claims(text, sources=sources)), STATE)
    return content.next_steps[0].text, content.next_steps[0].sources


def test_honest_sentences_are_hardly_ever_marked() -> None:
    """General knowledge, and other spellings of the case's values, in seven languages."""
    honest = [one for one in SENTENCES if "invented" not in one]
    assert len(honest) > 300
    marked = [shown for one in honest if (shown := _shown(one)) != one["text"]]
    assert len(marked) <= 3, marked


def test_hardly_anything_specific_that_is_invented_stays_unmarked() -> None:
    invented = [one for one in SENTENCES if "invented" in one]
    assert len(invented) > 120
    # Some become links that cannot be clicked.
    unmarked = [
        one["text"]
        for one in invented
        if (shown := _shown(one)) == one["text"]
        or (WORDS[one["language"]].no_source not in shown and "[.]" not in shown)
    ]
    assert len(unmarked) <= 8, unmarked


@pytest.mark.parametrize("language", WORDS)
def test_a_mark_is_of_the_notes_language(language: str) -> None:
    said = answer(summary="MTU 1380.", next_steps=claims("MTU 1380."))
    content = grounded(said, STATE, language=language)
    words = WORDS[language]
    assert content.summary == f"MTU 1380 ({words.not_in_ticket})."
    assert content.next_steps[0].text == f"MTU 1380 ({words.no_source})."


def test_a_claim_with_something_that_stands_nowhere_is_a_guess_whatever_it_cites() -> None:
    said = answer(
        likely_cause={"text": "The relay mx-07.corp.example is down.", "sources": ["ticket-101"]},
        next_steps=claims("Set the MTU to 1400.", "Open port 61616.", sources=("ticket-101",)),
        sources=[],
    )
    content = grounded(said, STATE)
    assert [step.sources for step in content.next_steps] == [["ticket-101"], []]
    assert (content.likely_cause.sources, content.confidence) == ([], None)
    note = _note(content)
    assert f"{EN.guessed_cause}: The relay mx-07.corp.example (in no source) is down." in note
    assert f"{EN.guessed_steps}Open port 61616 (in no source)." in note
    assert "Set the MTU to 1400. (#101)" in note


def test_a_source_that_was_cited_for_what_it_does_not_say_is_shown_all_the_same() -> None:
    said = answer(next_steps=claims("Open port 61616.", sources=("ticket-102",)), sources=[])
    assert "ticket-102" in [source.id for source in grounded(said, STATE).sources]


def test_a_claim_is_of_the_sources_that_have_what_is_specific_in_it() -> None:
    document = case_in(STATE).sources[2].id
    assert _step("Let vpn.acme.example through.", "ticket-102")[1] == ["ticket-102", "ticket-101"]
    assert _step("Raise it to 50 GB and remove KB5034441.", "ticket-102")[1] == ["ticket-102", document]
    assert _step("Set the MTU to 1400.", "ticket-101", "ticket-102")[1] == ["ticket-101", "ticket-102"]
    assert _step("Restart CorpLink.", "ticket-102")[1] == ["ticket-102"]
    assert _step("Look into tunnel.log.", "ticket-102")[1] == ["ticket-102"], "the ticket has it"


@pytest.mark.parametrize("said", ["Raise it to 50 GB.", "Open port 1400.", "Set the spooler's timeout to 1400 ms."])
def test_a_number_that_another_source_has_by_chance_moves_no_citation(said: str) -> None:
    cited = "ticket-102" if "1400" in said else "ticket-101"
    assert _step(said, cited) == (said, [])


@pytest.mark.parametrize(
    "said",
    [r"Map \\fs01\profiles$.", "Add a route to 172.16.8.0/22.", "Go to px.acme.com/login.", "Get http://10.9.9.9/a."],
)
def test_a_claim_with_a_link_of_no_source_is_a_guess(said: str) -> None:
    shown, sources = _step(said, "ticket-101")
    assert "[" in shown
    assert sources == []
    assert _step("Sign in at portal.office.com.", "ticket-101")[1] == ["ticket-101"], "anybody knows that one"


def test_a_number_of_a_ticket_is_told_as_such_alone() -> None:
    assert _step("Open port 101.", "ticket-101") == ("Open port 101 (in no source).", [])
    assert _step("Do as in ticket 101.", "ticket-101")[1] == ["ticket-101"]
    assert EN.not_in_ticket in grounded(answer(summary="Port 12345 is closed."), STATE).summary


def test_a_cause_with_something_of_no_source_has_no_confidence() -> None:
    for cited in ([], ["ticket-101"]):
        cause = {"text": "The relay mx-07.corp.example is down.", "sources": cited}
        assert grounded(answer(likely_cause=cause), STATE).confidence is None
    assert grounded(answer(likely_cause={"text": "It is full.", "sources": []}), STATE).confidence is not None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Set the MTU to 1380 on srv-x77.", "Set the MTU to 1380 on srv-x77 (in no source: 1380, srv-x77)."),
        ("Check srv-x77's spooler.", "Check srv-x77's (in no source) spooler."),
        ("See the host 'srv-x77'.", "See the host 'srv-x77' (in no source)."),
        ('Rename "agent.dll", then wait.', 'Rename "agent.dll" (in no source), then wait.'),
        ("Set the timeout to 45 seconds.", "Set the timeout to 45 seconds (in no source)."),
        ("Use srv-x77, srv-x77.", "Use srv-x77, srv-x77 (in no source)."),
        ("Go to https://evil.example/x1234.", "Go to hxxps[:]//evil[.]example/x1234."),
        ("Run sfc /scannow.", f"Run {EN.command_left_out}."),
        ("See ticket 4711.", f"See {EN.no_ticket}."),
        ("It is 14.2.1", "It is 14.2.1 (in no source)"),
        ("It is 2.1", "It is 2.1 (in no source)"),
    ],
)
def test_there_is_one_mark_behind_the_last_of_a_text(said: str, shown: str) -> None:
    assert _step(said)[0] == shown


def test_a_summary_tells_what_the_ticket_tells_and_no_more() -> None:
    told = answer(summary=r"CorpLink 4.2.1, c:/corplink/logs, 0X800ccc0e, like #101; the MTU is 1400.")
    content = grounded(told, STATE)
    assert (
        content.summary
        == r"CorpLink 4.2.1, c:/corplink/logs, 0X800ccc0e, like #101; the MTU is 1400 (not in the ticket)."
    )
    said_since: GraphState = STATE | {"conversation": ("The MTU is 1400.",)}
    assert EN.not_in_ticket not in grounded(told, said_since).summary


def test_what_a_source_gives_is_held_against_that_source() -> None:
    said = answer(sources=[{"id": "ticket-101", "gives": "MTU 1380"}, {"id": "ticket-102", "gives": "MTU 1400"}])
    assert [each.gives for each in grounded(said, STATE).sources] == ["MTU 1380 (not in it)", "MTU 1400 (not in it)"]
    said = answer(sources=[{"id": "ticket-101", "gives": "MTU 1400 for CorpLink 4.2.1"}])
    assert grounded(said, STATE).sources[0].gives == "MTU 1400 for CorpLink 4.2.1"


def test_a_question_has_no_mark() -> None:
    said = answer(questions=["Is it srv-x77?", "Is it error 0x8004010F, or 809?"])
    assert grounded(said, STATE).questions == said.questions


def test_the_documented_example_is_what_a_note_shows() -> None:
    text = (ROOT / "docs" / "notes.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| (.+) \| (from your desk|an idea of the model)[^:]*: (.+) \|$", text)
    assert len(rows) == 4
    for said, standing, shown in rows:
        note = _note(grounded(answer(next_steps=claims(said, sources=("ticket-101",))), STATE))
        heading = EN.steps if standing == "from your desk" else EN.guessed_steps
        assert f"{heading}{shown}" in note


def test_values_that_placeholders_stand_for_are_known() -> None:
    ticket = DeskTicket("1", "Phone", "Call +49 30 1234567 or zoe@acme.example.", "High", "VPN", "Open", "")
    question = asked({"ticket": ticket, "similar_tickets": [], "documents": []})
    placeholders = {value: name for name, value in question.placeholders.items()}
    said = "Call {} or {}.".format(*(placeholders[each] for each in ("+49 30 1234567", "zoe@acme.example")))
    content = question.content(answer(summary=said, next_steps=claims(said)), nothing_found=True)
    assert content.summary == content.next_steps[0].text == "Call +49 30 1234567 or zoe@acme.example."


def test_what_the_rules_of_the_house_say_is_known() -> None:
    told = answer(next_steps=claims("Then call extension 7741."))
    assert asked(STATE, rules="For VPN call 7741.").content(told, nothing_found=False).next_steps[0].text == (
        "Then call extension 7741."
    )
    assert EN.no_source in asked(STATE).content(told, nothing_found=False).next_steps[0].text


def test_a_text_of_any_form_is_gone_through() -> None:
    for text in ("a-" * 240, "1.1" * 160, "C:\\" * 160, "set to " * 70, "…" * 400, "[[.:" * 120, "1'111" * 99):
        assert grounded(answer(next_steps=claims(text)), STATE).next_steps
