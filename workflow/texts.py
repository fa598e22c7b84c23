"""Texts of a model in bounds: what nobody sees is taken out, and what is too long is cut visibly."""

import re

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """Return the text without controls and marks that reorder it."""
    return _UNPRINTABLE.sub("", text)


def cut(text: str, most: int) -> str:
    """Return at most so many characters of a text; one that was longer ends in `…`."""
    return text if len(text) <= most else text[: most - 1] + "…"
