"""Quotes: which words of a source support a claim, and how a note shows them."""

from typing import Any

import pytest

from integrations.values import DeskTicket, Person
from knowledge.models import Document, SimilarTicket
from tests.kit.model import STATE, case_in
from tests.workflow.answers import ANSWERED, answer, asked, claims, grounded
from workflow.answer import Content, NoteText
from workflow.grounding import Grounding
from workflow.quotes import QuotableText
from workflow.state import GraphState

RESOLUTION = (
    "ElcProcessingDisabled was \u201cTrue\u201d, set to False.\nNo new profile needed; do not delete the OST. "
    "Ran Start\u2011ManagedFolderAssistant twice, wait 60 min between. Moved 2 GB."
)
ITEM = DeskTicket("1", "Deleted items stay", "They stay since Monday, in all folders. [PERSON_1]", "", "", "Open", "")
EMPTY = claims("rm -rf /var/lib/x", "(from #101)", sources=("ticket-101",), quote="Raised the quota")
OLD: GraphState = {
    "ticket": ITEM,
    "similar_tickets": [
        SimilarTicket("9", "Deleted items", RESOLUTION, problem="Retention does nothing since the move."),
        SimilarTicket("8", "Mailbox slow", "Compacted the file of the mailbox."),
    ],
    "documents": [],
}


@pytest.mark.parametrize(
    ("quote", "shown"),
    [
        ("elcprocessingdisabled was 'TRUE',\n set to false", "ElcProcessingDisabled was “True”, set to False."),
        ('was "True", set', "ElcProcessingDisabled was “True”, set to False."),
        ("twice, wait 60 min between.", "Ran Start‑ManagedFolderAssistant twice, wait 60 min between."),
        ("Start-ManagedFolderAssistant twice", "Ran Start‑ManagedFolderAssistant twice, wait 60 min between."),
        ("delete the OST", "do not delete the OST."),
        *(
            (each, None)
            for each in ("", "True", "set to True", "elete the OST", "twice … between", "Retention does nothing")
        ),
    ],
)
def test_a_quote_is_verbatim_and_shown_with_its_sentence(quote: str, shown: str | None) -> None:
    found = QuotableText(RESOLUTION).find(quote)
    assert (found.text if found else None) == shown


def test_a_quote_that_occurs_twice_is_the_one_that_nothing_negates() -> None:
    found = QuotableText("Do not restart the server at noon. At night restart the server.").find("restart the server")
    assert found == ("At night restart the server.", False)


def test_a_long_sentence_is_cut_around_the_quote_at_whole_words() -> None:
    found = QuotableText("word " * 60 + "the printer lost its lease " + "word " * 60).find("printer lost its lease")
    assert found is not None
    assert found.text.startswith("…word ")
    assert found.text.endswith("word…")
    assert "the printer lost its lease" in found.text
    assert len(found.text) <= 162


def step(quote: str, text: str = "Do it.", cited: str = "ticket-9", **sources: str) -> NoteText:
    compared = [{"id": f"ticket-{name[1:]}", "quote": "", "same_problem": same} for name, same in sources.items()]
    said = answer(next_steps=claims(text, sources=(cited,), quote=quote), likely_cause=claims("")[0], sources=compared)
    return grounded(said, OLD).next_steps[0]


@pytest.mark.parametrize(
    ("said", "sources"),
    [
        ({"quote": "set to False"}, ["ticket-9"]),
        ({"quote": "set to True"}, []),
        ({"quote": "Retention does nothing since the move."}, []),  # the problem is no evidence for a step
        ({"quote": "set to False", "t9": "no"}, []),
        ({"quote": "set to False", "t9": "partly"}, ["ticket-9"]),
        # The words of another source, under a wrong number.
        ({"quote": "set to False", "cited": "ticket-8"}, ["ticket-9"]),
        ({"quote": "set to False", "cited": "ticket-8", "t9": "no"}, []),
        # A negation that the quote leaves out.
        ({"quote": "new profile needed", "text": "Create a profile."}, []),
        ({"quote": "new profile needed", "text": "A new profile is not needed."}, ["ticket-9"]),
        ({"quote": "delete the OST", "text": "Delete the OST."}, []),
        ({"quote": "Ran Start-ManagedFolderAssistant", "text": "Wait 1 hour, then 60 minutes."}, ["ticket-9"]),
        ({"quote": "Ran Start-ManagedFolderAssistant", "text": "Wait 60 seconds."}, []),
        ({"quote": "Moved 2 GB", "text": "Move 2 files."}, ["ticket-9"]),
    ],
)
def test_a_claim_without_evidence_is_general(said: dict[str, Any], sources: list[str]) -> None:
    shown = step(**said)
    assert shown.sources == sources
    assert bool(shown.quote) is bool(sources)


