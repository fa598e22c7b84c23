"""Time: a pattern can't look at the same characters again and again, however long and hostile a text is."""

import re
from importlib import import_module
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import masking

MODULES = [path.stem for path in Path(masking.__file__).parent.glob("*.py") if path.stem != "__init__"]
# Asked of a word or of the few characters before one, never of a whole text.
OF_SHORT_TEXTS = {
    "secret_looks._DATED.0",
    "secret_looks._CODE.0",
    "secret_looks._NO_COMPOSED.0",
    "network._CODE.0",
    "phones._NO_NUMBER.0",
}
# Each of their repeats begins with a character that none of the others takes.
DISJOINT = {"network._NAMES.0", "desk_names._TOKEN.0"}


def patterns() -> dict[str, re.Pattern[str]]:
    """Return each pattern of the room, by its name."""
    found: dict[str, re.Pattern[str]] = {}
    for name in MODULES:
        for key, value in vars(import_module(f"masking.{name}")).items():
            for place, each in enumerate(_flat(value)):
                found[f"{name}.{key}.{place}"] = each
    return found


def _flat(value: Any) -> list[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        return [value]
    return [each for part in value for each in _flat(part)] if isinstance(value, tuple) else []


def endless(parsed: Any, *, within: bool = False) -> list[tuple[bool, bool]]:
    """Return each repeat without an end: whether it is within another repeat, and whether anything follows it."""
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


def test_no_repeat_without_an_end_stands_in_another() -> None:
    """Else a text could be divided between the two in more ways than anybody can wait for."""
    assert len(patterns()) > 100
    wrong = {
        name
        for name, pattern in patterns().items()
        if any(within for within, _ in endless(parser.parse(pattern.pattern, pattern.flags)))
    }
    assert wrong - OF_SHORT_TEXTS == DISJOINT


def test_what_follows_a_repeat_without_an_end_is_asked_for_where_a_word_begins() -> None:
    """Else each place of a long word would be tried to its end: these are asked of labels, or of a few characters."""
    followed = {
        name
        for name, pattern in patterns().items()
        if any(is_followed for _, is_followed in endless(parser.parse(pattern.pattern, pattern.flags)))
    }
    of_labels = {"phones._SAID.0"}
    of_names = {"people._BESIDE.0"}
    of_few = {"ids._DATE.0", "ids._CELL.0", "said_secrets._KNOWN.0", "name_words._LINE_END.0"}
    assert followed - of_labels - of_names - of_few - OF_SHORT_TEXTS == DISJOINT
