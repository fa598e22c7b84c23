"""The README and the pages that it sends people to first, read by machine as one text."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OF_DOCS = ("operating", "webhook", "running", "settings")
_PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in _OF_DOCS))
TEXT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in _PAGES)


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
