"""Login names: labelled ones, those of commands, paths and logs."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from privacy.redaction.lexicon import first_names, is_known, products, surnames, terms, words
from privacy.redaction.people import logins_of, parts_of, spelled
from privacy.redaction.recognizers import Detection, fragment, patterns, recognize, table
from privacy.redaction.text import ReadText

_FIRSTS, _LABEL = terms("login_firsts"), fragment("logins.label")
_CUES = _FIRSTS | terms("login_cues")
_LABELLED, _BESIDE, _NEXT, _SEVERAL = patterns("logins", "labelled beside next several")
_SHAPED, _SENTENCE, _OF_SECRET, _FILE = patterns("logins", "shaped sentence of_secret file")
_LOGIN, _INITIALED, _TO_SECRET, _BEFORE_SECRET = patterns("logins", "name initialed to_secret before_secret")
# Each names its user by its place: logs, commands, paths.
_PLACED = table("logins")
_HEAD = re.compile(rf"(?i)(?:.*[\s_(-])?(?:{_LABEL}|user|login)(?:[\s_).-].*)?")
_DIGITS, _MADE = re.compile(r"\d{1,4}$"), re.compile(r"[^\W\d_]{1,40}\d{0,4}")


def logins(read: ReadText, secrets: Iterable[int] = ()) -> Iterator[Detection]:
    """Find login names by their label, command, path or column."""
    secrets = sorted(secrets)
    for found in (*read.after(_FIRSTS, _LABELLED), *read.after(_FIRSTS, _BESIDE)):
        begin, end = _trimmed(read, *found.span("value"))
        is_signed, several = any(sign in found["sign"] for sign in ":=>→.\t"), _SEVERAL.match(read.low, found.start())
        # "usuarios todos"
        is_plain = several and several["sure"] and not is_signed and read.text[begin:end].isalpha()
        if is_plain and not _is_initialed(read.low[begin:end]):
            continue
        if _is_login(read, begin, end, is_signed=is_signed) or _has_secret(read, begin, end, secrets):
            yield Detection(begin, end, "LOGIN")
            next_one = _NEXT.match(read.text, end) if several else None
            while next_one and _is_login(read, *next_one.span("value"), is_signed=False):
                yield Detection(*next_one.span("value"), "LOGIN")
                next_one = _NEXT.match(read.text, next_one.end())
    for find in recognize(_PLACED, read):
        begin, end = _trimmed(read, find.begin, find.end)
        is_path = read.text[begin - 1 : begin] in {"/", "\\"}
        is_file = read.text[begin + 1] != "." and _FILE.search(read.low, begin, end)
        small = read.low[begin:end]
        is_usual = _is_plain(small) if is_path else _DIGITS.sub("", small) in words()
        if not (is_file or is_usual) and _is_personal(read.text[begin:end]):
            yield Detection(begin, end, "LOGIN")
    for begin in secrets:
        user = _BEFORE_SECRET.search(read.text, max(0, begin - 40), begin)
        is_word = user and any(part in words() for part in re.split(r"[\W_]", user["value"].lower()))
        if user and ("_" in user["value"] or not is_word):
            yield Detection(*user.span("value"), "LOGIN")
    yield from _near(read)
    for cell in read.column(_HEAD):
        is_name = _LOGIN.fullmatch(read.text, cell.begin, cell.end)
        if is_name and _is_login(read, cell.begin, cell.end, is_signed=True):
            yield Detection(cell.begin, cell.end, "LOGIN")


def _near(read: ReadText) -> Iterator[Detection]:
    end = 0
    for start in read.starts(_CUES):
        sentence = _SENTENCE.search(read.text, start, start + 60)
        for near in _SHAPED.finditer(read.text, max(start, end), sentence.start() + 1 if sentence else start + 60):
            end = near.end()
            is_of_secret = _OF_SECRET.search(read.low, start, near.start())
            # An identifier of a program: "rate_limit_exceeded".
            is_named = len(near[0]) > 13 and any(part in words() for part in near[0].lower().split("_"))
            if not (is_of_secret or is_named) and spelled(_DIGITS.sub("", near[0])) not in products()[0]:
                yield Detection(*near.span(), "LOGIN")


def _has_secret(read: ReadText, begin: int, end: int, secrets: Sequence[int]) -> bool:
    place, small = bisect_right(secrets, end), read.low[begin:end]
    if place == len(secrets) or small in terms("no_secret"):
        return False
    between = read.text[end : secrets[place]].strip(" \"'”“»„«)")
    label = _TO_SECRET.fullmatch(read.low, end, secrets[place])
    return between in {":", "/", "="} or bool(label and label[1] in terms("secret_firsts"))


def _trimmed(read: ReadText, begin: int, end: int) -> tuple[int, int]:
    return begin, begin + len(read.text[begin:end].rstrip(".-"))


def _is_plain(small: str) -> bool:
    """Return True for words alone: "s.unten", "service_desk"."""
    parts = small.replace("_", ".").split(".")
    return all(part in words() and part not in surnames() for part in parts[len(parts[0]) == 1 :])


def _is_personal(value: str) -> bool:
    small = value.rpartition("\\")[2].lower()
    return small not in terms("roles_accounts") and len(small) > 1


def _is_login(read: ReadText, begin: int, end: int, *, is_signed: bool) -> bool:
    value = read.text[begin:end]
    name = value.rpartition("\\")[2]
    stem, small = _DIGITS.sub("", name), name.lower()
    key = spelled(stem if len(stem) > 2 or len(name) < 5 else name)
    if small in terms("builtin_accounts"):
        return True
    if not _is_personal(value) or key in products()[0] or (name.isupper() and name.isalpha() and len(name) > 10):
        return False
    if "\\" in value or (("." in name or "_" in name) and not key.endswith((".com", ".de"))):
        return not _is_plain(small)
    is_word = key in words() and key not in surnames() and not (name == small and name[-1].isdigit())
    if is_signed:
        is_name = name[0].isupper() and read.text[end : end + 2].strip()[:1].isupper()
        return small not in terms("no_secret") and not is_word and not is_name
    is_unheard = key not in words() or any(map(str.isdigit, name))
    is_code = name.isupper() or (name.isalnum() and name[1:] != name[1:].lower())
    is_code |= read.text[begin - 1] == "(" and read.text[end : end + 1] == ")"
    return (name == small or is_code) and is_unheard and small not in terms("no_secret") and len(name) > 3


def derived(read: ReadText, names: Iterable[str]) -> Iterator[Detection]:
    """Find login names that follow from names in the text and frequent surnames."""
    known, small = words(), {at: read.keys[at] for at, begin in enumerate(read.begins) if read.text[begin].islower()}
    small = {at: key for at, key in small.items() if len(key) > 4 and key not in known}
    made = frozenset().union(*(logins_of(name, parts_of(name)) for name in names if small))
    for at, key in small.items():
        form = _MADE if key in made else _INITIALED if _is_initialed(key) else None
        if form and (found := form.match(read.text, read.begins[at])):
            yield Detection(*found.span(), "LOGIN")


@lru_cache(20_000)
def _is_initialed(key: str) -> bool:
    """Return True for a surname with an initial, if it is no word: "pkhatri"."""
    is_name = len(key) > 5 and (key[1:] in surnames() or (key[:-1] in surnames() and key[-1] not in "enrst"))
    return is_name and not (is_known(key) or key in surnames() or key in first_names())
