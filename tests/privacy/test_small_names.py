"""The desk's names that are also words, in small letters."""

import pytest

from privacy.redaction.people import Person
from privacy.redaction.redaction import Redaction

NAMES = ("Mark Hollis", "Will Baker", "Jens Koch", "Bill Young", "May Long", "Petra Sommer")
PEOPLE = [Person(name) for name in NAMES]


def named(sentence: str) -> list[str]:
    redaction = Redaction(PEOPLE)
    redaction.redact(f"Printer in Room Two\n{sentence} Please Reply to the Desk.\n")
    return list(redaction.placeholders.values())


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("please ask mark about it", "Mark Hollis"),
        ("Can you tell will that the toner is here?", "Will Baker"),
        ("please call bill.", "Bill Young"),
        ("contact will if it fails again", "Will Baker"),
        ("It was fixed by mark yesterday.", "Mark Hollis"),
        ("I got a mail from will, nothing else.", "Will Baker"),
        ("Ticket was assigned to mark, then closed", "Mark Hollis"),
        ("mark's laptop is broken", "Mark Hollis"),
        ("marks laptop is broken", "Mark Hollis"),
        ("but mark said it works", "Mark Hollis"),
        ("ask may about the report", "May Long"),
        ("fragt koch mal, der weiß das", "Jens Koch"),
        ("bitte koch anrufen wegen Drucker", "Jens Koch"),
        ("Das Ticket von koch ist noch offen.", "Jens Koch"),
        ("Weitergeleitet an koch, danke", "Jens Koch"),
        ("frag sommer ob das geht", "Petra Sommer"),
    ],
)
def test_it_is_found_where_the_sentence_tells(sentence: str, name: str) -> None:
    assert named(sentence) == [name]


def test_it_is_found_beside_another_name_of_the_desk() -> None:
    assert named("Young and mark sit there.") == ["Bill Young", "Mark Hollis"]


@pytest.mark.parametrize(
    "sentence",
    [
        *("Please mark as read.", "I will do that.", "will do", "The call will fail again.", "my phone bill."),
        *("Tell me when it will be ready", "to mark it as done, click here", "for long texts it fails", "by may"),
        *("mails from young people", "Click here to mark all and save", "this took too long for me"),
        *("Der koch in der Kantine braucht ein Tablet.", "frag den koch in der Kantine", "im sommer wieder"),
    ],
)
def test_it_stays_where_it_is_the_word(sentence: str) -> None:
    assert named(sentence) == []
