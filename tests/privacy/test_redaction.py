"""Redaction: values and names that are replaced, shared placeholders, restored values, and lookalikes."""

import json
import re

import pytest

from privacy.redaction.people import Person
from privacy.redaction.redaction import Redaction, without_personal

ANNA = Person("Anna Schmidt", ("anna.schmidt@acme.example",), ("+49 89 1234567",), ("aschmidt", "E-4711"))
OLGA = Person("Olga Brandauer", (), (), ("obrandauer",))


@pytest.mark.parametrize(
    ("people", "text", "masked", "first"),
    [
        (["Anna Schmidt", "Anna Weber"], "Anna? Anna Schmidt, then Anna Weber", "[1]? [2], then [3]", "Anna"),
        (["Anna Schmidt"], "Peter Schmidt and Anna Schmidt", "[1] and [2]", "Peter Schmidt"),
        (["Anna Schmidt"], "Schmidt / A. Schmidt / ANNA SCHMIDT", "[1] / [1] / [1]", "Anna Schmidt"),
        ([], "Dr. Julia Brandt rang. Brandt says: ask Julia.", "Dr. [1] rang. [1] says: ask [1].", "Julia Brandt"),
        (["System", "IT Service Desk"], "System: the IT desk", "System: the IT desk", "[a person]"),
        # Scripts without capitals and spaces.
        (["张伟", "王 小明", "伟"], "联系张伟处. 张伟 said that 王小明", "联系[1]处. [1] said that [2]", "张伟"),
    ],
)
def test_one_person_is_one_placeholder_however_written(people: list[str], text: str, masked: str, first: str) -> None:
    redaction = Redaction([Person(name) for name in people])
    assert redaction.redact(text) == re.sub(r"\[(\d)\]", r"[PERSON_\1]", masked)
    assert redaction.restore("[PERSON_1]") == first


def test_a_value_in_another_spelling_is_one_placeholder() -> None:
    masked = Redaction(network=True).redact(
        "jo@acme.example JO@Acme.Example; 089 1234567, +49 (0)89 1234567, 089/1234567;"
        " DE89 3704 0044 0532 0130 00, DE89370400440532013000; 4111 1111 1111 1111, 4111111111111111"
    )
    assert masked == "[EMAIL_1] [EMAIL_1]; [PHONE_2], [PHONE_2], [PHONE_2]; [BANK_3], [BANK_3]; [CARD_4], [CARD_4]"


def test_numbers_run_over_all_kinds_and_texts() -> None:
    redaction = Redaction([ANNA])
    assert redaction.redact("password: Sommer2024!") == "password: [SECRET_1]"
    assert redaction.redact("Anna, jo@acme.example, Sommer") == "[PERSON_2], [EMAIL_3], Sommer"
    values = {"[SECRET_1]": "Sommer2024!", "[PERSON_2]": "Anna Schmidt", "[EMAIL_3]": "jo@acme.example"}
    assert redaction.placeholders == values


def test_a_later_masking_gives_known_values_their_placeholders_again() -> None:
    people = [ANNA, Person("Jürgen Müller")]
    first = Redaction(people)
    first.redact("Anna, Dr. Julia Brandt, 089 1234567, jo@acme.example")
    later = Redaction(people, known=json.loads(json.dumps(first.placeholders)))
    masked = later.redact("Schmidt; Julia Brandt; +49 89 1234567; JO@acme.example; Mueller")
    assert masked == "[PERSON_1]; [PERSON_2]; [PHONE_3]; [EMAIL_4]; [PERSON_5]"


def test_secrets_of_another_text_are_never_restored() -> None:
    redaction = Redaction([ANNA])
    assert redaction.redact("Anna: password is Sommer2024!", own=False) == "[PERSON_1]: password is [SECRET]"
    assert redaction.restore("[SECRET] [PERSON_1]") == "[a secret] Anna Schmidt"
    assert "Sommer2024!" not in redaction.placeholders.values()


def test_a_value_that_was_told_once_is_found_where_nothing_tells_it() -> None:
    masked = Redaction().redact("Employee no. 20481 is locked. Password is Sommer2024! I typed Sommer2024! and 20481.")
    assert masked == "Employee no. [ID_1] is locked. Password is [SECRET_2] I typed [SECRET_2] and [ID_1]."


