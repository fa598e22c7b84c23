"""Placeholders as models write them, and lookalikes."""

import pytest

from privacy.redaction.people import Person
from privacy.redaction.redaction import Redaction


@pytest.fixture
def redaction() -> Redaction:
    redaction = Redaction([Person("Anna Schmidt")])
    redaction.redact("Anna, jo@acme.example, password: Sommer2024!")
    return redaction


@pytest.mark.parametrize(
    "written",
    [
        *("[PERSON_1]", "[person_1]", "[Person 1]", "[Name 1]", "[PERSON-1]", "[PERSON 1]", "[ PERSON_1 ]"),
        *("[PERSON_\n1]", "[PERSON\n_1]", "[PERSON\\_1]", "\\[PERSON_1]".removeprefix("\\")),
        *("[**PERSON_1**]", "[`PERSON_1`]", "[PERSON:1]", "[PERSON#1]", "[PERSON_01]", "［PERSON＿1］", "{PERSON_1}"),
        *("<PERSON_1>", "[Personne 1]", "[PERSONNE_1]", "[Persona_1]", "[Benutzer 1]", "[USER_1]", "[Mitarbeiterin_1]"),
        *("[PER\u200bSON_1]", "[KUNDE_1]", "【PERSON_1】"),
    ],
)
def test_a_placeholder_that_a_model_changed_is_restored(redaction: Redaction, written: str) -> None:
    assert redaction.restore(f"Ask {written}, please.") == "Ask Anna Schmidt, please."


@pytest.mark.parametrize(
    ("written", "restored"),
    [
        ("**[PERSON_1]**", "**Anna Schmidt**"),
        ("[PERSON_1]'s", "Anna Schmidt's"),
        ("[PERSON_1][EMAIL_2]", "Anna Schmidtjo@acme.example"),
        ("[Mail 2]", "jo@acme.example"),
        ("[E-Mail-Adresse 2]", "jo@acme.example"),
        ("[Passwort_3]", "Sommer2024!"),
    ],
)
def test_what_stands_around_it_stays(redaction: Redaction, written: str, restored: str) -> None:
    assert redaction.restore(written) == restored


@pytest.mark.parametrize(
    "text",
    [
        *("step 1", "Step 1", "ticket 12", "[1]", "[Step 1]", "[ticket 1]", "[Figure_1]", "[STEP_1]", "error 1", "(1)"),
        *("[TICKET_1]", "column email_1", "address_2", "1. Person", "phone 2", "Host 1", "ID 3", "list[1]", "a[i_1]"),
        *(
            "[PERSON]",
            "person 1",
            "Personal 1",
            "PERSON_1_2",
            "PERSON_1",
            "PERSON 1",
            "Person-1",
            "[PERSON_1, EMAIL_2]",
        ),
        *("the column SECRET_3", "ID_3 is a key", "`SECRET_3`", "ID_1", "SECRET_3=x", "[FIELD_3]", "[FIELD_1]"),
    ],
)
def test_text_that_is_no_placeholder_stays(redaction: Redaction, text: str) -> None:
    assert redaction.restore(text) == text


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("[PERSON_99]", "[a person]"),
        ("[Name 99]", "[a person]"),
        ("[EMAIL_99]", "[a mail address]"),
        ("[ID_3]", "[a personal number]"),
        ("[PERSON_3]", "[a person]"),
        ("[Name 3]", "[a person]"),
        ("[SECRET_12]", "[a secret]"),
        ("[SECRET]", "[a secret]"),
        ("[IBAN_4]", "[a bank account]"),
    ],
)
def test_one_that_was_invented_becomes_its_kind_in_words(redaction: Redaction, written: str, words: str) -> None:
    assert redaction.restore(f"Ask {written}.") == f"Ask {words}."


@pytest.mark.parametrize("written", ["[", "[PERSON_", "[PERSON_1", "PERSON_", "[a a a ", "[[1]", "1", "*"])
def test_a_long_row_of_halves_of_placeholders_stays(redaction: Redaction, written: str) -> None:
    """The patterns' tests prove linear time (test_patterns.py)."""
    restored = redaction.restore(written * 5000)
    assert restored.replace("Anna Schmidt", "PERSON_1") == written * 5000
