"""Untrusted JSON: parsed within bounds, with readable causes of errors."""

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

_DEEPEST = 100
# The closing quote is optional: otherwise unclosed quotes would take quadratic time.
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[][{}]")
_OTHER_CHARSET = "another character set than UTF-8"
# Messages of the json module, and their meaning for the author of the desk's template.
_MISTAKES = {
    "Expecting ',' delimiter": "a quote inside a value or a missing comma",
    "Invalid control character": "a line break or a tab inside a value",
    "Expecting property name": "a name without double quotes or a comma too many",
    "Illegal trailing comma": "a comma too many",
    "Expecting ':' delimiter": "a missing colon",
    "Unterminated string": "a quote that is never closed",
    "Invalid \\": "a backslash inside a value",
    "Expecting value": "no value where one has to stand, or a text without quotes",
    "Extra data": "something behind the end",
}


class Malformed(Exception):
    """An unreadable body; `cause` names the problem without quoting the body."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def decoded(body: bytes) -> str:
    """Return the body's text. Raises Malformed."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise Malformed(f"byte {failure.start + 1}: {_OTHER_CHARSET}") from None
    if "\0" in text[:2]:
        # UTF-16 without a byte order mark is valid UTF-8 with NUL as every second character.
        raise Malformed(f"byte 1: {_OTHER_CHARSET}")
    if not text.strip():
        raise Malformed("nothing in it")
    return text


def load(text: str, *, named_once: Sequence[str], strict: bool) -> Any:
    """Return the value of a JSON text; unless `strict`, with raw line breaks.

    Raises Malformed; also if an object has one of the names `named_once` twice.
    """
    if _too_deep(text):
        raise Malformed("nested too deep")
    if text.startswith("\ufeff"):
        raise Malformed("line 1 column 1: a byte order mark")
    try:
        return _decoder(tuple(named_once), strict).decode(text)
    except json.JSONDecodeError as failure:
        mistake = next((words for said, words in _MISTAKES.items() if failure.msg.startswith(said)), "no JSON")
        raise Malformed(f"line {failure.lineno} column {failure.colno}: {mistake}") from None
    except RecursionError:
        raise Malformed("nested too deep") from None
    except ValueError:
        raise Malformed("a number of thousands of digits") from None


@cache
def _decoder(named_once: tuple[str, ...], strict: bool) -> json.JSONDecoder:
    """Return a cached decoder: creating it takes a quarter of a parse."""

    def no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            for name in named_once:
                if names.count(name) > 1:
                    raise Malformed(f"{name} is there twice")
        return found

    return json.JSONDecoder(object_pairs_hook=no_twins, strict=strict)


def _too_deep(text: str) -> bool:
    """Return True if arrays and objects are nested deeper than in any real body.

    The depth limit of the json module differs between Python versions.
    """
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False  # the usual case
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEEPEST:
            return True
    return False