@pytest.mark.parametrize(
    ("quote", "shown", "same"),
    [
        # Judged by a second request: an inexact quote is shown as its source has it.
        (
            "started the ManagedFolderAssistant two times, waited 60 min",
            "Ran Start‑ManagedFolderAssistant twice",
            "yes",
        ),
        ("no profile was needed, the OST not deleted", "do not delete the OST.", "yes"),
        ("Retention does nothing", "Retention does nothing since the move.", "yes"),
        ("set to False", "ElcProcessingDisabled was", "no"),
        ("Rebooted the domain controller", "", "yes"),
    ],
)
def test_a_judged_claim_may_have_an_inexact_quote_or_a_look_alike(quote: str, shown: str, same: str) -> None:
    compared = [{"id": "ticket-9", "quote": "", "same_problem": same}]
    said = answer(next_steps=claims("Do it.", sources=("ticket-9",), quote=quote), sources=compared)
    grounding = Grounding(case_in(OLD), str, str)
    content = grounding.content(said, prompt="4", language="en", nothing_found=False, is_judged=True)
    assert content.next_steps[0].quote.startswith(shown)
    assert bool(content.next_steps[0].sources) is bool(shown)


@pytest.mark.parametrize(
    ("changed", "confidence"),
    [
        ({}, "high"),
        ({"sources": [{"id": "ticket-101", "quote": "", "same_problem": "partly"}]}, "medium"),
        ({"likely_cause": claims("Full.", sources=("ticket-101",), quote="Lost the quota")[0]}, "medium"),
        ({"likely_cause": claims("Full.")[0], "next_steps": claims("Wait.")}, "low"),
        # Nothing is left of these claims.
        *(({"likely_cause": each, "next_steps": []}, "low") for each in EMPTY),
    ],
)
def test_confidence_follows_from_the_evidence(changed: dict[str, Any], confidence: str) -> None:
    content = content_of(changed, STATE)
    assert (content.confidence, content.is_thin) == (confidence, False)


@pytest.mark.parametrize(
    ("text", "is_thin"),
    [
        ("", True),
        ("共有メールボックスがOutlookのフォルダー一覧から消えました。ブラウザーでは開けます。今朝からです。", False),
    ],
)
def test_a_ticket_of_two_words_has_low_confidence(text: str, *, is_thin: bool) -> None:
    state: GraphState = STATE | {"ticket": DeskTicket("1", "Printer broken", text, "", "", "Open", "")}
    content = content_of({}, state)
    assert (content.is_thin, content.confidence) == (is_thin, "low" if is_thin else "high")


def test_a_cause_may_have_the_problem_of_an_earlier_ticket_as_evidence() -> None:
    (cause,) = claims("The move broke it.", sources=("ticket-9",), quote="since the move.")
    said = answer(likely_cause=cause, sources=[])
    assert grounded(said, OLD).likely_cause.quote == "Retention does nothing since the move."


def test_a_source_with_another_problem_is_cited_nowhere() -> None:
    hosts = [
        SimilarTicket("9", "Tunnel", "Restarted the gateway of the tunnel."),
        SimilarTicket("8", "Mail", "Let vpn.acme.example through the filter."),
    ]
    compared = [{"id": "ticket-8", "quote": "", "same_problem": "no"}]
    steps = claims("Let vpn.acme.example through.", sources=("ticket-9",), quote="Restarted the gateway")
    content = grounded(answer(next_steps=steps, sources=compared), OLD | {"similar_tickets": hosts})
    assert "ticket-8" not in [each.id for each in content.sources]


def content_of(changed: dict[str, Any], state: GraphState) -> Content:
    grounding = Grounding(case_in(state), str, str)
    return grounding.content(answer(**ANSWERED | changed), prompt="4", language="en", nothing_found=False)


def test_a_quote_has_the_values_of_this_tickets_people_only() -> None:
    zoe, sam = Person("Zoë Adeyemi"), Person("Sam Okafor", ("sam@acme.example",))
    found = SimilarTicket(
        "9",
        "Mailbox full",
        "Sam Okafor (sam@acme.example) asked Zoë Adeyemi; password: Winter-0815. SSN 536-90-4399.",
        people=(sam,),
    )
    document = Document("Quotas", "Ask Sam Okafor for the quota.")
    ticket = DeskTicket("1", "Mailbox of Zoë Adeyemi", "Full since Monday.", "", "", "Open", "", people=(zoe,))
    question = asked({"ticket": ticket, "similar_tickets": [found], "documents": [document]})
    sources = question.grounding.case.sources
    steps = [each for source in sources for each in claims("Ask.", sources=(source.id,), quote=source.text)]
    content = question.content(answer(next_steps=steps), nothing_found=False)
    first, second = (shown.quote for shown in content.next_steps)
    assert "asked Zoë Adeyemi" in first
    assert all("[a person]" in quote for quote in (first, second))
    assert not {
        name for name in ("Sam", "Okafor", "sam@", "Winter", "536-90") for quote in (first, second) if name in quote
    }
