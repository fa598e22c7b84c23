"""Names found beside known ones, and lookalikes that stay."""

import pytest

from privacy.redaction.people import Person
from privacy.redaction.redaction import Redaction, without_personal

OLGA = Person("Olga Brandauer", (), (), ("obrandauer",))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Codes for the night:\n118 402  336 719  447 085", "Codes for the night:\n[SECRET]  [SECRET]  [SECRET]"),
        ("Tom: what is the password?\nAnna: Lavendel", "[PERSON]: what is the password?\n[PERSON]: [SECRET]"),
        ("Sicherheitsfrage (erstes Tier): Fridolin", "Sicherheitsfrage (erstes Tier): [SECRET]"),
        ("docker login -u ci -p Kupfer_88-x", "docker login -u ci -p [SECRET]"),
        ("mysql -u app -p'Salz?44berg' shop", "mysql -u app -p'[SECRET]' shop"),
        ("card 4111 1111 1111 1111, 04/29, code 552", "card [CARD], 04/29, code [SECRET]"),
        ("AT61 1904 3002 3457 3201, GIBAATWW", "[BANK], [BANK]"),
        ("RTN 121000358 acct 00417720", "RTN [BANK] acct [BANK]"),
        ("Passport: FA1184027; in the system FA1184072", "Passport: [ID]; in the system [ID]"),
        ("please call us back, poste 318", "please call us back, poste [PHONE]"),
    ],
)
def test_what_stands_beside_a_known_value_is_masked(text: str, masked: str) -> None:
    assert without_personal(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "token refresh failed at 2026-11-19T04:11:58.207Z in eu-west-1",
        "accounts exam01-exam20 have no password yet",
        "license daemon key: 0x3A7C, feature version 24",
        "Course code TR-118 is full",
        "Tom: is the password expired?\nworks again since noon",
        "config vpn ipsec phase1-interface\nset psk",
        "Is the password safe? Nobody knows",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert "[SECRET]" not in without_personal(text)


@pytest.mark.parametrize("signed", ["OB", "ob", "O.B.", "Olg", "OBra", "B."])
def test_somebody_of_the_desk_signs_with_less_than_a_name(signed: str) -> None:
    assert Redaction([OLGA]).redact(f"The dock was swapped. Works. {signed}").endswith("Works. [PERSON_1]")


@pytest.mark.parametrize("ended", ["OK", "Works", "B"])
def test_the_last_word_of_a_text_is_nobody_by_itself(ended: str) -> None:
    assert Redaction([Person("Karl Nemec")]).redact(f"The dock was swapped. {ended}").endswith(f"swapped. {ended}")
