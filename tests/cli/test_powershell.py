"""PowerShell texts of the kit: their grammar, and their signatures by the golden vectors."""

import pytest

from cli.signing_kit import kit
from tests.cli.powershell import errors, evaluate
from tests.cli.troubled_door import pasted
from tests.docs.documents import ROOT, MarkdownFile
from tests.kit.receiver import SECRET
from tests.kit.signing import GOLDEN_SIGNATURES, GoldenSignature

URL = "https://api.ai-agents.com/webhook"
SCRIPT = pasted(kit("script", "acme", URL, None), "ai_agents_webhook.ps1")


def probe(secret: str | None = None) -> str:
    text = kit("script", "acme", URL, secret)
    return text[text.index("& {\n") : text.index("\n}\n", text.index("& {\n"))] + "\n}\n"


def test_powershell_can_read_each_text() -> None:
    for text in (SCRIPT, probe(), probe(SECRET)):
        assert errors(text) == []
        assert text.isascii()  # Windows PowerShell reads files in the machine's encoding
    assert errors("foreach ($x in 1) { Write-Output 'a }") != []


@pytest.mark.parametrize("golden", GOLDEN_SIGNATURES, ids=lambda each: each.name)
def test_both_texts_make_the_golden_signatures(golden: GoldenSignature) -> None:
    given = {"Secret": golden.secret, "Body": golden.body}
    for text, time in ((SCRIPT, "timestamp"), (probe(), "Now")):
        assert f"sha256={evaluate(text, 'Digest', given | {time: golden.timestamp})}" == golden.signature


def test_both_texts_send_the_golden_bodies() -> None:
    ticket, check = (each.body for each in GOLDEN_SIGNATURES[:2])
    given = {"Tenant": "acme", "ticket": "123640000000240013", "EventName": "ticket.created"}
    assert evaluate(SCRIPT, "body", given) == ticket
    assert evaluate(probe(), "Body", {}) == check
    assert "Body ($Utf8.GetBytes($Body))" in probe()
    assert f"Invoke-RestMethod '{URL}' -Method Post" in probe()


def test_the_probe_asks_for_the_secret_unless_the_kit_shows_it() -> None:
    assert "Read-Host 'Secret' -AsSecureString" in probe()
    assert evaluate(probe(SECRET), "Secret", {}) == SECRET
    assert "Read-Host" not in probe(SECRET)


def test_the_document_has_the_same_probe() -> None:
    page = MarkdownFile(ROOT / "docs" / "connect" / "windows.md")
    assert [block.text for block in page.blocks("powershell") if "& {" in block.text] == [probe()]
    assert errors("\n".join(block.text for block in page.blocks("powershell"))) == []
