"""Commands of an answer: compared word by word, and left out only if they are dangerous and in no source."""

import time
import tomllib
from pathlib import Path

import pytest

from workflow.commands import commands_in, without_dangerous
from workflow.specifics import SourceText, specifics_of

TEXTS = tomllib.loads(Path(__file__).with_name("commands.toml").read_text("utf-8"))
LEFT_OUT = "[left out]"


def shown(text: str, *sources: str) -> str:
    return without_dangerous(text, sources, LEFT_OUT)


def unsupported(text: str, source: str) -> list[str]:
    texts = SourceText([source])
    return [text[each.begin : each.end] for each in specifics_of(text, "en") if not texts.has(each)]


@pytest.mark.parametrize("command", TEXTS["dangerous"])
@pytest.mark.parametrize("quoted", ["Then run {}", "Then run `{}` as admin", "{}"])
def test_a_dangerous_command_without_a_source_is_left_out(command: str, quoted: str) -> None:
    text = shown(quoted.format(command), "Restarted the client.")
    assert LEFT_OUT in text
    assert command not in text


@pytest.mark.parametrize("command", TEXTS["marked"])
@pytest.mark.parametrize(
    "quoted", ["Then run {}", "Then run `{}` as admin", "{}", "Run {} and wait.", "Run {}, then wait."]
)
def test_another_command_without_a_source_stays_and_is_unsupported(command: str, quoted: str) -> None:
    text = quoted.format(command)
    assert shown(text, "Restarted the client.") == text
    (found, *_) = unsupported(text, "Restarted the client.")
    assert found in command


@pytest.mark.parametrize(("source", "command"), TEXTS["sources"])
@pytest.mark.parametrize(
    "quoted", ["Run {}.", "Run `{}` as admin", "{}", "Run {} and wait.", "Führen Sie {} aus, dann warten."]
)
def test_a_command_of_a_source_is_supported_whatever_follows_it(source: str, command: str, quoted: str) -> None:
    text = quoted.format(command)
    assert shown(text, source) == text
    assert unsupported(text, source) == []


@pytest.mark.parametrize(("command", "source"), TEXTS["nearly"])
def test_a_dangerous_command_of_a_source_with_other_words_is_left_out(command: str, source: str) -> None:
    assert LEFT_OUT in shown(f"Run {command} now.", source)


def test_the_sentence_around_a_command_that_is_left_out_stays() -> None:
    assert (
        shown("Stop it, run rm -rf /opt/x and restart. Then wait.")
        == f"Stop it, run {LEFT_OUT} and restart. Then wait."
    )
    assert shown("Run `del /s x:` as admin, then sfc /scannow.") == f"Run `{LEFT_OUT}` as admin, then sfc /scannow."


@pytest.mark.parametrize(
    "text",
    [
        "Delete the profile, format the date, and drop the table of contents.",
        "The net user count is 50. Remove the old one; disable the firewall only with permission.",
        "Set-CASMailbox is the cmdlet for it. Check if SSH works since the change at 10:30.",
        'Abra la opción "Dispositivos" del "Centro de redes". El certificado del servidor.acme.example ha caducado.',
        'Apra la scheda "Rete" del "Pannello di controllo". Compruebe el estado del C: en el equipo.',
        "Führen Sie einen Factory-Reset durch. Sign the user out and delete from Intune.",
        "Open regedit and go to HKLM\\Software\\Acme. Das System (Windows 11) neu starten.",
    ],
)
def test_prose_has_no_command(text: str) -> None:
    assert list(commands_in(text)) == []


@pytest.mark.parametrize(
    "part",
    [
        "a" * 9,
        "a.",
        "curl ",
        "a|",
        "\\a\\",
        "`",
        "-x ",
        "kubectl ",
        "git push ",
        "find x ",
        "rm ",
        "netsh a",
        "set from ",
    ],
)
def test_a_long_text_is_read_quickly(part: str) -> None:
    begun = time.process_time()
    shown(part * (1500 // len(part)), *[part * (2000 // len(part))] * 6)
    assert time.process_time() - begun < 2
