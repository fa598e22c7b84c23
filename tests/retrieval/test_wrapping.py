"""A ticket's own text, without quotes, forms and courtesies."""

import pytest

from retrieval.markup import lines_of
from retrieval.wrapping import unwrapped

SAYS = "The scanner on the second floor sends empty files since Monday."
OUTLOOK = f"""From: Robin Example <robin@acme.example>
Sent: Monday, 4 May 2026 09:12
To: Service Desk; IT;
 Facilities
Subject: FW: scanner

Hello team,

{SAYS}

Kind regards,
Robin Example
Head of Ordering | Acme Ltd
Tel: +49 30 000000
www.acme.example

This e-mail and its attachments are confidential and intended for the named recipient only. If you are not the intended
recipient, delete this message.
"""
GERMAN = f"""Sehr geehrte Damen und Herren,
{SAYS}
Mit freundlichen Grüßen
Alex Muster
Einkauf
Diese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der richtige Adressat sind, löschen Sie diese Nachricht.

Von: Service Desk
Gesendet: Montag, 4. Mai 2026 08:00
An: Alex Muster
Betreff: Ihre Anfrage
Bitte starten Sie den Rechner neu.
"""
FRENCH = f"""Bonjour,
{SAYS}
Cordialement,
Camille
Envoyé de mon iPhone
Le 4 mai 2026 à 08:00, IT a écrit :
> Merci de patienter.
"""
SPANISH = f"""Buenos días:
{SAYS}
Un saludo,
Paula
Compras
-----Mensaje original-----
De: IT
Asunto: hola
Espere, por favor.
"""


@pytest.mark.parametrize("text", [OUTLOOK, GERMAN, FRENCH, SPANISH, SAYS, f"Hi,\n{SAYS}\nThanks!\nSent from my phone"])
def test_what_is_said_is_left_alone(text: str) -> None:
    assert unwrapped(lines_of(text)) == SAYS


@pytest.mark.parametrize(
    "line",
    [
        "ORA-12541: TNS:no listener",
        "SID_37",
        "U: drive",
        "Fehler 0x80070005 auf srv-fs02.acme.example",
        "2026-05-04 09:12:33 WARN at com.acme.Pool.take",
        "IE 11",
        "Thanks to the update nothing prints any more",
        "Error: access denied",
        "Hi-Fi amplifier in room 4 hums",
        "dear customer page shows 404",
    ],
)
def test_codes_names_and_short_lines_survive(line: str) -> None:
    assert line in unwrapped(f"Hello,\nIt fails like this:\n{line}\nRegards,\nRobin").split("\n")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "Please check this.\nFrom: A\nSent: 4 May\nTo: IT\nSubject: x\nScanner SID_37",
            "Please check this.\nScanner SID_37",
        ),
        (
            "Can you help?\n---------- Forwarded message ---------\nFrom: A\nOutlook crashes",
            "Can you help?\nOutlook crashes",
        ),
        ("Could you look?\nOn 4 May 2026, A wrote:\n> Error 0x0000011b", "Could you look?\nError 0x0000011b"),
    ],
)
def test_a_few_words_that_point_to_a_mail_below_do_not_stand_for_it(text: str, left: str) -> None:
    assert unwrapped(text) == left


@pytest.mark.parametrize(
    "line",
    [
        "> access denied 5",
        "T: drive is missing since this morning.",
        "Email: Outlook asks for the password again and again",
        "Phone: no dial tone in room 214",
        "Mails to external email addresses bounce with 550 5.7.1.",
        "I sent a confidential email to the wrong recipient",
        "It is a message that I need privileged rights",
        "From: Building A, second floor",
        "LG 27UL500",
        "Hi, VPN is down!",
        "Hello laptop stolen",
        "Von meinem Laptop aus erreiche ich das VPN nicht.",
        "Outlook shows error 0x800CCC0E to me:",
        "Network: none",
        "On exit it wrote this to the log:",
        "Thanks to you it works, but slowly",
    ],
)
def test_what_only_looks_like_wrapping_stays(line: str) -> None:
    text = f"It began on Monday.\n{line}\nMy computer is LAP-204, and all of us wait for it."
    assert unwrapped(text) == text


def test_sentences_after_thanks_stay() -> None:
    more = "Also, the printer on floor 2 jams every day.\nAnd Teams has no sound in any of the calls"
    assert unwrapped(f"My laptop is slow.\nThank you!\nRobin\n{more}") == f"My laptop is slow.\n{more}"


def test_a_servers_banner_goes_and_its_line_stays() -> None:
    for text in ("[EXTERNAL] The scanner at dock 4 stopped", "[EXTERNAL]\nHello,\nThe scanner at dock 4 stopped"):
        assert unwrapped(text) == "The scanner at dock 4 stopped"
    assert unwrapped("[EXTERNAL]") == "[EXTERNAL]"


def test_a_form_with_from_and_to_is_no_mail() -> None:
    text = "Please move the desk of Jo.\nFrom: Building A\nTo: Building B\nDate: 9 May\nThe phone moves too."
    assert unwrapped(text) == text


def test_a_log_below_the_signature_is_kept() -> None:
    log = "09:12:33 ERROR cannot open printer PRN-204"
    assert (
        unwrapped(f"Printing fails.\nThanks,\nRobin\nAcme Ltd\n{log}\nnext line")
        == f"Printing fails.\n{log}\nnext line"
    )


def test_a_mail_that_was_sent_on_says_what_was_sent() -> None:
    text = f"FYI\n\nFrom: Robin\nTo: IT\nSubject: scanner\n\n{SAYS}\n"
    assert unwrapped(lines_of(text)) == f"FYI\n{SAYS}"


def test_one_that_is_quoted_whole_is_kept_without_the_marks() -> None:
    assert unwrapped(f"> {SAYS}\n>> and more of it") == f"{SAYS}\nand more of it"


@pytest.mark.parametrize("text", ["", "Hello", "Thanks,\nRobin", "> ", "--", "From: a\nTo: b"])
def test_where_nothing_else_would_be_left_all_stays(text: str) -> None:
    assert unwrapped(text) or not text.strip(" >")


def test_fields_that_were_left_empty_go_and_others_stay() -> None:
    text = "Location:\nAsset: n/a\nCallback number: 030 1234567\nBusiness impact: nobody can ship\nBlue screen"
    assert unwrapped(text) == "Business impact: nobody can ship\nBlue screen"


def test_pictures_and_data_go() -> None:
    data = "iVBORw0KGgo" * 30
    text = f"See [cid:image001.png@01D9AB] here <image002.jpg> data:image/png;base64,{data} and {data} end"
    assert unwrapped(text) == "See here and end"


@pytest.mark.parametrize(
    "line", ["x" * 1000, "From: a", "> ", "Thanks,", "a: ", "--", "[image", "data:image/png;base64,"]
)
def test_a_long_text_of_one_kind_of_line_ends_well(line: str) -> None:
    """Linear time: each line is read once, with a hundred thousand characters."""
    assert unwrapped("\n".join([line] * (100_000 // (len(line) + 1)))) is not None
    assert unwrapped(line * (100_000 // len(line))) is not None
