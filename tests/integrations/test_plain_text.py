"""A ticket's own text: HTML of any quality as lines, without quotes, mail headers and legal notices."""

import tomllib
from pathlib import Path

import pytest

from integrations.plain_text import lines_of, unwrapped


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("two\nlines", "two\nlines"),
        ("two\r\n\r\n  lines ", "two\nlines"),
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ("One<br/>Two<BR>Three", "One\nTwo\nThree"),
        ("<div>a line of\nthe markup's own</div>", "a line of the markup's own"),
        ("<pre>a line\nof the text</pre><p>x</p>", "a line\nof the text\nx"),
        ("<b>bold</b> &amp; <i>it</i>alic &lt;tag&gt;", "bold & it alic <tag>"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("Hi<blockquote type='cite'>was<blockquote>before</blockquote></blockquote>end", "Hi\n> was\n> before\nend"),
        ("<style>p { color: red }</style><p>seen</p><script>alert('x')</script>", "seen"),
        ("<!-- <p>not</p> --><p>seen</p><!--[if mso]>not<![endif]-->", "seen"),
        ("<p>seen</p><script>never closed <p>text</p>", "seen\nnever closed\ntext"),
        ("press <!-- to begin a comment", "press <!-- to begin a comment"),
        ("Install:<blockquote style='margin: 0 0 0 40px'>AutoCAD<br>SAP</blockquote>", "Install:\nAutoCAD\nSAP"),
        ("a < b and c > d", "a < b and c > d"),
        ("From: Jo <p.jo@acme.example>\nSent: Monday", "From: Jo\nSent: Monday"),
        ("soft\u00adhyphen zero\u200bwidth \u202eright to left", "softhyphen zerowidth right to left"),
        ("مرحبا<br>الطابعة لا تعمل", "مرحبا\nالطابعة لا تعمل"),
    ],
)
def test_markup_becomes_lines(markup: str, text: str) -> None:
    assert lines_of(markup) == text


SAYS = "The scanner on the second floor sends empty files since Monday."
TEXTS = tomllib.loads(Path(__file__).with_name("mails.toml").read_text("utf-8"))


@pytest.mark.parametrize("mail", TEXTS["mails"])
def test_only_the_text_around_a_message_is_removed(mail: dict[str, str]) -> None:
    assert unwrapped(lines_of(mail["text"])) == lines_of(mail["left"])


@pytest.mark.parametrize("mail", TEXTS["replies"])
def test_the_history_of_a_reply_is_removed(mail: dict[str, str]) -> None:
    assert unwrapped(lines_of(mail["text"]), is_reply=True) == lines_of(mail["left"])


@pytest.mark.parametrize(
    "closing", ["Thanks,", "Cheers", "Mit freundlichen Grüßen", "Merci", "Un saludo", "Danke!", "BR"]
)
def test_a_closing_word_removes_nothing(closing: str) -> None:
    text = f"Teams has no sound.\n{closing}\nHeadset Jabra 65\nTried two ports\nWorks on my phone"
    assert unwrapped(text) == unwrapped(text, is_reply=True) == text


@pytest.mark.parametrize(
    "text",
    [
        "Hallo,\nich habe diese E-Mail mit vertraulichen Daten versehentlich an den falschen Empfänger geschickt.\nJo",
        "Hi,\nthis mailbox: the label Confidential blocks this mail to any external recipient, error 5.7.708.\nThanks",
        "It fails.\nExternal email: bounces with 550 5.7.1\nSince Monday.",
        "Hola,\nAntes de imprimir la impresora muestra el error 49.4C02 y se reinicia.\nAna",
        "If you have received this before, sorry. Laptop LT-99 has a blue screen.\nRobin",
        "I did the following and it still fails every single time since last Monday, also on another dock:\n"
        "> restarted the PC\n> reinstalled Teams\n> cleared the cache\nWhat next?",
        "Teams has no sound.\n—\nHeadset Jabra 65\nRoom 7",
        "I restarted the service three times today and it stops again after about ten minutes every time.\n"
        "On 4 May at 09:12 the agent wrote this to agent.log:\nProcess terminated unexpectedly",
    ],
)
def test_what_a_requester_writes_is_no_notice_and_no_history(text: str) -> None:
    assert unwrapped(text, is_reply=True).replace("> ", "") == text.replace("> ", "")


