"""The desk's people in a text: names, initials, logins, addresses, numbers."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby
from operator import itemgetter

from privacy.redaction.lexicon import also_names, first_names, is_known, terms, unsure_names, words
from privacy.redaction.people import PARTICLES, Person, logins_of, particles_of, parts_of, spelled, spelled_words
from privacy.redaction.recognizers import Detection, patterns
from privacy.redaction.text import ReadText

_JOINTS = frozenset({" ", "-", ", ", ",", ". ", ".", "_", "'", "’", " - ", "  ", ".-", "\n"})
_TOKEN = re.compile(r"[^\W_]+(?:[._+-][^\W_]+)*")
_NUMBER = re.compile(r"[+(\d](?<![\w.+].)(?:[ ]?[./()-]{0,2}[ ]?\d){4,16}(?!\w)")
# Initials or a short name that end a line, and initials that begin one: "GS testet AutoCAD".
_SIGN, _LED = patterns("desk", "sign led")
_SIGNED_LINE, _INITIALED = 40, re.compile(r"[.!?/] ?(?:[A-ZÄÖÜ]{2,3}|[A-ZÄÖÜ][a-zäöüß])$")
_DETERMINERS = terms("determiners") - {"an"}
_AND, _THAT = terms("conjunctions"), terms("before_clause")
_PART, _DIGITS = re.compile(r"[^\W_]+"), re.compile(r"\d{0,4}")
_PASSIVE = re.compile(r"(?:ed|gez|von|done|sent|en) by $")
_NAMES = first_names, unsure_names, also_names
_SPACED = re.compile(r"(?<!\w)[^\W\d_](?: [^\W\d_]){3,20}(?!\w)")
_BEFORE_NAME, _BEHIND_NAME = terms("before_desk_name"), terms("behind_desk_name")
_SAYING, _GREETINGS, _CLOSINGS = terms("saying"), terms("greetings"), terms("closings")


class DeskPeople:
    """The names, login names, addresses and numbers of the people that a desk names."""

    def __init__(self, people: Iterable[Person]) -> None:
        self.names, self.keys, self._initials = list[str](), list[str](), list[str]()
        self.parts: list[tuple[str, ...]] = []
        self._particles: list[frozenset[str]] = []
        self._owners: dict[str, set[int]] = {}
        self._values: dict[str, str] = {}
        self._logins, self._numbers, self._unspaced = set[str](), set[str](), set[str]()
        for person in people:
            self._add(person)

    def _add(self, person: Person) -> None:
        parts = parts_of(person.name)
        if parts and parts not in self.parts:
            owner = len(self.names)
            for part in parts:
                for each in _forms_of(part, parts[1] if part == parts[0] and len(parts) > 2 else "", part == parts[0]):
                    self._owners.setdefault(each, set()).add(owner)
            self.names.append(person.name.strip())
            self._initials.append("".join(part[0] for part in spelled_words(person.name)))
            self.keys.append(" ".join(sorted(set(parts))))
            self.parts.append(parts)
            self._particles.append(particles_of(person.name))
            self._logins.update(logins_of(person.name, parts))
        if not person.name.isascii() and len(name := "".join(filter(_has_no_capital, person.name))) > 1:
            # A script without capitals and blanks: the whole name stands within other words.
            self._unspaced.add(name)
        self._values |= {each.lower(): "EMAIL" for each in person.addresses if "@" in each}
        for other in filter(None, (each.strip().lower() for each in person.others)):
            self._values[other] = "ID" if sum(map(str.isdigit, other)) * 2 >= len(other) else "LOGIN"
        self._numbers.update(filter(None, (re.sub(r"\D", "", number)[-7:] for number in person.numbers)))

    def values(self, read: ReadText) -> Iterator[Detection]:
        """Find the values that the desk has, and the login names derived from names."""
        for name in self._unspaced:
            yield from (Detection(*found.span(), "PERSON", name) for found in re.finditer(name, read.text))
        for at, key in enumerate(read.keys) if not self._logins.isdisjoint(read.keys) else ():
            if key in self._logins and len(key) > 3:
                end = _DIGITS.match(read.text, read.words[at][2])
                yield Detection(read.begins[at], end.end() if end else read.words[at][2], "LOGIN")
        for found in _TOKEN.finditer(read.low) if any(value in read.low for value in self._values) else ():
            parts = [found] if found[0] in self._values else _PART.finditer(read.low, *found.span())
            yield from (Detection(*part.span(), self._values[part[0]]) for part in parts if part[0] in self._values)
        for found in _NUMBER.finditer(read.text) if self._numbers else ():
            if re.sub(r"\D", "", found[0])[-7:] in self._numbers:
                yield Detection(*found.span(), "PHONE")

    def owners(self, read: ReadText) -> dict[int, set[int]]:
        """Return the places of words in names, each with the people it may name."""
        if not self._owners:
            return {}
        places = {at: self._owners[key] for at, key in enumerate(read.keys) if key in self._owners}
        owners = {at: those for at, those in places.items() if self._is_named(read, places, at)}
        for at, those in list(owners.items()):
            for step in (-1, 1):
                beside, other = at, at + step
                while 0 <= other < len(read.keys) and other not in owners and self._belongs(read, those, beside, other):
                    owners[other] = those
                    beside, other = other, other + step
        for at, (before, key, after) in enumerate(zip(["", *read.keys], read.keys, [*read.keys[1:], ""], strict=False)):
            begin = read.begins[at]
            is_whole = len(key) == 3 and key in self._initials and not is_known(key)
            if len(key) < 4 and (is_whole or after in _SAYING) and read.text[begin : begin + len(key)].isupper():
                those = {who for who, name in enumerate(self.parts) if _is_short_of(key, name)}
                owners |= {at: those} if those else {}
            elif at not in owners and read.text[begin].isupper() and (before in _GREETINGS or _is_addressed(read, at)):
                those = {who for who, name in enumerate(self.parts) if name[0].startswith(key)}
                owners |= {at: those} if those else {}
        for (begin, end), those in self._signed(read):
            for place in range(bisect_left(read.begins, begin), bisect_left(read.begins, end)):
                owners.setdefault(place, those)
        for found in _SPACED.finditer(read.text) if " a a " in read.shape else ():
            if those := self._owners.get(spelled(found[0].replace(" ", "")), set()):
                place = bisect_left(read.begins, found.start())
                owners |= dict.fromkeys(range(place, place + len(found[0]) // 2 + 1), those)
        return owners

    def _is_named(self, read: ReadText, places: dict[int, set[int]], at: int) -> bool:
        """Return False for a common lower-case word, unless it is a name: "ask mark"."""
        key, (_, begin, end), count = read.keys[at], read.words[at], len(read.words)
        is_common = len(key) < 3 or key in words() or key.removesuffix("s") in words()
        if read.text[begin].isupper() or not is_common:
            return len(key) > 1
        is_beside = any(
            other in places and read.keys[other] != key and places[other] & places[at]
            for other in (at - 1, at + 1)
            if min(at, other) >= 0 and max(at, other) < count and read.joints[min(at, other)] in _JOINTS
        )
        before = read.words[at - 1][0] if at and read.joints[at - 1].strip(" @,") == "" else ""
        after = read.words[at + 1][0] if at + 1 < count and read.joints[at] == " " else ""
        earlier = read.words[at - 2][0] if at > 1 else ""
        is_begun = at == 0 or "\n" in read.joints[at - 1]
        is_ended = at == count - 1 or bool(re.match(r"\s*\n|\s?[.!,:?(]", read.joints[at]))
        is_initial = len(after) == 1 and any(part[0] == after for owner in places[at] for part in self.parts[owner])
        is_listed = before in _AND and at - 2 in places and read.text[read.begins[at - 2]].isupper()
        says = after in _BEHIND_NAME
        is_genitive = read.text[end : end + 2] in {"'s", "’s"} or (
            key.endswith("s") and is_begun and after in terms("it_nouns")
        )
        is_told = (is_begun and (is_ended or says)) or (says and after != "will" and before in _THAT)
        if is_beside or is_initial or is_listed or is_genitive or is_told or before in _DETERMINERS:
            return before not in _DETERMINERS or is_genitive
        is_asked = before in terms("asking") and earlier not in _DETERMINERS and after not in {"again", "bill", "as"}
        is_done = before == "by" and bool(_PASSIVE.search(read.low, 0, begin))
        is_met = before in terms("greetings") or before in _BEFORE_NAME
        return is_asked or is_done or (is_met and (is_ended or says) and earlier not in _DETERMINERS)

    def _belongs(self, read: ReadText, owners: set[int], at: int, other: int) -> bool:
        joint = read.joints[min(at, other)]
        key, (_, begin, end) = read.keys[other], read.words[other]
        if joint not in _JOINTS or joint == "\n":
            return False
        if joint == "-" and other > at and read.text[begin].isupper() and not is_known(key):
            return True
        if key in PARTICLES and other < at:
            return any(key in self._particles[owner] for owner in owners)
        initials = {part[0] for owner in owners for part in [*self.parts[owner], *self._particles[owner]]}
        is_ended = not read.text[end : end + 1].isalnum()
        if len(key) == 1:
            has_dot, is_last = read.text[end : end + 1] == ".", other > at and read.text[end : end + 1] in {"", "\n"}
            is_small = read.text[read.begins[at]].islower() and other > at and key not in "aeiouy"
            is_sure = read.text[begin].isupper() or joint in {".", "_"} or has_dot or is_last or is_small
            return key in initials and is_ended and is_sure and (key != "i" or has_dot)
        if len(key) == 2 and other < at and set(key) <= initials and joint == " ":
            return key not in words() or any(self._initials[owner].lower().startswith(key) for owner in owners)
        longer = [part for owner in owners for part in self.parts[owner] if part[0] == key[0] and len(part) > len(key)]
        is_short = any(
            part.startswith(key)
            or (len(key) < 4 and part[-1] == key[-1])
            or (len(key) > 5 and part[:4] == key[:4] and len(part) - len(key) < 2)
            for part in longer
        )
        return is_short and joint in {" ", ". ", ", "} and read.text[begin].isupper()

    def _signed(self, read: ReadText) -> Iterator[tuple[tuple[int, int], set[int]]]:
        at, ended = 0, len(read.text.rstrip())
        for line in read.text.split("\n"):
            end = at + len(line)
            is_last = end >= ended or read.text.startswith(("\n\n", "\n>", "\n[", "\n--"), end)
            is_last = is_last or bool(_INITIALED.search(line))
            if (is_last or len(line) < _SIGNED_LINE) and (found := _SIGN.search(read.text, max(at, end - 20), end)):
                begin = found.start("sign")
                is_behind_word = read.text[begin].islower() and read.text[begin - 2 : begin - 1].isalpha()
                is_closed = line.partition(",")[0].lower() in _CLOSINGS
                is_alone = begin == at or is_closed or (is_last and not is_behind_word)
                if owners := self._signers(found["sign"], is_alone=is_alone):
                    yield found.span("sign"), owners
            if (led := _LED.match(read.text, at, end)) and (owners := self._signers(led["sign"], is_alone=True)):
                yield led.span("sign"), owners
            at = end + 1

    def _signers(self, sign: str, *, is_alone: bool) -> set[int]:
        letters = spelled("".join(filter(str.isalpha, sign)))
        has_capital = is_alone and sign[0].isupper()
        is_spaced = " " in sign.strip() or sign.count(".") > 1
        is_word = letters in words() and "." not in sign and not (len(letters) == 2 and is_alone)
        if not letters or (is_spaced and len(letters) > 3) or ((is_word or len(letters) == 1) and not has_capital):
            return set()
        some = re.compile(".*".join(letters)) if len(letters) in {2, 3} and is_alone else None
        begun = letters[: 3 + is_word] if is_alone and len(letters) > 3 else letters
        return {
            owner
            for owner, name in enumerate(self.parts)
            if _is_short_of(letters, name)
            or (some and some.match(self._initials[owner]))
            or (len(begun) > 2 and any(part.startswith(begun) for part in name))
        }


@cache
def _nicknames() -> dict[str, list[str]]:
    pairs = sorted(each.partition(":")[::-2] for each in terms("nicknames"))
    return {name: [short for _, short in those] for name, those in groupby(pairs, itemgetter(0))}


@lru_cache(20_000)
def _forms_of(part: str, second: str, is_first: bool) -> tuple[str, ...]:
    begun = [part[:length] for length in range(3, len(part))]
    shorter = [each for each in begun if any(each in names() for names in _NAMES) or (is_first and not is_known(each))]
    nicknames = _nicknames().get(part, [])
    # "Dieguito", "Carmencita", "Friedi", "Hajü" of Hans-Jürgen; a double letter written once.
    made = [part[:one] + second[:two] for one, two in ((2, 2), (2, 3), (3, 2), (4, 2)) if second]
    if part in first_names():
        for stem in (each.rstrip("aeio") for each in (part, *nicknames)):
            soft = re.sub("z$", "c", re.sub("([cg])$", lambda found: found[1].replace("c", "q") + "u", stem))
            made += [soft + end for end in ("ito", "ita", "in", "inho", "inha", "i", "y")]
            made += [stem + end for end in ("cito", "cita", "chen", "lein", "i", "y")]
        made += [part[:cut] + end for cut in (4, 5) if part[cut - 1 : cut] not in "aeiouy" for end in "iy"]
    new = (each for each in (*made, re.sub(r"(.)\1", r"\1", part)) if len(each) > 3 and not is_known(each))
    return (part, f"{part}s", *shorter, *new, *nicknames)


def _is_addressed(read: ReadText, at: int) -> bool:
    word, begin, end = read.words[at]
    is_begun = at == 0 or "\n" in read.joints[at - 1] or read.joints[at - 1][:1] in {".", "!", "?", "@"}
    return is_begun and read.text[end : end + 1] in {":", ","} and end - begin > 2 and (at == 0 or word not in words())


def _is_short_of(letters: str, name: Sequence[str]) -> bool:
    if len(letters) == 1:
        return letters in {name[0][0], name[-1][0]}
    if letters == name[0][:2] or (len(letters) > 2 and any(part.startswith(letters) for part in name)):
        return True
    initials = "".join(part[0] for part in name)
    if letters in {initials, initials[::-1], initials[0] + initials[-1]}:
        return True
    # "IMcC", "HaMu": a few letters of the first name, and some of the last.
    first, last = name[0], name[-1]
    return any(
        first.startswith(letters[:cut]) and last.startswith(letters[cut:]) and cut < 4 and len(letters) - cut < 4
        for cut in range(1, len(letters))
    )


def _has_no_capital(letter: str) -> bool:
    return letter.isalpha() and letter.lower() == letter.upper() and not letter.isascii()
