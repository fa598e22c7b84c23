"""No document installs a package by its name from an index: `ai-agents` on PyPI is another project."""

import re
import tomllib

import pytest

from tests.documents.documents import ROOT, documents

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_INSTALLS = re.compile(
    r"\b(?:uvx|uv tool (?:install|run)|uv add|pipx (?:install|run)|(?:uv )?pip3? (?:install|download|wheel)) "
    r"([^\n`|;&)]+)"
)
_OPTION_WITH_VALUE = ("-r", "-c", "--requirement", "--constraint", "--index-url", "--python", "--from")


def installed_by_name(text: str) -> list[str]:
    """Return each package that a text installs from an index."""
    found = []
    for words in _INSTALLS.findall(text):
        previous = ""
        for word in re.sub(r"[\"']", "", words).split():
            is_value = previous in _OPTION_WITH_VALUE and previous != "--from"
            # A path, or a checkout with an extra.
            if not word.startswith(("-", ".", "/")) and not is_value:
                found.append(re.split(r"[\[=<>~!@]", word)[0])
            previous = word
    return found


def test_no_document_installs_a_package_from_an_index() -> None:
    assert {one.name: names for one in documents() if (names := installed_by_name(one.text))} == {}


def test_an_index_refuses_this_project() -> None:
    assert "Private :: Do Not Upload" in PROJECT["classifiers"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('needs the extra (`pip install "ai-agents[embeddings]"`)', ["ai-agents"]),
        ("```sh\nuvx ai_agents check\n```", ["ai_agents", "check"]),
        ("python -m pip install -U ai-agents==0.2.0", ["ai-agents"]),
        ("pipx install --python python3.11 ai-agents", ["ai-agents"]),
        ('`pip install ".[embeddings]"`', []),
        ("pip install -r requirements/image.txt -e .", []),
    ],
)
def test_an_install_is_seen(text: str, names: list[str]) -> None:
    assert installed_by_name(text) == names
