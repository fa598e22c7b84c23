"""Names that are words too, in small letters: when the sentence tells that one is meant ("ask mark about it")."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from masking.contexts import CLOSINGS, DETERMINERS, GREETINGS, LABELS, LISTED, TITLES
from masking.lists import listed
from masking.reading import ReadText

# Somebody is asked, told, called; some of these are nouns too: "my phone bill".
_ASKING = listed("small_names asking")
_NOUNS = listed("small_names nouns")
_WITH = listed("small_names with")
_TO = frozenset(["to", "an"])
_GIVING = listed("small_names giving")
# What may follow somebody who was asked, and what may follow somebody else.
_BEHIND_ASKED = listed("small_names behind asked")
_BEHIND = listed("small_names behind")
_SAYING = listed("small_names saying")
# "koch anrufen"
_CALLED = listed("small_names called")
_OWNED = listed("small_names owned")
_BEFORE_SUBJECT = listed("small_names before subject")
# "by hand", "for good" mean nobody.
_IDIOMS = frozenset(tuple(each.split("+")) for each in listed("small_names idioms"))
_MONTHS = frozenset(["may", "mai", "april", "june", "juni", "august", "summer", "sommer", "winter", "herbst"])


class Word(NamedTuple):
    """A word of a text, and of which of the desk's people it may be a part of the name."""

    begin: int
    end: int
    key: str
    """As `spelled`."""
    owners: frozenset[int]
    is_capital: bool


# As Word(...) does, without a call of Python's for each of thousands.
_made = partial(tuple.__new__, Word)


def words_of(*columns: Iterable[Any]) -> list[Word]:
    """Return words by the columns of their values."""
    return list(map(_made, zip(*columns, strict=True)))


def is_named(read: ReadText, found: Sequence[Word], place: int, *, is_small: bool) -> bool:
    """Return True for a word in small letters that is a sentence by itself, or stands behind a greeting."""
    begin, end = found[place].begin, found[place].end
    before, after = read.text[max(0, begin - 9) : begin].rstrip(" -")[-1:], read.text[end : end + 9].lstrip(" ")[:2]
    if before in {"", "\n", ".", "!", "?"} and after[:1] in {"", "\n", ".", "!", ",", ":"}:
        return True
    if after in {"'s", "’s"}:
        return True
    told = found[place - 1].key if place else ""
    if (told in GREETINGS or told in TITLES) and (after[:1] in {"", "\n", ",", "!", "."} or is_small):
        return True
    if is_small and (told in LABELS or told in CLOSINGS or told in {"user", "for", "von", "bei"}):
        return True
    return _is_told(read, found, place)


def _is_told(read: ReadText, found: Sequence[Word], place: int) -> bool:
    """Return True where the words beside it tell that somebody is meant."""
    key = found[place].key
    before = found[place - 1].key if place and _joint(read, found, place - 1) == " " else ""
    joint = _joint(read, found, place)
    behind = found[place + 1].key if joint == " " else ""
    is_ended = joint.lstrip(" ")[:1] in {"", "\n", ".", ",", "!", "?", ":", ";", ")", "/"} and joint != " "
    if before in DETERMINERS and before not in _TO:
        return False
    if (before in _ASKING and (is_ended or behind in _BEHIND_ASKED)) or behind in _CALLED:
        return not (before in _NOUNS and place > 1 and found[place - 2].key in DETERMINERS)
    if before in _WITH or (before in _TO and place > 1 and found[place - 2].key in _GIVING):
        is_idiom = (before, key) in _IDIOMS or key in _MONTHS
        return not is_idiom and (is_ended or behind in _BEHIND)
    if key.endswith("s") and behind in _OWNED:
        return True
    if behind in _SAYING and (not before or before in _BEFORE_SUBJECT):
        return True
    return _is_listed(read, found, place)


def _is_listed(read: ReadText, found: Sequence[Word], place: int) -> bool:
    """Return True where a name of the desk that is no word stands beside it in a list."""
    for step in (-1, 1):
        at = place + step
        if not 0 <= at < len(found):
            continue
        joint = _joint(read, found, min(at, place))
        if found[at].key in LISTED and joint == " " and 0 <= at + step < len(found):
            joint, at = "&", at + step
        word = found[at]
        if joint.strip(" ") in {"&", "/"} and word.owners and word.key != found[place].key and word.is_capital:
            return True
    return False


def _joint(read: ReadText, found: Sequence[Word], place: int) -> str:
    """Return what stands between a word and the next one."""
    end = found[place + 1].begin if place + 1 < len(found) else len(read.text)
    return read.text[found[place].end : end]
