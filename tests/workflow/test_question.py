"""The prompt (masked, language, house rules), and its restored answer."""

import json
from typing import Any

import pytest

from integrations.values import DeskTicket, Document, SimilarTicket
from privacy.redaction.people import Person
from tests.kit.model import STATE
from tests.workflow.answers import answer, claims
from tests.workflow.asking import asked
from tests.workflow.shown import read
from workflow.note import to_html
from workflow.note_words import WORDS
from workflow.prompt import CURRENT
from workflow.state import GraphState

ZOE = Person("Zoë Adeyemi", ("zoe.adeyemi@acme.example",), ("+49 171 2345678",))
SAM = Person("Sam Okafor", ("sam@acme.example",))
PERSONAL: GraphState = {
    "ticket": DeskTicket(
        "12345",
        "Mailbox of Zoë Adeyemi is full",
        "Hello, my mailbox zoe.adeyemi@acme.example is full, password: Sunny-4711. Call 0171 2345678. Zoe",
        "High",
        "Email",
        "Open",
        "",
        people=(ZOE,),
    ),
    "conversation": ["Zoe says that archiving did not help."],
    "similar_tickets": [
        SimilarTicket("101", "Mailbox full", "Sam raised the quota; his password: Winter-0815.", people=(SAM,))
    ],
    "documents": [Document("Mail quotas", "Ask Sam Okafor.")],
}


