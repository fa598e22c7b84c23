"""What is found in a text, and how several finds of one place are settled."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

_SAID_ONCE = frozenset(["ID", "SECRET"])
# A shorter one may be another number.
_SHORTEST = 5
# Each is looked for in the whole text.
_MOST_AGAIN = 50


class Located(NamedTuple):
    """A value in a text."""

    begin: int
    end: int
    kind: str
    value: str | None = None
    """What is put back for it, if that is not what stood there first."""


def again(finds: Iterable[Located], text: str) -> Iterator[Located]:
    """Find where a number of a person or a secret stands once more, with nothing beside it that tells what it is."""
    values = dict.fromkeys((text[find.begin : find.end], find.kind) for find in finds if find.kind in _SAID_ONCE)
    for value, kind in islice(values, _MOST_AGAIN):
        if len(value) < _SHORTEST or not any(map(str.isdigit, value)):
            continue
        at = text.find(value)
        while at >= 0:
            end = at + len(value)
            if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
                yield Located(at, end, kind)
            at = text.find(value, end)


def settled(finds: Iterable[Located], text: str) -> list[Located]:
    """Return the finds by their places, none over another: what came first in the order given stays whole.

    Of a later one the places that are left stay, so that nothing that was found shows.
    """
    taken = bytearray(len(text))
    kept: list[Located] = []
    for find in finds:
        is_whole = find.kind != "ADDRESS" or not taken[find.begin]
        begin = find.begin if is_whole else find.end
        while begin < find.end:
            if taken[begin]:
                begin += 1
                continue
            end = taken.find(1, begin, find.end)
            end = find.end if end < 0 else end
            if any(each.isalnum() for each in text[begin:end]):
                kept.append(find._replace(begin=begin, end=end))
            begin = end
        taken[find.begin : find.end] = b"\1" * (find.end - find.begin)
    return sorted(kept)
