"""Splitting of a text into passages, which keep its lines."""

import re
from collections.abc import Iterator

# A long line without an end of a sentence goes on in the next one.
_WRAPPED_LENGTH = 60
# A line of commands does not go on.
_COMMAND = re.compile(r"(?:^|\s)(?:sudo\b|--?[a-z]|/[a-z?]\b|[/~][\w.-]+/|[A-Za-z]:\\)")
_SENTENCE_ENDS = (".", ":", ";", "!", "?")


def passages_of(text: str, most: int) -> Iterator[str]:
    """Yield passages of at most `most` characters, split between words."""
    part, separator, before = "", "", ""
    for line in text.split("\n"):
        is_wrapped = (
            len(before) >= _WRAPPED_LENGTH
            and not before.endswith(_SENTENCE_ENDS)
            and line.lstrip()[:1].islower()
            and not _COMMAND.search(before)
        )
        separator = " " if is_wrapped else separator
        for word in line.split():
            for begin in range(0, len(word), most):
                piece = word[begin : begin + most]
                if part and len(part) + len(separator) + len(piece) > most:
                    yield part
                    part, separator = "", ""
                part += separator + piece
                separator = " "
        separator, before = "\n" if part else "", line.rstrip()
    if part:
        yield part
