"""Which of a tenant's tickets are enhanced: by their webhook's event, their category, group, site and template."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("event", "category", "group", "site", "template")

Names = Mapping[str, frozenset[str]]
"""Kind -> names, folded (`fold`)."""


class RulesUnreadable(ValueError):
    """The text is no list of `KIND:NAME` entries; says what is wrong in words that follow the setting's name."""


def parse_names(text: str) -> Names:
    """Read `KIND:NAME, KIND:NAME`. Raises RulesUnreadable."""
    found: dict[str, set[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        kind, colon, name = map(fold, entry.partition(":"))
        if kind not in KINDS or not colon or not name:
            raise RulesUnreadable(f"must be KIND:NAME entries with commas between them; kinds are {', '.join(KINDS)}")
        found.setdefault(kind, set()).add(name)
    return {kind: frozenset(names) for kind, names in found.items()}


@dataclass(frozen=True, slots=True)
class TicketRules:
    """What a ticket must have, one name of each kind in `only`, and what it must not: any of `never`.

    A ticket with one of the names in `within` is context for those alone that have the same name. `never_topics` are
    those, folded, whose solutions are not used.
    """

    only: Names = field(default_factory=dict)
    never: Names = field(default_factory=dict)
    within: Names = field(default_factory=dict)
    never_topics: frozenset[str] = frozenset()

    def leave_out(self, known: Mapping[str, str]) -> bool:
        """Return True if a ticket is not to be enhanced, by what is `known` of it: kind -> name.

        A kind that is not in `known` yet says nothing; one that is empty is none of the names.
        """
        folded = fold_all(known)
        return self.forbid(known) or any(
            folded[kind] not in names for kind, names in self.only.items() if kind in folded
        )

    def forbid(self, known: Mapping[str, str]) -> bool:
        """Return True if what is `known` of a ticket has one of the names in `never`: its text may not be kept."""
        return any(name in self.never.get(kind, ()) for kind, name in fold_all(known).items())

    @property
    def forbidden(self) -> Names:
        """The names by which a ticket's text may not be kept; of its events nothing is known once it is copied."""
        return {kind: names for kind, names in self.never.items() if kind != "event"}

    def hidden_from(self, known: Mapping[str, str]) -> Names:
        """Return the names that a ticket may not have to be context for another one, of which this is `known`."""
        own = fold_all(known)
        hidden = {kind: names - {own.get(kind, "")} for kind, names in self.within.items()}
        kinds = self.forbidden.keys() | {kind for kind, names in hidden.items() if names}
        return {kind: self.forbidden.get(kind, frozenset()) | hidden.get(kind, frozenset()) for kind in kinds}

    def ask_for(self, kind: str) -> bool:
        """Return True if a ticket's name of that kind may make a difference."""
        return kind in self.only or kind in self.never


def fold_all(known: Mapping[str, str]) -> dict[str, str]:
    """Return what is known of a ticket, kind -> name, with each name as rules have it."""
    return {kind: fold(name) for kind, name in known.items()}


def fold(name: str) -> str:
    """Return a name without what people do not see: case, width of spaces, and how its accents are written."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