def case(state: GraphState, **note: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(asked(state, **note).prompt.user)
    return told


def test_what_is_personal_is_a_placeholder_and_the_same_one_everywhere() -> None:
    told = case(PERSONAL)
    sent = json.dumps(told, ensure_ascii=False)
    for value in ("Zo", "Adeyemi", "adeyemi", "2345678", "Sunny", "Winter", "Okafor", "Sam "):
        assert value not in sent
    assert told["ticket"]["subject"] == "Mailbox of [PERSON_1] is full"
    assert told["conversation"] == ["[PERSON_1] says that archiving did not help."]
    assert "[SECRET]" in told["sources"][0]["resolution"]
    assert told["sources"][1]["text"] != "Ask Sam Okafor."


def test_what_the_answer_says_of_them_is_restored_in_the_note() -> None:
    question = asked(PERSONAL)
    (mail,) = [name for name in question.placeholders if "EMAIL" in name]
    said = answer(
        summary=f"[PERSON_1] can't write: {mail} is full.",
        likely_cause={"text": "**[Person 1]** keeps all; [PERSON_99] too.", "sources": ["ticket-101"]},
        next_steps=claims("Call [PERSON\\_1].", "Open https://evil.example/[PERSON_1]"),
    )
    text = read(to_html(question.content(said, nothing_found=False), "j", "m")).text
    assert "Zoë Adeyemi can't write: zoe.adeyemi@acme.example is full." in text
    assert "Zoë Adeyemi" in text.partition("keeps all")[0]
    assert "[a person] too" in text
    assert "Call Zoë Adeyemi." in text
    assert "https://evil" not in text


def test_a_name_that_is_a_link_is_restored_without_working() -> None:
    evil = Person("https://evil.example/login", ("a@b.example",))
    ticket = DeskTicket("1", "Of https://evil.example/login", "x", "", "", "", "", people=(evil,))
    question = asked({"ticket": ticket, "similar_tickets": [], "documents": []})
    said = answer(summary="Of [PERSON_1], [TEXT_1], [HOST_1] and [EMAIL_1].", sources=[], next_steps=[])
    assert "https://" not in question.content(said, nothing_found=False).summary


@pytest.mark.parametrize(
    ("secret", "said", "shown"),
    [
        ("|sh;a1b2c3", "Run curl x [SECRET_1]", WORDS["en"].command_left_out),
        ("-encSQBF12x", "Run powershell [SECRET_1]", WORDS["en"].command_left_out),
        ("evil.com/pay?x=1", "Open [SECRET_1]", "Open evil[.]com/pay?x=1"),
    ],
)
def test_a_value_and_the_models_words_make_no_command_and_no_link(secret: str, said: str, shown: str) -> None:
    ticket = DeskTicket("1", "Login", f"my password: {secret}", "", "", "", "")
    question = asked({"ticket": ticket, "similar_tickets": [], "documents": []})
    assert question.placeholders == {"[SECRET_1]": secret}
    summary = question.content(answer(summary=said, sources=[], next_steps=[]), nothing_found=False).summary
    assert shown in summary
    assert secret not in summary


def test_a_name_of_another_ticket_is_not_put_into_this_one() -> None:
    tom = Person("Tom Baker")
    state: GraphState = {
        "ticket": DeskTicket("1", "Reboot", "Hello, Tom rebooted it.", "", "", "", "", people=(ZOE,)),
        "similar_tickets": [SimilarTicket("2", "Reboot", "Tom did it. Regards, Tom Baker", people=(tom,))],
        "documents": [],
    }
    question = asked(state)
    told = json.loads(question.prompt.user)
    assert "Tom" not in question.prompt.user
    said = answer(summary=told["ticket"]["description"], sources=[], next_steps=[])
    assert question.content(said, nothing_found=False).summary == "Hello, Tom rebooted it."


@pytest.mark.parametrize("at", [5985, 5995, 6005])
def test_no_half_of_a_value_is_left_where_a_text_is_cut(at: int) -> None:
    text = ("word " * 1300)[:at] + " IBAN DE89 3704 0044 0532 0130 00 and so on. " + "word " * 200
    ticket = DeskTicket("1", "Bank", text, "", "", "", "")
    told = case({"ticket": ticket, "similar_tickets": [], "documents": []})
    assert "DE89" not in told["ticket"]["description"]
    assert "3704" not in told["ticket"]["description"]
    assert told["ticket"]["description"].endswith("…")


def test_a_ticket_that_writes_a_placeholder_gets_nobody_put_in() -> None:
    ticket = DeskTicket("1", "[PERSON_2] wants in", "See [PERSON_1].", "", "", "", "", people=(ZOE,))
    state: GraphState = {"ticket": ticket, "similar_tickets": [], "documents": []}
    question = asked(state)
    told = json.loads(question.prompt.user)["ticket"]
    said = answer(summary=told["subject"] + " " + told["description"], sources=[], next_steps=[])
    assert question.content(said, nothing_found=False).summary == "[PERSON_2] wants in See [PERSON_1]."


def test_a_repair_meets_the_same_placeholders() -> None:
    first = asked(PERSONAL)
    # A later attempt finds other texts, in another order.
    later: GraphState = PERSONAL | {"conversation": ["Sam Okafor asked.", "Zoe says that archiving did not help."]}
    again = asked(later, first.placeholders)
    assert first.placeholders.items() <= again.placeholders.items()
    said = answer(summary="[PERSON_1] wrote.", sources=[], next_steps=[])
    assert again.content(said, nothing_found=False).summary == "Zoë Adeyemi wrote."


def test_a_tenant_that_wants_no_masking_sends_what_is_there() -> None:
    told = case(PERSONAL, masking="none")
    assert told["ticket"]["subject"] == "Mailbox of Zoë Adeyemi is full"
    assert "Winter-0815" in told["sources"][0]["resolution"]
    said = answer(summary="[PERSON_1] of Zoë.", sources=[], next_steps=[])
    assert asked(PERSONAL, masking="none").content(said, nothing_found=False).summary == "[PERSON_1] of Zoë."


@pytest.mark.parametrize(("masking", "is_there"), [("personal", True), ("all", False)])
def test_hosts_and_addresses_are_masked_where_the_tenant_says_so(masking: str, is_there: bool) -> None:
    ticket = DeskTicket("1", "Disk full", "Server 10.20.30.40 is full.", "", "", "", "")
    told = case({"ticket": ticket, "similar_tickets": [], "documents": []}, masking=masking)
    assert ("10.20.30.40" in told["ticket"]["description"]) is is_there


def test_rules_of_the_house_are_told_and_make_another_version() -> None:
    plain, housed = asked(STATE), asked(STATE, rules="Say du to everybody.")
    assert plain.version == CURRENT
    assert housed.version.startswith(f"{CURRENT}+")
    assert housed.version != asked(STATE, rules="Say Sie to everybody.").version
    assert "Say du to everybody." in housed.prompt.system
    assert housed.prompt.system.startswith(plain.prompt.system.strip())


GERMAN = DeskTicket(
    "1", "Drucker druckt nicht", "Der Drucker im zweiten Stock druckt seit heute Morgen nicht mehr.", "", "", "", ""
)


@pytest.mark.parametrize(
    ("ticket", "language", "is_told"),
    [
        (GERMAN, "ticket", "Write in German."),
        (GERMAN, "fr", "Write in French."),
        (DeskTicket("1", "VPN", "", "", "", "", ""), "ticket", "Write in the language of the ticket."),
        (STATE["ticket"], "ticket", "Write in English."),
    ],
)
def test_the_answer_is_wanted_in_the_tickets_language_or_the_tenants(
    ticket: DeskTicket, language: str, is_told: str
) -> None:
    state: GraphState = {"ticket": ticket, "similar_tickets": [], "documents": []}
    assert is_told in asked(state, language=language).prompt.system


def test_the_notes_own_words_are_in_the_language_that_the_answer_is_in() -> None:
    """Even if the model used the wrong language, the note has one language."""
    question = asked({"ticket": GERMAN, "similar_tickets": [], "documents": []})
    german = answer(summary="Der Drucker druckt nicht, weil die Warteschlange voll ist.", next_steps=[], sources=[])
    assert question.content(german, nothing_found=False).language == "de"
    english = answer(summary="The printer does not print since its queue is full.", next_steps=[], sources=[])
    assert question.content(english, nothing_found=False).language == "en"
    assert question.language == "de"
