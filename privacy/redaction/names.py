"""Names of people: the desk's own, and others by name lists and context.

Each word with a capital has one of six classes: first name, surname, unsure (a first name and something else), word of
a language, product, unknown. A preposition alone never makes a name. A title, a label, a greeting, a signature, a role,
a mail address or another part of the name does.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

from privacy.redaction.desk import DeskPeople
from privacy.redaction.lexicon import also_names, first_names, is_known, products, surnames, terms, unsure_names, words
from privacy.redaction.people import PARTICLES, spelled, spelled_words
from privacy.redaction.recognizers import Detection, patterns
from privacy.redaction.text import ReadText

FIRST, LAST, UNSURE, WORD, PRODUCT, UNKNOWN = "FLUwP?"
_NAMES, _ANY_NAME = FIRST + LAST + UNSURE, FIRST + LAST + UNSURE + UNKNOWN
_MAX_IN_A_NAME, _MAX_CLOSING_LENGTH = 6, 50
_COMPANIES, _AND = terms("companies"), terms("conjunctions")
_GERMAN, _DETERMINERS = terms("german"), terms("determiners")
_BEHIND_SMALL, _BEFORE_SMALL, _THINGS = terms("behind_small"), terms("before_small"), terms("things")
_STRICT = terms("strict_labels")
_SAYING = terms("saying") | terms("behind_desk_name")
_SAINTS = frozenset({"st", "saint", "sainte", "san", "santa", "sankt"})
_LIST = re.compile(r"\s?[,;/&|+]\s?|,\s(?:and|und|et|y)\s")
_LABEL_SIGN = re.compile(r"[)\"* ]{0,3}(?::|\.[ .]{2,40}|=|->)[ \t\"'*]{0,24}")
_MAC = ("Mc", "Mac", "De", "Di", "Le", "La", "Du", "O'")
_CHAT, _BEFORE_MAIL, _RECIPIENTS, _SIGNED = patterns("names", "chat before_mail recipients signed")
_CELL = re.compile(r"(?:[^\W\d_][\w.'’-]{0,30})(?:,? ?[^\W\d_][\w.'’-]{0,30}){0,4}")
_NAME_HEAD = re.compile(rf"(?:.*[\s_/(-])?(?:{'|'.join(sorted(terms('name_heads')))})(?:[\s_/)-].*)?")
_OTHER_HEAD = re.compile(rf".*(?:{'|'.join(sorted(terms('other_heads')))}).*")


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(spelled(word) for word in terms(name))


@cache
def _contexts() -> frozenset[str]:
    return _STRICT.union(*map(_words, ("person_titles", "greetings", "name_labels", "roles", "asking")))


@cache
def _class_of(key: str) -> str:
    is_first = key in first_names()
    if key in _words("never"):
        return WORD
    if key in products()[0] and key not in also_names():
        return PRODUCT
    if is_first or key in unsure_names():
        return FIRST if is_first and key not in words() else UNSURE
    if key in words() or (key.endswith("s") and key[:-1] in products()[0]):
        return WORD
    if key in surnames():
        return LAST
    is_german_noun = len(key) > 6 and key.endswith(tuple(end for end in _words("noun_ends") if len(end) > 2))
    return WORD if is_german_noun else UNKNOWN


def persons(
    read: ReadText, desk: DeskPeople, found: Sequence[Detection], desk_terms: frozenset[str]
) -> Iterator[Detection]:
    """Find names outside of `found`, whose mail addresses are evidence."""
    names = _Names(read, desk.owners(read), found)
    names.add_terms(desk_terms)
    names.mark_names()
    yield from names.mentions(desk)


class _Names:
    def __init__(self, read: ReadText, owners: dict[int, set[int]], found: Sequence[Detection]) -> None:
        self.read, self.keys, self.owners = read, read.keys, owners
        self.count, self.begins = len(read.keys), read.begins
        self.marked = bytearray(self.count)
        self.capital = [read.text[begin].isupper() for begin in self.begins]
        self.is_loud = read.text.upper() == read.text
        self.is_german = sum(map(_GERMAN.__contains__, read.keys)) * 12 > self.count
        self.is_form = not _STRICT.isdisjoint(read.keys)
        self.reversed: set[int] = set()  # places of "Surname, First"
        self.mails = [each.begin for each in found if each.kind == "EMAIL"]
        self.locals = [read.low[each.begin : each.end].partition("@")[0] for each in found if each.kind == "EMAIL"]
        self.local_parts = {part for local in self.locals for part in re.split(r"[._-]", local)}
        self.taken = bytearray(len(read.text) + 1)
        for each in found:
            self.taken[each.begin : each.end] = b"\1" * (each.end - each.begin)
        self.classes = [WORD] * self.count
        self.capitals = [at for at, is_capital in enumerate(self.capital) if is_capital]
        for at in self.capitals:
            if not (self.keys[at] in PARTICLES and at and self.capital[at - 1]):
                self.classes[at] = _class_of(self.keys[at])
        for at in owners:
            self.marked[at] = 1

    def add_terms(self, desk_terms: frozenset[str]) -> None:
        """Classify words of product names, desk terms and inner capitals as products."""
        own, ambiguous = defaultdict(list), []
        for parts in map(tuple, map(spelled_words, desk_terms)):
            if parts:
                own[parts[0]].append(parts)
        longer, ambiguous_names = products()[1], also_names()
        for at in self.capitals:
            key = self.keys[at]
            for parts in (*longer.get(key, ()), *own.get(key, ())) if key in longer or key in own else ():
                if tuple(self.keys[at : at + len(parts)]) == parts:
                    self.classes[at : at + len(parts)] = [PRODUCT] * len(parts)
                    break
            if key in ambiguous_names:
                is_said = self._behind(at) in {"'s", "’s"} or self._key(at + 1) in _SAYING
                if not is_said and not (self._goes_on(at) and self._fits(at + 1)):
                    ambiguous.append(at)
            word = self._text(at)
            # "FactoryTalk", "PostgreSQL"
            if word[1:].lower() != word[1:] and not word.isupper() and self.classes[at] in WORD + UNKNOWN:
                self.classes[at] = self.classes[at] if word.startswith(_MAC) else PRODUCT
        if self.classes.count(PRODUCT) > 1:
            for at in ambiguous:
                self.classes[at] = UNSURE if self.classes[at] == FIRST else self.classes[at]

    def mark_names(self) -> None:
        self._mark_cells()
        self._mark_chats()
        self._before_mails()
        self._recipients()
        contexts, firsts, known, candidates = _contexts(), first_names(), words(), set(self.capitals)
        for places in self.read.places.values():
            key = self.keys[places[0]]
            if key in contexts or (key in firsts and key not in known):
                candidates.update(places)
        for at in sorted(candidates):
            key = self.keys[at]
            if self.capital[at]:
                if not self.marked[at]:
                    self._by_itself(at, key)
            elif key in firsts and key not in known and not self.marked[at]:
                self._mark_lower_case(at, key)
            if key in contexts:
                self._by_context(at, key)
        self._signatures()
        if any(self.marked):
            self._mark_lists()
            self._extend()
            self._mark_repeated()

    # The words around a place; an empty text or key beyond the ends.

    def _text(self, at: int) -> str:
        return self.read.text[self.begins[at] : self.read.words[at][2]]

    def _key(self, at: int) -> str:
        return self.keys[at] if 0 <= at < self.count else ""

    def _joint(self, at: int) -> str:
        return self.read.joints[at] if 0 <= at < self.count - 1 else ""

    def _behind(self, at: int, length: int = 2) -> str:
        end = self.read.words[at][2]
        return self.read.text[end : end + length]

    def _places_of(self, begin: int, end: int) -> range:
        return range(bisect_left(self.begins, begin), bisect_left(self.begins, end))

    def _mark(self, places: range) -> None:
        self.marked[places.start : places.stop] = b"\1" * len(places)

    def _fits(self, at: int, classes: str = _ANY_NAME) -> bool:
        """Return True for a capitalized word of these classes, outside other values."""
        is_word = 0 <= at < self.count and self.capital[at]
        return is_word and self.classes[at] in classes and not self.taken[self.begins[at]]

    def _goes_on(self, at: int) -> bool:
        joint = self._joint(at)
        return joint in {" ", "-", "'", "’", " -"} or (
            joint in {". ", "."} and len(self.keys[at]) < 3 and self.capital[at]
        )

    def _is_particle(self, at: int, classes: str = _ANY_NAME) -> bool:
        if self._key(at) not in PARTICLES or not self._goes_on(at):
            return False
        return self._fits(at + 1, classes) or self._is_particle(at + 1, classes)

    def _is_family_name(self, at: int) -> bool:
        key, allowed = self._key(at), WORD if self.is_german else WORD + PRODUCT
        is_free = self._fits(at, allowed) and key not in _words("never") and key not in _words("it_nouns")
        return len(key) > 2 and (is_free or (key in surnames() and self._fits(at, "FLU?wP")))

    def _take(self, at: int, classes: str = _ANY_NAME, most: int = _MAX_IN_A_NAME) -> None:
        for taken in range(most and most + 2):
            is_initial = taken and self._fits(at, "FLU?wP") and len(self.keys[at]) == 1
            is_joined = bool(taken) and self._joint(at - 1) == "-" and (self.capital[at] or len(self.keys[at]) < 6)
            is_joined |= bool(taken) and self.keys[at] == "h" and self._joint(at - 1) in {"'", "’"}
            is_family = taken and self.classes[at - 1] == FIRST and self._is_family_name(at)
            if not (self._fits(at, classes) or is_initial or is_joined or is_family or self._is_particle(at, classes)):
                return
            self.marked[at] = 1
            if not self._goes_on(at):
                return
            at += 1

    def _is_of_thing(self, at: int) -> bool:
        """Return True beside digits, slashes, IT nouns: "Selene server", "Viva 3.2"."""
        behind = self._behind(at, 7)
        before = self.read.text[max(0, self.begins[at] - 2) : self.begins[at]]
        is_version = behind[:1] == " " and behind[1:2].isdigit() and not re.match(r" \d{1,2}[:.]\d\d", behind)
        is_joined = bool(re.match(r"[_=/\\@\d]|-\d|\.[a-z]", behind)) or bool(re.fullmatch(r"\S[/\\_=]", before))
        follows = self._key(at + 1) if self._joint(at) in {" ", "-"} else ""
        return is_version or is_joined or follows in _words("it_nouns") or follows in _COMPANIES

    def _is_start(self, at: int) -> bool:
        joint = self._joint(at - 1) if at else "\n"
        return "\n" in joint or joint.strip()[-1:] in {".", "!", "?"}

    def _by_itself(self, at: int, key: str) -> None:
        """Mark first names, pairs, initials with a surname, and mail addresses' names."""
        if not self._fits(at) or (1 < len(key) < 5 and self._text(at).isupper() and not self.is_loud):
            return
        kind, follows = self.classes[at], self.classes[at + 1] if self._goes_on(at) and self.capital[at + 1] else ""
        if len(key) == 1:
            is_unknown_word = not self.is_german and self._fits(at + 1, UNKNOWN) and not self._is_of_thing(at + 1)
            if self._joint(at)[:1] == "." and (self._fits(at + 1, FIRST + LAST) or is_unknown_word):
                self._take(at, _ANY_NAME, 3)
            return
        is_saint = self._key(at - 1) in _SAINTS and self._joint(at - 1) in {" ", ". "} and self.capital[at - 1]
        if kind == FIRST and not is_saint and not (follows in WORD + PRODUCT and self._is_of_thing(at)):
            self._take(at, _ANY_NAME, 4)
            return
        is_german_noun = kind == UNKNOWN and self._key(at - 1) in _DETERMINERS
        is_pair = (
            kind in LAST + UNSURE + UNKNOWN and follows and follows in _NAMES and kind + follows not in {"UU", "?U"}
        )
        is_unsure_pair = kind == UNSURE and follows == UNKNOWN
        # "Rutendo told us", "Praneeth Kolluri" beside "pkolluri".
        has_person_verb = kind == UNKNOWN and self._key(at + 1) in _words("thinking") and not is_german_noun
        is_unknown_pair = kind + follows == UNKNOWN * 2 and not self.is_german and self._joint(at) == " "
        is_of_login = is_unknown_pair and not self._is_of_thing(at) and not self._is_of_thing(at + 1)
        if (
            (is_pair and not is_german_noun)
            or has_person_verb
            or is_of_login
            or (is_unsure_pair and (key not in words() or not (self._is_start(at) or self.is_german)))
        ):
            self._take(at, _ANY_NAME, 0 if self._is_of_thing(at + 1) else 4)
        elif self._is_in_mail(key) or (
            kind in LAST + UNSURE and self._behind(at) in {"'s", "’s"} and key not in words() and not self._is_start(at)
        ):
            self.marked[at] = 1
        elif kind == LAST and self._joint(at) in {", ", ","} and self._fits(at + 1, FIRST):
            self.marked[at] = self.marked[at + 1] = 1
            self.reversed.add(at)
        elif kind == LAST and self._joint(at) == " " and len(self._key(at + 1)) == 1 and self._behind(at + 1, 1) == ".":
            self._mark(range(at, at + 2))

    def _is_in_mail(self, key: str) -> bool:
        is_last = len(key) > 3 and any(local.endswith(key) and len(local) - len(key) < 3 for local in self.locals)
        return len(key) > 2 and key not in words() and (is_last or key in self.local_parts)

    def _mark_lower_case(self, at: int, key: str) -> None:
        before = self._key(at - 1) if self._joint(at - 1) in {" ", ", ", " @", " ("} else ""
        behind = self._key(at + 1) if self._joint(at) == " " else ""
        if before in _DETERMINERS or (self.read.words[at][0] != key and not before) or self.taken[self.begins[at]]:
            return
        is_asked = any(before in _words(name) for name in ("asking", "greetings", "roles", "person_titles"))
        is_ended = self._behind(at, 1) in {"", "\n", ",", ".", "!", ":", ")"}
        is_said = behind in _BEHIND_SMALL or behind in _words("saying")
        is_joined = before in _BEFORE_SMALL and len(key) > 4
        if (is_asked and len(key) > 2) or (
            len(key) > 3 and (is_said or is_joined or (is_ended and (before or self._is_start(at))))
        ):
            self.marked[at] = 1
            is_name = not is_known(behind) and behind not in _words("saying")
            if len(behind) > 2 and not self.capital[at + 1] and is_name:
                self.marked[at + 1] = 1

    def _by_context(self, at: int, key: str) -> None:
        """Mark names behind a title, greeting, label, role or verb that takes a person."""
        joint, name = self._joint(at), at + 1
        if name >= self.count or self.taken[self.begins[name]]:
            return
        if key in _words("person_titles") and joint in {" ", ". ", ".", ": "}:
            self._mark_titled(at, name, joint)
        if key in _words("greetings") and joint in {" ", ", "} and self._fits(name):
            is_short = self._behind(name, 1) in {",", "!", ":", "\n", "", "."} or self._behind(name, 3) == " - "
            is_two = self._goes_on(name) and self._fits(name + 1)
            is_start = self._is_start(at) or self._key(at - 1) in _words("greetings")
            if self.classes[name] in FIRST + UNSURE or (joint == " " and is_start and (is_short or is_two)):
                self._take(name, _ANY_NAME, 3)
        if key in _words("name_labels") and _LABEL_SIGN.fullmatch(joint):
            is_strict = key in _STRICT or (key in {"name", "nom", "nombre"} and self.is_form)
            if not (self._key(at - 1) in _THINGS and self._joint(at - 1) in {" ", "-", "_"}):
                self._mark_labelled(name, is_strict=is_strict)
        elif key in _STRICT and joint == " " and self._fits(name):
            self._take(name, _ANY_NAME, 3)
        is_free = self.read.text[self.begins[at] - 1 : self.begins[at]] not in {"-", "_", "/"}
        if key in _words("roles") and joint in {" ", ", ", " (", ": "} and is_free:
            is_unknown = self._fits(name, UNKNOWN) and not self._is_of_thing(name)
            is_named = is_unknown and (joint == " " or self._joint(name) == ", " or self._fits(name + 1))
            if self._fits(name, _NAMES) or is_named:
                self._take(name, _ANY_NAME, 4)
        if key in _words("asking") and joint in {" ", " @"}:
            self._mark_asked_person(name)

    def _mark_asked_person(self, name: int) -> None:
        known = _ANY_NAME
        if self._key(name) in {"a", "al", "with", "mit", "bei"} and self._joint(name) == " ":
            name += 1
            known = _NAMES
        is_surname = not self.is_german and self._fits(name, WORD) and self.keys[name] in surnames()
        is_surname = is_surname and self.keys[name] not in _words("never")
        if (self._fits(name, known) or is_surname) and not self._is_of_thing(name):
            self.marked[name] = 1
            self._take(name, _ANY_NAME, 3)

    def _mark_titled(self, at: int, name: int, joint: str) -> None:
        key = self.keys[name]
        if self.capital[name] and key not in _words("person_titles") and key not in _words("never"):
            is_inside = at > 0 and self.capital[at - 1] and self._joint(at - 1) == " "
            is_initial = len(self.keys[at]) == 1 and (not self.capital[at] or is_inside)
            is_title = self.capital[at] or len(self.keys[at]) > 2 or self.keys[at] in {"dr", "mr", "ms"}
            if is_title and not is_initial and self._text(at) != "MS":
                self.marked[name] = 1
                if self._goes_on(name):
                    is_family = self.classes[name] == FIRST and self._is_family_name(name + 1)
                    self._take(name + 1, _ANY_NAME + (WORD if is_family or key in PARTICLES else ""), 3)
        elif len(self.keys[at]) > 2 and joint == " " and len(key) > 3 and not is_known(key):
            self.marked[name] = 1

    def _mark_labelled(self, at: int, *, is_strict: bool) -> None:
        end = at
        while end - at < 5 and (self._fits(end, "FLU?wP" if is_strict else "FLU?w") or self._key(end) in PARTICLES):
            if self._joint(end).lstrip().startswith(":"):
                break
            end += 1
            if not (self._goes_on(end - 1) or self._joint(end - 1) == ", "):
                break
        kinds = Counter(self.classes[place] for place in range(at, end) if self.keys[place] not in PARTICLES)
        is_known = sum(kinds[kind] for kind in _NAMES) and kinds[WORD] < 2
        if end > at and (is_strict or is_known or (kinds[UNKNOWN] and not kinds[WORD])):
            self._mark(range(at, end))
            if self._joint(at) == ", ":
                self.reversed.add(at)

    def _mark_cells(self) -> None:
        columns: dict[str, list[range]] = defaultdict(list)
        for cell in self.read.column(_NAME_HEAD):
            if not _OTHER_HEAD.fullmatch(cell.head):
                cells = _CELL.finditer(self.read.text, cell.begin, cell.end)
                columns[cell.head] += (self._places_of(*each.span()) for each in cells)
        for parts in columns.values():
            known = [any(self.classes[at] in _NAMES or at in self.owners for at in part) for part in parts]
            for part, has_known in zip(parts, known, strict=True):
                kinds = [self.classes[at] for at in part]
                is_whole = all(self.capital[at] or self.keys[at] in PARTICLES for at in part)
                is_like = len(kinds) > 1 or any(kind in _ANY_NAME for kind in kinds)
                if is_whole and is_like and PRODUCT not in kinds and (has_known or sum(known) * 2 >= len(known)):
                    self._mark(part)
                    self.reversed.update(part)

    def _mark_chats(self) -> None:
        heads = list(_CHAT.finditer(self.read.text))
        counts = Counter(found["name"].lower() for found in heads)
        for found in heads:
            places = self._places_of(*found.span("name"))
            kinds = [_class_of(self.keys[at]) for at in places]
            is_known = any(kind in FIRST + UNSURE for kind in kinds) and PRODUCT not in kinds
            is_repeated = counts[found["name"].lower()] > 1 and all(kind in _ANY_NAME for kind in kinds)
            is_timed = found["first"] or found["last"]
            if kinds and ((is_timed and (is_known or is_repeated)) or (is_repeated and is_known)):
                self._mark(places)

    def _before_mails(self) -> None:
        for mail in self.mails:
            found = _BEFORE_MAIL.search(self.read.text, max(0, mail - 120), mail)
            places = list(self._places_of(*found.span("name"))) if found else []
            while places and (
                self.keys[places[0]] in _contexts() or (not self.capital[places[0]] and self.keys[places[0]] in words())
            ):
                del places[0]
            kinds = [self.classes[at] for at in places if self.keys[at] not in PARTICLES]
            is_named = any(kind in _NAMES for kind in kinds) or any(self._is_in_mail(self.keys[at]) for at in places)
            others = kinds.count(WORD) + kinds.count(PRODUCT)
            if places and ((is_named and others < 2) or (len(kinds) > 1 and not others)):
                self._mark(range(places[0], places[-1] + 1))
                self.reversed.add(places[0])

    def _recipients(self) -> None:
        for found in _RECIPIENTS.finditer(self.read.text):
            at = found.start("names")
            for part in re.split(r"[;<>]", found["names"]):
                if name := _CELL.match(part.strip(" \"',")):
                    places = self._places_of(at + part.find(name[0]), at + part.find(name[0]) + len(name[0]))
                    if 1 < len(places) < 5 and all(self.classes[place] in _ANY_NAME for place in places):
                        self._mark(places)
                        self.reversed.add(places[0])
                at += len(part) + 1

    def _signatures(self) -> None:
        at, is_closed = 0, False
        for line in self.read.text.split("\n"):
            parts = spelled_words(line) if is_closed or len(line) < _MAX_CLOSING_LENGTH else []
            if is_closed and parts:
                is_closed = False
                if name := _SIGNED.match(line):
                    places = self._places_of(at + name.start("name"), at + name.end("name"))
                    keys = [self.keys[place] for place in places]
                    kinds = [_class_of(key) for key in keys if len(key) > 1 and key not in PARTICLES]
                    others = kinds.count(WORD) + kinds.count(PRODUCT)
                    if len(kinds) > others * 2 and not any(self.taken[self.begins[place]] for place in places):
                        self._mark(places)
            elif 0 < len(parts) < 6 and all(part in _words("closings") for part in parts):
                is_closed = True
            at += len(line) + 1

    def _places(self) -> Iterator[int]:
        at = self.marked.find(1)
        while at >= 0:
            yield at
            at = self.marked.find(1, at + 1)

    def _mark_lists(self) -> None:
        for at in self._places():
            is_and = self._key(at + 1) in _AND and self._joint(at) == " " == self._joint(at + 1)
            other = at + 2 if is_and else at + 1
            is_listed = is_and or _LIST.fullmatch(self._joint(at))
            classes = FIRST + LAST + UNSURE + (UNKNOWN if is_and and not self.is_german else "")
            is_free = is_listed and self._fits(other, classes) and not self.marked[other]
            if is_free and not self._is_of_thing(other) and self.keys[other] not in words():
                self._take(other, classes, 3)
            is_before = self._key(at - 1) in _AND and self._joint(at - 2) == " " == self._joint(at - 1)
            if is_before and self._fits(at - 2, LAST + UNSURE) and self.keys[at - 2] not in words():
                self.marked[at - 2] = 1

    def _extend(self) -> None:
        for at in self._places():
            if at in self.owners or not self._goes_on(at) or self.marked[at + 1]:
                continue
            is_surname = not self.is_german and self._fits(at + 1, WORD) and self._is_family_name(at + 1)
            is_part = (
                self._fits(at + 1, FIRST + LAST)
                or (self.classes[at] == FIRST and self._is_family_name(at + 1))
                or (is_surname and self.keys[at + 1] in surnames() and at and self.marked[at - 1])
                or (self._fits(at + 1, UNSURE + UNKNOWN) and not self._is_of_thing(at + 1))
            )
            is_initial = self.capital[at + 1] and len(self.keys[at + 1]) == 1 and self._behind(at + 1, 1) == "."
            if is_part or self._is_particle(at + 1) or is_initial:
                self._take(at + 1, _ANY_NAME, 3)
                self.marked[at + 1] = 1
            elif self._joint(at) == "-" and (self._fits(at + 1, "FLU?w") or len(self.keys[at + 1]) < 6):
                self.marked[at + 1] = 1
        at = self.marked.rfind(1)
        while at > 0:
            before = at - 1
            if not self.marked[before] and self._goes_on(before):
                is_first = self._fits(before, FIRST) or (
                    self._fits(before, LAST + UNSURE) and self.keys[before] not in words()
                )
                is_unsure = self._fits(before, UNSURE) and not self.is_german and not self._is_start(before)
                is_initial = self.capital[before] and len(self.keys[before]) == 1
                is_other = (at in self.owners and self._fits(before, UNKNOWN)) or is_unsure or is_initial
                if is_first or is_other or (self._joint(before) == "-" and self._fits(before, "FLU?w")):
                    self.marked[before] = 1
            at = self.marked.rfind(1, 0, at)

    def _mark_repeated(self) -> None:
        keys = {self.keys[at] for at in self._places() if at not in self.owners and len(self.keys[at]) > 2}
        known = {key for key in keys if key not in words() and key not in PARTICLES}
        with_capital = known | {key for key in keys if key in surnames() and key not in _words("never")}
        small = {key for key in known if key not in products()[0] and len(key) > 3}
        for at, key in enumerate(self.keys):
            if not self.taken[self.begins[at]] and key in (with_capital if self.capital[at] else small):
                self.marked[at] = 1

    def mentions(self, desk: DeskPeople) -> Iterator[Detection]:
        """Return runs of marked words as names; a desk's person gets the desk's spelling."""
        at = self.marked.find(1)
        while at >= 0:
            owners, end = self.owners.get(at), at
            while end + 1 < self.count and self.marked[end + 1] and self._is_one_name(at, end):
                others = self.owners.get(end + 1)
                if owners and others and not owners & others:
                    break
                owners = owners & others if owners and others else None
                end += 1
            stop = self.read.words[end][2]
            stop += len(self.keys[end]) == 1 and self.read.text[stop : stop + 1] == "."
            value = desk.names[next(iter(owners))] if owners and len(owners) == 1 else None
            yield Detection(self.begins[at], stop, "PERSON", value)
            at = self.marked.find(1, end + 1)

    def _is_one_name(self, first: int, at: int) -> bool:
        joint, here, there = self.read.joints[at], self.owners.get(at), self.owners.get(at + 1)
        is_turned = bool(here and there and here & there and self.keys[at] != self.keys[at + 1])
        is_comma = joint in {", ", ","} and (first in self.reversed or is_turned)
        return at + 1 - first < _MAX_IN_A_NAME + 2 and (is_comma or joint in {" ", "-", "'", "’", ". ", ".", "_", " -"})
