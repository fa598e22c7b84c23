"""No document installs a package by its name from an index: `ai-agents` on PyPI is another project."""

import re
import tomllib

import pytest

from tests.documents.documents import ROOT, documents

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_TOOLS = re.compile(r"\b(uvx|uv|pipx|pip[\d.]*|poetry|pdm)\b([^\n`|;&)]*)")
_VERBS = ("install", "download", "wheel", "add", "inject", "run")
_OPTION_WITH_VALUE = (
    *("-r", "-c", "-i", "-p", "--requirement", "--constraint", "--index-url", "--extra-index-url", "--python"),
    *("--proxy", "--target", "--group", "--extra", "--with-requirements"),
)
_OPTION_WITH_PACKAGE = ("--from", "--with")


def installed_by_name(text: str) -> list[str]:
    """Return each package that a text installs from an index."""
    found = []
    for tool, rest in _TOOLS.findall(text.replace("\\\n", " ")):
        words = re.sub(r"[\"']", "", rest).split()
        verb = next((number for number, word in enumerate(words) if word in _VERBS), None)
        if tool != "uvx" and verb is None:
            continue
        start = 0 if tool == "uvx" or verb is None else verb + 1
        # `uv run` runs a command of this project: of its words only options name packages.
        runs_own = tool == "uv" and words[:start][-1:] == ["run"] and "tool" not in words[:start]
        found += _packages(words[start:], options_only=runs_own)
    return found


def _packages(words: list[str], *, options_only: bool) -> list[str]:
    """Return the packages among the words behind a verb: neither options and their values nor paths."""
    found = []
    previous = ""
    for word in words:
        option, _, value = word.partition("=")
        if option in _OPTION_WITH_PACKAGE:
            named = value
        elif previous in _OPTION_WITH_PACKAGE or not (options_only or previous in _OPTION_WITH_VALUE):
            named = word
        else:
            named = ""
        # A path may be a checkout with an extra.
        found += [re.split(r"[\[=<>~!@]", one)[0] for one in named.split(",") if one and one[0] not in "-./"]
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
        ("pip -q install ai-agents", ["ai-agents"]),
        ("pip --no-cache-dir install 'ai-agents[embeddings]'", ["ai-agents"]),
        ("pip install \\\n  ai-agents", ["ai-agents"]),
        ("uv run --with ai-agents ai-agents check", ["ai-agents"]),
        ("uv run --with=ai-agents python", ["ai-agents"]),
        ("uv pip  install ai-agents", ["ai-agents"]),
        ("uv --quiet tool run ai-agents", ["ai-agents"]),
        ("uvx --from ai-agents ai-agents", ["ai-agents", "ai-agents"]),
        ("poetry add ai-agents", ["ai-agents"]),
        ('`pip install ".[embeddings]"`', []),
        ("uv run ai-agents check", []),
        ("uv pip install --python .venv -r requirements/dev.txt -e .", []),
        ("pip install -r requirements/image.txt -e .", []),
    ],
)
def test_an_install_is_seen(text: str, names: list[str]) -> None:
    assert installed_by_name(text) == names
