"""Pages for a desk's key: their command against the simulator, and their table of data centres."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from cli.pilot import init
from config.tenant_validation import parse_tenants
from config.tenants import TENANTS_TOML
from dev.simulators.servicedesk import create_desk
from tests.docs.documents import ROOT, MarkdownFile
from tests.kit.simulators import CLOUD, Simulator, simulator_of

PAGE = MarkdownFile(ROOT / "docs" / "connect" / "cloud.md")
QUICKSTART = MarkdownFile(ROOT / "docs" / "quickstart.md")
ACCOUNTS = "https://accounts.zoho.eu"


@pytest.fixture(scope="module")
def desk() -> Iterator[Simulator]:
    yield from simulator_of(create_desk({"desks": {"globex": CLOUD | {"grant_code": "1000.grant"}}}))


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl"))), reason="needs bash and curl")
def test_the_command_exchanges_a_code_once_and_shows_no_secret_to_other_users(desk: Simulator) -> None:
    (block,) = PAGE.blocks("sh")
    assert ACCOUNTS in block.text
    script = block.text.replace(ACCOUNTS, f"{desk.url}/globex")
    answers = []
    for code in ("1000.late", "1000.grant", "1000.grant"):
        typed = f"id\nsecret\n{code}\n"
        ran = subprocess.run(
            ["bash", "-c", script], input=typed, capture_output=True, text=True, check=True, timeout=20
        )
        answers.append(json.loads(ran.stdout))
    assert [answer.get("error") for answer in answers] == ["invalid_code", None, "invalid_code"]
    assert answers[1]["refresh_token"] == "refresh"
    # Arguments are in the list of processes.
    assert re.findall(r"curl (.*)", block.text) == [f'-sS -d @- "{ACCOUNTS}/oauth/v2/token"']


def test_each_data_centre_is_the_one_that_init_proposes() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `(https://\S+)` \|$", PAGE.text, re.MULTILINE)
    assert dict(rows) == init._ACCOUNTS
    assert len(rows) == 9


def test_the_quickstarts_key_is_one_of_a_polled_tenant() -> None:
    (line,) = (block.text for block in QUICKSTART.blocks("toml"))
    pilot = init._Pilot("contoso", {}, {"webhook.mode": "poll"})
    values = {"SERVICEDESK_URL_CONTOSO": "https://desk.contoso.example", "SERVICEDESK_API_KEY_CONTOSO": "k"}
    tenants, problems = parse_tenants(values | {TENANTS_TOML: pilot.toml() + line})
    assert problems == []
    assert tenants["contoso"].polled