@pytest.mark.parametrize(
    ("texts", "masked"),
    [
        (
            ["Date of birth: 12.03.1985", "12.03.1985 is refused"],
            ["Date of birth: [BIRTHDATE_1]", "[BIRTHDATE_1] is refused"],
        ),
        (
            ["employee number 448 213", "448213 fails, 44 82 13 too"],
            ["employee number [ID_1]", "[ID_1] fails, [ID_1] too"],
        ),
        (["My login is jdoe", "jdoe is locked again"], ["My login is [LOGIN_1]", "[LOGIN_1] is locked again"]),
        (
            ["My bank account number is 31926819", "31926819 is refused"],
            ["My bank account number is [BANK_1]", "[BANK_1] is refused"],
        ),
        (
            ["My employee number is 448213", "448213 still does not work"],
            ["My employee number is [ID_1]", "[ID_1] still does not work"],
        ),
        (
            ["Mhlangabezi has called again", "It fails.\n\nRegards\nRutendo Mhlangabezi", "is mhlangabezi's pc on?"],
            ["[PERSON_1] has called again", "It fails.\n\nRegards\n[PERSON_1]", "is [PERSON_1]'s pc on?"],
        ),
        (
            ["sommerwind is refused", "Password: sommerwind. I typed sommerwind twice"],
            ["[SECRET_1] is refused", "Password: [SECRET_1]. I typed [SECRET_1] twice"],
        ),
        (["ssh nmenon2@gpu-node-17", "nmenon2 asks"], ["ssh [LOGIN_1]@gpu-node-17", "[LOGIN_1] asks"]),
        # A word, a product or a short number is no evidence in another text.
        (
            ["The sage server in room 1234", "It fails.\n\nRegards\nHilary Sage, PIN 1234"],
            ["The sage server in room 1234", "It fails.\n\nRegards\n[PERSON_1], PIN [SECRET_2]"],
        ),
    ],
)
def test_a_value_found_in_one_text_is_hidden_in_all(texts: list[str], masked: list[str]) -> None:
    redaction = Redaction()
    assert [redaction.read(text) for text in texts] == texts
    assert [redaction.redact(text) for text in texts] == masked


def test_a_secret_of_another_text_is_hidden_in_the_ticket_too() -> None:
    redaction = Redaction()
    redaction.read("Password: sommerwind", own=False)
    assert redaction.redact("sommerwind is refused") == "[SECRET_1] is refused"


def test_existing_placeholders_are_restored_unchanged() -> None:
    """A writer must not get another person's name inserted."""
    redaction = Redaction([ANNA])
    text = "Anna wrote [PERSON_1], [Person 1], person_1, **[EMAIL_1]** and [SECRET]"
    masked = redaction.redact(text)
    assert masked.startswith("[PERSON_1] wrote [TEXT_2], [TEXT_3], person_1, **[TEXT_4]**")
    assert redaction.restore(masked) == text.replace("Anna", "Anna Schmidt")


def test_nothing_is_restored_twice_and_each_value_is_cleaned_before() -> None:
    redaction = Redaction()
    redaction.redact("[PERSON_2] and jo@acme.example, password: So<b>mmer2024!")
    assert redaction.restore("[TEXT_1]") == "[PERSON_2]"
    assert redaction.restore("[PERSON_[EMAIL_2]]") == "[PERSON_jo@acme.example]"
    assert redaction.restore("[SECRET_3] <b>", lambda value: value.replace("<", "&lt;")) == "So&lt;b>mmer2024! <b>"


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
        *("mail j\u200bo@acme.example", "mail jo＠acme.example", "call +４９ ８９ １２３４５６７"),
        *("Frau Schm\u00adidt", "Frau Schmi\u200bdt", "password: Som\u200bmer2024!"),
    ],
)
def test_unseen_and_wide_characters_hide_nothing(text: str) -> None:
    redaction = Redaction([ANNA])
    assert re.fullmatch(r"[\w ]+:? \[\w+_1\]", redaction.redact(text))
    assert list(redaction.placeholders.values()) == ["Anna Schmidt" if "Frau" in text else text.partition(" ")[2]]


