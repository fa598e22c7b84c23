"""Markdown documents: code blocks, expected output, mentions, links, headings."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FIRST_PAGES = ("operating", "webhook", "running", "settings")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_MENTION = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Placeholders for readers, with a fitting value.
_PLACES = {
    "_<TENANT>": "_ACME",
    "<TENANT>": "acme",
    "<TICKET_ID>": "12345",
    "<JOB_ID>": "01936b2e-7c1a-7000-8000-0123456789ab",
    "<WORKER_POD>": "ai-agents-worker-7d9f-x2x4z",
}


@dataclass(frozen=True)
class Block:
    language: str
    text: str


@dataclass(frozen=True)
class MarkdownFile:
    path: Path
    root: Path = ROOT

    @property
    def name(self) -> str:
        return str(self.path.relative_to(self.root))

    @property
    def is_for_support(self) -> bool:
        """Return True for the FAQ's pages and the runbooks."""
        return self.name.startswith(("docs/support/", "docs/runbooks/"))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """Return the text with its code blocks blanked; line numbers stay."""
        return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), self.text)

    def blocks(self, language: str = "") -> list[Block]:
        """Return the code blocks of a language, or all."""
        found = [Block(block[2], textwrap.dedent(block[3])) for block in _FENCE.finditer(self.text)]
        return [block for block in found if language in ("", block.language)]

    @property
    def script(self) -> str:
        """Return all commands as one shell session, so that variables persist."""
        return filled("\n".join(block.text for block in self.blocks() if block.language in ("sh", "bash")))

    def mentions(self) -> list[str]:
        """Return the inline code outside code blocks."""
        return _MENTION.findall(self.prose)

    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    def anchors(self) -> set[str]:
        """Return the anchors that GitHub makes from the headings."""
        return {anchor(heading) for heading in _HEADING.findall(self.prose)}


def filled(text: str) -> str:
    """Return a text with a value for each placeholder."""
    for place, value in _PLACES.items():
        text = text.replace(place, value)
    return text


def anchor(heading: str) -> str:
    """Return a heading's anchor: small letters, no punctuation, `-` for each space."""
    text = _MENTION.sub(lambda found: found[1], heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def documents(root: Path = ROOT) -> list[MarkdownFile]:
    """Return the documents at the top and under `docs/`."""
    return [MarkdownFile(path, root) for path in [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]]


def broken_links(document: MarkdownFile) -> list[str]:
    """Return missing files and headings that links within the repository name.

    A page of `docs/` may not link outside of that folder: the site has nothing else.
    """
    broken = []
    home = document.root / "docs" if document.name.startswith("docs/") else document.root
    for target in document.links():
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        is_there = path.exists() and path.is_relative_to(home)
        if not is_there or (heading and heading not in MarkdownFile(path, document.root).anchors()):
            broken.append(target)
    return broken


def first_page_blocks(language: str) -> list[str]:
    """Return the code blocks of the README and the first pages that it links."""
    pages = ("README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in _FIRST_PAGES))
    return [block.text for page in pages for block in MarkdownFile(ROOT / page).blocks(language)]
