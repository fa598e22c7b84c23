"""Links, index, scripts and alert runbooks of the documents."""

import re
import subprocess
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dev.stack import document_tables as tables
from tests.docs.documents import ROOT, MarkdownFile, broken_links, documents

DOCUMENTS = documents()
SUPPORT = [document for document in DOCUMENTS if document.is_for_support]
RUNBOOKS = {document.path.name: document for document in SUPPORT if document.name.startswith("docs/runbooks/")}
# `ai-agents` is another project on PyPI; `uv run ai-agents` runs this project's own command.
_INSTALLED = (
    r"\b(?:uvx|uv(?! run ai-agents\b)|pipx|pip[\d.]*|poetry|pdm)\s[^\n`|;&)]*?(?<![\w./-])ai[-_]agents\b(?![./])"
)
_FROM_OUTSIDE = r"(?:\$API|https://api\.ai-agents\.com)(/[\w/]*)"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_link_leads_to_a_file_and_a_heading(document: MarkdownFile) -> None:
    assert broken_links(document) == []


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n\n[a](b.md) [b](#two) [c](#one) [d](a.md)\n", encoding="utf-8")
    assert broken_links(MarkdownFile(tmp_path / "a.md", tmp_path)) == ["b.md", "#two"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_script_can_be_read_by_a_shell(document: MarkdownFile) -> None:
    read = subprocess.run(["bash", "-n"], input=document.script, capture_output=True, text=True, check=False)
    assert read.stderr == ""


def test_the_index_names_every_document() -> None:
    """Except itself and the decisions, which link each other."""
    index = MarkdownFile(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / target.split("#")[0]).resolve() for target in index.links()} | {index.path}
    listed = [document for document in DOCUMENTS if document.name.startswith("docs/") and "/adr/" not in document.name]
    assert [document.name for document in listed if document.path not in linked] == []


def test_the_recording_of_the_demo_is_one_small_file_that_loads_nothing() -> None:
    text = (ROOT / "docs" / "pictures" / "demo.svg").read_text(encoding="utf-8")
    words = " ".join("".join(ET.fromstring(text).itertext()).split())  # noqa: S314 -- ours
    assert "All tickets have their notes" in words
    assert len(text) < 150_000
    assert re.findall(r"href|url\(|<script|@import|@font-face|/(?:home|root|tmp)/", text) == []


def test_the_site_has_every_document() -> None:
    """Except the decisions, which their index links."""
    nav = str(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    named = {f"docs/{path}" for path in re.findall(r"[\w/-]+\.md", nav)}
    listed = {document.name for document in DOCUMENTS if document.name.startswith("docs/")}
    assert {name for name in listed if "/adr/" not in name} - named == set()


def test_changelog_and_commands_have_the_projects_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    newest = re.findall(
        r"^## (\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert newest[0] == version
    tags = {tag for document in DOCUMENTS for tag in re.findall(r"/ai-agents:(\d\S*)", document.text)}
    assert tags == {version}


def test_each_test_that_a_document_names_exists() -> None:
    named = {path for document in DOCUMENTS for path in re.findall(r"`(tests/[\w./-]+)`", document.text)}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_each_alert_has_a_section_in_the_runbook_that_it_links() -> None:
    for rule in tables._rules():
        homes = [name for name, runbook in RUNBOOKS.items() if f"\n## {rule['alert']}\n" in runbook.text]
        assert [f"docs/runbooks/{name}" for name in homes] == [rule["annotations"]["runbook_url"]]


def test_a_log_is_read_of_all_pods_and_past_those_that_have_none() -> None:
    """A deployment's name means one pod; kubectl follows five pods by default."""
    named = re.compile(r"kubectl logs deployment/(ai-agents-(?!housekeeping)\S+) -n .*")
    for line in (found for document in DOCUMENTS for found in named.finditer(document.text)):
        command = line[0].split("`")[0]
        assert "--all-pods=true --ignore-errors=true" in command, command
        assert "worker" not in line[1] or " -f" not in command or "--max-log-requests=" in command, command


def test_what_is_called_from_outside_is_what_the_ingress_lets_in() -> None:
    """`$API` and `api.ai-agents.com` are public: other paths stay in the cluster."""
    ingress = (ROOT / "k8s" / "overlays" / "production" / "ingress.yaml").read_text(encoding="utf-8")
    called = {path for document in SUPPORT for path in re.findall(_FROM_OUTSIDE, document.text)}
    assert called == set(re.findall(r"- path: (\S+)", ingress))


def test_no_document_installs_the_name_from_an_index_which_refuses_this_project() -> None:
    for wrong in ('pip install "ai-agents[embeddings]"', "uvx ai_agents", "uv run --with ai-agents ai-agents check"):
        assert re.search(_INSTALLED, wrong)
    for right in (
        'pip install ".[embeddings]"',
        "uv run ai-agents check",
        "pip install -r requirements/image.txt -e .",
    ):
        assert not re.search(_INSTALLED, right)
    assert [one.name for one in DOCUMENTS if re.search(_INSTALLED, one.text.replace("\\\n", " "))] == []
    assert '"Private :: Do Not Upload"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
