"""Login names: labelled ones, those of commands, paths and logs."""

import re
from collections.abc import Iterable, Iterator

from privacy.redaction.lexicon import products, surnames, terms, words
from privacy.redaction.people import logins_of, parts_of, spelled
from privacy.redaction.recognizers import Detection, fragment, pattern, recognize, table
from privacy.redaction.text import ReadText

_LABEL = fragment("logins.label")
_NAME = fragment("logins.name")
_LABELLED = pattern("logins.labelled")
# Each names its user by its place: logs, commands, paths.
_PLACED = table("logins")
_HEAD = re.compile(rf"(?i)(?:.*[\s_(-])?(?:{_LABEL}|user|login)(?:[\s_).-].*)?")
_LOGIN = re.compile(rf"{_NAME}")
_DIGITS = re.compile(r"\d{1,4}$")
_BEFORE_SECRET = re.compile(rf"(?<![\w/.])(?P<value>{_NAME}) ?/ ?$")
_BEHIND = re.compile(r"\d{0,4}")
_FIRSTS = terms("login_firsts")


def logins(read: ReadText, secrets: Iterable[int] = ()) -> Iterator[Detection]:
    """Find login names whose label, command, path or column shows what they are."""
    for found in read.after(_FIRSTS, _LABELLED):
        begin, end = _trimmed(read, *found.span("value"))
        is_signed = any(sign in found["sign"] for sign in ":=>→.")
        if _is_login(read, begin, end, is_signed=is_signed):
            yield Detection(begin, end, "LOGIN")
    for find in recognize(_PLACED, read):
        begin, end = _trimmed(read, find.begin, find.end)
        is_path = read.text[begin - 1 : begin] in {"/", "\\"}
        is_file = read.text[end - 4 : end - 3] == "." and read.text[end - 3 : end] not in {"ext", "adm"}
        if (
            not is_file
            and not _is_plain(read.low[begin:end])
            and _is_personal(read.text[begin:end])
            and (is_path or read.low[begin:end] not in words())
        ):
            yield Detection(begin, end, "LOGIN")
    for begin in secrets:
        user = _BEFORE_SECRET.search(read.text, max(0, begin - 40), begin)
        is_word = user and any(part in words() for part in re.split(r"[\W_]", user["value"].lower()))
        if user and ("_" in user["value"] or not is_word):
            yield Detection(*user.span("value"), "LOGIN")
    for cell in read.cells:
        is_login = _HEAD.fullmatch(cell.head) and _LOGIN.fullmatch(read.text, cell.begin, cell.end)
        if is_login and _is_login(read, cell.begin, cell.end, is_signed=True):
            yield Detection(cell.begin, cell.end, "LOGIN")


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
    key, small = spelled(_DIGITS.sub("", name)), name.lower()
    if not _is_personal(value) or key in products()[0] or (name.isupper() and name.isalpha() and len(name) > 8):
        return False
    if "\\" in value or (("." in name or "_" in name) and not key.endswith((".com", ".de"))):
        return not _is_plain(small)
    is_word = key in words() and key not in surnames()
    if is_signed:
        is_name = name[0].isupper() and read.text[end : end + 2].strip()[:1].isupper()
        return small not in terms("no_secret") and not is_word and not is_name
    is_unheard = key not in words() or any(map(str.isdigit, name))
    is_code = name.isupper() or (read.text[begin - 1] == "(" and read.text[end : end + 1] == ")")
    return (name == small or is_code) and is_unheard and small not in terms("no_secret") and len(name) > 4


def derived(read: ReadText, names: Iterable[str]) -> Iterator[Detection]:
    """Find the login names that follow from the names of people in the same text."""
    made = {login for name in names for login in logins_of(name, parts_of(name)) if len(login) > 4}
    made = {login for login in made.intersection(read.keys) if login not in words()}
    for (_, begin, end), key in zip(read.words, read.keys, strict=True) if made else ():
        if key in made and not read.text[begin].isupper():
            digits = _BEHIND.match(read.text, end)
            yield Detection(begin, digits.end() if digits else end, "LOGIN")
