"""Recall and precision of redaction on marked texts.

`sets/` has marked texts by writers who saw neither the code nor other sets. The engine was written with `first` in
view, and changed after each of the others was measured and read. A set that is measured after the last change and not
read yet is `UNSEEN`: its figures in docs/redaction.md are the ones to expect. `tuning` has English and German tickets
of earlier writers, with no products marked.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from privacy.redaction.people import Person
from privacy.redaction.redaction import Finder
from privacy.redaction.text import folded

SETS = Path(__file__).parent / "sets"
LANGUAGES = ("en", "de", "fr", "es")
SET_NAMES = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth"),
    *("twentieth", "twentyfirst", "twentysecond", "twentythird", "twentyfourth", "twentyfifth"),
)
# The name of one of these sets; empty after it was read, until the next one is measured.
UNSEEN = "twentyfifth"
GOALS = dict.fromkeys(("phone", "email", "bank", "card", "id"), ".97") | {
    "product": "at most .02",
    "desk_person": "1.0",
    "person": ".90 en, de; .80 fr, es",
    "login": ".90",
    "secret": ".90",
    "birth_date": ".90",
}
_MARK = re.compile("⟦([a-z_]+):(.*?)⟧", re.DOTALL)
# Placeholder kinds that may cover a mark.
FITTING = {
    "desk_person": {"PERSON", "LOGIN"},
    "person": {"PERSON"},
    "login": {"LOGIN", "PERSON", "EMAIL"},
    "login_bare": {"LOGIN", "PERSON", "EMAIL"},
    "secret": {"SECRET"},
    "phone": {"PHONE"},
    "email": {"EMAIL"},
    "bank": {"BANK"},
    "card": {"CARD"},
    "id": {"ID"},
    "birth_date": {"BIRTHDATE"},
    "address": {"ADDRESS"},
    "network": {"HOST"},
}
NAMES = {
    "product": "products hidden (fewer is better)",
    "desk_person": "the desk's people",
    "person": "other people",
    "login": "labelled logins",
    "login_bare": "logins without a label",
    "id": "personal numbers",
    "birth_date": "dates of birth",
    "network": "hosts",
}


class Marked(NamedTuple):
    """A text without its marks, and their positions: begin, end, kind."""

    id: str
    people: tuple[Person, ...]
    text: str
    spans: tuple[tuple[int, int, str], ...]


@dataclass
class Counts:
    """Marks, hidden marks and covered marks by kind, finds and right finds by placeholder; errors."""

    marked: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def recall(self, kind: str) -> float:
        """Return the share of a kind's marks that fitting placeholders cover wholly.

        Any placeholder fits a product.
        """
        return self.covered[kind] / self.marked[kind] if self.marked[kind] else 1.0

    def precision(self, kind: str = "") -> float:
        """Return the share of a kind's placeholders, or of all, that cover personal data."""
        found, right = (self.found[kind], self.right[kind]) if kind else (self.found.total(), self.right.total())
        return right / found if found else 1.0


def texts(name: str, language: str) -> list[Marked]:
    lines = (SETS / name / f"{language}.jsonl").read_text("utf-8").splitlines()
    return [_marked(json.loads(line)) for line in lines]


def _marked(row: dict[str, Any]) -> Marked:
    plain, spans, at, length = [], [], 0, 0
    for found in _MARK.finditer(row["text"]):
        before = row["text"][at : found.start()]
        plain += [before, found[2]]
        spans.append((length + len(before), length + len(before) + len(found[2]), found[1]))
        length += len(before) + len(found[2])
        at = found.end()
    people = tuple(
        Person(
            each["name"],
            tuple(filter(None, [each.get("email")])),
            tuple(each.get("phones") or ()),
            tuple(filter(None, [each.get("login"), each.get("employee_id")])),
        )
        for each in row["people"]
    )
    return Marked(row["id"], people, "".join([*plain, row["text"][at:]]), tuple(spans))


