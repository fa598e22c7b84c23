"""Sentences that tell a number of the system, found with whatever amounts and held to the right ones."""

import re
from dataclasses import dataclass

from tests.documents.amounts import amounts
from tests.documents.documents import Document

_UNIT = r"(?: ?(?:%|(?:[KMG]iB|ms|[smhd]|seconds?|minutes?|hours?|days?)\b))"
_WORDS = "two|three|four|five|six|seven|eight|nine|ten"
AMOUNT = rf"(\d+(?:\.\d+)?{_UNIT}?|(?:half )?an? (?:minute|hour|day)|(?:{_WORDS})\b{_UNIT}?)"


@dataclass(frozen=True)
class Fact:
    """Words with `{}` for each amount, and what the amounts are."""

    words: str
    values: tuple[float, ...]

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the words with whatever amounts."""
        return re.compile(AMOUNT.join(map(re.escape, self.words.split("{}"))), re.IGNORECASE)


def told_in(document: Document, facts: tuple[Fact, ...]) -> list[tuple[Fact, str, bool]]:
    """Each place where a fact stands: the fact, the words there, and whether they are true."""
    return [
        (fact, found[0], tuple(amounts(amount)[0].value for amount in found.groups()) == fact.values)
        for fact in facts
        for found in fact.pattern.finditer(document.prose)
    ]
