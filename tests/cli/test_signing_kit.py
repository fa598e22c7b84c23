"""`ai-agents signing-kit`: each form's output; secrets on request only."""

import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.arguments import FORMS
from cli.kit import ai_agents_webhook
from cli.main import main
from cli.signing_kit import kit
from tests.cli.troubled_door import opened_door, pasted
from tests.kit.receiver import SECRET as RECEIVERS_SECRET

SECRET, TOKEN = "S3cret+of/acme=" * 3, "T0ken_of-acme" * 3
_PROBE = re.compile(r"\n\n(\{\n.*?\n\})\n\n\d", re.DOTALL)
URL = "https://api.example.com/webhook"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a secret and a token for one tenant; `globex-eu` has neither."""
    settings = {"WEBHOOK_SECRET_ACME": SECRET, "WEBHOOK_TOKEN_ACME": TOKEN, "WEBHOOK_SECRET_QUOTED": 'a"b' * 20}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert main(["signing-kit", *arguments]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_shown_on_request_only(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("--tenant", "acme", "--form", form)
    own, other, place = (TOKEN, SECRET, "TOKEN") if form == "token" else (SECRET, TOKEN, "SECRET")
    hidden, _ = shown(capsys, *chosen)
    assert [secret in hidden for secret in (SECRET, TOKEN)] == [False, False]
    assert [text in hidden for text in (f"PASTE-THE-{place}", "https://PASTE-THE-ADDRESS/webhook")] == [True, True]
    open_, beside = shown(capsys, *chosen, "--url", URL, "--show-secret")
    assert [text in open_ for text in (own, URL, "Create a ticket.")] == [True, True, True]
    assert [text in open_ for text in (other, "PASTE-THE")] == [False, False]
    assert beside == ""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [SECRET, None])
def test_each_form_is_filled_in_and_ends_with_a_check_request(form: str, secret: str | None) -> None:
    """`tests/system/test_connecting.py` types the request into a shell."""
    text = kit(form, "globex-eu", URL, secret)
    assert not re.search(r"@[A-Z]\w* ?|@FILE|GLOBEX-EU|.{161}", text)
    # Other values may contain quotes, and desks insert values unescaped.
    assert form != "token" or "Body: " in text
    for body in re.findall(r"Body: +(.+)", text):
        assert json.loads(body) == {"ticket_id": "$RequestID", "event": "ticket.created"}
    (block,) = _PROBE.findall(text)
    assert "webhook.check" in block
    assert "ticket_id" not in block
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl"))), reason="needs bash and curl")
def test_the_whole_request_can_be_pasted_at_once() -> None:
    """`read` must not take the next line for the secret."""
    with opened_door() as door:
        (block,) = _PROBE.findall(kit("script", "acme", door.url, None))
        outside, inside = pty.openpty()
        shell = ["bash", "--norc", "--noediting", "-i"]
        with subprocess.Popen(shell, stdin=inside, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            os.write(outside, f"{block}\n{RECEIVERS_SECRET}\nexit\n".encode())
            said, _ = process.communicate(timeout=20)
        os.close(inside)
        os.close(outside)
    assert said == b'{"status":"verified","tenant_id":"acme"}'


@pytest.mark.parametrize(("page", "form"), [("README.md", "script"), ("token.md", "token")])
def test_the_document_has_the_same_request(page: str, form: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "connect" / page).read_text(encoding="utf-8")
    assert re.findall(r"```sh\n(\{\nread -rs .*?\n)```", text, re.DOTALL) == [
        kit(form, "acme", "https://api.ai-agents.com/webhook", None).split("\n\n")[2] + "\n"
    ]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("tenant", "form", "said"),
    [
        ("globex-eu", "script", "WEBHOOK_SECRET_GLOBEX_EU is not set here"),
        ("globex-eu", "token", "WEBHOOK_TOKEN_GLOBEX_EU is not set here"),
        ("quoted", "deluge", "WEBHOOK_SECRET_QUOTED contains a blank, a quote"),
    ],
)
def test_without_a_secret_to_show(tenant: str, form: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = shown(capsys, "--tenant", tenant, "--form", form, "--show-secret")
    assert err.startswith(said)
    assert "openssl rand -base64 32" in err
    assert "PASTE-THE-" in out
    assert 'a"b' not in out + err


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://a.example", False),
        ("http://a.example", True),
        ("http://127.0.0.1:80", False),
        ("http://localhost", False),
    ],
)
def test_an_address_without_tls_is_warned_of(
    form: str, address: str, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = shown(capsys, "--tenant", "acme", "--form", form, "--url", f"{address}/webhook")
    assert f"{address}/webhook" in out
    words = "the token itself" if form == "token" else "the secret is not sent"
    assert (words in err, err.startswith("--url must begin with https://")) == (said, said)


def test_the_powershell_script_equals_the_tested_script() -> None:
    text = pasted(kit("script", "acme", URL, SECRET), "ai_agents_webhook.ps1")
    for name, value in {
        "Pauses": ", ".join(map(str, ai_agents_webhook.PAUSES)),
        "MostSeconds": str(ai_agents_webhook.MAX_SECONDS),
        "AnswerSeconds": str(ai_agents_webhook.ANSWER_SECONDS),
        "Url": f"'{URL}'",
        "Secret": f"'{SECRET}'",
    }.items():
        assert f"${name} = {value}\n" in text
    assert list(map(int, re.findall(r"^    (\d{3}) = ", text, re.MULTILINE))) == list(ai_agents_webhook.REMEDIES)
    assert set(re.findall(r"'(X-ServiceDesk-\w+)'", text)) == set(
        ai_agents_webhook.signed(b"key", b"body", "delivery", 0)
    ) - {"Content-Type"}
    # Without an explicit position, each parameter gets one by order: the path would become the event's name.
    assert "[Parameter(Position = 0, ValueFromRemainingArguments = $true)] [string[]] $JsonFile\n" in text
    # Windows PowerShell reads it in the machine's encoding.
    assert text.isascii()
