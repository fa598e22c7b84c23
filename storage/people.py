"""Whom a desk names for a copied ticket, as a column has them."""

from collections.abc import Iterable
from typing import Any

from privacy.redaction.people import Person


def people_to_keep(people: Iterable[Person]) -> list[list[Any]]:
    """Return people as JSON has them: the parts of each in a list."""
    return [[person.name, *map(list, person[1:])] for person in people]


def people_kept(kept: Iterable[list[Any]]) -> tuple[Person, ...]:
    """Return the people of what was kept."""
    return tuple(Person(str(name), *(tuple(map(str, part)) for part in parts)) for name, *parts in kept)
