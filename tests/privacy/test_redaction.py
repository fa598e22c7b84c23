"""Redaction: replaced values, shared placeholders, and restored values."""

import json
import re

import pytest

from privacy.redaction.people import Person
from privacy.redaction.redaction import Redaction, without_personal

ANNA = Person("Anna Schmidt", ("anna.schmidt@acme.example",), ("+49 89 1234567",), ("aschmidt", "E-4711"))


def test_a_value_in_another_spelling_is_one_placeholder() -> None:
    masked = Redaction(network=True).redact(
        "jo@acme.example JO@Acme.Example; 089 1234567, +49 (0)89 1234567, 089/1234567;"
        " DE89 3704 0044 0532 0130 00, DE89370400440532013000; 4111 1111 1111 1111, 4111111111111111"
    )
    assert masked == ("[EMAIL_1] [EMAIL_1]; [PHONE_2], [PHONE_2], [PHONE_2]; [BANK_3], [BANK_3]; [CARD_4], [CARD_4]")


def test_numbers_run_over_all_kinds_and_texts() -> None:
    redaction = Redaction([ANNA])
    assert redaction.redact("password: Sommer2024!") == "password: [SECRET_1]"
    assert redaction.redact("Anna, jo@acme.example, Sommer") == "[PERSON_2], [EMAIL_3], Sommer"
    assert redaction.placeholders == {
        "[SECRET_1]": "Sommer2024!",
        "[PERSON_2]": "Anna Schmidt",
        "[EMAIL_3]": "jo@acme.example",
    }


def test_a_later_masking_gives_known_values_their_placeholders_again() -> None:
    first = Redaction([ANNA, Person("Jürgen Müller")])
    first.redact("Anna, Dr. Julia Brandt, 089 1234567, jo@acme.example")
    known = json.loads(json.dumps(first.placeholders))
    later = Redaction([ANNA, Person("Jürgen Müller")], known=known)
    assert later.redact("Schmidt; Julia Brandt; +49 89 1234567; JO@acme.example; Mueller") == (
        "[PERSON_1]; [PERSON_2]; [PHONE_3]; [EMAIL_4]; [PERSON_5]"
    )


def test_one_person_is_one_placeholder_however_written() -> None:
    redaction = Redaction([ANNA])
    assert set(re.findall(r"\[\w+\]", redaction.redact("Anna / Schmidt, Anna / A. Schmidt / ANNA SCHMIDT"))) == {
        "[PERSON_1]"
    }
    masked = redaction.redact("Dr. Julia Brandt rang. Brandt says ok, ask Julia.")
    assert masked == "Dr. [PERSON_2] rang. [PERSON_2] says ok, ask [PERSON_2]."
    assert redaction.restore("[PERSON_1], [PERSON_2]") == "Anna Schmidt, Julia Brandt"


def test_a_first_name_of_two_people_is_one_of_its_own() -> None:
    redaction = Redaction([ANNA, Person("Anna Weber")])
    masked = redaction.redact("Anna Schmidt, then Anna Weber; which Anna? Schmidt!")
    assert masked == "[PERSON_1], then [PERSON_2]; which [PERSON_3]? [PERSON_1]!"
    assert redaction.restore("[PERSON_3]") == "Anna"


def test_somebody_else_with_the_surname_is_somebody_else() -> None:
    redaction = Redaction([ANNA])
    masked = redaction.redact("Peter Schmidt and Anna Schmidt")
    assert masked == "[PERSON_1] and [PERSON_2]"
    assert redaction.restore(masked) == "Peter Schmidt and Anna Schmidt"


def test_secrets_of_another_text_are_never_restored() -> None:
    redaction = Redaction([ANNA])
    assert redaction.redact("Anna: password is Sommer2024!", own=False) == "[PERSON_1]: password is [SECRET]"
    assert redaction.restore("[SECRET] [PERSON_1]") == "[a secret] Anna Schmidt"
    assert "Sommer2024!" not in redaction.placeholders.values()


