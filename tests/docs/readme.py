"""The README and the first pages that it links, read as one text."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OF_DOCS = ("operating", "webhook", "running", "settings")
_PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in _OF_DOCS))
TEXT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in _PAGES)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
