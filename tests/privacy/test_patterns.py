"""Linear time of the patterns, on long and hostile texts."""

import re
from importlib import import_module
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import privacy.redaction
from privacy.redaction.people import Person
from privacy.redaction.recognizers import Recognizer
from privacy.redaction.redaction import Redaction

MODULES = [path.stem for path in Path(privacy.redaction.__file__).parent.glob("*.py") if path.stem != "__init__"]
# Compared with a single value, or the head of a column: texts of at most 100 characters.
OF_SHORT_TEXTS = {
    *("secrets._OTHERS.0", "secrets._PLAIN_MIX.0", "secrets._NO_SHAPE.0", "secrets._HEAD.0", "secrets._NO_HEAD.0"),
    *("ids._HEAD.0", "ids._BORN_HEAD.0", "ids._NO_ID.0", "names._NAME_HEAD.0", "names._OTHER_HEAD.0", "logins._HEAD.0"),
    *("network._HOST_HEAD.0", "phones._NO_NUMBER.0", "phones._HEAD.0", "network._CODE.0", "network._FILE.0"),
}
# Each of their repeats begins with a character that the others exclude.
DISJOINT = {"network._NAMES.0", "desk._TOKEN.0"}


def unbounded() -> dict[str, list[tuple[bool, bool]]]:
    """Return the unbounded repeats of each pattern."""
    return {
        f"{name}.{key}.{place}": endless(parser.parse(each.pattern, each.flags))
        for name in MODULES
        for key, value in vars(import_module(f"privacy.redaction.{name}")).items()
        for place, each in enumerate(_flat(value))
    }


def _flat(value: Any) -> list[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        return [value]
    if isinstance(value, Recognizer):
        return _flat((value.pattern, value.context, value.against))
    return [each for part in value for each in _flat(part)] if isinstance(value, tuple) else []


def endless(parsed: Any, *, within: bool = False) -> list[tuple[bool, bool]]:
    """Return each unbounded repeat: whether it is nested or followed."""
    found = []
    items = list(parsed)
    for place, (code, value) in enumerate(items):
        if code in {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}:
            _, most, inner = value
            if most == codes.MAXREPEAT:
                found.append((within, place + 1 < len(items)))
            found += endless(inner, within=within or most == codes.MAXREPEAT or most > 1)
        elif code is codes.SUBPATTERN:
            found += endless(value[3], within=within)
        elif code is codes.BRANCH:
            found += [each for branch in value[1] for each in endless(branch, within=within)]
        elif code in {codes.ASSERT, codes.ASSERT_NOT}:
            found += endless(value[1], within=within)
    return found


def test_no_unbounded_repeat_contains_another() -> None:
    """Nested repeats can split a text in exponentially many ways."""
    assert len(unbounded()) > 100
    wrong = {name for name, repeats in unbounded().items() if any(within for within, _ in repeats)}
    assert wrong - OF_SHORT_TEXTS == DISJOINT


def test_a_token_after_an_unbounded_repeat_starts_at_a_word() -> None:
    """Otherwise each place of a long word is tried to its end."""
    followed = {name for name, repeats in unbounded().items() if any(is_followed for _, is_followed in repeats)}
    # Matched against the characters right before a number, or a name at the end of a line.
    of_few = {"people._BESIDE.0", "network._BESIDE.0"}
    # Matched at a label's place; each bounded repeat begins with its own character.
    of_labels = {"phones._SAID.0", "secrets._STRONG.0"}
    assert followed - of_few - of_labels - OF_SHORT_TEXTS == DISJOINT


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "A", "Aa ", "1", "1 ", "a1", "-", "_", ".", "@", "a@", ":", "a:", "\n", " ", "\t", "|", "a|b\n", '"'),
        *("(", "/", "password ", "password: ", "user ", "Herr ", "Anna ", "PIN 1234 ", "Anna Schmidt, ", "[PERSON_"),
        *("a.b-c", "é", "C:\\Users\\a ", "-u a ", "ab12!X", "und ", "Frau Dr. Prof. ", "tel ", "1-", "00 "),
        *("name: ", "né le "),
    ],
)
def test_100_kilobytes_of_any_text_are_processed(piece: str) -> None:
    """Quadratic time would take some ten seconds or more each."""
    text = piece * (100_000 // len(piece))
    assert Redaction([Person("Anna Schmidt")], network=True).redact(text)
