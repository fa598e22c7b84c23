"""No document installs `ai-agents` from PyPI, where it is another project."""

import re

import pytest

from tests.documents.documents import ROOT, documents

_INSTALLED = re.compile(r"\b(?:uvx|uv|pipx|pip[\d.]*|poetry|pdm)\s[^\n`|;&)]*?(?<![\w./-])ai[-_]agents\b(?![./])")


def is_installed(text: str) -> bool:
    """Return True if a text installs the name from an index.

    `uv run ai-agents` runs this project's own command.
    """
    found = [match[0] for match in _INSTALLED.finditer(text.replace("\\\n", " "))]
    return any(not re.fullmatch(r"uv run ai-agents", one) for one in found)


def test_no_document_installs_the_name_from_an_index_which_refuses_this_project() -> None:
    assert [one.name for one in documents() if is_installed(one.text)] == []
    assert '"Private :: Do Not Upload"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ('needs the extra (`pip install "ai-agents[embeddings]"`)', True),
        ("```sh\nuvx ai_agents check\n```", True),
        ("python -m pip install -U ai-agents==0.2.0", True),
        ("pip install \\\n  ai-agents", True),
        ("uv run --with ai-agents ai-agents check", True),
        ('`pip install ".[embeddings]"`', False),
        ("uv run ai-agents check", False),
        ("pip install -r requirements/image.txt -e .", False),
    ],
)
def test_an_install_is_seen(text: str, is_wrong: bool) -> None:
    assert is_installed(text) == is_wrong
