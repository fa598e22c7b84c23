"""Input of the script for desks on premises: the desk's file, and its settings."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.kit import ai_agents_webhook
from tests.kit.receiver import SECRET
from tests.support.saved_script import NAME, TICKET, Script
from tests.support.troubled_door import printed


@pytest.mark.parametrize(
    "raw",
    [
        TICKET.encode(),
        b'{"request": {"id": 77}}',
        b"\xef\xbb\xbf" + TICKET.encode(),
        TICKET.encode("utf-16"),
        b"\xfe\xff" + TICKET.encode("utf-16-be"),
        TICKET.encode("cp1252"),
        b'{"request": {"WORKORDERID": "77", "SUBJECT": "of version 1: github.com/liverm/pd-sdp-v2"}}',
        b'{"request": {"id": null, "WORKORDERID": "77"}}',
        b'{"id": "77", "subject": "a raw\nline break"}',
    ],
)
def test_the_desks_file_may_be_written_so(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "77_1.json").write_bytes(raw)
    assert ai_agents_webhook.ticket_of(str(tmp_path / "77_1.json")) == "77"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (None, "can't be read: No such file"),
        (b"", "not JSON"),
        (b'{"request": {"id": "7', "not JSON"),
        (b"[77]", "no request with an id"),
        (b'{"request": {"id": true}}', "no request with an id"),
        (b'{"request": {"id": "seven"}}', "no request with an id"),
        ('{"request": {"id": "7\u00b2"}}'.encode(), "no request with an id"),
        (b"[" * 100_000, "not JSON"),
        (b'{"request": {"subject": "x"}}', "no request with an id"),
    ],
)
def test_a_file_without_a_ticket_is_told_to_the_desks_admin(
    raw: bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if raw is not None:
        (tmp_path / "77_1.json").write_bytes(raw)
    assert ai_agents_webhook.main([str(tmp_path / "77_1.json")]) == 1
    said = capsys.readouterr().out
    assert said.startswith("ai-agents: not sent: the desk's file")
    assert told in said


def test_without_a_file_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ai_agents_webhook.main([]) == 1
    assert "$COMPLETE_V3_JSON_FILE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "secret", "told"),
    [
        ("https://api.example.com/webhook", "", "SECRET is not filled in, at the top"),
        ("https://PASTE-THE-ADDRESS/webhook", SECRET, "URL is not filled in, at the top"),
        ("api.example.com/webhook", SECRET, "no address like https://"),
        ("https:///webhook", SECRET, "no address like https://"),
        ("https://[::1/webhook", SECRET, "no address like https://"),
        ("https://api.example.com:x/webhook", SECRET, "no address like https://"),
        ("https://api.example.com/web hook", SECRET, "no address like https://"),
        ("https://b\u00fccher.example.com/webhook", SECRET, "no address like https://"),
        ("https://api.example.com/w\u00e9bhook", SECRET, "no address like https://"),
    ],
)
def test_what_is_not_filled_in_or_badly_is_named(url: str, secret: str, told: str, tmp_path: Path) -> None:
    ended, said = Script(tmp_path, url, secret).run()
    assert (ended, said.count("\n")) == (1, 1)
    assert said.startswith("ai-agents: not sent: ")
    assert told in said


def test_it_runs_where_python_is_3_6(tmp_path: Path) -> None:
    def checked(text: str) -> tuple[int, str]:
        (tmp_path / NAME).write_text(text, encoding="utf-8")
        vermin = Path(sys.executable).with_name("vermin")
        command = [str(vermin), "-t=3.6-", "--violations", "--no-tips", "--processes=1", str(tmp_path / NAME)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stdout

    text = printed("script", NAME, "https://api.example.com/webhook")
    assert checked(text)[0] == 0
    status, told = checked(text + "if (newer := 1):\n    pass\n")
    assert (status, "3.8" in told) == (1, True)
