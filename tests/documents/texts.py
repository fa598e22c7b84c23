"""The texts in the product's code: reasons, words of tables, headers."""

import ast
import re
from functools import cache

from tests.documents.documents import ROOT

PRODUCT = (
    "api",
    "config",
    "dispatch",
    "housekeeping",
    "integrations",
    "observability",
    "storage",
    "support",
    "worker",
    "workflow",
)
_NUMBER = r"\d+(?:\.\d+)?"
# A number, or a name: of the example's tenant, of a place that the reader fills, of something with `_` in it.
_NAME = re.compile(rf"{_NUMBER}|acme|HOST|<[\w ]+>|[a-z]+(?:_[a-z]+)+|…|\.\.\.")
# Where only a number makes sense.
_NUMBER_BEFORE = re.compile(r"(?:attempt|after|retried in) $")


@cache
def words() -> tuple[str, ...]:
    """Each text in the product's code that is no docstring, its places as `{}`: reasons, words of tables, headers."""
    found: set[str] = set()
    for folder in PRODUCT:
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "phrases.py":
                found |= texts_of(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(sorted(text for text in found if re.search(r"[A-Za-z]{2}", text)))


def texts_of(tree: ast.AST) -> set[str]:
    """The texts in a file of code that are no docstrings, their places as `{}`."""
    comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    pieces = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments | pieces:
            found.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            found.add("".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values))
    return found


@cache
def is_word(text: str) -> bool:
    """Whether the product's code has this text: a whole one with its places filled, or two words and more of one."""
    if text in words() or any(_fills(text, template, pattern) for template, pattern in _templates()):
        return True
    within = rf"(?<!\w){re.escape(text)}(?!\w)"
    return len(text.split()) > 1 and re.search(within, "\n".join(words())) is not None


@cache
def _templates() -> tuple[tuple[str, re.Pattern[str]], ...]:
    # A text that is nothing but places would match everything, and one without a blank is part of some name.
    with_places = [text for text in words() if "{}" in text and re.search(r"[A-Za-z]{3}.* | .*[A-Za-z]{3}", text)]
    return tuple((text, re.compile("(.+?)".join(map(re.escape, text.split("{}"))))) for text in with_places)


def _fills(text: str, template: str, pattern: re.Pattern[str]) -> bool:
    """Whether a text is this one with a number, a name or another text of the product in each of its places."""
    found = pattern.fullmatch(text)
    if not found:
        return False
    befores = template.split("{}")
    return all(
        re.fullmatch(_NUMBER, filling)
        if _NUMBER_BEFORE.search(before)
        else _NAME.fullmatch(filling) or (filling != text and is_word(filling))
        for before, filling in zip(befores, found.groups(), strict=False)
    )
