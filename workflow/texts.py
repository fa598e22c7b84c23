"""Limits for model texts: invisible characters removed, long texts cut."""

import re

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """Return the text without control and direction characters."""
    return _UNPRINTABLE.sub("", text)


def cut(text: str, most: int) -> str:
    """Return at most `most` characters of a text; a cut one ends in `…`."""
    return text if len(text) <= most else text[: most - 1] + "…"