@pytest.mark.parametrize(
    "text",
    [
        "Step 1: the printer on the 2nd floor (HP LaserJet 4250, SN CNB1K23456) fails with 0x80070005 since 10:15.",
        *("VPN does not connect, uncommitted", "Outlook login with Teams and Citrix fails"),
        *("Cannot log in to SAP, Fiori shows a blank page", "The VPN connects, Zeitgeist does not start"),
        *("WLAN bricht ab, Roaming geht nicht", "accounts exam01-exam20 have no password yet"),
        *("license daemon key: 0x3A7C, feature version 24", "Course code TR-118 is full"),
        *("config vpn ipsec phase1-interface\nset psk", "Is the password safe? Nobody knows"),
        *("GitLab Runner rnr-nord-4: fatal: Authentication failed", "the password is not sent to esb-prod-2"),
        *("HP LaserJet M428fdw asks for the admin password", "access: SBC is AudioCodes Mediant 1000"),
        "FATAL: password authentication failed for user\n/apps/booking/database.yml:14, nginx on hopper01",
    ],
)
def test_a_text_without_personal_data_stays_letter_for_letter(text: str) -> None:
    redaction = Redaction([ANNA])
    assert redaction.redact(text) == redaction.restore(text) == text
    assert redaction.placeholders == {}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Codes for the night:\n118 402  336 719  447 085", "Codes for the night:\n[SECRET]  [SECRET]  [SECRET]"),
        ("Tom: what is the password?\nAnna: Lavendel", "[PERSON]: what is the password?\n[PERSON]: [SECRET]"),
        ("Sicherheitsfrage (erstes Tier): Fridolin", "Sicherheitsfrage (erstes Tier): [SECRET]"),
        ("docker login -u ci -p Kupfer_88-x", "docker login -u ci -p [SECRET]"),
        ("mysql -u app -p'Salz?44berg' shop", "mysql -u app -p'[SECRET]' shop"),
        ("curl -H 'Authorization: Basic YWRtaW46cGFzc3dvcmQ='", "curl -H 'Authorization: Basic [SECRET]'"),
        ("card 4111 1111 1111 1111, 04/29, code 552", "card [CARD], 04/29, code [SECRET]"),
        ("AT61 1904 3002 3457 3201, GIBAATWW", "[BANK], [BANK]"),
        ("RTN 121000358 acct 00417720", "RTN [BANK] acct [BANK]"),
        ("Passport: FA1184027; in the system FA1184072", "Passport: [ID]; in the system [ID]"),
        ("please call us back, poste 318", "please call us back, poste [PHONE]"),
        # No secrets, although they look alike.
        ("token refresh failed at 2026-11-19T04:11:58.207Z in eu-west-1",) * 2,
        (
            "Tom: is the password expired?\nworks again since noon",
            "[PERSON]: is the password expired?\nworks again since noon",
        ),
    ],
)
def test_values_beside_a_known_value_are_masked(text: str, masked: str) -> None:
    assert without_personal(text) == masked


@pytest.mark.parametrize("signed", ["OB", "ob", "O.B.", "Olg", "OBra", "B."])
def test_somebody_of_the_desk_signs_with_less_than_a_name(signed: str) -> None:
    assert Redaction([OLGA]).redact(f"The dock was swapped. Works. {signed}").endswith("Works. [PERSON_1]")


@pytest.mark.parametrize("ended", ["OK", "Works", "B"])
def test_the_last_word_of_a_text_is_nobody_by_itself(ended: str) -> None:
    assert Redaction([Person("Karl Nemec")]).redact(f"The dock was swapped. {ended}").endswith(f"swapped. {ended}")


WORDS = ("Mark Hollis", "Will Baker", "Jens Koch", "Bill Young", "May Long", "Petra Sommer")
WITHOUT_NAMES = [
    *("Please mark as read.", "I will do that.", "will do", "The call will fail again.", "my phone bill."),
    *("Tell me when it will be ready", "to mark it as done, click here", "for long texts it fails", "by may"),
    *("mails from young people", "Click here to mark all and save", "this took too long for me"),
    *("Der koch in der Kantine braucht ein Tablet.", "frag den koch in der Kantine", "im sommer wieder"),
]


