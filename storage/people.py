"""People of a copied ticket, in the format of the column."""

from collections.abc import Iterable
from typing import Any

from privacy.redaction.people import Person


def people_to_keep(people: Iterable[Person]) -> list[list[Any]]:
    return [[person.name, *map(list, person[1:])] for person in people]


def people_kept(kept: Iterable[list[Any]]) -> tuple[Person, ...]:
    return tuple(Person(str(name), *(tuple(map(str, part)) for part in parts)) for name, *parts in kept)
