"""Unusual words and long sentences in documents and docstrings, for writers."""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dev.stack.document_tables import ROOMS, ROOT

# The word, and the plain one.
WORDS = {
    "what|whom|whoever|whatever": "name the subject",
    "told|tells?|says?|said|asked|asks": "log, report, return, request, contain",
    "stands|stood": "is, contains",
    "nobody|somebody|anybody": "the role: operator, technician, tenant",
    "anew": "again",
    "mends?|mended": "fix",
    "lest|besides|all the same|but for": "if, unless, because",
}
MAX_SENTENCE_LENGTH, MAX_WORDS = 20, 2_000
_WORDS = {re.compile(rf"\b(?:{words})\b", re.IGNORECASE): advice for words, advice in WORDS.items()}
_NO_PROSE = re.compile(
    r"^```.*?^```|<!-- table: .*?<!-- end -->|^\|.*?$|`[^`\n]*`|\]\([^)]*\)|<[^>\n]*>", re.MULTILINE | re.DOTALL
)


def documents() -> list[Path]:
    """Return the pages that count: no decisions, no changelog."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return sorted(page for page in pages if "adr" not in page.parts)


def _blanked(text: str) -> str:
    return _NO_PROSE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def words_in(page: Path) -> int:
    """Return the number of words as `wc -w` counts them, without generated tables."""
    text = re.sub(r"<!-- table: .*?<!-- end -->", "", page.read_text("utf-8"), flags=re.DOTALL)
    return len(text.split())


def _findings(text: str) -> Iterator[tuple[int, str]]:
    for form, advice in _WORDS.items():
        for match in form.finditer(text):
            yield text.count("\n", 0, match.start()), f'"{match[0]}": {advice}'
    for match in re.finditer(r"[^.!?:\n|]+(?:[.!?:](?=\s)|\n\n)", text):
        if (count := len(match[0].split())) > MAX_SENTENCE_LENGTH:
            yield text.count("\n", 0, match.start()), f"{count} words in a sentence"


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Return the docstrings of a module with their lines."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            text := ast.get_docstring(node)
        ):
            yield node.body[0].lineno, text


def main() -> None:
    """Print findings; write all docstrings into the file of `--docstrings`, for other checks."""
    parser = argparse.ArgumentParser(prog="dev.prose", description=__doc__)
    parser.add_argument("--docstrings", type=Path)
    all_docstrings: list[str] = []
    written = parser.parse_args().docstrings
    total = 0
    for page in documents():
        name, count = page.relative_to(ROOT), words_in(page)
        total += count
        if count > MAX_WORDS:
            print(f"{name}: {count} words, more than {MAX_WORDS}")
        for line, finding in sorted(_findings(_blanked(page.read_text("utf-8")))):
            print(f"{name}:{line + 1}: {finding}")
    total_docstrings = unusual = 0
    for path in sorted(path for room in [*ROOMS.split(), "dev"] for path in (ROOT / room).rglob("*.py")):
        for line, text in docstrings(path):
            all_docstrings.append(text)
            findings = [each for each in _findings(_blanked(text)) if each[1].startswith('"')]
            total_docstrings, unusual = total_docstrings + 1, unusual + bool(findings)
            for offset, finding in findings:
                print(f"{path.relative_to(ROOT)}:{line + offset}: {finding}")
    if written is not None:
        written.write_text("\n\n".join(all_docstrings), "utf-8")
    print(f"{total} words in documents; {unusual} of {total_docstrings} docstrings with such a word", file=sys.stderr)


if __name__ == "__main__":
    main()