@pytest.mark.parametrize("line", TEXTS["codes"])
def test_codes_names_and_short_lines_survive(line: str) -> None:
    assert line in unwrapped(f"Hello,\nIt fails like this:\n{line}\nRegards,\nRobin").split("\n")


@pytest.mark.parametrize("line", TEXTS["looks_like_wrapping"])
def test_what_only_looks_like_wrapping_stays(line: str) -> None:
    text = f"It began on Monday.\n{line}\nMy computer is LAP-204, and all of us wait for it."
    assert unwrapped(text) == text


MORE = "Also, the printer on floor 2 jams every day.\nAnd Teams has no sound in any of the calls"
FORM = "Please move the desk of Jo.\nFrom: Building A\nTo: Building B\nDate: 9 May\nThe phone moves too."
LOG = "09:12:33 ERROR cannot open printer PRN-204"
DATA = "iVBORw0KGgo" * 30
HEADERS = "These bounce:\nFrom: a@acme.example\nTo: b@acme.example\nSubject: order\nX-Spam: yes\nSince Monday."


@pytest.mark.parametrize(
    ("text", "left"),
    [
        # A few words that point to a mail below do not stand for it.
        ("Check this.\nFrom: A\nSent: 4 May\nTo: IT\nSubject: x\nScanner SID_37", "Check this.\nScanner SID_37"),
        ("Help?\n---------- Forwarded message ---------\nFrom: A\nOutlook crashes", "Help?\nOutlook crashes"),
        ("Could you look?\nOn 4 May 2026, A wrote:\n> Error 0x0000011b", "Could you look?\nError 0x0000011b"),
        (f"FYI\n\nFrom: Robin\nSent: 4 May\nSubject: scanner\n\n{SAYS}\n", f"FYI\n{SAYS}"),
        # Below "--": a signature, or more of the message.
        ("It fails.\n--\nRobin\nAcme Ltd\n+49 30 000000", "It fails."),
        (f"It fails.\n--\nRobin\n{MORE}", f"It fails.\nRobin\n{MORE}"),
        (f"Printing fails.\n--\n{LOG}\nnext line", f"Printing fails.\n{LOG}\nnext line"),
        # Answers between quoted lines, and a copied header that is the problem.
        (f"{SAYS}\n> a\n> b\n> c\nYes, it does.\n> d", f"{SAYS}\nYes, it does.\n> d"),
        (HEADERS, HEADERS),
        # A server's banner.
        ("[EXTERNAL] The scanner at dock 4 stopped", "The scanner at dock 4 stopped"),
        ("[EXTERNAL]\nThe scanner at dock 4 stopped", "The scanner at dock 4 stopped"),
        ("[EXTERNAL]", "[EXTERNAL]"),
        # A form with from and to is no mail.
        (FORM, FORM),
        # A text that is quoted whole.
        (f"> {SAYS}\n>> and more of it", f"{SAYS}\nand more of it"),
        # Pictures and data.
        (f"See [cid:image001.png@01D9AB] <image002.jpg> data:image/png;base64,{DATA} and {DATA} end", "See and end"),
    ],
)
def test_wrapping_goes_and_the_rest_stays(text: str, left: str) -> None:
    assert unwrapped("\n".join(line for line in text.split("\n") if line)) == left


@pytest.mark.parametrize("text", ["", "Hello", "Thanks,\nRobin", "> ", "--", "From: a\nTo: b"])
def test_where_nothing_else_would_be_left_all_stays(text: str) -> None:
    assert unwrapped(text) or not text.strip(" >")


@pytest.mark.parametrize(
    "part",
    [
        *("<script>", "<!--", "<", "<p", "<blockquote>", "&lt;", "<a b='", "</", "<![CDATA["),
        *("x" * 1000, "From: a", "> ", "Thanks,", "a: ", "--", "[image", "data:image/png;base64,"),
    ],
)
def test_a_long_uniform_text_is_processed_in_linear_time(part: str) -> None:
    assert lines_of(part * (100_000 // len(part))) is not None
    assert unwrapped("\n".join([part] * (100_000 // (len(part) + 1)))) is not None
    assert unwrapped(part * (100_000 // len(part))) is not None