@cache
def counts(name: str, *languages: str) -> Counts:
    """Redact the texts of a set, with addresses and names of hosts, and count."""
    counted = Counts()
    for language in languages or LANGUAGES:
        for text in texts(name, language):
            _count(text, counted)
    return counted


def _count(marked: Marked, counted: Counts) -> None:
    text, whole = marked.text, folded(marked.text)
    finds = Finder(marked.people, network=True).finds(whole.text)
    places = [(whole.places[find.begin], whole.places[find.end], find.kind) for find in finds if find.kind != "TEXT"]
    for begin, end, kind in marked.spans:
        counted.marked[kind] += 1
        if kind == "product":
            is_covered = any(a < end and begin < b for a, b, _ in _in_vain(marked, places))
        else:
            is_covered = _covers([each for each in places if each[2] in FITTING[kind]], text, begin, end, kind)
            counted.hidden[kind] += _covers(places, text, begin, end, kind)
        counted.covered[kind] += is_covered
        if is_covered == (kind == "product"):
            counted.wrong[kind].append((marked.id, text[begin:end]))
    counted.found.update(kind for _, _, kind in places)
    vain = _in_vain(marked, places)
    counted.right.update(kind for begin, end, kind in places if (begin, end, kind) not in vain)
    for begin, end, kind in vain:
        counted.wrong[f"in vain {kind}"].append((marked.id, text[begin:end]))


def _covers(places: list[tuple[int, int, str]], text: str, begin: int, end: int, kind: str) -> bool:
    inside = {at for a, b, _ in places for at in range(max(a, begin), min(b, end))}
    # Punctuation of a name or a number reveals nothing; that of a secret does.
    hides = str.isspace if kind == "secret" else lambda character: not character.isalnum()
    return all(at in inside or hides(text[at]) for at in range(begin, end))


def _in_vain(marked: Marked, places: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    personal = [(begin, end) for begin, end, kind in marked.spans if kind != "product"]
    return [each for each in places if not any(begin < each[1] and each[0] < end for begin, end in personal)]


def rows() -> list[tuple[str, ...]]:
    """Return one row per kind.

    Hidden and marked values of the unseen set, recall and the share under any placeholder, the goal, and recall on the
    sets read. Without an unseen set, the last two alone.
    """
    read = _sum(counts(name) for name in SET_NAMES if name != UNSEEN)
    if not UNSEEN:
        recalls = [(_name_of(kind), GOALS.get(kind, ""), f"{read.recall(kind):.3f}") for kind in ("product", *FITTING)]
        return [("kind", "goal", "read sets"), *recalls, ("precision over all kinds", ".94", f"{read.precision():.3f}")]
    unseen = counts(UNSEEN)
    languages = [counts(UNSEEN, language) for language in LANGUAGES]
    table: list[tuple[str, ...]] = [("kind", *LANGUAGES, "all", "any placeholder", "goal", "read sets")]
    for kind in ("product", *FITTING):
        found = (f"{each.covered[kind]}/{each.marked[kind]}" for each in languages)
        hidden = "" if kind == "product" else f"{unseen.hidden[kind] / unseen.marked[kind]:.3f}"
        figures = (f"{unseen.recall(kind):.3f}", hidden, GOALS.get(kind, ""), f"{read.recall(kind):.3f}")
        table.append((_name_of(kind), *found, *figures))
    precision = [f"{each.precision():.3f}" for each in (*languages, unseen)]
    return [*table, ("precision over all kinds", *precision, "", ".94", f"{read.precision():.3f}")]


def _name_of(kind: str) -> str:
    return NAMES.get(kind, kind)


def _sum(several: Iterable[Counts]) -> Counts:
    whole = Counts()
    for each in several:
        whole.marked += each.marked
        whole.covered += each.covered
        whole.found += each.found
        whole.right += each.right
    return whole