def named(sentence: str) -> list[str]:
    redaction = Redaction([Person(name) for name in WORDS])
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
        ("Young and mark sit there.", "Bill Young, Mark Hollis"),  # beside another name of the desk
        *((sentence, "") for sentence in WITHOUT_NAMES),
    ],
)
def test_a_name_that_is_a_word_is_found_by_its_sentence(sentence: str, name: str) -> None:
    assert ", ".join(named(sentence)) == name


@pytest.fixture
def redaction() -> Redaction:
    redaction = Redaction([Person("Anna Schmidt")])
    redaction.redact("Anna, jo@acme.example, password: Sommer2024!")
    return redaction


CHANGED_BY_A_MODEL = [
    *("[PERSON_1]", "[person_1]", "[Person 1]", "[Name 1]", "[PERSON-1]", "[PERSON 1]", "[ PERSON_1 ]"),
    *("[PERSON_\n1]", "[PERSON\n_1]", "[PERSON\\_1]", "[PER\u200bSON_1]", "[KUNDE_1]", "【PERSON_1】"),
    *("[**PERSON_1**]", "[`PERSON_1`]", "[PERSON:1]", "[PERSON#1]", "[PERSON_01]", "［PERSON＿1］", "{PERSON_1}"),
    *("<PERSON_1>", "[Personne 1]", "[PERSONNE_1]", "[Persona_1]", "[Benutzer 1]", "[USER_1]", "[Mitarbeiterin_1]"),
]


@pytest.mark.parametrize(
    ("written", "restored"),
    [
        *((each, "Anna Schmidt") for each in CHANGED_BY_A_MODEL),
        ("**[PERSON_1]**", "**Anna Schmidt**"),
        ("[PERSON_1]'s", "Anna Schmidt's"),
        ("[PERSON_1][EMAIL_2]", "Anna Schmidtjo@acme.example"),
        ("[Mail 2]", "jo@acme.example"),
        ("[E-Mail-Adresse 2]", "jo@acme.example"),
        ("[Passwort_3]", "Sommer2024!"),
        # Invented ones become their kind in words.
        *((each, "[a person]") for each in ("[PERSON_99]", "[Name 99]", "[PERSON_3]", "[Name 3]")),
        ("[EMAIL_99]", "[a mail address]"),
        ("[ID_3]", "[a personal number]"),
        *((each, "[a secret]") for each in ("[SECRET_12]", "[SECRET]")),
        ("[IBAN_4]", "[a bank account]"),
    ],
)
def test_a_placeholder_in_any_spelling_is_restored(redaction: Redaction, written: str, restored: str) -> None:
    assert redaction.restore(f"Ask {written}, please.") == f"Ask {restored}, please."
    assert redaction.restore(f"Ask {written}.") == f"Ask {restored}."


@pytest.mark.parametrize(
    "text",
    [
        *("step 1", "Step 1", "ticket 12", "[1]", "[Step 1]", "[ticket 1]", "[Figure_1]", "[STEP_1]", "error 1", "(1)"),
        *("[TICKET_1]", "column email_1", "address_2", "1. Person", "phone 2", "Host 1", "ID 3", "list[1]", "a[i_1]"),
        *("[PERSON]", "person 1", "Personal 1", "PERSON_1_2", "PERSON_1", "PERSON 1", "Person-1", "ID_1", "SECRET_3=x"),
        *("the column SECRET_3", "ID_3 is a key", "`SECRET_3`", "[PERSON_1, EMAIL_2]", "[FIELD_3]", "[FIELD_1]"),
    ],
)
def test_text_that_is_no_placeholder_stays(redaction: Redaction, text: str) -> None:
    assert redaction.restore(text) == text


@pytest.mark.parametrize("written", ["[", "[PERSON_", "[PERSON_1", "PERSON_", "[a a a ", "[[1]", "1", "*"])
def test_a_long_row_of_partial_placeholders_stays(redaction: Redaction, written: str) -> None:
    restored = redaction.restore(written * 5000)
    assert restored.replace("Anna Schmidt", "PERSON_1") == written * 5000
