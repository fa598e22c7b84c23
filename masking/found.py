"""What is found in a text, and how several finds of one place are settled."""

from collections.abc import Iterable
from typing import NamedTuple


class Located(NamedTuple):
    """A value in a text."""

    begin: int
    end: int
    kind: str
    value: str | None = None
    """What is put back for it, if that is not what stood there first."""


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