def test_a_value_that_was_told_once_is_found_where_nothing_tells_it() -> None:
    masked = Redaction().redact("Employee no. 20481 is locked. Password is Sommer2024! I typed Sommer2024! and 20481.")
    assert masked == "Employee no. [ID_1] is locked. Password is [SECRET_2] I typed [SECRET_2] and [ID_1]."


def test_what_looks_like_a_placeholder_comes_back_as_it_was() -> None:
    """A writer must not get another person's name inserted."""
    redaction = Redaction([ANNA])
    text = "Anna wrote [PERSON_1], [Person 1], person_1, **[EMAIL_1]** and [SECRET]"
    masked = redaction.redact(text)
    assert masked.startswith("[PERSON_1] wrote [TEXT_2], [TEXT_3], person_1, **[TEXT_4]**")
    assert redaction.restore(masked) == text.replace("Anna", "Anna Schmidt")


def test_nothing_is_restored_twice() -> None:
    redaction = Redaction()
    redaction.redact("[PERSON_2] and jo@acme.example")
    assert redaction.restore("[TEXT_1]") == "[PERSON_2]"
    assert redaction.restore("[PERSON_[EMAIL_2]]") == "[PERSON_jo@acme.example]"


def test_each_value_is_cleaned_before_it_is_put_back() -> None:
    redaction = Redaction()
    redaction.redact("password: So<b>mmer2024!")
    assert redaction.restore("[SECRET_1] <b>", lambda value: value.replace("<", "&lt;")) == "So&lt;b>mmer2024! <b>"


def test_a_text_without_personal_data_stays_letter_for_letter() -> None:
    text = "Step 1: the printer on the 2nd floor (HP LaserJet 4250, SN CNB1K23456) fails with 0x80070005 since 10:15."
    redaction = Redaction([ANNA])
    assert redaction.redact(text) == text
    assert redaction.restore(text) == text
    assert redaction.placeholders == {}


def test_for_embeddings_the_kind_stands_alone() -> None:
    text = "Anna Schmidt (jo@acme.example) has [PERSON_1] in 10.1.2.3"
    assert without_personal(text, [ANNA]) == "[PERSON] ([EMAIL]) has [PERSON_1] in 10.1.2.3"
    assert without_personal(text, [ANNA], network=True).endswith("[HOST]")


def test_addresses_and_hosts_are_masked_where_that_is_asked_for() -> None:
    text = "Hauptstraße 5, 80331 München; 10.1.2.3; 00:1B:1B:7F:3A:C2; srv-dms-03.acme.local; \\\\fs02\\home"
    assert Redaction().redact(text) == text
    assert Redaction(network=True).redact(text) == "[ADDRESS_1]; [HOST_2]; [HOST_3]; [HOST_4]; \\\\[HOST_5]\\home"


@pytest.mark.parametrize(
    "text",
    [
        "mail j\u200bo@acme.example",
        "mail jo＠acme.example",
        "call +４９ ８９ １２３４５６７",
        "Frau Schm\u00adidt",
        "Frau Schmi\u200bdt",
        "password: Som\u200bmer2024!",
    ],
)
def test_unseen_and_wide_characters_hide_nothing(text: str) -> None:
    redaction = Redaction([ANNA])
    masked = redaction.redact(text)
    assert re.fullmatch(r"[\w ]+:? \[\w+_1\]", masked)
    assert list(redaction.placeholders.values()) == ["Anna Schmidt" if "Frau" in text else text.partition(" ")[2]]


def test_an_account_of_nobody_is_no_person() -> None:
    assert (
        Redaction([Person("System"), Person("IT Service Desk")]).redact("System: the IT desk") == "System: the IT desk"
    )


@pytest.mark.parametrize(
    "said",
    [
        "VPN does not connect, uncommitted",
        "Outlook login with Teams and Citrix fails",
        "Cannot log in to SAP, Fiori shows a blank page",
        "The VPN connects, Zeitgeist does not start",
        "WLAN bricht ab, Roaming geht nicht",
    ],
)
def test_a_sentence_about_logging_in_has_no_secret(said: str) -> None:
    assert Redaction(()).redact(said) == said
