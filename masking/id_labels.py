"""What tells that a number is a person's: whose it is, and words for a number behind that."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from masking.lists import listed
from masking.reading import ReadText
from masking.things import OF_THINGS

# They say so by themselves: an abbreviation, a document of one person.
_ALONE = listed("id_labels alone")
# Whose number it is; of the latter only where a word for a number follows.
_WHOSE = listed("id_labels whose")
_HEADS = _WHOSE | _ALONE | listed("id_labels heads")
_STARTS = tuple(sorted(listed("id_labels starts")))
# What else has a number. In German the end of a word tells what it is: a Wartungsvertrag is a Vertrag.
_THINGS = listed("id_labels things") | listed("phones labels")
_THING_ENDS = tuple(sorted(word for word in _THINGS if len(word) > 3))
_COUNTED = listed("id_labels counted")
_NAMED = listed("id_labels named")
_ENDS = (
    *("nummern", "nummer", "numbers", "number", "kennziffer", "nrn", "nr", "num", "ids", "id", "ausweis", "no"),
    *("kennung", "karte"),
)
_DOCUMENTS = ("ausweis", "kennziffer", "karte")
_PEOPLE = ("mitglied", "mitarbeiter", "kunde", "kundin", "patient", "patientin")
_PERSON = re.compile(
    r"(?<![^\W_])(?:kolleg|mitarbeiter|patient|kund|employee|colleague|customer|member|mitglied|student|worker)\w{0,5}"
    r" (?:mit|with)(?: der| the)? ?$"
)
# It is of another kind of account: "his licence" is a driver's, "the licence of the software" is none.
_LICENCE = frozenset(["licence", "license"])
_OF_LICENCES = listed("id_labels of licences")
# Behind "no": else it is a negation.
_NUMBER = re.compile(r"[.:]|[ #]{1,2}[A-Z]{0,3}-?\d{4}")
_COUNTING = _COUNTED | _NAMED | {"code"}
_FIELDS = frozenset(["policy", "police", "member", "insured"])
# Their code opens a door.
_OPENING = frozenset(["badge", "fob", "transponder", "chipkarte", "zugangskarte", "zutrittskarte"])
DOCUMENTS = frozenset(["passport", "pass", "reisepass", "ausweis", "personalausweis", "perso", "visum", "pasaporte"])
"""Their numbers have letters among the digits."""
# Of some card of somebody, if no issuer of payment cards gives it.
_HEALTH = re.compile(r"[ :]{1,2}\d{4}-\d{3}-\d{3}(?![\w-])")
_OF_ID = re.compile(r"[a-z]{1,4}id")
# A state's letters before the digits.
_OF_STATE = re.compile(r"[\s#:]{1,3}(?:no\.?\s)?[A-Z]{2}[ -]?\d{6,12}(?!\w)")
_TELLING = _ALONE | _WHOSE
_ANY_ENDS = (*_ENDS, *_PEOPLE)
_LASTS = frozenset(end[-2:] for end in _ANY_ENDS)
_JOINTS = frozenset([" ", "-", ".", ". ", ".-", "_", "/"])


class IdLabel(NamedTuple):
    """Where a label stands."""

    begin: int
    end: int
    is_numbered: bool
    """Whether it has a word for a number, as "staff no." has and "staff" has not."""
    is_sure: bool
    """Whether a number behind it is a person's even when other words stand between."""


def labels(read: ReadText) -> Iterator[IdLabel]:
    """Find all labels of numbers of people, in any order."""
    places = read.places
    for word in read.vocabulary & _COUNTING:
        yield from _counted(read, word, places[word])
    for word in read.vocabulary & _TELLING:
        is_numbered, is_sure = word.endswith(_ENDS), word in _ALONE
        those = (place for place in places[word] if word not in _OPENING or not _is_of_code(read, place))
        yield from (_label(read, place, place, is_numbered=is_numbered, is_sure=is_sure) for place in those)
    for word in read.vocabulary & _LICENCE:
        those = (place for place in places[word] if _is_licence(read, place))
        yield from (_label(read, place, place, is_numbered=False, is_sure=True) for place in those)
    for word in read.vocabulary & _FIELDS:
        those = (place for place in places[word] if _is_field(read, place))
        yield from (_label(read, place, place, is_numbered=False, is_sure=False) for place in those)
    for word in [word for word in read.vocabulary if word[-2:] in _LASTS and word.endswith(_ANY_ENDS)]:
        if word in _TELLING or word in _COUNTING:
            continue
        is_of_people = is_number(word)
        is_sure = is_of_people and not word.endswith("karte")
        if is_of_people or word.endswith(_PEOPLE):
            yield from (_label(read, place, place, is_numbered=is_sure, is_sure=is_sure) for place in places[word])


