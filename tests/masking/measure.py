"""How much of what is marked in tickets is masked, and how much of what is masked was marked."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from masking.folding import folded
from masking.masking import _Finder
from masking.people import Person

FOLDER = Path(__file__).parent
_MARK = re.compile("⟦([a-z_]+):(.*?)⟧", re.DOTALL)
TOLD = {"desk_person": "the desk's people", "person": "other people", "id": "numbers of people", "network": "hosts"}
FITTING = {
    "desk_person": {"PERSON", "LOGIN"},
    "person": {"PERSON"},
    "email": {"EMAIL"},
    "phone": {"PHONE"},
    "bank": {"BANK"},
    "card": {"CARD"},
    "id": {"ID"},
    "secret": {"SECRET"},
    "address": {"ADDRESS"},
    "network": {"HOST"},
}
"""The kinds of placeholders that what is marked may be covered by."""


class Marked(NamedTuple):
    """A ticket without its marks, and where they were."""

    id: str
    people: tuple[Person, ...]
    text: str
    spans: tuple[tuple[int, int, str], ...]


@dataclass
class Scores:
    """Counts by kind, and what was missed or masked in vain."""

    marked: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[tuple[str, str, str]]] = field(default_factory=lambda: defaultdict(list))

    def recall(self, kind: str) -> float:
        """Return the share of what is marked as a kind that is wholly covered by placeholders that fit it."""
        return self.covered[kind] / self.marked[kind] if self.marked[kind] else 1.0

    def precision(self, kind: str) -> float:
        """Return the share of the placeholders of a kind that stand over something marked."""
        return self.right[kind] / self.masked[kind] if self.masked[kind] else 1.0

    def precision_of(self, kinds: Iterable[str]) -> float:
        """Return that of several kinds of placeholders together."""
        masked = sum(self.masked[kind] for kind in kinds)
        return sum(self.right[kind] for kind in kinds) / masked if masked else 1.0


def tickets(*names: str) -> Iterator[Marked]:
    """Read marked tickets, `en-tuning` for instance."""
    for name in names:
        for line in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines():
            yield _marked(json.loads(line))


def _marked(row: Mapping[str, Any]) -> Marked:
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
            tuple(each.get("phones", ())),
            tuple(filter(None, [each.get("login"), each.get("employee_id")])),
        )
        for each in row["people"]
    )
    return Marked(row["id"], people, "".join([*plain, row["text"][at:]]), tuple(spans))


def scores(told: Iterable[Marked]) -> Scores:
    """Mask tickets, with addresses and names of hosts, and count."""
    counts = Scores()
    for ticket in told:
        _count(ticket, counts)
    return counts


def _count(ticket: Marked, counts: Scores) -> None:
    fold = folded(ticket.text)
    finds = [
        (fold.places[find.begin], fold.places[find.end], find.kind)
        for find in _Finder(ticket.people, network=True).finds(fold.text)
    ]
    for begin, end, kind in ticket.spans:
        inside = {place for a, b, of in finds if of in FITTING[kind] for place in range(max(a, begin), min(b, end))}
        is_covered = all(place in inside or ticket.text[place].isspace() for place in range(begin, end))
        counts.marked[kind] += 1
        counts.covered[kind] += is_covered
        if not is_covered:
            counts.wrong[f"missed {kind}"].append((ticket.id, ticket.text[begin:end], _around(ticket.text, begin, end)))
    for begin, end, kind in finds:
        is_right = any(a < end and begin < b for a, b, _ in ticket.spans)
        counts.masked[kind] += 1
        counts.right[kind] += is_right
        if not is_right:
            counts.wrong[f"in vain {kind}"].append(
                (ticket.id, ticket.text[begin:end], _around(ticket.text, begin, end))
            )


def _around(text: str, begin: int, end: int) -> str:
    return text[max(0, begin - 30) : end + 20].replace("\n", " / ")


LANGUAGES = ("en", "de")
HALVES = ("held", "second")
# Recall on the second set before anybody had seen what was missed there.
FIRST_LOOK = {
    "desk_person": ("166/176", "176/183"),
    "person": ("126/138", "119/130"),
    "email": ("52/52", "52/52"),
    "phone": ("62/68", "64/64"),
    "bank": ("33/42", "33/37"),
    "card": ("20/20", "22/22"),
    "id": ("54/79", "64/79"),
    "secret": ("66/87", "63/87"),
    "address": ("25/30", "29/31"),
    "network": ("50/64", "53/62"),
}


@cache
def of(*names: str) -> Scores:
    """Return the scores of files of marked tickets, counted together."""
    return scores(tickets(*names))


def of_language(language: str) -> Scores:
    """Return the scores of all tickets of a language that nothing was tuned on before a first look."""
    return of(*(f"{language}-{half}" for half in HALVES))


def rows() -> list[tuple[str, ...]]:
    """Give one row a kind: recall by language now, at the first look on the second set, and precision."""
    head = "kind", *(f"{what}, {of}" for what in ("recall", "at the first look", "precision") for of in LANGUAGES)
    told = []
    for kind, fitting in FITTING.items():
        counts = [of_language(language) for language in LANGUAGES]
        recall = (f"{each.recall(kind):.3f} ({each.covered[kind]}/{each.marked[kind]})" for each in counts)
        first = (f"{int(each.split('/')[0]) / int(each.split('/')[1]):.3f} ({each})" for each in FIRST_LOOK[kind])
        precise = (f"{each.precision_of(fitting):.3f}" for each in counts)
        told.append((TOLD.get(kind, kind), *recall, *first, *precise))
    return [head, *told]
