"""Initials and short forms of the desk's people, where somebody signs: behind the last sentence, on a line alone."""

import re
from collections.abc import Iterable, Iterator, Sequence

from masking.people import spelled
from masking.reading import ReadText

# All of what follows the last sentence of a line.
_END = re.compile(r"(?m)(?:^|[.!?)\]:…]\s{1,2}|[-–/]\s?)(?P<sign>(?:[^\W\d_]\. ?){0,3}[^\W\d_]{1,12}\.?)[ \t]{0,3}$")
_SAYS = frozenset(["kürzel", "kzl", "gez", "sig", "initials", "signed", "sgd", "kuerzel"])
_SAID = re.compile(r"[^\W\d_]{3,9}[.:]{0,2}\s(?P<sign>[^\W\d_]{2,5})(?!\w)")
_LONGEST = 13
# What a letter without accents may be written as.
_WRITTEN = {
    "a": "äáàâåã",
    "o": "öóòôøõ",
    "u": "üúùû",
    "e": "éèêë",
    "i": "íìîïı",
    "c": "çčć",
    "s": "šşś",
    "z": "žźż",
    "l": "ł",
}
_AROUND = 20
_SHORT = 40
_SHORTEST_NICKNAME = 3


def first_letters(parts: Iterable[Sequence[str]]) -> frozenset[str]:
    """Return the letters that the parts of names begin with, as they may be written."""
    return frozenset(letter for name in parts for part in name for letter in (part[0], *_WRITTEN.get(part[0], "")))


def signed(
    read: ReadText, parts: Sequence[Sequence[str]], begins: frozenset[str]
) -> Iterator[tuple[int, int, frozenset[int]]]:
    """Find who signed, each with where that begins and ends and of whom it may be.

    By the parts of the desk's names, and the letters that these begin with.
    """
    if not parts:
        return
    text = read.text
    at, ended = 0, len(text.rstrip())
    for line in text.split("\n"):
        end = at + len(line)
        is_last = end >= ended or text.startswith("\n\n", end)
        found = None
        if is_last or len(line) < _SHORT:
            word = line.rstrip(" \t").rpartition(" ")[2]
            if len(word) <= _LONGEST and word.lstrip("-/")[:1].lower() in begins:
                found = _END.search(text, max(at, end - _AROUND), end)
        if found:
            is_alone = found.start("sign") == at or is_last
            if owners := _owners(found["sign"], parts, is_alone=is_alone):
                yield (*found.span("sign"), owners)
        at = end + 1
    for found in read.after(_SAYS, _SAID):
        if owners := _owners(found["sign"], parts, is_alone=True):
            yield (*found.span("sign"), owners)


def _owners(sign: str, parts: Sequence[Sequence[str]], *, is_alone: bool) -> frozenset[int]:
    letters = spelled("".join(filter(str.isalpha, sign)))
    is_spaced = " " in sign.strip()
    if not letters or len(letters) > _LONGEST or (len(letters) == 1 and not (is_alone and sign[0].isupper())):
        return frozenset()
    return frozenset(
        owner
        for owner, name in enumerate(parts)
        if not (is_spaced and len(letters) > 3) and _is_short_of(letters, name)
    )


def _is_short_of(letters: str, name: Sequence[str]) -> bool:
    """Return True for the first letters of the parts of a name in either order, or the beginning of one of them."""
    if len(letters) == 1:
        return letters == name[0][0] or letters == name[-1][0]
    if len(letters) >= _SHORTEST_NICKNAME and any(part.startswith(letters) for part in name):
        return True
    initials = "".join(part[0] for part in name)
    if letters in {initials, initials[::-1], initials[0] + initials[-1]}:
        return True
    # "IMcC", "HaMu": one letter or a few of the first name, and some of the last.
    first, last = name[0], name[-1]
    return any(
        first.startswith(letters[:cut]) and last.startswith(letters[cut:]) and cut < 4 and len(letters) - cut < 4
        for cut in range(1, len(letters))
    )