def is_number(word: str) -> bool:
    """Return True for a word that is put together of whose number it is and a word for a number."""
    end = next((end for end in _ENDS if word.endswith(end)), "")
    head = word[: len(word) - len(end)]
    if not end or not head:
        return False
    if len(head) < 3 and end in {"id", "ids", "no", "num"}:
        return False
    if head in _HEADS or head.startswith(_STARTS):
        return not _is_thing(head)
    is_open = word not in _THINGS and (end.startswith(("nummer", "nr")) or end in _DOCUMENTS)
    return is_open and len(head) > 2 and not _is_thing(head)


def is_label(head: str) -> bool:
    """Return True where the head of a column tells of numbers of people."""
    parts = [part for part in re.split(r"[\W_]+", head) if part]
    if any(part in _ALONE or is_number(part) for part in parts):
        return True
    is_of_people = any(part in _HEADS or part.startswith(_STARTS) for part in parts)
    return is_of_people and any(part in _COUNTED or part in _NAMED for part in parts)


def is_bare(head: str) -> bool:
    """Return True where the head of a column beside names tells of a number, of nothing else."""
    parts = [part for part in re.split(r"[\W_]+", head) if part]
    return 0 < len(parts) < 3 and all(part in _COUNTED | {"id"} or _OF_ID.fullmatch(part) for part in parts)


def _label(read: ReadText, first: int, last: int, *, is_numbered: bool, is_sure: bool) -> IdLabel:
    return IdLabel(read.words[first][1], read.words[last][2], is_numbered, is_sure)


def _counted(read: ReadText, word: str, places: list[int]) -> Iterator[IdLabel]:
    """Find where a word for a number stands beside whose number it is."""
    for place in places:
        if _is_behind_person(read, word, place):
            yield _label(read, max(0, place - 1), place, is_numbered=True, is_sure=True)
        elif word in _COUNTED:
            # "The number on her badge is 4471."
            behind = range(place + 1, min(place + 4, len(read.words)))
            owner = next((at for at in behind if _is_owner(read.words[at][0])), None)
            if owner and read.text[read.words[place][2] : read.words[owner][1]].replace(" ", "").isalpha():
                yield _label(read, place, owner, is_numbered=True, is_sure=True)


def _is_field(read: ReadText, place: int) -> bool:
    """Return True for what stands before a colon on a line of a form."""
    _, begin, end = read.words[place]
    return read.text[end : end + 1] == ":" and read.text[begin - 1 : begin] in {"", "\n"}


def _is_owner(word: str) -> bool:
    return word in _WHOSE or word in _ALONE or word.startswith(_STARTS)


def _is_behind_person(read: ReadText, word: str, place: int) -> bool:
    """Return True where what stands right before a word for a number is somebody, or nothing that is known."""
    if not place:
        return False
    (head, begin, end), (_, at, _) = read.words[place - 1], read.words[place]
    joint = read.text[end:at]
    if head == "s" and place > 1 and read.text[begin - 1 : begin] in {"'", "’"}:
        head = read.words[place - 2][0]
    if joint not in _JOINTS:
        is_close = joint in {" (", ", "} and word in _COUNTED and head in _WHOSE
        # "Blessing Udoh, student, ID U2041187"
        those = read.words[max(0, place - 5) : place] if word == "id" else ()
        return is_close or any(_is_owner(each[0]) for each in those)
    if word == "code" or (word == "id" and head == "policy"):
        return head in _WHOSE and head not in _OPENING
    if head in _LICENCE:
        return _is_licence(read, place - 1)
    if head in _HEADS or (head.startswith(_STARTS) and not _is_thing(head)):
        return word != "ticket" or head in {"reader", "library"}
    return _is_behind_unknown(read, word, place, joint)


def _is_behind_unknown(read: ReadText, word: str, place: int, joint: str) -> bool:
    """Return True where nothing that is known for another kind of number stands before a word for a number."""
    (head, _, end), (_, at, ended) = read.words[place - 1], read.words[place]
    if word not in _COUNTED:
        is_health = word in {"card", "karte"} and bool(_HEALTH.match(read.text, ended))
        return is_health and not _is_thing(head)
    is_open = joint != ". " and len(head) > 1 and (word != "no" or bool(_NUMBER.match(read.text, ended)))
    if is_open and not _is_thing(head) and not OF_THINGS.search(read.low, max(0, end - 12), end):
        return True
    return bool(_PERSON.search(read.low, max(0, at - 30), at))


def _is_licence(read: ReadText, place: int) -> bool:
    """Return True for the licence of somebody, not for that of a software."""
    is_of_state = bool(_OF_STATE.match(read.text, read.words[place][2]))
    return is_of_state or any(each[0] in _OF_LICENCES for each in read.words[max(0, place - 2) : place])


def _is_of_code(read: ReadText, place: int) -> bool:
    """Return True for the word before that for a code: a badge's code is no number of somebody."""
    return place + 1 < len(read.words) and read.words[place + 1][0] in {"code", "pin"}


def _is_thing(head: str) -> bool:
    return head in _THINGS or head.removesuffix("s") in _THINGS or head.rstrip("s").endswith(_THING_ENDS)
